"""ClippedOptimizer against TF1's clipping, and what it reports."""

import keras
import numpy as np
import pytest

from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import PercentileLimit
from keras_tricks.schedules import Warmup
from tests import tf1_reference
from tests.optimizers import numpy_reference
from tests.optimizers.arrays import assert_close
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import MODES
from tests.optimizers.small_steps import applied
from tests.optimizers.small_steps import random_arrays
from tests.optimizers.small_steps import sgd
from tests.optimizers.small_steps import stepper
from tests.optimizers.small_steps import variables_of
from tests.optimizers.small_steps import weights_after

SHAPES = [(7, 5), (5,), (5, 3), (3,)]


@pytest.mark.parametrize("nonfinite", ["propagate", "skip"])
def test_200_steps_in_a_graph_equal_tf1_bit_for_bit(nonfinite):
    start = random_arrays(0, shapes=SHAPES)
    # Norms of about 3 to 15, so that some steps are clipped at 8 and some are not.
    scales = np.random.default_rng(1).uniform(0.4, 2, 200)
    gradients = [
        random_arrays(2 + number, scale, SHAPES) for number, scale in enumerate(scales)
    ]
    expected = tf1_reference.clipped_gradient_descent(
        start, gradients, learning_rate=0.1, clip_norm=8.0
    )
    optimizer = ClippedOptimizer(
        keras.optimizers.SGD(0.1), global_clipnorm=8.0, nonfinite=nonfinite
    )
    assert_same_bits(weights_after(optimizer, start, gradients, "graph"), expected)
    assert 0 < optimizer.clipped_fraction < 1


def test_the_applied_norm_is_the_limit_and_the_direction_stays():
    gradients = random_arrays(3)
    norm = numpy_reference.global_norm
    found = applied(ClippedOptimizer(sgd(), global_clipnorm=0.5), gradients)
    assert norm(found) == pytest.approx(0.5, rel=1e-6)
    assert_close(found, [g * 0.5 / norm(gradients) for g in gradients], rtol=1e-5)


@pytest.mark.parametrize(
    "kind", ["global_clipnorm", "clipnorm", "clipvalue", "adaptive_clip", None]
)
def test_gradients_of_zeros_stay_zeros(kind):
    limits = {kind: 1.0} if kind else {}
    zeros = [np.zeros(3, "float32"), np.zeros((2, 2), "float32")]
    assert_same_bits(applied(ClippedOptimizer(sgd(), **limits), zeros), zeros)


@pytest.mark.parametrize("mode", MODES)
def test_it_reports_the_norm_and_counts_updates_clips_and_skips(mode):
    """Norms 2, 5, infinity and 3 at a limit of 2.5, counted by hand."""
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=2.5, nonfinite="skip")
    step = stepper(optimizer, variables_of([np.zeros(1, "float32")]), mode)
    reported = []
    for norm in (2, 5, np.inf, 3):
        step(np.array([norm], "float32"))
        found = optimizer.gradient_norm
        reported.append(
            (
                # XLA's square root of infinity is NaN.
                found if np.isfinite(found) else np.inf,
                optimizer.num_updates,
                optimizer.num_skipped,
                optimizer.clipped_fraction,
            )
        )
    assert_close(
        [reported],
        [[(2, 1, 0, 0), (5, 2, 0, 1 / 2), (np.inf, 3, 1, 1 / 2), (3, 4, 1, 2 / 3)]],
    )


def test_without_a_limit_it_only_measures():
    gradients = random_arrays(0)
    optimizer = ClippedOptimizer(sgd())
    assert_same_bits(applied(optimizer, gradients), gradients)
    norm = numpy_reference.global_norm(gradients)
    assert optimizer.gradient_norm == pytest.approx(norm, rel=1e-6)
    assert optimizer.clipped_fraction == 0


def test_before_the_first_update_it_reports_nothing_but_zeros():
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=1.0)
    assert (optimizer.num_updates, optimizer.num_skipped) == (0, 0)
    assert (optimizer.gradient_norm, optimizer.clipped_fraction) == (0, 0)


def test_an_update_of_accumulated_batches_is_reported_once():
    optimizer = ClippedOptimizer(sgd(), clipnorm=1.0, gradient_accumulation_steps=2)
    step = stepper(optimizer, variables_of([np.zeros(1, "float32")]))
    for value in (2, 4, 100):
        step(np.array([value], "float32"))
    assert optimizer.gradient_norm == 3
    assert optimizer.num_updates == 1


def test_the_optimizers_variables_are_each_there_once():
    optimizer = ClippedOptimizer(keras.optimizers.Adam(0.1), global_clipnorm=1.0)
    optimizer.build([keras.Variable([1.0])])
    distinct = {id(variable) for variable in optimizer.variables}
    # Adam's step, rate and two moments; the norm, the counts and the limit.
    assert len(optimizer.variables) == len(distinct) == 4 + 3
    stored = {}
    optimizer.save_own_variables(stored)
    assert len(stored) == 3


@pytest.mark.parametrize(
    ("optimizer", "shown"),
    [
        (
            lambda: ClippedOptimizer(keras.optimizers.Adam(0.1), global_clipnorm=0.3),
            "ClippedOptimizer(Adam(learning_rate=0.1), global_clipnorm=0.3, "
            "nonfinite='propagate')",
        ),
        (
            lambda: ClippedOptimizer(
                keras.optimizers.SGD(Warmup(0.1, 10)),
                global_clipnorm=PercentileLimit(95),
                nonfinite="skip",
                max_consecutive_skips=3,
            ),
            "ClippedOptimizer(SGD(learning_rate=Warmup(schedule=0.1, warmup_steps=10, "
            "start=0.0, power=1.0, join='shift')), global_clipnorm=PercentileLimit("
            "percentile=95.0, window=1000, min_updates=10), nonfinite='skip', "
            "max_consecutive_skips=3)",
        ),
        (
            lambda: ClippedOptimizer(
                keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9)),
                clipvalue=1.0,
            ),
            "ClippedOptimizer(SGD(learning_rate=CosineDecay(initial_learning_rate=0.1, "
            "decay_steps=9)), clipvalue=1.0, nonfinite='propagate')",
        ),
        (
            lambda: ClippedOptimizer(AdamWeightDecay(lambda: 0.1)),
            "ClippedOptimizer(AdamWeightDecay(learning_rate=<lambda>), "
            "nonfinite='propagate')",
        ),
    ],
)
def test_it_says_what_it_is(optimizer, shown):
    assert repr(optimizer()) == shown
