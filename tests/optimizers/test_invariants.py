"""What must hold for any gradients: bounds, direction, identity, idempotence, order.

The bounds on rounding: `u` is 2**-24, half an ulp of 1. A float32 sum of `n` squares
in any order is off by at most `n * u`, its root by half of that and `u`; the quotient,
the product with the limit, and the product with the gradient add `u` each.
"""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import PercentileLimit
from tests import sampling
from tests.optimizers import numpy_reference
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import applied
from tests.optimizers.small_steps import sgd

U = 2.0**-24

# Numbers whose squares are neither lost below float32's smallest normal number nor
# infinite; those have tests of their own in test_gradients.py.
NUMBERS = st.one_of(
    st.just(0.0),
    st.floats(2.0**-40, 2.0**40, width=32),
    st.floats(-(2.0**40), -(2.0**-40), width=32),
)
LIMITS = st.floats(2.0**-20, 2.0**20, width=32)
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
GRADIENTS = st.lists(
    arrays.arrays("float32", SHAPES, elements=NUMBERS), min_size=1, max_size=4
)


def relative_error(gradients):
    """Of the clipped numbers, at most; see the top of this file."""
    return (sum(g.size for g in gradients) / 2 + 5) * U


def clip(kind, limit, gradients):
    return [
        np.float32(g)
        for g in applied(ClippedOptimizer(sgd(), **{kind: limit}), gradients)
    ]


few_examples = settings(max_examples=12, deadline=None, derandomize=True)


@few_examples
@given(GRADIENTS, LIMITS)
def test_the_applied_norm_never_exceeds_the_limit(gradients, limit):
    found = clip("global_clipnorm", limit, gradients)
    bound = limit * (1 + relative_error(gradients))
    assert numpy_reference.global_norm(found) <= bound


def test_the_applied_norm_of_a_few_numbers_is_the_limit_to_two_ulps():
    """Without the long sums, for which the bound above allows.

    One ulp would be too much to ask of TF1's formula, which rounds six times.
    """
    generator = np.random.default_rng(0)
    for _ in range(20):
        gradients = [generator.normal(size=3).astype("float32")]
        limit = np.float32(generator.uniform(0.01, 0.1))
        norm = numpy_reference.global_norm(clip("global_clipnorm", limit, gradients))
        assert abs(norm - limit) <= 2 * np.spacing(limit)


@few_examples
@given(GRADIENTS, LIMITS)
def test_the_direction_is_kept(gradients, limit):
    """One factor is applied to all numbers, up to the rounding of each product."""
    found = clip("global_clipnorm", limit, gradients)
    before, after = (
        np.concatenate([np.float64(g).ravel() for g in arrays])
        for arrays in (gradients, found)
    )
    assert np.all(after[before == 0] == 0)
    factors = after[before != 0] / before[before != 0]
    # Products below the smallest normal number, 2**-126, do not occur here.
    if factors.size:
        assert factors.min() > 0
        assert factors.max() - factors.min() <= 2 * U * factors.max()


@few_examples
@given(GRADIENTS)
def test_below_the_limit_gradients_stay_the_same_bit_for_bit(gradients):
    """Under a limit that is a power of two, as TF1's factor is 1 exactly then."""
    for kind in ("global_clipnorm", "clipnorm", "clipvalue"):
        assert_same_bits(clip(kind, 2.0**50, gradients), gradients)


@few_examples
@given(GRADIENTS, st.floats(2.0**45, 2.0**50, width=32))
def test_below_any_limit_gradients_stay_the_same_to_an_ulp(gradients, limit):
    """TF1's factor `limit * (1 / limit)` is 1 or 1 - 2**-24, the number before 1."""
    for found, gradient in zip(
        clip("global_clipnorm", limit, gradients), gradients, strict=True
    ):
        assert np.all(np.abs(found) <= np.abs(gradient))
        assert np.all(np.abs(found - gradient) <= np.spacing(np.abs(gradient)))


@pytest.mark.parametrize("kind", ["global_clipnorm", "clipnorm", "clipvalue"])
@few_examples
@given(GRADIENTS, LIMITS)
def test_clipping_twice_is_clipping_once(kind, gradients, limit):
    once = clip(kind, limit, gradients)
    twice = clip(kind, limit, once)
    for a, b in zip(twice, once, strict=True):
        np.testing.assert_allclose(a, b, rtol=2 * relative_error(gradients))


@few_examples
@given(GRADIENTS, LIMITS, st.randoms(use_true_random=False))
def test_the_order_of_the_variables_does_not_matter_beyond_rounding(
    gradients, limit, random
):
    order = list(range(len(gradients)))
    random.shuffle(order)
    found = clip("global_clipnorm", limit, gradients)
    permuted = clip("global_clipnorm", limit, [gradients[i] for i in order])
    for place, number in enumerate(order):
        np.testing.assert_allclose(
            permuted[place], found[number], rtol=2 * relative_error(gradients)
        )


