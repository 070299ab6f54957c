"""Pairs of random models that differ somewhere or nowhere: shared and by themselves.

    python benchmarks/shared_scores.py --pairs 100 --seed 0 --seconds 600
    python benchmarks/shared_scores.py --pairs 1000 --by-turns
    python benchmarks/shared_scores.py --kinds

A pair is two models of the same random layers, with random numbers, closures,
attributes and globals. Both are trained by `keras_tricks.training.train` and by a
search, and must end as Keras's own steps end them, one by one. The script prints how
many pairs shared a program, and each disagreement with the seed that makes it again.
Where Keras's own steps end apart by as much eagerly and in a graph, the models amplify
rounding (Adam moves a bias before a batch norm by the sign of a gradient that is zero
but for it): such a pair is counted apart.

`--kinds` runs all kinds of `tests/tuners/differences.py` in all ways instead. With
`--by-turns`, each is trained in two of the four ways.
"""

import argparse
import collections
import contextlib
import dataclasses
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import numpy as np
import rich.console
import rich.table
from keras import ops

from keras_tricks import optimizers
from keras_tricks import training
from keras_tricks.tuners import seeds
from tests.tuners import differences

RTOL, ATOL = 2e-4, 2e-6
SEEDS = [seeds.derived_seed(0, trial_id, 0) for trial_id in ("0", "1")]


class Numbers:
    """The random numbers of one model of a pair.

    Both models draw the same ones, apart from those whose place in the order of draws
    is in `changed`.

    Args:
        seed: Of the pair.
        changed: Places at which this model's number is another.
    """

    def __init__(self, seed: int, changed: frozenset[int] = frozenset()):
        self._generator = np.random.default_rng([seed, 1])
        self._changed = changed
        self.count = 0
        self.places: list[str] = []

    def number(self, place: str, low: float, high: float) -> float:
        """Returns a number in [low, high)."""
        # Both are drawn in any case, so that the draws that follow are the same.
        usual, other = self._generator.uniform(low, high, 2)
        is_changed = self.count in self._changed
        self.count += 1
        self.places.append(place)
        return float(other if is_changed else usual)

    def choice(self, options: Any) -> Any:
        """Returns one of some options: the same for both models."""
        return options[int(self._generator.integers(len(options)))]

    def seed(self) -> int:
        return int(self._generator.integers(2**31))


# Layers, as functions of the numbers. Each leaves the shape (None, 4) as it is.


def dense(numbers: Numbers, activation: Any = None, **arguments: Any) -> keras.Layer:
    return differences.dense(4, activation, numbers.seed(), **arguments)


def closure_in_lambda(numbers):
    by = numbers.number("Lambda", 0.3, 2.0)
    return keras.layers.Lambda(lambda x: by * x, (4,))


def nested_closure(numbers):
    by = numbers.number("closure in a closure", 0.3, 2.0)

    def scaled(x):
        return by * x

    return keras.layers.Lambda(lambda x: ops.tanh(scaled(x)), (4,))


def captured_config(numbers):
    config = {"scales": [1.0]}
    layer = keras.layers.Lambda(lambda x: config["scales"][-1] * x, (4,))
    config["scales"].append(numbers.number("captured list", 0.3, 2.0))
    return layer


def partial_activation(numbers):
    by = numbers.number("partial", 0.3, 2.0)
    return dense(numbers, functools.partial(differences.squashed, by=by))


def object_activation(numbers):
    scaler = differences.Scaler(numbers.number("attribute of an object", 0.3, 2.0))
    return dense(numbers, scaler.scaled)


def hidden_attribute(numbers):
    return differences.Times(numbers.number("attribute of a layer", 0.3, 2.0))


def late_attribute(numbers):
    layer = differences.Times()
    layer.by = numbers.number("attribute set later", 0.3, 2.0)
    return layer


def changed_stock_attribute(numbers):
    layer = keras.layers.LeakyReLU(0.1)
    layer.negative_slope = numbers.number("attribute of Keras's layer", 0.0, 0.9)
    return layer


def global_number(numbers):
    differences.SCALE = numbers.number("global", 0.3, 2.0)
    return differences.OfGlobal()


def global_entry(numbers):
    differences.REGISTRY["by"] = numbers.number("entry of a global", 0.3, 2.0)
    return differences.OfRegistry()


def class_attribute(numbers):
    differences.OfClass.by = numbers.number("attribute of a class", 0.3, 2.0)
    return differences.OfClass()


def local_class(numbers):
    by = numbers.number("class made in build", 0.3, 2.0)

    class Local(keras.layers.Layer):
        def call(self, x):
            return x * by

    return Local()


