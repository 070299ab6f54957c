"""Learning rate schedules: from the step of an update to its learning rate."""

from keras_tricks.schedules.compose import Joined
from keras_tricks.schedules.compose import PerUpdate
from keras_tricks.schedules.compose import Shifted
from keras_tricks.schedules.cycles import CyclicalSchedule
from keras_tricks.schedules.cycles import OneCycle
from keras_tricks.schedules.display.curve import curve
from keras_tricks.schedules.display.curve import plot
from keras_tricks.schedules.inverse_square_root import InverseSquareRoot
from keras_tricks.schedules.noam import CustomSchedule
from keras_tricks.schedules.noam import NoamSchedule
from keras_tricks.schedules.polynomial import WarmupPolynomialDecay
from keras_tricks.schedules.power import PowerDecay
from keras_tricks.schedules.scaled import Scaled
from keras_tricks.schedules.warmup import Warmup
from keras_tricks.schedules.warmup_stable_decay import WarmupStableDecay

__all__ = [
    "CustomSchedule",
    "CyclicalSchedule",
    "InverseSquareRoot",
    "Joined",
    "NoamSchedule",
    "OneCycle",
    "PerUpdate",
    "PowerDecay",
    "Scaled",
    "Shifted",
    "Warmup",
    "WarmupPolynomialDecay",
    "WarmupStableDecay",
    "curve",
    "plot",
]
