"""Oracles: which settings the next trial has."""
