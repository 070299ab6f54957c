"""What the searches of `search_quality.py` are held against, cheap enough for 20 seeds.

`Function` stands for the validation loss of a network: it is least at a rate near 3e-3
that depends on the width, has one hyperparameter that does nothing, and diverges (is
infinite) where the rate is too high, in a fifth of the space. Its least value is 0.

`Digits` is a tabular benchmark, a form well known from NAS-Bench and HPOBench: a
network is trained for each of 840 settings and 5 seeds beforehand, packed by
`keras_tricks.training.train`, and a trial looks its result up. It is told the curve of
one seed, as if it had trained; what it found is worth the mean over the seeds.

`Table` is the same for the data sets that scikit-learn brings along, at the settings
that `make_search_tables.py` has trained; between them the nearest ones count, each by
its distance. The other problems are functions with one difficulty each: a conditional
space, integers and choices alone, noise, twenty hyperparameters of which three matter,
and half of a space that is infeasible with the best at its edge.

What a setting is worth less the best there is its regret.
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
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.unit_cube import UnitCube

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


TABLES = ("iris", "wine", "breast_cancer", "digits", "diabetes")


def table_space() -> keras_tuner.HyperParameters:
    """Returns the space of the tables."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 3.0, sampling="log")
    hp.Float("momentum", 0.01, 0.99)
    hp.Float("dropout", 0.0, 0.7)
    hp.Int("units", 4, 64, step=2, sampling="log")
    hp.Choice("activation", ["relu", "tanh"])
    return hp


class Problem:
    """What the problems below have in common. `loss` is what is to be made small.

    Attributes:
        lowest: The least loss of all settings.
    """

    name: str
    label = "regret"
    max_epochs = 1
    lowest = 0.0

    def space(self) -> keras_tuner.HyperParameters:
        raise NotImplementedError

    def loss(self, values: Values) -> float:
        """Returns the loss without noise."""
        raise NotImplementedError

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        return {}

    def told(self, values: Values, seed: int, epochs: int) -> float:
        """Returns the score that a trial ends with."""
        return self.loss(values)

    def worth(self, values: Values) -> float:
        """Returns the regret of whoever adopts the settings."""
        return self.loss(values) - self.lowest

    def suggest(self, trial: Any) -> Values:
        """Returns the values as a user of Optuna would ask for them."""
        return points.complete(self.space().space, lambda hp: _suggested(trial, hp))


def _suggested(trial: Any, hp: Any) -> Any:
    if hasattr(hp, "ordered") or not hasattr(hp, "min_value"):
        return trial.suggest_categorical(hp.name, hp.values)
    log = hp.sampling == "log"
    if hp.step is not None and log:
        return [*points.values_of(hp)][
            trial.suggest_int(hp.name, 0, len([*hp.values]) - 1)
        ]
    whole = isinstance(hp.default, int)
    ask = trial.suggest_int if whole else trial.suggest_float
    return ask(hp.name, hp.min_value, hp.max_value, log=log)


class Table(Problem):
    """A multilayer perceptron on one of scikit-learn's data sets.

    Args:
        name: Of `TABLES`.
    """

    # Settings between those of the table are made of so many of these.
    neighbours = 6

    def __init__(self, name: str):
        self.name = f"table: {name}"
        content = np.load(Path(__file__).resolve().parent / "search_tables.npz")
        self._rows, self._losses = content["rows"].astype(float), content[name]
        self._means = self._losses.mean(axis=1)
        self.lowest = float(self._means.min())
        self._cube = UnitCube(self.space().space)

    def space(self) -> keras_tuner.HyperParameters:
        return table_space()

    def loss(self, values: Values) -> float:
        return self._looked_up(values, self._means)

    def told(self, values: Values, seed: int, epochs: int) -> float:
        return self._looked_up(values, self._losses[:, seed % self._losses.shape[1]])

    def _looked_up(self, values: Values, losses: np.ndarray) -> float:
        row = self._cube.encoded([values])[0]
        squared = ((self._rows - row) ** 2).sum(axis=1)
        nearest = np.argsort(squared, kind="stable")[: self.neighbours]
        found = losses[nearest]
        if not np.isfinite(found[0]):
            return math.inf
        weights = np.where(np.isfinite(found), 1 / (squared[nearest] + 1e-9), 0.0)
        found = np.where(np.isfinite(found), found, 0.0)
        return float(weights @ found / weights.sum())


