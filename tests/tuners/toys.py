"""Small searches for the tests: a model that trains, and one that only pretends to."""

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np

EPOCHS = 2


# What three trials of `build` need to be of interest.
EXTRA_ARGUMENTS: dict[str, dict[str, Any]] = {
    "RandomSearch": {},
    # Few random points, so that the last trial reaches the model.
    "BayesianOptimization": {"num_initial_points": 2},
    "GridSearch": {},
    # The first rung has `EPOCHS` epochs.
    "Hyperband": {"max_epochs": 2 * 3**2},
    "OptunaSearch": {},
    "QuasiRandomSearch": {},
}


def toy_data() -> dict[str, Any]:
    """Arguments of `fit`: two Gaussian clouds that overlap."""
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 2, 96)
    features = generator.normal(size=(96, 4)) + labels[:, None]
    x, y = features.astype("float32"), labels.astype("float32")[:, None]
    return {
        "x": x[:64],
        "y": y[:64],
        "validation_data": (x[64:], y[64:]),
        "epochs": EPOCHS,
        "batch_size": 16,
    }


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A model that draws from every generator: weights, dropout, shuffling."""
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    # Before `layers`, which so changes within the first points of a grid.
    units = hp.Int("units", 2, 8)
    layers = hp.Int("layers", 1, 2)
    model = keras.Sequential([keras.Input((4,))])
    model.add(keras.layers.Dense(units, activation="relu"))
    with hp.conditional_scope("layers", [2]):
        second = hp.Int("units_2", 2, 8)
    if layers == 2:
        model.add(keras.layers.Dense(second, activation="relu"))
    model.add(keras.layers.Dropout(0.3))
    model.add(keras.layers.Dense(1))
    model.compile(
        keras.optimizers.SGD(rate),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def build_eagerly(hp: keras_tuner.HyperParameters) -> keras.Model:
    """The same, trained without compiling, which would take most of a trial."""
    model = build(hp)
    model.run_eagerly = True
    return model


def build_of(tuner_class: type) -> Callable[..., keras.Model]:
    """The model that the tuner searches: the tuners share what runs a trial.

    So one of them, and the searches with workers, train in a graph, as users do.
    """
    return build if tuner_class.__name__ == "RandomSearch" else build_eagerly


def search(tuner_class: type, directory: Any, seed: int, **arguments: Any) -> Any:
    """Three trials of `build`."""
    tuner = tuner_class(
        **{
            "hypermodel": build_of(tuner_class),
            "objective": "val_loss",
            "max_trials": 3,
            "seed": seed,
            "directory": directory,
            **EXTRA_ARGUMENTS[tuner_class.__name__],
            **arguments,
        }
    )
    tuner.search(**toy_data(), verbose=0)
    return tuner


class Asked(keras_tuner.HyperModel):
    """Trains nothing: a trial ends as `outcome(hp, *args)` says, where it runs."""

    def __init__(self, outcome: Callable[..., float]):
        super().__init__()
        self.outcome = outcome

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, *args, **kwargs):
        return self.outcome(hp, *args)


class Scored(keras_tuner.HyperModel):
    """Trains nothing: trial number n (from 0) ends with `outcomes(n)`.

    Args:
        outcomes: From the number of the `fit` call to its score, or to an exception.
    """

    def __init__(self, outcomes: Callable[[int], float | BaseException]):
        super().__init__()
        self.outcomes = outcomes
        self.fits = 0

    def build(self, hp):
        # So many that a Bayesian search, slow, begins after the tests' few trials.
        for name in "wxyz":
            hp.Float(name, 0.0, 1.0)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, *args, **kwargs):
        outcome = self.outcomes(self.fits)
        self.fits += 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome
