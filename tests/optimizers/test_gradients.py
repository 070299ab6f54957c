"""Norms and scaling of gradients: large numbers, dtypes, embeddings, units."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import gradients as gradient_ops
from tests import sampling
from tests.optimizers import numpy_reference
from tests.optimizers.arrays import assert_close
from tests.optimizers.small_steps import MODES
from tests.optimizers.small_steps import applied
from tests.optimizers.small_steps import random_arrays
from tests.optimizers.small_steps import sgd
from tests.optimizers.small_steps import stepper
from tests.optimizers.small_steps import variables_of
from tests.optimizers.small_steps import weights_after

every_mode = pytest.mark.parametrize("mode", MODES)


def test_the_norm_is_that_of_tensorflow_bit_for_bit():
    gradients = [tf.constant(g) for g in random_arrays(5)]
    expected = tf.linalg.global_norm(gradients)
    np.testing.assert_array_equal(gradient_ops.global_norm(gradients), expected)


# Squares of these overflow float32, whose largest number is 3.4e38.
LARGE = [1e20, 1e37]
KINDS = ["global_clipnorm", "clipnorm", "adaptive_clip"]


@pytest.mark.parametrize(
    ("kind", "size", "mode"),
    sampling.only(
        [
            *itertools.product(KINDS, LARGE, ["eager"]),
            *itertools.product(KINDS, [1e37], ["xla"]),
            ("global_clipnorm", 1e20, "graph"),
        ],
        itertools.product(KINDS, LARGE, MODES),
    ),
)
def test_gradients_whose_squares_overflow_are_clipped_as_numpy_does(kind, size, mode):
    # Large, zero and ordinary gradients side by side, within one and among several.
    gradients = [
        np.array([[size, 0], [-size, 2]], "float32"),
        np.zeros(2, "float32"),
        np.array([1, 3], "float32"),
    ]
    weights = [np.full(g.shape, 500, "float32") for g in gradients]
    optimizer = ClippedOptimizer(sgd(), **{kind: 2.0})
    variables = variables_of(weights)
    stepper(optimizer, variables, mode)(*gradients)
    expected = numpy_reference.clipped(kind, gradients, 2.0, weights)
    found = [w - v.numpy() for w, v in zip(weights, variables, strict=True)]
    # What is left after subtracting from 500 has an error of 500's last place.
    assert_close(found, expected, rtol=1e-5, atol=1e-4)
    norm = numpy_reference.global_norm(gradients)
    assert optimizer.gradient_norm == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "size", "mode"),
    sampling.only(
        [
            *itertools.product(KINDS, [1e19, *LARGE], ["eager"]),
            *itertools.product(KINDS, [1e20], ["xla"]),
            ("global_clipnorm", 1e37, "graph"),
        ],
        itertools.product(KINDS, [1e19, *LARGE], MODES),
    ),
)
def test_large_gradients_of_a_single_number_are_clipped_as_numpy_does(kind, size, mode):
    """XLA squares the powers of two that were taken out of them, if it knows these."""
    gradients = [np.array([size], "float32"), np.array([[-2 * size]], "float32")]
    weights = [np.ones(g.shape, "float32") for g in gradients]
    optimizer = ClippedOptimizer(sgd(), **{kind: 2.0})
    found = applied(optimizer, gradients, weights, mode)
    assert_close(found, numpy_reference.clipped(kind, gradients, 2.0, weights))
    norm = numpy_reference.global_norm(gradients)
    assert optimizer.gradient_norm == pytest.approx(norm, rel=1e-6)


def test_gradients_whose_squares_underflow_pass_unchanged():
    gradients = [np.array([1e-25, -2e-25], "float32")]
    for kind in ("global_clipnorm", "clipnorm", "clipvalue", "adaptive_clip"):
        found = applied(ClippedOptimizer(sgd(), **{kind: 1.0}), gradients)
        assert_close(found, gradients)


def test_squares_of_float16_gradients_do_not_overflow():
    """300 squared is beyond float16's 65504."""
    with np.errstate(over="ignore"):
        [found] = applied(
            ClippedOptimizer(sgd(), global_clipnorm=1.0), [np.full(4, 300, "float16")]
        )
    np.testing.assert_allclose(found, 0.5, rtol=1e-3)


@pytest.mark.parametrize("limit", [1.0, 1e-2, 1e-3])
def test_float16_gradients_are_scaled_by_factors_that_float16_cannot_hold(limit):
    """The factors are 1e-6 and less; float16's smallest normal number is 6e-5."""
    gradients = [np.full(100, 60_000, "float16")]
    [found] = applied(ClippedOptimizer(sgd(), global_clipnorm=limit), gradients)
    np.testing.assert_allclose(found, limit / 10, rtol=1e-3)


PRECISION = {"bfloat16": 2**-8, "float16": 2**-11, "float32": 1e-6, "float64": 1e-6}


DTYPES = [
    ("float16", "float32"),
    ("bfloat16", "float32"),
    ("float16", "bfloat16"),
    ("float32", "float64"),
    ("float64", "float64"),
]


@pytest.mark.parametrize(
    ("dtypes", "mode"),
    sampling.only(
        [
            *itertools.product(DTYPES, ["eager"]),
            (("float16", "float32"), "graph"),
            (("float16", "bfloat16"), "xla"),
            (("float32", "float64"), "xla"),
        ],
        itertools.product(DTYPES, MODES),
    ),
    ids=str,
)
def test_gradients_of_all_dtypes_share_one_norm(dtypes, mode):
    gradients = [
        np.array([value]).astype(tf.as_dtype(dtype).as_numpy_dtype)
        for value, dtype in zip((3, 4), dtypes, strict=True)
    ]
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=1.0)
    variables = [keras.Variable([0.0], dtype=dtype) for dtype in dtypes]
    stepper(optimizer, variables, mode)(*gradients)
    for variable, dtype, expected in zip(variables, dtypes, (-0.6, -0.8), strict=True):
        assert keras.backend.standardize_dtype(variable.dtype) == dtype
        found = float(keras.ops.cast(variable, "float32")[0])
        assert found == pytest.approx(expected, rel=PRECISION[dtype])
    assert optimizer.gradient_norm == 5


