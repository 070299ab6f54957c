"""What a limit may be: a number, a schedule over updates, a percentile of the norms."""

import json

import keras
import numpy as np
import pytest

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.optimizers import PercentileLimit
from tests import sampling
from tests.optimizers import numpy_reference
from tests.optimizers import test_contract as suite
from tests.optimizers.arrays import assert_close
from tests.optimizers.arrays import assert_same_bits
from tests.optimizers.small_steps import MODES
from tests.optimizers.small_steps import applied
from tests.optimizers.small_steps import random_arrays
from tests.optimizers.small_steps import sgd
from tests.optimizers.small_steps import stepper
from tests.optimizers.small_steps import variables_of
from tests.optimizers.small_steps import weights_after
from tests.optimizers.small_steps import with_every_state

# Each kind with a limit that clips some of the gradients below, and not all.
LIMITS = {
    "global_clipnorm": 2.0,
    "clipnorm": 1.5,
    "clipvalue": 0.7,
    "adaptive_clip": 1.0,
}

every_kind = pytest.mark.parametrize("kind", LIMITS)
every_mode = pytest.mark.parametrize("mode", MODES)
# How a kind clips in a mode is seen in the first test: in the others, one kind of all
# weights and one of each array do.
COMPILED = [("global_clipnorm", "xla"), ("clipnorm", "graph")]
KINDS_AND_MODES = [(kind, mode) for mode in MODES for kind in LIMITS]
SAMPLE = [case for case in KINDS_AND_MODES if case[1] == "eager" or case in COMPILED]
sample_of_modes = pytest.mark.parametrize(
    ("kind", "mode"), sampling.only(SAMPLE, KINDS_AND_MODES)
)


def applied_norms(optimizer, norms, mode="eager"):
    """The norms of the updates that gradients of the given norms make."""
    [weight] = variables = variables_of([np.zeros(2, "float32")])
    step = stepper(optimizer, variables, mode)
    found = []
    for norm in norms:
        weight.assign([0, 0])
        step(np.array([0.6 * norm, 0.8 * norm], "float32"))
        found.append(numpy_reference.global_norm([weight.numpy()]))
    return found


@every_kind
@every_mode
def test_a_number_clips_as_numpy_does(kind, mode):
    gradients, weights = random_arrays(0), random_arrays(1)
    optimizer = ClippedOptimizer(sgd(), **{kind: LIMITS[kind]})
    expected = numpy_reference.clipped(kind, gradients, LIMITS[kind], weights)
    unchanged = [
        np.isclose(e, g).all() for e, g in zip(expected, gradients, strict=True)
    ]
    assert not all(unchanged)
    assert_close(applied(optimizer, gradients, weights, mode), expected, atol=1e-6)
    assert optimizer.clipped_fraction == 1


@sample_of_modes
def test_a_new_number_takes_effect_without_a_new_trace(kind, mode):
    gradients, weights = random_arrays(0), random_arrays(1)
    variables = variables_of(weights)
    optimizer = ClippedOptimizer(sgd(), **{kind: LIMITS[kind]})
    step = stepper(optimizer, variables, mode)
    step(*gradients)
    setattr(optimizer, kind, LIMITS[kind] / 4)
    for variable, weight in zip(variables, weights, strict=True):
        variable.assign(weight)
    step(*gradients)
    taken = [w - v.numpy() for w, v in zip(weights, variables, strict=True)]
    expected = numpy_reference.clipped(kind, gradients, LIMITS[kind] / 4, weights)
    assert_close(taken, expected, atol=1e-6)
    assert len(step.traces) == (2 if mode == "eager" else 1)


@every_kind
def test_the_limit_of_a_kind_is_an_attribute_and_the_others_are_none(kind):
    optimizer = ClippedOptimizer(sgd(), **{kind: 3})
    assert {k: getattr(optimizer, k) for k in LIMITS} == {
        k: 3.0 if k == kind else None for k in LIMITS
    }


def test_a_new_number_is_part_of_the_config():
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=1.0)
    optimizer.global_clipnorm = 0.5
    restored = ClippedOptimizer.from_config(optimizer.get_config())
    assert restored.global_clipnorm == 0.5


NOT_IN_FLOAT32 = [0.1, 1 / 3, 0.123456789012345, 1e-7, 7e10]


