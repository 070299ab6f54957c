"""TF1: its checkpoints, and its code, brought to Keras 3."""

from keras_tricks.tf1.checkpoint import restore_optimizer

__all__ = ["restore_optimizer"]