ROWS = 6


def sparse(values, indices):
    values = np.array(values, "float32")
    return tf.IndexedSlices(
        tf.constant(values),
        tf.constant(indices, "int64"),
        tf.constant([ROWS, values.shape[1]], "int64"),
    )


def dense(gradient):
    table = np.zeros(gradient.dense_shape.numpy())
    np.add.at(table, gradient.indices.numpy(), gradient.values.numpy())
    return table


def embedding_step(mode="eager", **arguments):
    """What a step takes from a table and a bias, and the optimizer."""
    generator = np.random.default_rng(0)
    # Row 2 comes three times.
    rows = sparse(generator.normal(size=(5, 3)), [2, 0, 2, 5, 2])
    bias = generator.normal(size=3).astype("float32")
    weights = random_arrays(1, 1.0, [(ROWS, 3), (3,)])
    optimizer = ClippedOptimizer(sgd(), **arguments)
    taken = applied(optimizer, [rows, bias], weights, mode)
    return taken, [dense(rows), bias], weights


@every_mode
@pytest.mark.parametrize("kind", ["global_clipnorm", "clipnorm", "clipvalue"])
def test_added_up_rows_are_clipped_as_the_dense_gradient(kind, mode):
    taken, gradients, _ = embedding_step(mode, sparse_norm="dedup", **{kind: 0.5})
    assert_close(taken, numpy_reference.clipped(kind, gradients, 0.5), atol=1e-6)


@every_mode
def test_the_units_of_an_embedding_are_its_rows(mode):
    """A dense gradient whose columns are the rows is the oracle."""
    taken, gradients, weights = embedding_step(
        mode, sparse_norm="dedup", adaptive_clip=0.3
    )
    [table], [bias] = (
        numpy_reference.clipped("adaptive_clip", [g], 0.3, [w])
        for g, w in ((gradients[0].T, weights[0].T), (gradients[1], weights[1]))
    )
    assert_close(taken, [table.T, bias], atol=1e-6)


def two_rows():
    """Gradients 3 and 4 of one row: together 7, and 5 as a norm of separate numbers."""
    return sparse([[3.0], [4.0]], [2, 2])


@pytest.mark.parametrize(("sparse_norm", "norm"), [("raw", 5), ("dedup", 7)])
def test_the_norm_of_an_embeddings_gradient_is_tf1s_or_the_true_one(sparse_norm, norm):
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=1.0, sparse_norm=sparse_norm)
    [taken] = applied(optimizer, [two_rows()], [np.zeros((ROWS, 1), "float32")])
    assert optimizer.gradient_norm == norm
    np.testing.assert_allclose(taken[2], 7 / norm, rtol=1e-6)


def test_the_raw_norm_is_that_of_tf1():
    expected = tf.linalg.global_norm([two_rows()])
    assert float(gradient_ops.global_norm([two_rows()])) == float(expected)


@pytest.mark.parametrize("sparse_norm", gradient_ops.SPARSE_NORMS)
@pytest.mark.parametrize("nonfinite", ["propagate", "zero", "skip"])
@pytest.mark.parametrize(
    "kind", ["global_clipnorm", "clipnorm", "clipvalue", "adaptive_clip", None]
)
def test_the_inner_optimizer_is_given_a_sparse_gradient(kind, nonfinite, sparse_norm):
    given = []

    class Spy(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            given.append(type(gradient))
            super().update_step(gradient, variable, learning_rate)

    optimizer = ClippedOptimizer(
        Spy(1.0),
        nonfinite=nonfinite,
        sparse_norm=sparse_norm,
        **({kind: 1.0} if kind else {}),
    )
    weights_after(optimizer, [np.zeros((ROWS, 1), "float32")], [[two_rows()]])
    assert given == [tf.IndexedSlices]


@every_mode
def test_sparse_gradients_accumulate_to_their_dense_mean(mode):
    weights = random_arrays(1, 1.0, [(ROWS, 1)])
    optimizer = ClippedOptimizer(
        sgd(), global_clipnorm=0.5, gradient_accumulation_steps=2
    )
    batches = [two_rows(), sparse([[1.0], [-2.0]], [0, 5])]
    [after] = weights_after(optimizer, weights, [[b] for b in batches], mode)
    mean = sum(dense(b) for b in batches) / 2
    [expected] = numpy_reference.clipped("global_clipnorm", [mean], 0.5)
    np.testing.assert_allclose(weights[0] - after, expected, atol=1e-6)


# Scalar, vector, vectors in the guise of a matrix, dense kernel, multi-head kernel,
# convolution kernel.
UNIT_SHAPES = [(), (5,), (1, 5), (5, 1), (4, 3), (2, 3, 4), (3, 3, 2, 5)]


@every_mode
def test_units_are_clipped_by_nfnets_formula(mode):
    weights = random_arrays(0, 1.0, UNIT_SHAPES)
    weights[4][:, 1] = 0  # A unit of zeros, whose norm counts as 1e-3.
    gradients = random_arrays(1, 0.5, UNIT_SHAPES)
    optimizer = ClippedOptimizer(sgd(), adaptive_clip=0.2)
    expected = numpy_reference.clipped("adaptive_clip", gradients, 0.2, weights)
    assert_close(applied(optimizer, gradients, weights, mode), expected, atol=1e-6)
