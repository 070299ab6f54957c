"""Gradients that are NaN or infinite: propagated, skipped, zeroed, or raised about."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import PercentileLimit
from tests import sampling
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import MODES
from tests.optimizers.small_steps import applied
from tests.optimizers.small_steps import random_arrays
from tests.optimizers.small_steps import sgd
from tests.optimizers.small_steps import state_of
from tests.optimizers.small_steps import stepper
from tests.optimizers.small_steps import variables_of
from tests.optimizers.small_steps import weights_after
from tests.optimizers.small_steps import weights_after_each
from tests.optimizers.small_steps import with_every_state

every_mode = pytest.mark.parametrize("mode", MODES)
# XLA compiles the graph: a graph alone has one of the two faults, XLA the other.
FAULTS_AND_MODES = list(itertools.product([np.nan, np.inf], MODES))
every_fault_and_mode = pytest.mark.parametrize(
    ("fault", "mode"),
    sampling.only(
        [
            *itertools.product([np.nan, np.inf], ["eager"]),
            (np.nan, "graph"),
            (np.inf, "xla"),
        ],
        FAULTS_AND_MODES,
    ),
)


class NanFromStep1(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return keras.ops.where(step < 1, np.float32(1), np.float32(np.nan))


def broken(seed, fault=np.nan):
    """Gradients of which one number is not finite."""
    gradients = random_arrays(seed)
    gradients[1][2] = fault
    return gradients


@every_fault_and_mode
def test_by_default_a_fault_reaches_every_weight_as_in_tf1(fault, mode):
    gradients = broken(0, fault)
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=1.0)
    clipped, _ = tf.clip_by_global_norm([tf.constant(g) for g in gradients], 1.0)
    taken = applied(optimizer, gradients, mode=mode)
    assert_same_bits(taken, [g.numpy() for g in clipped])
    assert all(np.isnan(array).all() for array in taken)
    assert not np.isfinite(optimizer.gradient_norm)
    assert optimizer.num_skipped == 0


@every_fault_and_mode
def test_a_skipped_update_leaves_everything_as_it_was_bit_for_bit(fault, mode):
    inner = with_every_state()
    optimizer = ClippedOptimizer(inner, global_clipnorm=1.0, nonfinite="skip")
    variables = variables_of(random_arrays(0))
    step = stepper(optimizer, variables, mode)
    for seed in (1, 2, 3):
        step(*random_arrays(seed))
    weights, state = [v.numpy() for v in variables], state_of(inner)
    step(*broken(4, fault))
    assert_same_bits([v.numpy() for v in variables], weights)
    assert_same_bits(state_of(inner), state)
    # Rate, step, two moments and an average of each weight.
    assert len(state) == 1 + 3 * len(weights)
    assert int(optimizer.iterations) == 3
    assert (optimizer.num_updates, optimizer.num_skipped) == (4, 1)


LIMITS = {"number": 2.0, "percentile": PercentileLimit(50, 3, 1)}


@pytest.mark.parametrize(
    ("limit", "mode"),
    sampling.only(
        [("percentile", "eager"), ("number", "graph"), ("percentile", "xla")],
        itertools.product(LIMITS, MODES),
    ),
)
def test_training_goes_on_as_if_there_had_been_no_bad_batch(limit, mode):
    optimizer = ClippedOptimizer(
        with_every_state(), global_clipnorm=LIMITS[limit], nonfinite="skip"
    )
    good = [random_arrays(seed) for seed in range(1, 7)]
    with_bad = [broken(7), *good[:3], broken(8, np.inf), broken(9), *good[3:]]
    runs = [with_bad, good]
    assert_same_bits(*weights_after_each(optimizer, random_arrays(0), runs, mode))


@every_mode
def test_a_bad_batch_among_accumulated_ones_skips_their_update_alone(mode):
    optimizer = ClippedOptimizer(
        with_every_state(),
        global_clipnorm=2.0,
        nonfinite="skip",
        gradient_accumulation_steps=2,
    )
    good = [random_arrays(seed) for seed in range(1, 7)]
    with_bad = [*good[:2], broken(8), random_arrays(9), *good[2:]]
    runs = [with_bad, good]
    assert_same_bits(*weights_after_each(optimizer, random_arrays(0), runs, mode))


@pytest.mark.parametrize(
    ("kind", "mode"),
    sampling.only(
        [
            *itertools.product(["global_clipnorm", "clipvalue", None], ["eager"]),
            ("global_clipnorm", "xla"),
            (None, "graph"),
        ],
        itertools.product(["global_clipnorm", "clipvalue", None], MODES),
    ),
)
def test_zeroed_numbers_are_those_that_are_not_finite(kind, mode):
    gradients = broken(0)
    gradients[2][1] = [np.inf, -np.inf]
    finite = [np.where(np.isfinite(g), g, np.float32(0)) for g in gradients]
    limits = {kind: 1.0} if kind else {}
    zeroing = ClippedOptimizer(sgd(), nonfinite="zero", **limits)
    plain = ClippedOptimizer(sgd(), **limits)
    assert_same_bits(
        applied(zeroing, gradients, mode=mode), applied(plain, finite, mode=mode)
    )
    assert zeroing.gradient_norm == plain.gradient_norm
    assert zeroing.num_skipped == 0


# Their norms are infinite in float32, or have no reciprocal there.
TOO_LARGE = [
    [[3e38, 3e38], [1.0]],
    [[3e38, -1e38], [2e38, 0.0, 1e37]],
    [[8e37, 6e37], [1e30]],
    [[3e38] * 10_000],
]


@pytest.mark.parametrize(
    ("number", "limit", "mode"),
    sampling.only(
        [
            *itertools.product(range(4), [1e-30, 1.0, 8e37], ["eager"]),
            *itertools.product([1, 3], [1.0], ["xla"]),
            (1, 8e37, "graph"),
        ],
        itertools.product(range(4), [1e-30, 1.0, 8e37], MODES),
    ),
)
def test_zeroing_clips_finite_gradients_whose_norm_is_too_large(number, limit, mode):
    gradients = TOO_LARGE[number]
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=limit, nonfinite="zero")
    found = applied(optimizer, [np.array(g, "float32") for g in gradients], mode=mode)
    norm = np.linalg.norm(np.concatenate(gradients))
    for taken, gradient in zip(found, gradients, strict=True):
        expected = np.array(gradient) * (limit / norm)
        # Beside the largest, numbers below this one are 0 in float32.
        atol = 1e-37 * max(limit, 1)
        np.testing.assert_allclose(taken, expected, rtol=1e-6, atol=atol)
    assert optimizer.clipped_fraction == 1


@pytest.mark.parametrize(
    ("sparse_norm", "mode"),
    sampling.only(
        [("raw", "eager"), ("dedup", "eager"), ("raw", "graph"), ("dedup", "xla")],
        itertools.product(["raw", "dedup"], MODES),
    ),
)
def test_zeroing_clips_rows_whose_norm_is_too_large(sparse_norm, mode):
    """Two rows of one index, and one of another."""
    rows = np.array([[2e38, 0.0], [1e38, 0.0], [0.0, -3e38]], "float32")
    table = keras.Variable(np.zeros((4, 2), "float32"))
    optimizer = ClippedOptimizer(
        sgd(), global_clipnorm=1.0, nonfinite="zero", sparse_norm=sparse_norm
    )
    optimizer.build([table])

    def step(values):
        optimizer.apply([tf.IndexedSlices(values, tf.constant([2, 2, 0]), [4, 2])])

    if mode != "eager":
        step = tf.function(step, jit_compile=mode == "xla")
    step(tf.constant(rows))
    counted = [2, 1, 3] if sparse_norm == "raw" else [3, 3]
    expected = np.zeros((4, 2))
    expected[2, 0], expected[0, 1] = -3, 3
    expected /= np.linalg.norm(counted)
    np.testing.assert_allclose(table.numpy(), expected, rtol=1e-6)


@every_mode
def test_zeroing_changes_no_bit_of_other_updates(mode):
    arrays = random_arrays(0)
    runs = [[[size * array for array in arrays]] for size in (1e-30, 1.0, 1e30)]
    start = [np.zeros_like(array) for array in arrays]
    zeroing, plain = (
        weights_after_each(
            ClippedOptimizer(sgd(), global_clipnorm=1.0, nonfinite=nonfinite),
            start,
            runs,
            mode,
        )
        for nonfinite in ("zero", "propagate")
    )
    for found, expected in zip(zeroing, plain, strict=True):
        assert_same_bits(found, expected)
        assert all(np.any(array) for array in found)


REACHED = {
    None: [[np.inf, 1.0], [0.6, 0.8]],
    "clipvalue": [[1.0, 1.0], [0.6, 0.8]],
    "clipnorm": [[np.nan, 0.0], [0.6, 0.8]],
    "adaptive_clip": [[np.nan, 0.0], [0.6e-3, 0.8e-3]],
    "global_clipnorm": [[np.nan, np.nan], [np.nan, np.nan]],
}


@pytest.mark.parametrize(
    ("kind", "mode"),
    sampling.only(
        # XLA compiles the graph, and might take a quotient for another one.
        [*itertools.product(REACHED, ["eager", "xla"]), (None, "graph")],
        itertools.product(REACHED, MODES),
    ),
)
def test_propagated_faults_reach_as_far_as_the_limit(kind, mode):
    """Infinity over infinity is NaN, and a number over infinity is 0."""
    taken = REACHED[kind]
    gradients = [np.array(g, "float32") for g in ([np.inf, 1.0], [0.6, 0.8])]
    optimizer = ClippedOptimizer(sgd(), **({kind: 1.0} if kind else {}))
    found = applied(optimizer, gradients, mode=mode)
    for array, expected in zip(found, taken, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-6)


KINDS = ["global_clipnorm", "clipnorm", "clipvalue", "adaptive_clip"]
NONFINITE = ["propagate", "skip", "zero"]


@pytest.mark.parametrize(
    ("nonfinite", "kind", "mode"),
    sampling.only(
        [
            *itertools.product(NONFINITE, KINDS, ["eager"]),
            ("skip", "global_clipnorm", "graph"),
            ("propagate", "clipnorm", "xla"),
            ("skip", "global_clipnorm", "xla"),
            ("zero", "clipvalue", "xla"),
        ],
        itertools.product(NONFINITE, KINDS, MODES),
    ),
)
def test_a_limit_that_is_nan_is_treated_as_a_norm_that_is(nonfinite, kind, mode):
    """As Keras's PolynomialDecay may become under XLA."""
    optimizer = ClippedOptimizer(sgd(), nonfinite=nonfinite, **{kind: NanFromStep1()})
    variables = variables_of(random_arrays(0))
    step = stepper(optimizer, variables, mode)
    step(*random_arrays(1))
    before = [variable.numpy() for variable in variables]
    step(*random_arrays(1))
    after = [variable.numpy() for variable in variables]
    if nonfinite == "propagate":
        assert all(np.isnan(weight).all() for weight in after)
    else:
        assert_same_bits(after, before)
    assert optimizer.num_skipped == (nonfinite == "skip")


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_raising_leaves_everything_as_it_was_bit_for_bit(mode):
    inner = with_every_state()
    optimizer = ClippedOptimizer(inner, global_clipnorm=1.0, nonfinite="raise")
    variables = variables_of(random_arrays(0))
    step = stepper(optimizer, variables, mode)
    step(*random_arrays(1))
    weights, state = [v.numpy() for v in variables], state_of(inner)
    with pytest.raises(tf.errors.InvalidArgumentError, match="norm is not finite"):
        step(*broken(2))
    assert_same_bits([v.numpy() for v in variables], weights)
    assert_same_bits(state_of(inner), state)


def test_raising_is_refused_under_xla_with_what_to_do_instead():
    optimizer = ClippedOptimizer(sgd(), nonfinite="raise")
    step = stepper(optimizer, variables_of(random_arrays(0)), "xla")
    with pytest.raises(ValueError, match=r'jit_compile=True.*nonfinite="skip"'):
        step(*random_arrays(1))


def test_raising_is_refused_on_jax_with_what_to_do_instead(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r'not possible on JAX.*nonfinite="skip"'):
        ClippedOptimizer(sgd(), nonfinite="raise")


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_more_skips_in_a_row_than_allowed_raise(mode):
    optimizer = ClippedOptimizer(sgd(), nonfinite="skip", max_consecutive_skips=2)
    step = stepper(optimizer, variables_of(random_arrays(0)), mode)
    # A good update starts the count anew.
    for fine in (False, False, True, False, False):
        step(*(random_arrays(1) if fine else broken(1)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="More than 2 updates in"):
        step(*broken(1))


def test_xla_cannot_raise_and_skips_on():
    optimizer = ClippedOptimizer(sgd(), nonfinite="skip", max_consecutive_skips=1)
    start = random_arrays(0)
    weights = weights_after(optimizer, start, [broken(1)] * 4, "xla")
    assert_same_bits(weights, start)
    assert optimizer.num_skipped == 4


def test_fit_ends_when_it_only_skips():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = ClippedOptimizer(sgd(), nonfinite="skip", max_consecutive_skips=3)
    model.compile(optimizer, "mse")
    x = np.full((20, 2), np.nan)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`max_consecutive_skips`"):
        model.fit(x, np.ones((20, 1)), batch_size=2, verbose=0)
    assert optimizer.num_skipped == 4
    assert np.isfinite(model.get_weights()[0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nonfinite": "ignore"}, "`nonfinite` must be one of 'propagate', 'skip', "),
        ({"sparse_norm": "true"}, "`sparse_norm` must be one of 'raw', 'dedup'"),
        (
            {"max_consecutive_skips": 3},
            '`max_consecutive_skips` needs nonfinite="skip"',
        ),
        (
            {"nonfinite": "skip", "max_consecutive_skips": 0},
            "`max_consecutive_skips` must be a whole number >= 1",
        ),
        (
            {"gradient_accumulation_steps": 1},
            "`gradient_accumulation_steps` must be a whole number >= 2",
        ),
        (
            {"gradient_accumulation_steps": 2.5},
            "`gradient_accumulation_steps` must be a whole number >= 2",
        ),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=rf"{message}.*Received: "):
        ClippedOptimizer(sgd(), **arguments)
