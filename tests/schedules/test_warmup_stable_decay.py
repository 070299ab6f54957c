"""WarmupStableDecay against the papers' formulas in float64."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_tricks.schedules.warmup_stable_decay import WarmupStableDecay

TAILS = {
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + np.cos(np.pi * x)) / 2,
    "1-sqrt": lambda x: 1 - np.sqrt(x),
}


def formula(steps, peak, total, warmup, decay_steps, end, start, decay):
    steps = np.asarray(steps, np.float64)
    x = np.clip((steps - (total - decay_steps)) / decay_steps, 0, 1)
    rates = end + (peak - end) * TAILS[decay](x)
    climbing = start + (peak - start) * steps / max(warmup, 1)
    return np.where(steps < warmup, climbing, rates)


CONFIGURATIONS = [
    (1e-3, 1000, 100, 200, 0.0, 0.0),
    (0.3, 12345, 0, 12345, 0.003, 0.0),
    (1.0, 500, 499, 1, 0.1, 0.5),
]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("decay", TAILS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_rates_are_the_papers_within_4_ulp_of_the_peak(
    configuration, decay, jit_compile
):
    peak, total, warmup, decay_steps, end, start = configuration
    schedule = WarmupStableDecay(
        peak,
        total,
        warmup,
        decay_steps,
        end_learning_rate=end,
        decay=decay,
        start_learning_rate=start,
    )
    steps = np.arange(total + 100)
    rates = tf.function(schedule, jit_compile=jit_compile)(tf.constant(steps)).numpy()
    error = rates - formula(steps, *configuration, decay)
    assert np.abs(error).max() <= 4 * np.spacing(np.float32(peak))


def test_the_rates_of_a_run_by_hand():
    schedule = WarmupStableDecay(8.0, 20, 4, 4, decay="1-sqrt")
    expected = [0, 2, 4, 6, 8, 8, 8, 8, 4, 0]
    steps = [0, 1, 2, 3, 4, 10, 15, 16, 17, 20]
    np.testing.assert_array_equal(schedule(steps), expected)


@pytest.mark.parametrize("decay", TAILS)
def test_a_whole_run_in_one_call_gives_what_single_steps_give(decay):
    """TensorFlow's float32 sine differs between the two."""
    schedule = WarmupStableDecay(0.1, 300, 10, 290, decay=decay)
    steps = np.arange(302)
    one_by_one = [np.asarray(schedule(tf.constant(step))) for step in steps]
    np.testing.assert_array_max_ulp(schedule(steps), one_by_one, maxulp=2)


# Lengths at which Keras's PolynomialDecay ends in NaN or below 0 under XLA.
LENGTHS = [10, 300, 500, 1000, 2000, 12345]


@pytest.mark.parametrize("decay", TAILS)
@pytest.mark.parametrize("length", LENGTHS)
def test_a_decay_never_rises_and_ends_exactly_under_xla(length, decay):
    schedule = WarmupStableDecay(
        0.3, length, 0, length, end_learning_rate=0.1, decay=decay
    )
    rates = tf.function(schedule, jit_compile=True)(tf.range(length + 3)).numpy()
    assert rates[0] == np.float32(0.3)
    assert (np.diff(rates) <= 0).all()
    np.testing.assert_array_equal(rates[length:], np.float32(0.1))


