"""Hyperparameter search: KerasTuner's tuners, with repeatable and recorded trials."""

from keras_tricks.tuners.searches import BayesianOptimization
from keras_tricks.tuners.searches import RandomSearch

__all__ = ["BayesianOptimization", "RandomSearch"]
