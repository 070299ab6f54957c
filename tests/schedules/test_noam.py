"""NoamSchedule against the paper's formula in float64."""

import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.schedules import CustomSchedule
from keras_tricks.schedules import NoamSchedule
from tests.ulps import ulps_from


def formula(steps, d_model, warmup_steps, scale=1.0):
    steps = np.asarray(steps, np.float64)
    return scale * d_model**-0.5 * np.minimum(steps**-0.5, steps * warmup_steps**-1.5)


@pytest.mark.parametrize(
    ("d_model", "warmup_steps", "scale"), [(128, 4000, 1), (512, 4000, 2.0), (7, 1, 1)]
)
@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_rates_are_within_2_ulp_of_float64_up_to_a_million_steps(
    d_model, warmup_steps, scale, jit_compile
):
    steps = np.arange(1, 10**6 + 1)
    schedule = NoamSchedule(d_model, warmup_steps, scale=scale)
    if jit_compile is not None:
        schedule = tf.function(schedule, jit_compile=jit_compile)
    rates = schedule(tf.constant(steps))
    exact = formula(steps, d_model, warmup_steps, scale)
    assert ulps_from(rates, exact).max() <= 2


def test_step_0_gives_0():
    assert float(NoamSchedule(512)(0)) == 0.0


def test_the_peak_is_at_the_end_of_the_warmup():
    rates = np.asarray(NoamSchedule(512, 100)(np.arange(1000)))
    assert rates.argmax() == 100


def test_custom_schedule_is_the_same_class():
    assert CustomSchedule is NoamSchedule


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"d_model": 0}, ValueError, "d_model"),
        ({"d_model": 2.5}, ValueError, "d_model"),
        ({"d_model": "512"}, TypeError, "d_model"),
        ({"d_model": True}, TypeError, "d_model"),
        ({"d_model": 512, "warmup_steps": 0}, ValueError, "warmup_steps"),
        ({"d_model": 512, "warmup_steps": -1}, ValueError, "warmup_steps"),
        ({"d_model": 512, "scale": 0}, ValueError, "scale"),
        ({"d_model": 512, "scale": float("nan")}, ValueError, "scale"),
        ({"d_model": 512, "scale": float("inf")}, ValueError, "scale"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, error, named):
    with pytest.raises(error, match=rf"`{named}` must be .* Received: {named}="):
        NoamSchedule(**arguments)
