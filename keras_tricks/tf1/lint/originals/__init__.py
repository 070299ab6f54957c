"""Originals: classes, recipes and libraries that this package ports."""
