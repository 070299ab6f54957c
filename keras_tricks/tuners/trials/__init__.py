"""Running one trial: seeds, data, executions, objective, record."""