@every_kind
@pytest.mark.parametrize("limit", [*NOT_IN_FLOAT32, np.float64(0.1), np.float32(0.1)])
def test_a_limit_is_the_number_that_was_given(kind, limit):
    optimizer = ClippedOptimizer(sgd(), **{kind: limit})
    other = ClippedOptimizer(sgd(), **{kind: 5.0})
    setattr(other, kind, limit)
    for one in (optimizer, other):
        restored = ClippedOptimizer.from_config(
            json.loads(json.dumps(one.get_config()))
        )
        assert getattr(one, kind) == getattr(restored, kind) == limit
        assert one.get_config()[kind] == restored.get_config()[kind] == limit


@pytest.mark.usefixtures("uncompiled")
@every_kind
def test_a_saved_limit_is_the_number_that_was_given(kind, tmp_path):
    model = suite.compiled_model(ClippedOptimizer(sgd(), **{kind: 0.1}))
    suite.train(model, epochs=1)
    assert getattr(model.optimizer, kind) == 0.1
    setattr(model.optimizer, kind, 0.2)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "all.weights.h5")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert getattr(restored.optimizer, kind) == 0.2
    # Only the variable comes with weights: 0.2 is what it most probably was.
    other = suite.compiled_model(ClippedOptimizer(sgd(), **{kind: 0.1}))
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "all.weights.h5")
    assert getattr(other.optimizer, kind) == 0.2
    copied = ClippedOptimizer.from_config(other.optimizer.get_config())
    assert getattr(copied, kind) == 0.2


def test_the_limits_of_schedules_and_percentiles_are_saved_as_given():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.3)
    for limit, config in (
        (schedule, {"initial_learning_rate": 0.1, "decay_rate": 0.3}),
        (PercentileLimit(33.3), {"percentile": 33.3}),
    ):
        optimizer = ClippedOptimizer(sgd(), global_clipnorm=limit)
        saved = optimizer.get_config()["global_clipnorm"]["config"]
        assert saved.items() >= config.items()
        assert optimizer.global_clipnorm is limit


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"global_clipnorm": PercentileLimit()}, "global_clipnorm"),
        (
            {"clipnorm": keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)},
            "clipnorm",
        ),
        ({"clipvalue": 1.0}, "clipnorm"),
        ({}, "global_clipnorm"),
    ],
    ids=["percentile", "schedule", "another kind", "no limit"],
)
def test_a_limit_that_is_no_number_of_that_kind_cannot_become_one(limits, kind):
    optimizer = ClippedOptimizer(sgd(), **limits)
    with pytest.raises(ValueError, match=rf"`{kind}` can be changed only .*Received"):
        setattr(optimizer, kind, 0.5)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf")])
def test_a_new_number_must_bound_something_too(limit):
    optimizer = ClippedOptimizer(sgd(), clipvalue=1.0)
    with pytest.raises(ValueError, match="`clipvalue` must be a finite number > 0"):
        optimizer.clipvalue = limit
    assert optimizer.clipvalue == 1.0


@every_kind
@pytest.mark.parametrize("limit", [0, 0.0, -1, float("nan"), float("inf")])
def test_limits_that_bound_nothing_are_refused(kind, limit):
    with pytest.raises(ValueError, match=rf"`{kind}` must be .*Received: {kind}="):
        ClippedOptimizer(sgd(), **{kind: limit})


@every_kind
@pytest.mark.parametrize("limit", ["1.0", True, [1.0]])
def test_limits_that_are_no_numbers_are_refused(kind, limit):
    with pytest.raises(TypeError, match=rf"`{kind}` must be .*Received: {kind}="):
        ClippedOptimizer(sgd(), **{kind: limit})


def test_two_limits_at_once_are_refused():
    with pytest.raises(
        ValueError, match=r"only global_clipnorm=1.0.*clipnorm=2.*value=3"
    ):
        ClippedOptimizer(sgd(), clipnorm=2, clipvalue=3)


# A schedule: the limit is 3 at updates 0 and 1, 1 at update 2, 0.5 from update 3 on.
STEPS = ([1, 2], [3.0, 1.0, 0.5])
LIMITS_BY_UPDATE = [3.0, 3.0, 1.0, 0.5, 0.5]


def decaying():
    return keras.optimizers.schedules.PiecewiseConstantDecay(*STEPS)


