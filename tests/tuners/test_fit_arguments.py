"""Whatever `fit` takes, trials that share a program end as `fit` ends them.

The right curves are those of `keras.Model.fit`: called by hand where the order of the
examples is known, else by the same search with `reuse_programs=False`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_tricks import tuners
from keras_tricks.tuners import seeds
from tests import sampling
from tests.tuners import differences
from tests.tuners.differences import dense

RATES = [0.02, 0.1]
SEEDS = [seeds.derived_seed(0, trial_id, 0) for trial_id in ("0", "1")]


# Models, as functions of the learning rate.


def compiled(model, rate, loss="mse", **arguments):
    model.compile(keras.optimizers.SGD(rate, 0.5), loss, **arguments)
    return model


def one_output(rate):
    layers = [keras.Input((3,)), dense(4, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    return compiled(model, rate, metrics=["mae"], weighted_metrics=["mse"])


def classifier(rate):
    layers = [keras.Input((3,)), dense(4, "tanh"), keras.layers.Dense(3, "softmax")]
    loss = "sparse_categorical_crossentropy"
    return compiled(keras.Sequential(layers), rate, loss, weighted_metrics=["acc"])


def of_inputs(structure: Callable[[Any, Any], Any]):
    def model(rate):
        left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
        hidden = keras.layers.Concatenate()([dense(4)(left), dense(4, "tanh")(right)])
        return compiled(
            keras.Model(structure(left, right), keras.layers.Dense(1)(hidden)), rate
        )

    return model


def of_outputs(structure: Callable[[Any, Any], Any], loss: Any, **arguments: Any):
    def model(rate):
        inputs = keras.Input((3,))
        hidden = dense(4, "tanh")(inputs)
        outputs = structure(
            keras.layers.Dense(1, name="first")(hidden),
            keras.layers.Dense(1, name="second")(hidden),
        )
        return compiled(keras.Model(inputs, outputs), rate, loss, **arguments)

    return model


class Energy(keras.layers.Layer):
    def call(self, x):
        self.add_loss(keras.ops.mean(keras.ops.square(x - 1.0)))
        return x


def without_labels(rate):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Energy()(dense(2)(inputs)))
    return compiled(model, rate, None)


# Data.

# 48 examples to train on, and 24 others: their last batch has 8.
X, Y = (part[:72] for part in differences.regression())
RIGHT = X[:, :2] ** 2
LABELS = differences.classes()[1][:72]
WEIGHTS = np.random.default_rng(7).uniform(0.0, 3.0, 72).astype("float32")
OTHERS = WEIGHTS[::-1].copy()


def both(*parts: Any, **more: Any) -> dict[str, Any]:
    """Returns the first 48 examples as arguments and the others as validation."""
    names = ("x", "y", "sample_weight")
    cut = keras.tree.map_structure(lambda a: a[:48], parts)
    rest = keras.tree.map_structure(lambda a: a[48:], parts)
    given = dict(zip(names, cut, strict=False))
    return {**given, "validation_data": rest, "batch_size": 16, **more}


def slices(*parts: Any, size: int = 16, **more: Any) -> dict[str, Any]:
    given = both(*parts)
    names = [n for n in ("x", "y", "sample_weight") if n in given]

    def dataset(elements):
        return tf.data.Dataset.from_tensor_slices(elements).batch(size)

    training = dataset(tuple(given[name] for name in names))
    validation = dataset(given["validation_data"])
    return {"x": training, "validation_data": validation, **more}


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return -(-len(self.x) // 16)

    def __getitem__(self, number):
        rows = slice(16 * number, 16 * (number + 1))
        return self.x[rows], self.y[rows]


def endless():
    while True:
        for first in (0, 16, 32):
            yield X[first : first + 16], Y[first : first + 16]


class Case(NamedTuple):
    """What `search` is given.

    Attributes:
        model: Function from a learning rate to a model.
        given: Function that returns the arguments of `fit`.
        positional: Further arguments, which come first.
        objective: What the search is for.
    """

    model: Callable[[float], keras.Model]
    given: Callable[[], dict[str, Any]]
    positional: tuple[Any, ...] = ()
    objective: str = "val_loss"


def as_list(*parts: Any) -> list[Any]:
    return list(parts)


def as_tuple(*parts: Any) -> tuple[Any, ...]:
    return parts


def as_dict(left: Any, right: Any) -> dict[str, Any]:
    return {"left": left, "right": right}


def named(first: Any, second: Any) -> dict[str, Any]:
    return {"first": first, "second": second}


def nested(left: Any, right: Any) -> dict[str, Any]:
    return {"a": {"left": left}, "b": [right]}


SIN = np.sin(3 * Y)
MIXED = ["mse", "mae"]
NAMED = {"first": "mse", "second": "mae"}

CASES = {
    # x and y
    "arrays": Case(one_output, lambda: both(X, Y)),
    "flat labels": Case(one_output, lambda: both(X, Y[:, 0])),
    "float64": Case(one_output, lambda: both(X.astype("float64"), Y.astype("float64"))),
    "integers": Case(one_output, lambda: both((3 * X).astype("int64"), Y)),
    "float16": Case(one_output, lambda: both(X.astype("float16"), Y)),
    "not contiguous": Case(one_output, lambda: both(X[::-1, ::-1], Y)),
    "tensors": Case(
        one_output, lambda: both(tf.constant(X), tf.constant(Y), shuffle=False)
    ),
    "frames": Case(one_output, lambda: both(pd.DataFrame(X), pd.DataFrame(Y))),
    "a series": Case(one_output, lambda: both(pd.DataFrame(X), pd.Series(Y[:, 0]))),
    "list of inputs": Case(of_inputs(as_list), lambda: both([X, RIGHT], Y)),
    "tuple of inputs": Case(of_inputs(as_tuple), lambda: both((X, RIGHT), Y)),
    "dict of inputs": Case(of_inputs(as_dict), lambda: both(as_dict(X, RIGHT), Y)),
    "nested inputs": Case(of_inputs(nested), lambda: both(nested(X, RIGHT), Y)),
    "dict in another order": Case(
        of_inputs(as_dict), lambda: both({"right": RIGHT, "left": X}, Y)
    ),
    "no labels": Case(without_labels, lambda: {"x": X, "batch_size": 16}, (), "loss"),
    # Several outputs.
    "list of losses": Case(of_outputs(as_list, MIXED), lambda: both(X, [Y, SIN])),
    "dict of losses": Case(of_outputs(named, NAMED), lambda: both(X, named(Y, SIN))),
    "weights of losses": Case(
        of_outputs(
            named, NAMED, loss_weights=named(0.3, 2.0), metrics=named("mae", "mse")
        ),
        lambda: both(X, named(Y, SIN)),
    ),
    "one loss for two outputs": Case(
        of_outputs(as_list, "mse"), lambda: both(X, [Y, SIN])
    ),
    "sample weights of outputs": Case(
        of_outputs(as_list, MIXED, weighted_metrics=["mae", "mae"]),
        lambda: both(X, [Y, SIN], [WEIGHTS, OTHERS]),
    ),
    "named sample weights": Case(
        of_outputs(named, NAMED), lambda: both(X, named(Y, SIN), named(WEIGHTS, OTHERS))
    ),
    # Weights.
    "sample_weight": Case(one_output, lambda: both(X, Y, WEIGHTS)),
    "sample_weight of the training": Case(
        one_output, lambda: both(X, Y, sample_weight=WEIGHTS[:48])
    ),
    "sample_weight of the validation": Case(
        one_output,
        lambda: both(X, Y, validation_data=(X[48:], Y[48:], WEIGHTS[48:])),
    ),
    "class_weight": Case(
        classifier, lambda: both(X, LABELS, class_weight={0: 0.5, 1: 1.0, 2: 3.0})
    ),
    "class_weight of some": Case(
        classifier, lambda: both(X, LABELS, class_weight={2: 3.0})
    ),
    # The validation.
    "no validation": Case(
        one_output, lambda: both(X, Y, validation_data=None), (), "loss"
    ),
    "validation_split": Case(
        one_output, lambda: both(X, Y, validation_data=None, validation_split=0.3)
    ),
    "validation_split of weights": Case(
        one_output,
        lambda: both(X, Y, WEIGHTS, validation_data=None, validation_split=0.3),
    ),
    "validation_split that is None": Case(
        one_output, lambda: both(X, Y, validation_split=None)
    ),
    "validation_data that is a list": Case(
        one_output, lambda: both(X, Y, validation_data=[X[48:], Y[48:]])
    ),
    "validation_batch_size": Case(
        one_output, lambda: both(X, Y, validation_batch_size=5)
    ),
    "validation_freq": Case(
        one_output, lambda: both(X, Y, validation_freq=2, epochs=4), (), "loss"
    ),
    "list of validation_freq": Case(
        one_output, lambda: both(X, Y, validation_freq=[1, 3], epochs=3), (), "loss"
    ),
    "validation_steps": Case(
        one_output, lambda: both(X, Y, validation_batch_size=8, validation_steps=2)
    ),
    # The course.
    "shuffle": Case(one_output, lambda: both(X, Y, shuffle=True)),
    "shuffle with weights": Case(one_output, lambda: both(X, Y, WEIGHTS, shuffle=True)),
    "shuffle of inputs": Case(
        of_inputs(as_dict), lambda: both(as_dict(X, RIGHT), Y, shuffle=True)
    ),
    "shuffle of frames": Case(
        one_output, lambda: both(pd.DataFrame(X), pd.DataFrame(Y), shuffle=True)
    ),
    "batch_size that is left out": Case(
        one_output, lambda: both(X, Y, batch_size=None)
    ),
    "batch_size above all": Case(one_output, lambda: both(X, Y, batch_size=500)),
    "batch_size that leaves some": Case(one_output, lambda: both(X, Y, batch_size=13)),
    "initial_epoch": Case(one_output, lambda: both(X, Y, initial_epoch=1, epochs=3)),
    "steps_per_epoch": Case(
        one_output, lambda: both(X, Y, steps_per_epoch=3, epochs=2)
    ),
    "steps_per_epoch of a dataset": Case(
        one_output,
        lambda: {**(s := slices(X, Y, steps_per_epoch=2)), "x": s["x"].repeat()},
    ),
    "steps of both datasets": Case(
        one_output,
        lambda: {
            **(s := slices(X, Y, steps_per_epoch=4, validation_steps=1)),
            "x": s["x"].repeat(),
        },
    ),
    "positional": Case(
        one_output,
        lambda: {"validation_data": (X[48:], Y[48:]), "shuffle": False},
        (X[:48], Y[:48], 16, 3),
    ),
    # Other sources.
    "dataset": Case(one_output, lambda: slices(X, Y)),
    "dataset with weights": Case(one_output, lambda: slices(X, Y, WEIGHTS)),
    "dataset of dicts": Case(of_inputs(as_dict), lambda: slices(as_dict(X, RIGHT), Y)),
    "dataset of outputs": Case(
        of_outputs(named, NAMED), lambda: slices(X, named(Y, SIN))
    ),
    "dataset without labels": Case(
        without_labels,
        lambda: {"x": tf.data.Dataset.from_tensor_slices((X,)).batch(16)},
        (),
        "loss",
    ),
    "dataset of examples": Case(
        without_labels,
        lambda: {"x": tf.data.Dataset.from_tensor_slices(X).batch(16)},
        (),
        "loss",
    ),
    "dataset with class_weight": Case(
        classifier, lambda: slices(X, LABELS, class_weight={0: 0.5, 1: 1.0, 2: 3.0})
    ),
    "arrays and a dataset": Case(
        one_output,
        lambda: both(X, Y, validation_data=slices(X, Y)["validation_data"]),
    ),
    "a dataset and arrays": Case(
        one_output, lambda: {**slices(X, Y), "validation_data": (X[48:], Y[48:])}
    ),
    "PyDataset": Case(
        one_output,
        lambda: {
            "x": Batches(X[:48], Y[:48]),
            "validation_data": Batches(X[48:], Y[48:]),
            "shuffle": False,
        },
    ),
    "function that makes a generator": Case(
        one_output,
        lambda: {
            "x": endless,
            "steps_per_epoch": 3,
            "validation_data": (X[48:], Y[48:]),
        },
    ),
    "function that makes a dataset": Case(
        one_output,
        lambda: {
            "x": lambda: slices(X, Y)["x"],
            "validation_data": (X[48:], Y[48:]),
        },
    ),
}
# What is most used, and one of each sort beside it: of inputs, of outputs, of the
# validation, of the course, and of other sources.
SAMPLE = (
    *("class_weight", "shuffle", "dataset", "sample weights of outputs"),
    *("validation_freq", "batch_size that leaves some"),
)
# Packs are given the same data: those of the sample that are packed; all others are.
PACKED = ("class_weight", "sample weights of outputs", "batch_size that leaves some")
# What is shuffled by Keras, or by the search, has no order that is known beforehand.
_IN_NO_ORDER = [name for name in CASES if name.startswith("shuffle")]


def arguments_of(case):
    """Returns what `fit` is given: in order, and for two epochs, if nothing is said."""
    given = case.given()
    if len(case.positional) < 4:
        given.setdefault("epochs", 2)
    given.setdefault("shuffle", False)
    return given


def searched(directory, case, **arguments):
    tuner = tuners.GridSearch(
        lambda hp: case.model(hp.Choice("rate", RATES)),
        case.objective,
        seed=0,
        directory=directory,
        **arguments,
    )
    tuner.search(*case.positional, **arguments_of(case), verbose=0)
    return differences.curves_of(tuner)


@functools.cache
def fitted(name):
    """Returns the curves of the trials, by `fit` alone."""
    case, found = CASES[name], []
    for rate, seed in zip(RATES, SEEDS, strict=True):
        given = arguments_of(case)
        if inspect.isroutine(given.get("x")):
            given["x"] = given["x"]()
        keras.utils.set_random_seed(seed)
        model = case.model(rate)
        history = model.fit(*case.positional, **given, verbose=0)
        found.append(history.history)
    return found


def assert_same(curves, others):
    assert len(curves) == len(others) == len(RATES)
    assert curves[0] != curves[1]
    for one, other in zip(curves, others, strict=True):
        assert set(one) == set(other)
        for name, curve in one.items():
            np.testing.assert_allclose(curve, other[name], 1e-4, 1e-6, err_msg=name)


@pytest.mark.parametrize("name", sampling.only(SAMPLE, CASES))
def test_fit_does_the_same(name, tmp_path):
    case = CASES[name]
    if name in _IN_NO_ORDER:
        right = searched(tmp_path / "fitted", case, reuse_programs=False)
    else:
        right = fitted(name)
    assert_same(searched(tmp_path / "shared", case), right)
    if name in PACKED or name not in SAMPLE:
        assert_same(searched(tmp_path / "packed", case, packed_trials=2), right)


@pytest.mark.parametrize(
    "name",
    sampling.only(
        ["class_weight", "dataset"],
        ["arrays", "dict of losses", "class_weight", "dataset"],
    ),
)
def test_a_search_that_shares_nothing_does_the_same(name, tmp_path):
    case = CASES[name]
    assert_same(searched(tmp_path, case, reuse_programs=False), fitted(name))


@pytest.mark.parametrize(
    "name",
    sampling.only(
        ["dataset", "float64"], ["arrays", "dataset", "float64", "flat labels"]
    ),
)
def test_such_data_are_no_reason_to_share_nothing(name, tmp_path):
    case = CASES[name]
    tuner = tuners.GridSearch(
        lambda hp: case.model(hp.Choice("rate", RATES)),
        case.objective,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(**arguments_of(case), verbose=0)
    assert differences.number_of_programs(tuner) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"x": X.tolist(), "y": Y.tolist()},
        {"x": X, "y": Y[:10]},
        {"x": X, "y": Y, "sample_weight": WEIGHTS[:10]},
        {"x": X, "y": None},
    ],
    ids=["lists", "lengths", "weights", "no labels"],
)
def test_what_fit_refuses_is_refused_with_its_message(given, tmp_path):
    """Lists of numbers, for instance: to Keras each number is an input."""
    with pytest.raises(Exception) as refused:  # noqa: PT011 - whichever it is
        one_output(0.1).fit(**given, epochs=1, verbose=0)
    message = str(refused.value).splitlines()[0][:40]
    for arguments in ({}, {"packed_trials": 2}):
        tuner = tuners.GridSearch(
            lambda hp: one_output(hp.Choice("rate", RATES)),
            "loss",
            seed=0,
            directory=tmp_path / str(len(arguments)),
            **arguments,
        )
        with pytest.raises(RuntimeError) as caught:
            tuner.search(**given, epochs=1, verbose=0)
        assert message in str(caught.value)
