"""Hyperparameter search: KerasTuner's tuners, with repeatable and recorded trials."""

from keras_tricks.tuners.budget import InfeasibleTrialError
from keras_tricks.tuners.budget import WithinBudget
from keras_tricks.tuners.searches import BayesianOptimization
from keras_tricks.tuners.searches import RandomSearch

__all__ = [
    "BayesianOptimization",
    "InfeasibleTrialError",
    "RandomSearch",
    "WithinBudget",
]
