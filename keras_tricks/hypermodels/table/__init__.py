"""The hypermodel of tables, and what brings a data frame to a network."""