def table(numbers):
    end = numbers.number("NumPy's array", 0.3, 2.0)
    values = np.linspace(0.2, end, 4, dtype="float32")
    return keras.layers.Lambda(lambda x: x * values, (4,))


def regularized(numbers):
    kind = numbers.choice([keras.regularizers.L1, keras.regularizers.L2])
    penalty = kind(numbers.number("regularizer", 0.001, 0.3))
    return dense(numbers, "tanh", kernel_regularizer=penalty)


def hidden_regularizer(numbers):
    by = numbers.number("function as regularizer", 0.001, 0.3)
    return dense(numbers, kernel_regularizer=lambda w: by * ops.sum(ops.abs(w)))


def constrained(numbers):
    limit = numbers.number("constraint", 0.2, 1.0)
    return dense(numbers, kernel_constraint=keras.constraints.MaxNorm(limit))


def hidden_constraint(numbers):
    limit = numbers.number("own constraint", 0.1, 0.8)
    return dense(numbers, kernel_constraint=differences.OwnConstraint(limit))


def hidden_initializer(numbers):
    start = numbers.number("own initializer", 0.05, 0.5)
    return differences.dense(
        4, "tanh", kernel_initializer=differences.OwnInitializer(start)
    )


def own_loss(numbers):
    return differences.Added(numbers.number("add_loss", 0.01, 0.5))


def stock(make: Callable, name: str, low: float, high: float) -> Callable:
    def layer(numbers):
        return make(numbers.number(name, low, high), numbers.seed())

    layer.__name__ = name
    return layer


LAYERS = [
    lambda numbers: dense(numbers, "tanh"),
    lambda numbers: dense(numbers, "relu"),
    closure_in_lambda,
    nested_closure,
    captured_config,
    partial_activation,
    object_activation,
    hidden_attribute,
    late_attribute,
    changed_stock_attribute,
    global_number,
    global_entry,
    class_attribute,
    local_class,
    table,
    regularized,
    hidden_regularizer,
    constrained,
    hidden_constraint,
    hidden_initializer,
    own_loss,
    stock(lambda v, s: keras.layers.Dropout(v, seed=s), "Dropout", 0.05, 0.7),
    stock(
        lambda v, s: keras.layers.GaussianNoise(v, seed=s), "GaussianNoise", 0.05, 0.9
    ),
    stock(lambda v, s: keras.layers.AlphaDropout(v, seed=s), "AlphaDropout", 0.05, 0.6),
    stock(lambda v, s: keras.layers.LeakyReLU(v), "LeakyReLU", 0.0, 0.9),
    stock(lambda v, s: keras.layers.ELU(v), "ELU", 0.1, 2.0),
    stock(lambda v, s: keras.layers.Rescaling(v, v / 3), "Rescaling", 0.3, 2.0),
    stock(
        lambda v, s: keras.layers.BatchNormalization(momentum=v),
        "BatchNormalization",
        0.1,
        0.95,
    ),
    stock(
        lambda v, s: keras.layers.LayerNormalization(epsilon=v),
        "LayerNormalization",
        0.01,
        1.0,
    ),
    stock(
        lambda v, s: keras.layers.Normalization(mean=[v] * 4, variance=[1.0 + v] * 4),
        "Normalization",
        0.0,
        1.0,
    ),
]


# Losses and optimizers.


def loss_of(numbers: Numbers) -> Any:
    kind = numbers.choice(
        ["mse", "mae", "huber", "closure", "default", "partial", "object", "silent"]
    )
    if kind in ("mse", "mae"):
        return kind
    by = numbers.number(f"loss: {kind}", 0.3, 2.0)
    if kind == "huber":
        return keras.losses.Huber(by)
    if kind == "default":

        def loss(y, p, by=by):
            return by * ops.mean(ops.square(y - p), axis=-1)

        return loss
    if kind == "partial":
        loss = functools.partial(differences.weighted_error, by=by)
        loss.__name__ = "partial"
        return loss
    if kind == "object":
        return differences.Scaler(by)
    if kind == "silent":
        return differences.SilentLoss(by)
    return differences.scaled_error(by)


