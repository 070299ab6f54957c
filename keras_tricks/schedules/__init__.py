"""Learning rate schedules: from the step of an update to its learning rate."""

from keras_tricks.schedules.noam import CustomSchedule
from keras_tricks.schedules.noam import NoamSchedule
from keras_tricks.schedules.polynomial import WarmupPolynomialDecay

__all__ = ["CustomSchedule", "NoamSchedule", "WarmupPolynomialDecay"]
