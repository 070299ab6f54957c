"""Several variables of a checkpoint as one of Keras's."""

import re

import keras
import numpy as np
import pytest

from keras_tricks.tf1 import Join
from keras_tricks.tf1 import Rename
from keras_tricks.tf1 import Transpose
from keras_tricks.tf1 import restore_optimizer
from keras_tricks.tf1 import restore_weights
from tests.tf1 import bert
from tests.tf1 import mlp

ORDER = ("query", "key", "value")
JOINS = [
    Join([f"(.*)/{part}/{last}$" for part in ORDER], rf"\1/qkv/{last}")
    for last in ("kernel", "bias")
]
SHAPES = {
    f"layer_{layer}/{part}/{last}": shape
    for layer in (0, 1)
    for part in ORDER
    for last, shape in (("kernel", (6, 2)), ("bias", (2,)))
}


@pytest.fixture
def save(tmp_path):
    return lambda content: mlp.save_values(content, tmp_path / "model.ckpt")


@pytest.fixture
def model():
    layers = [keras.layers.Dense(6, name=f"layer_{i}_qkv") for i in (0, 1)]
    return keras.Sequential([keras.Input((6,)), *layers])


def joined(values, layer, last, slot=""):
    parts = [values[f"layer_{layer}/{part}/{last}{slot}"] for part in ORDER]
    return np.concatenate(parts, -1)


def test_parts_follow_one_another_in_the_order_of_the_patterns(model, save):
    """As NumPy joins them; the order of the names is another."""
    content = bert.values(SHAPES)
    report = restore_weights(model, save(content), JOINS)
    assert (report.fresh, report.left_over) == ({}, {})
    assert "By Join(parts=" in str(report)
    for number, layer in enumerate(model.layers):
        np.testing.assert_array_equal(layer.kernel, joined(content, number, "kernel"))
        np.testing.assert_array_equal(layer.bias, joined(content, number, "bias"))


def test_slots_are_joined_as_their_weights_are(model, save):
    optimizer = mlp.built(keras.optimizers.SGD(1.0, momentum=0.9), model)
    content = bert.values(SHAPES)
    content |= {f"{name}/Momentum": value + 1 for name, value in content.items()}
    content["global_step"] = np.int64(3)
    restore_optimizer(model, optimizer, save(content), JOINS)
    places = [(i, last) for i in (0, 1) for last in ("kernel", "bias")]
    for velocity, place in zip(optimizer.momentums, places, strict=True):
        np.testing.assert_allclose(-velocity, joined(content, *place, "/Momentum"))


def test_other_rules_go_on_with_the_whole(save):
    """Two kernels of (classes, units), one below the other, under another name."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, name="out")])
    content = bert.values({"a/w": (3, 4), "b/w": (2, 4), "out/bias": (5,)})
    rules = [
        Join(["^a/w", "^b/w"], "both/w", axis=0),
        Rename("^both/w", "out/kernel"),
        Transpose("^both/w"),
    ]
    restore_weights(model, save(content), rules)
    expected = np.concatenate([content["a/w"], content["b/w"]]).T
    np.testing.assert_array_equal(model.layers[0].kernel, expected)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Join(["a/kernel", "c/kernel"], "out/kernel"), "one name for each part"),
        (Join(["kernel", "b/kernel"], "out/kernel"), "one name for each part"),
        (Join(["x/kernel", "y/kernel"], "out/kernel"), "found in none of its 4 names"),
        (Join(["a/kernel", "a/bias"], "out/kernel"), "does not fit"),
        (Join(["a/kernel", "b/kernel"], "a/bias"), "does not hold.* 'a/bias'"),
        (
            [
                Join(["a/kernel", "b/kernel"], "out/kernel"),
                Join(["b/kernel", "a/kernel"], "other/kernel"),
            ],
            "'b/kernel' a second time",
        ),
        (Join(["a/kernel", "b/kernel"], "out/kernel", axis=0), r"the shape \(8, 3\)"),
    ],
)
def test_joins_that_do_not_fit_change_nothing(rules, message, save):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, name="out")])
    path = save(
        bert.values(
            {
                f"{n}/{p}": s
                for n in "ab"
                for p, s in (("kernel", (4, 3)), ("bias", (3,)))
            }
        )
    )
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError, match=message):
        restore_weights(model, path, rules)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        (("ab", "c"), TypeError, "parts"),
        ((["a"], "c"), ValueError, "parts"),
        ((["a", 3], "c"), TypeError, "parts[1]"),
        ((["a", "("], "c"), ValueError, "parts[1]"),
        ((["a", "b"], 3), TypeError, "into"),
        ((["a", "(b)"], r"\1"), ValueError, "into"),
        ((["a", "b"], "c", None), TypeError, "axis"),
    ],
)
def test_bad_joins_are_refused_when_they_are_made(arguments, error, named):
    with pytest.raises(error, match=re.escape(f"`{named}`")):
        Join(*arguments)