def optimizer_of(numbers: Numbers) -> keras.optimizers.Optimizer:
    kind = numbers.choice(
        ["sgd", "momentum", "adam", "adamw", "clipped", "own", "noam"]
    )
    if kind == "noam":
        size = numbers.number("schedule without a configuration", 2.0, 200.0)
        return keras.optimizers.Adam(differences.CustomSchedule(size))
    rate = numbers.number("learning rate", 0.005, 0.05)
    if kind == "momentum":
        return keras.optimizers.SGD(rate, numbers.number("momentum", 0.1, 0.9))
    if kind == "adam":
        return keras.optimizers.Adam(
            rate, epsilon=numbers.number("epsilon", 0.001, 0.3)
        )
    if kind == "adamw":
        decay = numbers.number("weight_decay", 0.01, 1.0)
        return keras.optimizers.AdamW(rate, weight_decay=decay)
    if kind == "clipped":
        limit = numbers.number("global_clipnorm", 0.05, 1.0)
        inner = keras.optimizers.SGD(rate)
        return optimizers.ClippedOptimizer(inner, global_clipnorm=limit)
    if kind == "own":
        return differences.OwnOptimizer(rate, numbers.number("own optimizer", 0.3, 2.0))
    return keras.optimizers.SGD(rate)


def random_model(numbers: Numbers) -> keras.Model:
    """Returns a compiled model: a chain of layers, or one with a branch or a join."""
    layers = [
        numbers.choice(LAYERS)(numbers) for _ in range(numbers.choice([1, 2, 3, 4]))
    ]
    first = differences.dense(4, "tanh", numbers.seed())
    last = differences.dense(1, seed=numbers.seed())
    inputs = keras.Input((3,))
    kind = numbers.choice(
        ["sequential", "functional", "branch", "constant", "twice", "wired"]
    )
    if kind == "sequential":
        model = keras.Sequential([inputs, first, *layers, last])
    else:
        x = start = first(inputs)
        for layer in layers:
            x = layer(x)
        if kind == "branch":
            x = x + start
        elif kind == "constant":
            x = x * numbers.number("constant factor", 0.3, 2.0)
        elif kind == "twice":
            shared = differences.dense(4, "tanh", numbers.seed())
            x = shared(shared(x))
        elif kind == "wired":
            pair = [x, differences.dense(4, "tanh", numbers.seed())(start)]
            if numbers.number("order of arguments", 0.0, 1.0) < 0.5:
                pair.reverse()
            x = keras.layers.Subtract()(pair)
        model = keras.Model(inputs, last(x))
    model.compile(optimizer_of(numbers), loss_of(numbers))
    return model


@dataclasses.dataclass
class Pair:
    """Two models, and what became of them.

    Attributes:
        seed: What makes the pair again.
        places: What differs; nothing, in one of five pairs.
        differ: Whether the right scores differ.
        programs: How many models the search has compiled programs of.
        reasons: Why `fit` trained some.
        worst: The largest relative difference from the right curves.
        failures: What went wrong.
        amplifies: Whether Keras disagrees with itself, too.
    """

    seed: int
    places: list[str]
    differ: bool = False
    programs: int = 0
    reasons: list[str] = dataclasses.field(default_factory=list)
    worst: float = 0.0
    failures: list[str] = dataclasses.field(default_factory=list)
    amplifies: bool = False

    @property
    def outcome(self) -> str:
        if self.programs == 0:
            return "trained by fit"
        return "shared a program" if self.programs == 1 else "compiled apart"


def pair_of(seed: int) -> tuple[Pair, differences.Kind]:
    """Returns a pair of models that differ in up to three places."""
    generator = np.random.default_rng([seed, 2])
    numbers = Numbers(seed)
    with differences.Process():
        random_model(numbers)
    number = min(int(generator.integers(0, 4)), numbers.count)
    if generator.random() < 0.2:
        number = 0
    changed = frozenset(
        map(int, generator.choice(numbers.count, number, replace=False))
        if numbers.count
        else ()
    )

    def model(which):
        return random_model(Numbers(seed, changed if which else frozenset()))

    places = [numbers.places[place] for place in sorted(changed)]
    kind = differences.Kind(
        f"pair_{seed}", model, (0, 1), differences.regression, "val_loss", False, None
    )
    return Pair(seed, places), kind


def run(pair: Pair, kind: differences.Kind, ways: Any = None) -> Pair:
    """Trains the two models of a pair, or of a kind, and compares.

    Args:
        pair: Where the outcome is added.
        kind: The models.
        ways: Names of `WAYS`; None for all.
    """
    right = _fitted(kind)
    scores = [min(each[kind.objective]) for each in right]
    pair.differ = abs(scores[0] - scores[1]) > 1e-3 * max(map(abs, scores))
    for name in ways or WAYS:
        with differences.Process():
            _compare(pair, name, right, WAYS[name], kind, pair)
    if pair.failures and not kind.in_graph:
        in_graph = _fitted(kind._replace(in_graph=True))
        pair.amplifies = any(
            not np.allclose(one[key], other[key], RTOL, ATOL, equal_nan=True)
            for one, other in zip(right, in_graph, strict=True)
            for key in one
        )
    return pair