@few_examples
@given(GRADIENTS, LIMITS)
def test_every_kind_clips_as_numpy_does(gradients, limit):
    weights = [np.ones_like(g) for g in gradients]
    for kind in ("global_clipnorm", "clipnorm", "clipvalue"):
        expected = numpy_reference.clipped(kind, gradients, limit, weights)
        for a, b in zip(clip(kind, limit, gradients), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=relative_error(gradients))


class Always(keras.optimizers.schedules.LearningRateSchedule):
    """One limit for all updates, which as a number might be refused."""

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, step):
        return keras.ops.convert_to_tensor(np.float32(self.limit))


# All that float32 holds, but for norms beyond 1e37, which the guide leaves out.
ANY_NUMBER = st.one_of(st.just(0.0), st.floats(-(2.0**116), 2.0**116, width=32))
ANY_LIMIT = st.one_of(
    st.sampled_from([0.0, -0.0, -1e-9, 1e-45, 2.0**-126, 3e38, float("inf")]),
    st.floats(0.0, 2.0**127, width=32),
)
OF_ANY_DTYPE = st.one_of(
    arrays.arrays("float32", SHAPES, elements=ANY_NUMBER),
    arrays.arrays("float16", SHAPES, elements=st.floats(-60_000, 60_000, width=16)),
    arrays.arrays("float64", SHAPES, elements=st.floats(-(2.0**116), 2.0**116)),
)
KINDS = ["global_clipnorm", "clipnorm", "clipvalue", "adaptive_clip"]


@pytest.mark.parametrize(
    ("kind", "nonfinite"),
    sampling.only(
        [
            *((kind, "propagate") for kind in KINDS),
            ("global_clipnorm", "skip"),
            ("adaptive_clip", "zero"),
        ],
        ((kind, n) for n in ("propagate", "skip", "zero") for kind in KINDS),
    ),
)
@few_examples
@given(st.lists(OF_ANY_DTYPE, min_size=1, max_size=3), ANY_LIMIT, st.data())
def test_no_limit_makes_finite_gradients_nan_or_larger(
    kind, nonfinite, gradients, limit, data
):
    size = data.draw(st.sampled_from([0.0, 1.0, 1000.0]))
    weights = [np.full_like(g, size) for g in gradients]
    optimizer = ClippedOptimizer(Spy(), **{kind: Always(limit)}, nonfinite=nonfinite)
    applied(optimizer, gradients, weights)
    for taken, gradient in zip(optimizer.inner_optimizer.given, gradients, strict=True):
        assert np.isfinite(taken).all()
        assert (np.abs(taken) <= np.abs(gradient)).all()
        if limit <= 0:
            assert not np.any(taken)


class Spy(keras.optimizers.SGD):
    """Keeps the gradients that it is given; weights would round what they lose."""

    def __init__(self):
        super().__init__(1.0)
        self.given = []

    def update_step(self, gradient, variable, learning_rate):
        self.given.append(tf.convert_to_tensor(gradient).numpy())
        super().update_step(gradient, variable, learning_rate)


@few_examples
@given(
    st.lists(st.sampled_from([0.0, 1e-42, 1e-30, 1.0, 1e35]), min_size=1, max_size=6),
    st.sampled_from([0.5, 50, 100]),
    st.sampled_from([0, 2]),
)
def test_no_percentile_makes_finite_gradients_nan_or_larger(norms, percentile, first):
    inner = Spy()
    limit = PercentileLimit(percentile, window=3, min_updates=first)
    optimizer = ClippedOptimizer(inner, global_clipnorm=limit)
    variable = keras.Variable([0.0])
    for norm in norms:
        optimizer.apply([tf.constant([norm], "float32")], [variable])
    taken = np.ravel(inner.given)
    assert np.isfinite(taken).all()
    assert (taken <= np.float32(norms)).all()


# Three and the numbers of cases have no factor in common: each value meets each other.
@pytest.mark.parametrize(
    ("size", "limit", "kind", "sparse_norm"),
    sampling.one_in(
        3,
        itertools.product(
            [0.0, 1e-30, 1.0, 1e35],
            [0.0, -1e-9, 1e-45, 3e38, float("inf")],
            KINDS,
            ["raw", "dedup"],
        ),
    ),
)
def test_no_limit_makes_a_sparse_gradient_nan_or_larger(kind, sparse_norm, limit, size):
    rows = np.float32([[size], [0.0], [size]])
    gradient = tf.IndexedSlices(rows, tf.constant([2, 0, 2]), tf.constant([4, 1]))
    dense = np.float32([[0], [0], [2 * size], [0]])
    inner = Spy()
    optimizer = ClippedOptimizer(
        inner, **{kind: Always(limit)}, sparse_norm=sparse_norm
    )
    optimizer.apply([gradient], [keras.Variable(np.zeros((4, 1), "float32"))])
    [taken] = inner.given
    assert np.isfinite(taken).all()
    assert (np.abs(taken) <= np.abs(dense)).all()
    if limit < 1e-44:
        assert not np.any(taken)
