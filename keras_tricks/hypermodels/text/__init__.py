"""Hypermodels of texts: a base class, three networks, and one that takes strings."""