@sample_of_modes
def test_a_schedule_gives_the_limit_of_each_update(kind, mode):
    gradients, weights = random_arrays(0, 5.0), random_arrays(1)
    variables = variables_of(weights)
    step = stepper(ClippedOptimizer(sgd(), **{kind: decaying()}), variables, mode)
    for limit in LIMITS_BY_UPDATE:
        before = [variable.numpy() for variable in variables]
        step(*gradients)
        taken = [b - v.numpy() for b, v in zip(before, variables, strict=True)]
        expected = numpy_reference.clipped(kind, gradients, limit, before)
        assert_close(taken, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "mode", "nonfinite"),
    sampling.only(
        [
            *((*case, "propagate") for case in SAMPLE),
            *((kind, "eager", n) for kind in LIMITS for n in ("skip", "zero")),
            ("global_clipnorm", "graph", "skip"),
            ("global_clipnorm", "graph", "zero"),
        ],
        ((*case, n) for case in KINDS_AND_MODES for n in ("propagate", "skip", "zero")),
    ),
)
def test_a_limit_that_has_come_down_to_0_leaves_the_weights(kind, nonfinite, mode):
    """Of zeros too: 0 of a zero gradient is 0."""
    to_0 = keras.optimizers.schedules.PolynomialDecay(1.0, 2, 0.0)
    optimizer = ClippedOptimizer(sgd(), **{kind: to_0}, nonfinite=nonfinite)
    variables = variables_of(random_arrays(1))
    step = stepper(optimizer, variables, mode)
    for _ in range(2):
        step(*random_arrays(0))
    before = [variable.numpy() for variable in variables]
    step(*random_arrays(0))
    step(*[np.zeros_like(weight) for weight in before])
    assert_same_bits([variable.numpy() for variable in variables], before)
    assert (optimizer.num_updates, optimizer.num_skipped) == (4, 0)


@sample_of_modes
def test_a_limit_of_0_makes_updates_of_zeros_for_momenta_and_decay(kind, mode):
    """The inner optimizer, given zeros, is the oracle."""
    gradients, weights = random_arrays(0), random_arrays(1)
    to_0 = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.0])
    after = weights_after(
        ClippedOptimizer(with_every_state(), **{kind: to_0}),
        weights,
        [gradients] * 3,
        mode,
    )
    [clipped] = [applied(ClippedOptimizer(sgd(), **{kind: 1.0}), gradients, weights)]
    zeros = [np.zeros_like(g) for g in gradients]
    by_hand = [[np.float32(g) for g in clipped], zeros, zeros]
    expected = weights_after(with_every_state(), weights, by_hand, mode)
    assert_close(after, expected, rtol=1e-4, atol=1e-5)


@sample_of_modes
def test_a_limit_that_is_infinite_for_a_while_clips_nothing(kind, mode):
    at_first = keras.optimizers.schedules.PiecewiseConstantDecay([0], [np.inf, 0.5])
    gradients, weights = random_arrays(0), random_arrays(1)
    optimizer = ClippedOptimizer(sgd(), **{kind: at_first})
    assert_close(applied(optimizer, gradients, weights, mode), gradients, atol=1e-6)
    assert optimizer.clipped_fraction == 0


@every_kind
@pytest.mark.parametrize("limit", [1e-39, 1e-300, 1e39])
def test_limits_that_float32_cannot_hold_are_refused(kind, limit):
    with pytest.raises(ValueError, match=rf"`{kind}` must be .* > 0 in float32"):
        ClippedOptimizer(sgd(), **{kind: limit})


@sample_of_modes
@pytest.mark.parametrize("limit", [1e38, 3e38])
def test_limits_whose_reciprocals_underflow_clip_nothing(kind, limit, mode):
    gradients, weights = random_arrays(0), random_arrays(1)
    optimizer = ClippedOptimizer(sgd(), **{kind: limit})
    assert_close(applied(optimizer, gradients, weights, mode), gradients, atol=1e-6)


@every_mode
def test_a_schedule_of_the_limit_counts_updates_that_are_made(mode):
    """Batches that accumulate, and updates that are skipped, are none."""
    optimizer = ClippedOptimizer(
        sgd(),
        global_clipnorm=decaying(),
        nonfinite="skip",
        gradient_accumulation_steps=2,
    )
    norms = [9, 9, np.nan, 9, 9, 9, 9, 9, 9, 9]
    made = [0, 3, 0, 0, 0, 3, 0, 1, 0, 0.5]
    assert_close([applied_norms(optimizer, norms, mode)], [made])


def percentile_oracle(norms, percentile, window, min_updates):
    """The norms of the updates: each at most the percentile of the latest norms."""
    expected = []
    for number, norm in enumerate(norms, start=1):
        latest = norms[max(0, number - window) : number]
        limit = numpy_reference.nearest_rank_percentile(latest, percentile)
        expected.append(norm if number <= min_updates else min(norm, limit))
    return expected


