"""What a model's code decides by the length of a batch, it decides as in `fit`.

Keras traces a step with the length that all batches have, or with None.
"""

import itertools
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.training import train
from tests import sampling

BATCH_SIZE = 8


@keras.saving.register_keras_serializable("test_batch_lengths")
class TimesItsLength(keras.layers.Layer):
    """Multiplies by the length of the batch, or by 3 if it is not known."""

    def call(self, x):
        return x * (3.0 if x.shape[0] is None else x.shape[0])


def build(rate, jit_compile=False):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((2,)), TimesItsLength(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(rate), "mse", jit_compile=jit_compile)
    return model


def arrays(num_examples):
    x = np.random.default_rng(0).uniform(-1, 1, (num_examples, 2)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def check(build, arguments, rates=(0.001, 0.01), **kwargs):
    """Compares `train` with `fit`."""
    trained = train(
        rates, build, epochs=2, order_seed=None, seeds=0, **arguments, **kwargs
    )
    model = build(rates[0])
    initial = model.get_weights()
    for rate, each in zip(rates, trained, strict=True):
        assert each.reason is None
        model.set_weights(initial)
        model.optimizer.learning_rate = rate
        fitted = model.fit(**arguments, epochs=2, shuffle=False, verbose=0)
        for name, curve in fitted.history.items():
            np.testing.assert_allclose(each.curves[name], curve, 1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("num_examples", "num_validation", "packed", "jit_compile"),
    sampling.one_in(
        5, itertools.product([16, 20, 4], [8, 12], [None, 2], [False, True])
    ),
)
def test_arrays(num_examples, num_validation, packed, jit_compile):
    x, y = arrays(num_examples)
    arguments = {
        "x": x,
        "y": y,
        "validation_data": arrays(num_validation),
        "batch_size": BATCH_SIZE,
    }
    check(
        lambda rate: build(rate, jit_compile),
        arguments,
        packed=packed,
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize("packed", [None, 2])
@pytest.mark.parametrize("is_open", [False, True])
def test_datasets(is_open, packed):
    data = tf.data.Dataset.from_tensor_slices(arrays(16))
    arguments = {
        "x": data.batch(BATCH_SIZE, drop_remainder=not is_open),
        "validation_data": data.batch(4, drop_remainder=is_open),
    }
    check(build, arguments, packed=packed)


def test_two_lengths_are_two_programs(caplog):
    """Of one cache, and of trials that differ in nothing else."""
    x, y = arrays(16)
    with caplog.at_level(logging.WARNING):
        for size in (4, 8):
            check(build, {"x": x, "y": y, "batch_size": size}, rates=(0.001,))
    assert not caplog.records
