"""Points of a search space: grids, sequences, and narrower spaces."""
