"""Rewrites: edits of a file, and the checks before them."""
