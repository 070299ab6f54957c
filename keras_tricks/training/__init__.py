"""Training: many settings of one model, compiled once and several at a time."""

from keras_tricks.training.compiled.programs import ProgramCache
from keras_tricks.training.train import Trained
from keras_tricks.training.train import train

__all__ = ["ProgramCache", "Trained", "train"]
