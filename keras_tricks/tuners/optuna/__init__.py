"""Searches on an Optuna study, which several processes may share."""
