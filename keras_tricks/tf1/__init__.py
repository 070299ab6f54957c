"""TF1: its checkpoints, and its code, brought to Keras 3."""

from keras_tricks.tf1.checkpoint import restore_optimizer
from keras_tricks.tf1.checkpoint import restore_weights
from keras_tricks.tf1.conversions import Rename
from keras_tricks.tf1.conversions import Reshape
from keras_tricks.tf1.conversions import Split
from keras_tricks.tf1.conversions import Transpose

__all__ = [
    "Rename",
    "Reshape",
    "Split",
    "Transpose",
    "restore_optimizer",
    "restore_weights",
]
