"""Optimizers: from gradients to updates of the weights."""

from keras_tricks.optimizers.clipped import ClippedOptimizer

__all__ = ["ClippedOptimizer"]
