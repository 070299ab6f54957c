"""Warmup over any schedule, in the three joins."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import Shifted
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay

decays = keras.optimizers.schedules
STEPS = np.arange(0, 130)


def exponential(step):
    """Keras's ExponentialDecay(0.1, 50, 0.5), in float64."""
    return 0.1 * 0.5 ** (np.asarray(step, np.float64) / 50)


def formula(steps, warmup_steps, *, start=0.0, power=1.0, join="shift"):
    if join == "multiply":
        peak = exponential(steps)
    else:
        peak = exponential(warmup_steps if join == "lower" else 0)
    warmup = start + (peak - start) * (steps / warmup_steps) ** power
    after = exponential(np.maximum(steps - warmup_steps, 0))
    if join != "shift":
        after = exponential(steps)
    return np.where(steps < warmup_steps, warmup, after)


@pytest.mark.parametrize("join", ["shift", "overlap", "lower", "multiply"])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("start", [0.0, 0.01])
def test_the_joins_are_those_of_the_formula(join, power, start):
    decay = decays.ExponentialDecay(0.1, 50, 0.5)
    schedule = Warmup(decay, 30, start=start, power=power, join=join)
    expected = formula(STEPS, 30, start=start, power=power, join=join)
    np.testing.assert_allclose(schedule(STEPS), expected, rtol=1e-6)


@pytest.mark.parametrize("join", ["overlap", "lower", "multiply"])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_over_a_decay_of_ours_it_is_warmup_polynomial_decay(join, power):
    apart = Warmup(WarmupPolynomialDecay(0.1, 100, power=power), 30, join=join)
    together = WarmupPolynomialDecay(0.1, 100, 30, power=power, join=join)
    np.testing.assert_array_equal(apart(STEPS), together(STEPS))


def test_shift_gives_the_decay_the_steps_that_are_left():
    apart = Warmup(WarmupPolynomialDecay(0.1, 70), 30)
    together = WarmupPolynomialDecay(0.1, 100, 30, join="shift")
    np.testing.assert_array_equal(apart(STEPS), together(STEPS))


def test_a_number_is_a_constant_rate():
    rates = Warmup(0.5, 10)(STEPS)
    np.testing.assert_allclose(rates, 0.5 * np.minimum(STEPS / 10, 1), rtol=1e-6)


def test_no_warmup_is_the_schedule_itself():
    decay = WarmupPolynomialDecay(0.1, 100)
    np.testing.assert_array_equal(Warmup(decay, 0)(STEPS), decay(STEPS))


def test_keras_decays_are_float32_under_float16(restore_floatx):
    keras.config.set_floatx("float16")
    rates = Warmup(decays.CosineDecay(0.1, 50), 30)(STEPS)
    assert keras.backend.standardize_dtype(rates.dtype) == "float32"


@pytest.fixture
def restore_floatx():
    before = keras.config.floatx()
    yield
    keras.config.set_floatx(before)


def test_it_survives_a_round_trip_with_what_it_holds():
    inner = Warmup(decays.CosineDecay(0.1, 50), 5, join="lower")
    schedule = Warmup(inner, 10, start=0.01, power=2.0)
    config = keras.saving.serialize_keras_object(schedule)
    restored = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(restored(STEPS), schedule(STEPS))


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ((lambda step: 0.1, 10), TypeError, "schedule"),
        ((None, 10), TypeError, "schedule"),
        ((-0.1, 10), ValueError, "schedule"),
        ((0.1, -1), ValueError, "warmup_steps"),
        ((0.1, 1.5), ValueError, "warmup_steps"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, error, named):
    with pytest.raises(error, match=rf"`{named}` must be .*Received: {named}="):
        Warmup(*arguments)


@pytest.mark.parametrize(
    ("keywords", "named"),
    [({"start": -1.0}, "start"), ({"power": 0}, "power"), ({"join": "hf"}, "join")],
)
def test_bad_keywords_are_named(keywords, named):
    with pytest.raises(ValueError, match=f"`{named}` must be"):
        Warmup(0.1, 10, **keywords)


ended = decays.PolynomialDecay(0.1, 10, 0.0)


def _named(value):
    """Returns a name that is the same in each process."""
    return str(value) if isinstance(value, str | int) else type(value).__name__


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "join"),
    [
        (ended, 10, "lower"),
        (ended, 20, "lower"),
        (decays.CosineDecay(0.1, 30), 30, "lower"),
        (WarmupPolynomialDecay(0.1, 100, cycle=True), 200, "lower"),
        (ended, 11, "overlap"),
        (ended, 1000, "overlap"),
        (NoamSchedule(512), 100, "shift"),
        (Shifted(WarmupPolynomialDecay(0.1, 10), 10), 5, "shift"),
        (WarmupPolynomialDecay(0.1, 100, 10), 10, "shift"),
        (WarmupPolynomialDecay(0.1, 100, 10), 50, "overlap"),
        (ended, 11, "multiply"),
        (decays.CosineDecay(0.0, 30, warmup_target=0.1, warmup_steps=5), 9, "shift"),
    ],
    ids=_named,
)
def test_warmups_to_or_into_a_rate_of_0_are_refused(schedule, warmup_steps, join):
    with pytest.raises(ValueError, match=r"`schedule` must have a rate > 0 .*Received"):
        Warmup(schedule, warmup_steps, join=join)


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "join"),
    [
        (ended, 9, "lower"),
        (ended, 10, "overlap"),
        (ended, 1000, "shift"),
        (WarmupPolynomialDecay(0.1, 100, cycle=True), 200, "overlap"),
        (WarmupPolynomialDecay(0.1, 100, 10), 5, "lower"),
        (Shifted(WarmupPolynomialDecay(0.1, 100, 10), 1), 50, "overlap"),
        (Shifted(NoamSchedule(512), 1), 100, "shift"),
        (decays.CosineDecay(0.0, 30, warmup_target=0.1, warmup_steps=5), 9, "lower"),
        (decays.PiecewiseConstantDecay([5], [0.1, 0.01]), 30, "overlap"),
        (ended, 10, "multiply"),
        (WarmupPolynomialDecay(0.1, 100, 10), 50, "multiply"),
    ],
    ids=_named,
)
def test_warmups_that_reach_a_rate_are_taken(schedule, warmup_steps, join):
    """As its last step has a rate, so has the warmup."""
    rate = float(Warmup(schedule, warmup_steps, join=join)(warmup_steps - 1))
    tops = {"lower": warmup_steps, "multiply": warmup_steps - 1}
    peak = schedule(tops.get(join, 0))
    expected = float(peak) * (warmup_steps - 1) / warmup_steps
    assert rate == pytest.approx(expected, rel=1e-5)


def test_a_rate_of_0_that_was_asked_for_is_taken():
    np.testing.assert_array_equal(Warmup(0.0, 10)(STEPS), np.zeros(len(STEPS)))


@pytest.mark.parametrize("join", ["shift", "overlap"])
def test_from_a_start_above_0_a_warmup_may_come_down_to_0(join):
    """Half-way from 0.2 to the schedule's 0 it is 0.1."""
    schedule = Warmup(WarmupPolynomialDecay(0.1, 100, 50), 20, start=0.2, join=join)
    assert float(schedule(10)) == pytest.approx(0.1)


def test_a_warmup_can_be_made_within_a_function_that_is_compiled():
    """Where no rate is a number yet."""

    @tf.function
    def rate(step):
        return Warmup(ended, 5)(step)

    assert float(rate(tf.constant(5))) == pytest.approx(0.1)
