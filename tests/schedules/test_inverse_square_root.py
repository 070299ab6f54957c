"""InverseSquareRoot against fairseq's and T5's formulas in float64."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_tricks.schedules.inverse_square_root import InverseSquareRoot


def fairseq(num_updates, lr, warmup_updates, warmup_init_lr):
    """`inverse_sqrt`: a slope per update, then a factor over the square root."""
    lr_step = (lr - warmup_init_lr) / warmup_updates
    decay_factor = lr * warmup_updates**0.5
    return np.array(
        [
            warmup_init_lr + n * lr_step
            if n < warmup_updates
            else decay_factor * n**-0.5
            for n in np.asarray(num_updates, np.float64)
        ]
    )


CONFIGURATIONS = [
    (5e-4, 4000, 0.0),
    (5e-4, 4000, 1e-7),
    (1.0, 1, 0.5),
    (0.01, 777, 0.01),
]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_rates_are_fairseqs_within_3_ulp_of_the_peak(configuration, jit_compile):
    peak, warmup_steps, start = configuration
    schedule = InverseSquareRoot(peak, warmup_steps, start_learning_rate=start)
    compiled = tf.function(schedule, jit_compile=jit_compile)
    steps = np.arange(20_000)
    error = compiled(tf.constant(steps)).numpy() - fairseq(steps, *configuration)
    assert np.abs(error).max() <= 3 * np.spacing(np.float32(peak))


def test_the_decay_is_within_3_ulp_of_float64_as_far_as_the_counter_goes():
    steps = np.array([4000, 2**24 + 1, 2**31 - 1, 2**31, 2**40, 2**62])
    rates = InverseSquareRoot(5e-4, 4000)(steps).numpy()
    exact = fairseq(steps, 5e-4, 4000, 0.0)
    assert (np.abs(rates - exact) <= 3 * np.spacing(exact.astype("float32"))).all()


def test_a_start_at_the_peak_is_t5s_schedule():
    """T5's rate is the larger of step and warmup, to the power -1/2."""
    schedule = InverseSquareRoot(0.01, 10_000, start_learning_rate=0.01)
    steps = np.array([0, 1, 9_999, 10_000, 10_001, 250_000])
    expected = np.maximum(steps, 10_000) ** -0.5
    np.testing.assert_allclose(schedule(steps), expected, rtol=3e-7)


@settings(max_examples=50, deadline=None)
@given(
    peak=st.floats(1e-8, 10.0),
    warmup_steps=st.integers(1, 2**31 - 1),
    share=st.floats(0, 1, width=16),
)
def test_rates_rise_to_exactly_the_peak_and_then_fall(peak, warmup_steps, share):
    schedule = InverseSquareRoot(peak, warmup_steps, start_learning_rate=peak * share)
    joint = warmup_steps + np.arange(-20, 21)
    steps = np.unique(np.abs(np.concatenate([joint, joint // 2, joint * 3])))
    rates = schedule(steps).numpy()
    assert rates[steps == warmup_steps] == np.float32(peak)
    assert (np.diff(rates[steps <= warmup_steps]) >= 0).all()
    assert (np.diff(rates[steps >= warmup_steps]) <= 0).all()


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"peak_learning_rate": 0.0}, ValueError, "peak_learning_rate"),
        ({"peak_learning_rate": float("nan")}, ValueError, "peak_learning_rate"),
        ({"peak_learning_rate": tf.constant([0.1])}, TypeError, "peak_learning_rate"),
        ({"warmup_steps": 0}, ValueError, "warmup_steps"),
        ({"warmup_steps": 2.5}, ValueError, "warmup_steps"),
        ({"warmup_steps": None}, TypeError, "warmup_steps"),
        ({"start_learning_rate": -1.0}, ValueError, "start_learning_rate"),
        ({"start_learning_rate": 0.2}, ValueError, "start_learning_rate"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, error, named):
    with pytest.raises(error, match=rf"`{named}` must be .*Received: {named}="):
        InverseSquareRoot(
            **{"peak_learning_rate": 0.1, "warmup_steps": 10, **arguments}
        )