@pytest.mark.parametrize(
    ("percentile", "window", "min_updates"),
    [(90, 10, 10), (50, 4, 2), (33.3, 7, 0), (100, 5, 3), (0.5, 6, 1), (90, 1, 0)],
)
def test_a_percentile_is_numpys_nearest_rank_of_the_latest_norms(
    percentile, window, min_updates
):
    norms = list(np.random.default_rng(0).lognormal(size=25))
    limit = PercentileLimit(percentile, window, min_updates)
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=limit)
    expected = percentile_oracle(norms, percentile, window, min_updates)
    assert_close([applied_norms(optimizer, norms)], [expected])
    clipped = np.mean(np.array(expected) < norms)
    assert optimizer.clipped_fraction == pytest.approx(clipped)


@pytest.mark.parametrize("min_updates", [0, 1, 4])
def test_nothing_is_clipped_in_the_first_updates_of_a_percentile(min_updates):
    """Each norm is above the median of those so far."""
    limit = PercentileLimit(50, window=100, min_updates=min_updates)
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=limit)
    norms = [1, 2, 3, 4, 5, 6]
    medians = [1, 1, 2, 2, 3, 3]
    expected = norms[:min_updates] + medians[min_updates:]
    assert_close([applied_norms(optimizer, norms)], [expected])


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_a_percentile_is_the_same_in_a_compiled_step(mode):
    norms = list(np.random.default_rng(1).lognormal(size=20))
    optimizer = ClippedOptimizer(sgd(), global_clipnorm=PercentileLimit(60, 6, 3))
    expected = percentile_oracle(norms, 60, 6, 3)
    assert_close([applied_norms(optimizer, norms, mode)], [expected])


def test_norms_that_are_not_finite_do_not_count_for_a_percentile():
    norms = [4.0, 1.0, 3.0, 2.0, 8.0, 5.0]
    broken = [4.0, np.nan, 1.0, 3.0, np.inf, 2.0, 8.0, 5.0]
    expected = percentile_oracle(norms, 50, 3, 2)
    expected[1:1], expected[4:4] = [0.0], [0.0]
    optimizer = ClippedOptimizer(
        sgd(), global_clipnorm=PercentileLimit(50, 3, 2), nonfinite="skip"
    )
    assert_close([applied_norms(optimizer, broken)], [expected])


@pytest.mark.parametrize("min_updates", [0, 3])
def test_gradients_of_zeros_stay_zeros_under_a_percentile(min_updates):
    norms = [0, 0, 0, 0, 0, 2.0]
    optimizer = ClippedOptimizer(
        sgd(), global_clipnorm=PercentileLimit(50, 10, min_updates)
    )
    assert_close([applied_norms(optimizer, norms)], [norms])


def test_a_percentile_is_for_the_global_norm_alone():
    with pytest.raises(ValueError, match=r"give it as `global_clipnorm`.*clipnorm="):
        ClippedOptimizer(sgd(), clipnorm=PercentileLimit())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"percentile": 0}, ValueError, "`percentile` must be a finite number > 0"),
        ({"percentile": 101}, ValueError, "and <= 100, in percent"),
        (
            {"percentile": "90"},
            TypeError,
            "`percentile` must be a Python or NumPy number",
        ),
        ({"window": 0}, ValueError, "`window` must be a whole number >= 1"),
        ({"window": 2.5}, ValueError, "`window` must be a whole number"),
        ({"min_updates": -1}, ValueError, "`min_updates` must be a whole number >= 0"),
        ({"min_updates": True}, TypeError, "`min_updates` must be a whole number"),
    ],
    ids=str,
)
def test_bad_arguments_of_a_percentile_are_refused(arguments, error, message):
    with pytest.raises(error, match=rf"{message}.*Received"):
        PercentileLimit(**arguments)


def test_the_config_of_a_percentile_holds_its_arguments():
    limit = PercentileLimit(75, window=20, min_updates=5)
    restored = PercentileLimit.from_config(limit.get_config())
    assert vars(restored) == {"percentile": 75.0, "window": 20, "min_updates": 5}


def test_the_percentile_is_the_90th_of_1000_norms_after_10_by_default():
    assert PercentileLimit().get_config() == {
        "percentile": 90.0,
        "window": 1000,
        "min_updates": 10,
    }


@pytest.mark.parametrize(("percentile", "expected"), [(90, 900), (99.9, 999), (0.1, 1)])
def test_of_1000_norms_the_nearest_rank_is_exact(percentile, expected):
    norms = np.random.default_rng(0).permutation(np.arange(1, 1001)).astype("float32")
    found = PercentileLimit(percentile).limit(
        np.float32(5), norms, keras.ops.array(1000)
    )
    assert float(found) == expected
