"""What a type checker sees of the installed package; nothing runs this.

`mypy --warn-unused-ignores` fails where one of the mistakes is not found.
"""

import keras

from keras_tricks.callbacks import ReduceScheduleOnPlateau
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.tuners import Hyperband
from keras_tricks.tuners import OptunaSearch
from keras_tricks.tuners import RandomSearch


def build(hp: object) -> keras.Model:
    """Returns a model."""
    return keras.Sequential()


schedule = WarmupPolynomialDecay(0.1, 100, 10, join="shift")
WarmupPolynomialDecay(0.1, 100, 10, join="shft")  # type: ignore[arg-type]
sgd = keras.optimizers.SGD(schedule)
ClippedOptimizer(sgd, global_clipnorm=1.0, nonfinite="skip")
ClippedOptimizer(sgd, global_clipnorm=1.0, nonfinite="skp")  # type: ignore[arg-type]
ReduceScheduleOnPlateau(mode="min")
ReduceScheduleOnPlateau(mode="least")  # type: ignore[arg-type]

tuner = RandomSearch(build, "loss", max_trials=3, packed_trials="auto", directory="d")
RandomSearch(build, "loss", max_trial=3)  # type: ignore[call-arg]
RandomSearch(build, "loss", packed_trials="all")  # type: ignore[arg-type]
Hyperband(build, "loss", max_epochs=9, max_trials=3)
OptunaSearch(build, ["loss", "val_loss"], sampler="nsga2")
OptunaSearch(build, "loss", sampler="nsga")  # type: ignore[arg-type]

tuner.search([1.0], [2.0], epochs=3, workers=2, verbose=0)
tuner.search([1.0], [2.0], worker=2)  # type: ignore[call-arg]
tuner.pareto_front().to_csv("front.csv")
