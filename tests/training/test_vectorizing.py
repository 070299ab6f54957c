"""What is computed for several trials at once is what each computes alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.training.compiled.vectorized_map import vectorized

NUM_TRIALS = 3


def normal(*shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


def gradients_of(convolve):
    def function(arguments):
        inputs, kernel = arguments
        with tf.GradientTape() as tape:
            tape.watch((inputs, kernel))
            outputs = convolve(inputs, kernel) ** 2
        return outputs, tape.gradient(outputs, (inputs, kernel))

    return function


def conv_1d(inputs, kernel):
    return keras.ops.conv(inputs, kernel, padding="same")


def conv_2d(inputs, kernel):
    return keras.ops.conv(inputs, kernel, strides=2, padding="valid")


def drawn(seed):
    return (
        tf.random.stateless_uniform((2, 3), seed),
        tf.random.stateless_normal((4,), seed),
        tf.random.stateless_truncated_normal((4,), seed),
    )


CASES = {
    "l2_loss": (tf.nn.l2_loss, normal(NUM_TRIALS, 4, 5)),
    "bitcast": (lambda x: tf.bitcast(x, tf.int32), normal(NUM_TRIALS, 4)),
    "conv_1d": (
        gradients_of(conv_1d),
        (normal(NUM_TRIALS, 2, 7, 3), normal(NUM_TRIALS, 4, 3, 5)),
    ),
    "conv_2d": (
        gradients_of(conv_2d),
        (normal(NUM_TRIALS, 2, 7, 7, 3), normal(NUM_TRIALS, 3, 3, 3, 5)),
    ),
    "conv_of_common_inputs": (
        lambda kernel: gradients_of(conv_2d)((normal(2, 7, 7, 3), kernel)),
        normal(NUM_TRIALS, 3, 3, 3, 5),
    ),
    "draws": (drawn, tf.constant([[1, 2], [3, 4], [5, 6]])),
}


@pytest.mark.parametrize("name", CASES)
def test_each_trial_gets_what_it_computes_alone(name):
    function, stacked = CASES[name]
    together = tf.function(lambda stacked: vectorized(function, stacked))(stacked)
    for trial in range(NUM_TRIALS):
        own = tf.nest.map_structure(lambda tensor: tensor[trial], stacked)  # noqa: B023
        for one, other in zip(
            tf.nest.flatten(together), tf.nest.flatten(function(own)), strict=True
        ):
            np.testing.assert_allclose(one[trial], other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_nothing_loops_over_the_trials(name):
    function, stacked = CASES[name]
    graph = (
        tf.function(lambda stacked: vectorized(function, stacked))
        .get_concrete_function(stacked)
        .graph
    )
    assert not [op.type for op in graph.get_operations() if "While" in op.type]


def test_draws_have_the_bits_of_those_alone():
    seeds = CASES["draws"][1]
    together = tf.function(lambda seeds: vectorized(drawn, seeds))(seeds)
    for trial, seed in enumerate(seeds):
        for one, other in zip(together, drawn(seed), strict=True):
            np.testing.assert_array_equal(one[trial], other)
