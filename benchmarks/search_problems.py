"""What the searches of `search_quality.py` are held against, cheap enough for 20 seeds.

`Function` stands for the validation loss of a network: it is least at a rate near 3e-3
that depends on the width, has one hyperparameter that does nothing, and diverges (is
infinite) where the rate is too high, in a fifth of the space. Its least value is 0.

`Digits` is a tabular benchmark, a form well known from NAS-Bench and HPOBench: a
network is trained for each of 840 settings and 5 seeds beforehand, packed by
`keras_tricks.training.train`, and a trial looks its result up. It is told the curve of
one seed, as if it had trained; what it found is worth the mean over the seeds.
"""

import math
from pathlib import Path
from typing import Any
from typing import ClassVar

import keras
import keras_tuner
import numpy as np
import sklearn.datasets

from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.training import train

Values = dict[str, Any]


class Function:
    """The function. A trial that stops early learns nothing from it."""

    name = "function"
    label = "score"
    max_epochs = 1
    limits: ClassVar = {"rate": (1e-5, 1.0), "width": (16, 512), "dropout": (0.0, 0.7)}

    def space(self) -> keras_tuner.HyperParameters:
        hp = keras_tuner.HyperParameters()
        hp.Float("rate", 1e-5, 1.0, sampling="log")
        hp.Int("width", 16, 512, step=2, sampling="log")
        hp.Float("dropout", 0.0, 0.7)
        hp.Float("idle", 0.0, 1.0)
        return hp

    def suggest(self, trial: Any) -> Values:
        """Returns the values as a user of Optuna would ask for them."""
        trial.suggest_float("idle", 0.0, 1.0)
        return {
            "rate": trial.suggest_float("rate", 1e-5, 1.0, log=True),
            "width": 2 ** trial.suggest_int("log2_width", 4, 9),
            "dropout": trial.suggest_float("dropout", 0.0, 0.7),
        }

    def told(self, values: Values, seed: int, epochs: int) -> float:
        """Returns the score that a trial ends with."""
        rate, width, dropout = (values[name] for name in ("rate", "width", "dropout"))
        if rate > 0.1:
            return math.inf
        best = -2.5 - 0.3 * math.log2(width / 128) / 2
        valley = 0.3 * (math.log10(rate) - best) ** 2
        return valley + 0.02 * math.log2(width / 256) ** 2 + (dropout - 0.3) ** 2

    def worth(self, values: Values) -> float:
        """Returns what the settings are worth to whoever adopts them."""
        return self.told(values, 0, 1)


class Digits:
    """A multilayer perceptron on 600 of scikit-learn's digits, judged on 600 others.

    Args:
        path: The table; it is computed where there is none.
    """

    name = "digits"
    label = "validation loss, mean over 5 trainings"
    max_epochs = 18
    rates = tuple(1e-4 * 10 ** (n / 4) for n in range(21))
    dropouts = (0.0, 0.2, 0.4, 0.6)
    units = (8, 16, 32, 64, 128)
    activations = ("relu", "tanh")
    seeds = 5
    limits: ClassVar = {"rate": (1e-4, 10.0), "units": (8, 128), "dropout": (0.0, 0.6)}

    def __init__(self, path: Path):
        if not path.exists():
            np.savez_compressed(path, curves=self._trained())
        # By activation, units, rate, dropout, seed and epoch.
        self.curves = np.load(path)["curves"]
        self.means = self.curves.min(axis=-1).mean(axis=-1)

    @property
    def best(self) -> float:
        """What the best settings of the table are worth."""
        return float(self.means.min())

    def space(self) -> keras_tuner.HyperParameters:
        hp = keras_tuner.HyperParameters()
        hp.Float("rate", 1e-4, 10.0, step=10**0.25, sampling="log")
        hp.Float("dropout", 0.0, 0.6, step=0.2)
        hp.Int("units", 8, 128, step=2, sampling="log")
        hp.Choice("activation", list(self.activations))
        return hp

    def suggest(self, trial: Any) -> Values:
        """Returns the values as a user of Optuna would ask for them."""
        return {
            "rate": self.rates[trial.suggest_int("rate", 0, len(self.rates) - 1)],
            "dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.2),
            "units": 8 * 2 ** trial.suggest_int("log2_units", 0, 4),
            "activation": trial.suggest_categorical("activation", self.activations),
        }

    def told(self, values: Values, seed: int, epochs: int) -> float:
        """Returns the least validation loss of the first epochs, as one seed has it."""
        curve = self.curves[(*self._place(values), seed % self.seeds)]
        return float(curve[:epochs].min())

    def worth(self, values: Values) -> float:
        """Returns the mean over the seeds of the least validation loss."""
        return float(self.means[self._place(values)])

    def _place(self, values: Values) -> tuple[int, int, int, int]:
        return (
            self.activations.index(values["activation"]),
            round(math.log2(values["units"] / 8)),
            round(4 * math.log10(values["rate"] / 1e-4)),
            round(values["dropout"] / 0.2),
        )

    def _trained(self) -> np.ndarray:
        """Returns the curves of the validation loss."""
        x, y = sklearn.datasets.load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(x))
        x, y = (x / 16).astype("float32")[order], y.astype("int32")[order]
        settings = [
            (activation, units, rate, dropout)
            for activation in self.activations
            for units in self.units
            for rate in self.rates
            for dropout in self.dropouts
        ]
        results = train(
            [setting for setting in settings for _ in range(self.seeds)],
            _network,
            x[:600],
            y[:600],
            validation_data=(x[600:1200], y[600:1200]),
            epochs=self.max_epochs,
            batch_size=32,
            seeds=[*range(self.seeds)] * len(settings),
            packed=84,
            same_network=lambda setting: setting[:2],
            compile_arguments=_compile_arguments,
        )
        curves = np.full((len(results), self.max_epochs), np.inf)
        for curve, result in zip(curves, results, strict=True):
            losses = result.curves["val_loss"]
            curve[: len(losses)] = np.where(np.isfinite(losses), losses, np.inf)
        shape = (len(self.activations), len(self.units), len(self.rates))
        return curves.reshape(*shape, len(self.dropouts), self.seeds, -1)


def _network(setting: tuple[str, int, float, float]) -> keras.Model:
    activation, units, _, dropout = setting
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(units, activation),
            ScalarDropout(dropout),
            keras.layers.Dense(10),
        ]
    )
    arguments = _compile_arguments(setting)
    del arguments["rate"]
    model.compile(**arguments)
    return model


def _compile_arguments(setting: tuple[str, int, float, float]) -> dict[str, Any]:
    _, _, rate, dropout = setting
    return {
        "optimizer": keras.optimizers.SGD(rate, momentum=0.9),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": [],
        "rate": dropout,
    }
