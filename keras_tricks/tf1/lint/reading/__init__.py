"""Reading code: files, names, definitions, types."""