def _fitted(kind):
    found = []
    for value, seed in zip(kind.values, SEEDS, strict=True):
        with differences.Process():
            found.append(differences.fitted_curves(kind, value, seed))
    return found


def _trained(packed, kind, pair):
    if any(map(keras.tree.is_nested, kind.data())):
        return None  # `train` takes arrays.
    trained = training.train(
        kind.values,
        kind.model,
        **kind.arrays(),
        epochs=differences.EPOCHS,
        batch_size=differences.BATCH_SIZE,
        seeds=SEEDS,
        packed=packed,
    )
    pair.reasons += [each.reason for each in trained if each.reason is not None]
    return [each.curves for each in trained]


def _searched(packed, kind, pair):
    with tempfile.TemporaryDirectory() as folder:
        tuner = differences.searched(folder, kind, packed_trials=packed)
        pair.programs = differences.number_of_programs(tuner)
        return differences.curves_of(tuner)


WAYS = {
    "train": functools.partial(_trained, None),
    "train, packed": functools.partial(_trained, 2),
    "search": functools.partial(_searched, None),
    "search, packed": functools.partial(_searched, 2),
}
TURNS = (("search", "train, packed"), ("search, packed", "train"))


def _compare(pair, name, right, curves_of, *arguments):
    try:
        curves = curves_of(*arguments)
        if curves is None:
            return
        for number, (one, other) in enumerate(zip(curves, right, strict=True)):
            assert set(one) == set(other), f"curves {sorted(one)}"
            for key, curve in one.items():
                a, b = np.asarray(curve, float), np.asarray(other[key], float)
                if not np.allclose(a, b, RTOL, ATOL, equal_nan=True):
                    pair.failures.append(
                        f"{name}: {key} of model {number}: {a} not {b}"
                    )
                difference = np.abs(a - b) / np.maximum(np.abs(b), 1e-3)
                pair.worst = max(pair.worst, float(np.nanmax(difference, initial=0.0)))
    except Exception as error:  # Whatever it is, it is to be told with its seed.
        first = str(error).strip().splitlines()[:1]
        pair.failures.append(f"{name}: {type(error).__name__}: {first}")


def show(pairs: list[Pair], names: list[str], seconds: float) -> None:
    console = rich.console.Console(width=100)
    table = rich.table.Table(title=f"{len(pairs)} pairs in {seconds:.0f} s")
    measured = ("pairs", "of them, different scores", "disagree", "Keras, too")
    for column in ("outcome", *measured):
        table.add_column(column, justify="left" if column == "outcome" else "right")
    for outcome in ("shared a program", "compiled apart", "trained by fit"):
        of_outcome = [pair for pair in pairs if pair.outcome == outcome]
        table.add_row(
            outcome,
            str(len(of_outcome)),
            str(sum(pair.differ for pair in of_outcome)),
            str(sum(bool(pair.failures) for pair in of_outcome)),
            str(sum(pair.amplifies for pair in of_outcome)),
        )
    console.print(table)
    reasons = collections.Counter(r for pair in pairs for r in set(pair.reasons))
    for reason, count in reasons.most_common():
        console.print(f"by fit, {count} pairs: {reason}", highlight=False, markup=False)
    agreeing = [pair.worst for pair in pairs if not pair.failures]
    if agreeing:
        console.print(
            f"worst relative difference of those that agree: {max(agreeing):.1e}"
        )
    for pair, name in zip(pairs, names, strict=True):
        for failure in pair.failures:
            where = ", ".join(pair.places) or "nothing"
            text = f"{name} (differs in {where}): {failure}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="the first pair's")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--kinds", action="store_true")
    parser.add_argument("--by-turns", action="store_true")
    given = parser.parse_args()
    began = time.perf_counter()
    pairs, names = [], []
    if given.kinds:
        work = ((Pair(0, [name]), kind) for name, kind in differences.KINDS.items())
    else:
        work = (pair_of(seed) for seed in range(given.seed, given.seed + given.pairs))
    # Interrupted, it shows what it has.
    with contextlib.suppress(KeyboardInterrupt):
        for pair, kind in work:
            if time.perf_counter() - began > given.seconds:
                break
            ways = TURNS[len(pairs) % 2] if given.by_turns else None
            run(pair, kind, ways)
            again = f"--seed {pair.seed} --pairs 1"
            names.append(f"--kinds, {kind.name}" if given.kinds else again)
            pairs.append(pair)
    show(pairs, names, time.perf_counter() - began)
    sys.exit(any(pair.failures and not pair.amplifies for pair in pairs))


if __name__ == "__main__":
    main()