class Conditional(Problem):
    """Two optimizers and up to three layers, each with hyperparameters of its own."""

    name = "conditional"

    def space(self) -> keras_tuner.HyperParameters:
        hp = keras_tuner.HyperParameters()
        hp.Choice("optimizer", ["sgd", "adam"])
        with hp.conditional_scope("optimizer", ["sgd"]):
            hp.Float("sgd_rate", 1e-4, 1.0, sampling="log")
            hp.Float("momentum", 0.0, 1.0)
        with hp.conditional_scope("optimizer", ["adam"]):
            hp.Float("adam_rate", 1e-5, 0.1, sampling="log")
        hp.Int("layers", 1, 3)
        for number in range(1, 4):
            with hp.conditional_scope("layers", [*range(number, 4)]):
                hp.Float(f"width_{number}", 0.0, 1.0)
        return hp

    def loss(self, values: Values) -> float:
        if values["optimizer"] == "sgd":
            found = 0.2 * (math.log10(values["sgd_rate"]) + 1.2) ** 2
            found += (values["momentum"] - 0.8) ** 2
        else:
            found = 0.1 + 0.2 * (math.log10(values["adam_rate"]) + 3) ** 2
        widths = [values[f"width_{n + 1}"] for n in range(values["layers"])]
        best = (0.7, 0.5, 0.3)
        found += sum((w - b) ** 2 for w, b in zip(widths, best, strict=False))
        return found + 0.15 * abs(values["layers"] - 2)


class Discrete(Problem):
    """Integers and choices alone."""

    name = "integers, choices"
    activations = ("relu", "tanh", "gelu", "selu", "swish")

    def space(self) -> keras_tuner.HyperParameters:
        hp = keras_tuner.HyperParameters()
        hp.Int("layers", 1, 8)
        hp.Int("units", 8, 512, sampling="log")
        hp.Int("kernel", 1, 15)
        hp.Choice("activation", list(self.activations))
        hp.Choice("pool", ["max", "mean", "none"])
        hp.Choice("batch", [16, 32, 64, 128], ordered=True)
        return hp

    def loss(self, values: Values) -> float:
        worse = {"gelu": 0.0, "swish": 0.05, "relu": 0.1, "selu": 0.2, "tanh": 0.3}
        return (
            0.04 * (values["layers"] - 4) ** 2
            + 0.1 * math.log2(values["units"] / 96) ** 2
            + 0.01 * (values["kernel"] - 5) ** 2
            + worse[values["activation"]]
            + {"max": 0.0, "mean": 0.1, "none": 0.25}[values["pool"]]
            + 0.05 * abs(math.log2(values["batch"] / 32))
        )


class Noisy(Problem):
    """Four hyperparameters, and noise as large as what good settings differ by."""

    name = "noise"
    optimum = (0.3, 0.6, 0.45, 0.8)

    def space(self) -> keras_tuner.HyperParameters:
        hp = keras_tuner.HyperParameters()
        for number in range(4):
            hp.Float(f"x{number}", 0.0, 1.0)
        return hp

    def loss(self, values: Values) -> float:
        return sum(
            (number + 1) * (values[f"x{number}"] - best) ** 2
            for number, best in enumerate(self.optimum)
        )

    def told(self, values: Values, seed: int, epochs: int) -> float:
        generator = np.random.default_rng(seed)
        return self.loss(values) + 0.1 * float(generator.standard_normal())


class FewMatter(Problem):
    """Twenty hyperparameters, of which three matter."""

    name = "3 of 20 matter"

    def space(self) -> keras_tuner.HyperParameters:
        hp = keras_tuner.HyperParameters()
        for number in range(20):
            hp.Float(f"x{number:02d}", 0.0, 1.0)
        return hp

    def loss(self, values: Values) -> float:
        a, b, c = values["x03"], values["x11"], values["x17"]
        return (a - 0.25) ** 2 + (b - 0.7) ** 2 + 2 * (c - a) ** 2


class HalfInfeasible(Problem):
    """Half of the space is infeasible, and the best of the rest lies at its edge."""

    name = "half infeasible"

    def space(self) -> keras_tuner.HyperParameters:
        hp = keras_tuner.HyperParameters()
        hp.Float("rate", 1e-4, 1.0, sampling="log")
        for number in range(3):
            hp.Float(f"x{number}", 0.0, 1.0)
        return hp

    def loss(self, values: Values) -> float:
        place = math.log10(values["rate"]) / 4 + 1
        if place > 0.5:
            return math.inf
        rest = sum((values[f"x{n}"] - 0.3 * (n + 1)) ** 2 for n in range(3))
        return 0.5 - place + rest


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


# Name -> the problem, given the folder for tables that are computed.
PROBLEMS = {
    "function": lambda folder: Function(),
    "digits": lambda folder: Digits(folder / "digits.npz"),
    **{f"table: {name}": lambda folder, name=name: Table(name) for name in TABLES},
    **{
        problem.name: lambda folder, problem=problem: problem()
        for problem in (Conditional, Discrete, Noisy, FewMatter, HalfInfeasible)
    },
}
