"""Scaled: a product with a factor that can be changed while it is compiled."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules.scaled import Scaled

STEPS = np.arange(30)


def decay():
    return WarmupPolynomialDecay(0.1, 20, 4)


def test_rates_are_the_product_in_float32():
    expected = np.float32(0.3) * np.asarray(decay()(STEPS))
    np.testing.assert_array_equal(Scaled(decay(), 0.3)(STEPS), expected)


def test_the_factor_1_changes_no_bit():
    np.testing.assert_array_equal(Scaled(decay())(STEPS), decay()(STEPS))


def test_a_number_is_a_constant_rate():
    rates = Scaled(0.5, multiplier=0.5)(STEPS)
    np.testing.assert_array_equal(rates, np.full(30, 0.25, "float32"))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_new_multiplier_is_used_without_tracing_again(jit_compile):
    scaled = Scaled(decay())
    traces = []

    @tf.function(jit_compile=jit_compile)
    def compiled(step):
        traces.append(1)
        return scaled(step)

    before = compiled(tf.constant(7)).numpy()
    scaled.multiplier.assign(0.25)
    assert compiled(tf.constant(7)).numpy() == 0.25 * before
    assert len(traces) == 1


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.deepcopy,
        lambda s: pickle.loads(pickle.dumps(s)),
        lambda s: keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(s)
        ),
    ],
    ids=["deepcopy", "pickle", "config"],
)
def test_a_duplicate_starts_from_the_current_multiplier_and_has_its_own(duplicate):
    scaled = Scaled(decay())
    scaled.multiplier.assign(0.1)
    duplicated = duplicate(scaled)
    np.testing.assert_array_equal(duplicated(STEPS), scaled(STEPS))
    duplicated.multiplier.assign(0.0)
    assert float(scaled(10)) > 0


def test_the_config_has_the_number_that_was_given():
    """0.1, not the 0.10000000149 that float32 makes of it."""
    assert Scaled(decay(), 0.1).get_config()["multiplier"] == 0.1


def test_the_multiplier_is_float32_whatever_floatx_is():
    before = keras.config.floatx()
    keras.config.set_floatx("float16")
    try:
        assert Scaled(decay(), 0.1).multiplier.dtype == "float32"
    finally:
        keras.config.set_floatx(before)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"schedule": lambda step: 0.1}, TypeError, "schedule"),
        ({"schedule": -0.1}, ValueError, "schedule"),
        ({"schedule": 0.1, "multiplier": -1}, ValueError, "multiplier"),
        ({"schedule": 0.1, "multiplier": float("nan")}, ValueError, "multiplier"),
        ({"schedule": 0.1, "multiplier": tf.constant([1.0])}, TypeError, "multiplier"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, error, named):
    with pytest.raises(error, match=rf"`{named}` must be .*Received: {named}="):
        Scaled(**arguments)


def test_rates_are_the_same_inside_a_layer_of_mixed_precision():
    schedule, rates = Scaled(0.1, 1 / 3), []

    class Asking(keras.layers.Layer):
        def call(self, x):
            rates.append(float(schedule(1)))
            return x

    Asking(dtype="mixed_float16")(np.zeros(1))
    assert rates == [float(np.float32(0.1) * np.float32(1 / 3))]