def test_a_decay_never_rises_and_ends_exactly_under_jax(run_shared):
    printed = run_shared(
        f"""
        import jax
        import numpy as np
        from keras_tricks.schedules.warmup_stable_decay import WarmupStableDecay
        for length in {LENGTHS}:
            for decay in {list(TAILS)}:
                schedule = WarmupStableDecay(
                    0.3, length, 0, length, end_learning_rate=0.1, decay=decay)
                rates = np.asarray(jax.jit(schedule)(np.arange(length + 3)))
                assert rates.dtype == "float32"
                print(rates[0], (np.diff(rates) <= 0).all(), *set(rates[length:]))
        """,
        backend="jax",
    )
    expected = "0.3 True 0.1"
    assert printed.splitlines() == [expected] * len(LENGTHS) * len(TAILS)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_decay_starts_and_ends_at_its_steps_at_the_end_of_32_bits(jit_compile):
    """A float32 counter gives these six steps one value."""
    total = 2**31 - 1
    schedule = WarmupStableDecay(1.0, total, 2**24 + 1, 4)
    compiled = tf.function(schedule, jit_compile=jit_compile)
    rates = compiled(tf.constant(total + np.arange(-5, 2))).numpy()
    np.testing.assert_allclose(rates, [1, 1, 0.75, 0.5, 0.25, 0, 0], rtol=2e-7)
    np.testing.assert_array_equal(rates[-2:], 0.0)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_rates_stay_between_their_ends_and_are_the_peak_in_between(data):
    peak = data.draw(st.floats(1e-8, 10.0), "peak")
    end = peak * data.draw(st.floats(0, 1, width=16), "end / peak")
    start = peak * data.draw(st.floats(0, 1, width=16), "start / peak")
    warmup = data.draw(st.integers(0, 10**6), "warmup")
    stable = data.draw(st.integers(0, 2**40), "stable")
    decay_steps = data.draw(st.integers(1, 10**6), "decay")
    total = warmup + stable + decay_steps
    schedule = WarmupStableDecay(
        peak,
        total,
        warmup,
        decay_steps,
        end_learning_rate=end,
        start_learning_rate=start,
        decay=data.draw(st.sampled_from(list(TAILS)), "tail"),
    )
    near = np.arange(-20, 21)
    climb = schedule(np.unique(np.clip(warmup + near, 0, warmup))).numpy()
    flat = schedule(np.clip(warmup + stable + near, warmup, warmup + stable)).numpy()
    fall = schedule(np.clip(total - decay_steps + 10 * near, total - decay_steps, None))
    last = schedule([total - 1, total, total + 1, total + 2**40]).numpy()
    assert (np.diff(climb) >= 0).all()
    assert climb[0] >= np.float32(start)
    np.testing.assert_array_equal(flat, np.float32(peak))
    assert (np.diff(fall) <= 0).all()
    assert last[0] >= np.float32(end)
    np.testing.assert_array_equal(last[1:], np.float32(end))


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"peak_learning_rate": 0}, ValueError, "peak_learning_rate"),
        ({"peak_learning_rate": float("inf")}, ValueError, "peak_learning_rate"),
        ({"peak_learning_rate": "0.1"}, TypeError, "peak_learning_rate"),
        ({"total_steps": 0}, ValueError, "total_steps"),
        ({"total_steps": 10.5}, ValueError, "total_steps"),
        ({"warmup_steps": -1}, ValueError, "warmup_steps"),
        ({"decay_steps": 0}, ValueError, "decay_steps"),
        ({"decay_steps": None}, TypeError, "decay_steps"),
        ({"end_learning_rate": 0.2}, ValueError, "end_learning_rate"),
        ({"end_learning_rate": -0.1}, ValueError, "end_learning_rate"),
        ({"start_learning_rate": 0.2}, ValueError, "start_learning_rate"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, error, named):
    usable = {
        "peak_learning_rate": 0.1,
        "total_steps": 100,
        "warmup_steps": 10,
        "decay_steps": 20,
    }
    with pytest.raises(error, match=rf"`{named}` must be .*Received: {named}="):
        WarmupStableDecay(**{**usable, **arguments})


def test_a_warmup_and_a_decay_longer_than_the_run_are_refused():
    WarmupStableDecay(0.1, 100, 50, 50)
    with pytest.raises(ValueError, match=r"fit into `total_steps`.*warmup_steps=51, "):
        WarmupStableDecay(0.1, 100, 51, 50)


def test_an_unknown_decay_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'linear', 'cosine', '1-sqrt'.*'sqrt'"):
        WarmupStableDecay(0.1, 100, 10, 20, decay="sqrt")
