"""Hypermodels: from hyperparameters to a compiled model."""

from keras_tricks.hypermodels.mlp import HyperMLP
from keras_tricks.hypermodels.optimizer_space import hyper_optimizer

__all__ = ["HyperMLP", "hyper_optimizer"]
