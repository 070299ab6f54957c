"""Trials that train side by side, and training by `fit` where nothing is shared."""
