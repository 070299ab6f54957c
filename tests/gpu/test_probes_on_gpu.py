"""Batch sizes on a GPU, whose allocator tells what is held and what is too much."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.probes import probe_batch_sizes


@pytest.fixture(autouse=True)
def _soft_placement(_no_soft_placement):
    """What is done once, beside the steps, may be done anywhere."""
    tf.config.set_soft_device_placement(True)


class Hungry(keras.layers.Layer):
    """Takes, from 512 examples on, more than any GPU has; no shape tells it."""

    def call(self, x):
        size = tf.cast(tf.shape(x)[0], tf.int64)
        wanted = tf.where(size >= 512, tf.constant(2, tf.int64) ** 45, 1)
        return x + 0.0 * tf.reduce_sum(tf.random.uniform(tf.reshape(wanted, [1])))


def test_what_is_out_of_memory_is_caught_and_the_peak_is_read():
    layers = [keras.layers.Dense(1024, "relu"), Hungry(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((256,)), *layers])
    model.compile("adam", "mse", jit_compile=False)
    x, y = np.zeros((1024, 256), "float32"), np.zeros((1024, 1), "float32")
    found = probe_batch_sizes(model, x, y, seconds=0.05)
    assert (found.largest, found.sizes[-2].note) == (256, "out of memory")
    weights = 4 * (257 * 1024 + 1025)
    assert all(each.peak_bytes >= 3 * weights for each in found.measured)
