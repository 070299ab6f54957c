"""Results: records of ended trials, tables, scores, confirmation."""
