"""Callbacks: what `fit` shows and steers beside the optimizer."""

from keras_tricks.callbacks.gradients import GradientMonitor
from keras_tricks.callbacks.hopeless import StopHopeless
from keras_tricks.callbacks.live_curves import LiveCurves
from keras_tricks.callbacks.plateau import ReduceScheduleOnPlateau
from keras_tricks.callbacks.rates import LearningRateHistory
from keras_tricks.callbacks.switch import SwitchOnPlateau

__all__ = [
    "GradientMonitor",
    "LearningRateHistory",
    "LiveCurves",
    "ReduceScheduleOnPlateau",
    "StopHopeless",
    "SwitchOnPlateau",
]
