"""CyclicalSchedule against Smith's formulas, OneCycle against torch's, in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_tricks.schedules.cycles import CyclicalSchedule
from keras_tricks.schedules.cycles import OneCycle


def smith(iterations, base_lr, max_lr, stepsize, scale, gamma):
    """The paper's formulas, with its cycles counted from 1."""
    iterations = np.asarray(iterations, np.float64)
    cycle = np.floor(1 + iterations / (2 * stepsize))
    x = np.abs(iterations / stepsize - 2 * cycle + 1)
    factor = {
        "triangular": 1.0,
        "triangular2": 0.5 ** (cycle - 1),
        "exp_range": gamma**iterations,
    }[scale]
    return base_lr + (max_lr - base_lr) * np.maximum(0, 1 - x) * factor


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("scale", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize("step_size", [1, 7, 1000])
def test_cyclical_rates_are_smiths_within_4_ulp_of_the_top(
    step_size, scale, jit_compile
):
    arguments = (0.001, 0.3, step_size)
    schedule = CyclicalSchedule(*arguments, scale=scale)
    steps = np.arange(50_000)
    rates = tf.function(schedule, jit_compile=jit_compile)(tf.constant(steps)).numpy()
    error = rates - smith(steps, *arguments, scale, gamma=0.99994)
    assert np.abs(error).max() <= 4 * np.spacing(np.float32(0.3))


def test_gamma_close_to_1_keeps_its_digits():
    """In float32 this gamma is 1."""
    schedule = CyclicalSchedule(0.0, 1.0, 1, scale="exp_range", gamma=1 - 1e-9)
    rates = schedule(np.array([10**6 + 1, 10**9 + 1]))
    np.testing.assert_allclose(rates, [0.9990005, 0.3678794], rtol=3e-7)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("around", [2**24, 2**31 - 1, 2**40])
def test_positions_in_a_cycle_are_exact_at_large_steps(around, jit_compile):
    """The triangle, counted with Python's whole numbers."""
    steps = [around + offset for offset in range(-12, 13)]
    expected = [min(step % 10, 10 - step % 10) / 5 for step in steps]
    schedule = CyclicalSchedule(0.0, 1.0, 5)
    compiled = tf.function(schedule, jit_compile=jit_compile)
    rates = compiled(tf.constant(steps, tf.int64))
    np.testing.assert_allclose(rates, expected, atol=2e-7)


@settings(max_examples=100, deadline=None)
@given(
    low=st.floats(0, 1, width=16),
    high=st.floats(0, 1, width=16),
    step_size=st.integers(1, 2**31),
    scale=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    gamma=st.floats(float(np.finfo("float32").tiny), 1),
    steps=st.lists(st.integers(0, 2**62), min_size=1, max_size=20),
)
def test_cyclical_rates_stay_between_the_two_rates(
    low, high, step_size, scale, gamma, steps
):
    low, high = min(low, high), max(low, high)
    schedule = CyclicalSchedule(low, high, step_size, scale=scale, gamma=gamma)
    rates = schedule(np.array([0, step_size, 2 * step_size, *steps])).numpy()
    assert (rates >= np.float32(low)).all()
    assert (rates <= np.float32(high)).all()
    assert rates[0] == rates[2] == np.float32(low)


def torch_one_cycle(
    step_num,
    max_lr,
    total_steps,
    pct_start=0.3,
    div_factor=25.0,
    final_div_factor=1e4,
    anneal="cosine",
    three_phase=False,
):
    """`get_lr` of `OneCycleLR`: walks through the phases to that of the step."""
    initial_lr = max_lr / div_factor
    min_lr = initial_lr / final_div_factor
    if three_phase:
        phases = [
            (pct_start * total_steps - 1, initial_lr, max_lr),
            (2 * pct_start * total_steps - 2, max_lr, initial_lr),
            (total_steps - 1, initial_lr, min_lr),
        ]
    else:
        phases = [
            (pct_start * total_steps - 1, initial_lr, max_lr),
            (total_steps - 1, max_lr, min_lr),
        ]
    start_step = 0.0
    for end_step, start_lr, end_lr in phases:
        if step_num <= end_step or end_step == total_steps - 1:
            pct = (step_num - start_step) / (end_step - start_step)
            if anneal == "linear":
                return (end_lr - start_lr) * pct + start_lr
            return end_lr + (start_lr - end_lr) / 2 * (math.cos(math.pi * pct) + 1)
        start_step = end_step


ONE_CYCLES = [
    {},
    {"warmup_fraction": 0.0},
    {"warmup_fraction": 0.25},
    {"warmup_fraction": 0.99},
    {"three_phase": True},
    {"three_phase": True, "warmup_fraction": 0.5},
    {"three_phase": True, "warmup_fraction": 0.0015},
    {"div_factor": 1.0, "final_div_factor": 1.0},
    {"div_factor": 4, "final_div_factor": 0.5},
]


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
@pytest.mark.parametrize("arguments", ONE_CYCLES, ids=str)
def test_one_cycle_rates_are_torchs_within_4_ulp_of_the_top(arguments, anneal):
    in_torch = {**arguments, "anneal": anneal}
    if "warmup_fraction" in arguments:
        in_torch["pct_start"] = in_torch.pop("warmup_fraction")
    for total_steps in (1, 3, 101, 1000):
        exact = [
            torch_one_cycle(step, 0.3, total_steps, **in_torch)
            for step in range(total_steps)
        ]
        schedule = OneCycle(0.3, total_steps, anneal=anneal, **arguments)
        error = schedule(np.arange(total_steps)).numpy() - exact
        assert np.abs(error).max() <= 4 * np.spacing(np.float32(0.3))


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
@pytest.mark.parametrize("total_steps", [10, 300, 500, 1000, 2000, 12345])
def test_under_xla_one_cycle_falls_to_its_exact_end_and_stays(total_steps, anneal):
    schedule = OneCycle(0.3, total_steps, anneal=anneal)
    steps = tf.range(total_steps + 3, dtype=tf.int64)
    rates = tf.function(schedule, jit_compile=True)(steps).numpy()
    exact = [
        torch_one_cycle(step, 0.3, total_steps, anneal=anneal)
        for step in range(total_steps)
    ]
    error = rates[:total_steps] - exact
    assert np.abs(error).max() <= 4 * np.spacing(np.float32(0.3))
    assert (np.diff(rates[rates.argmax() :]) <= 0).all()
    np.testing.assert_array_equal(rates[total_steps - 1 :], np.float32(0.3 / 25 / 1e4))


def test_one_cycle_under_jax_is_torchs(run_shared):
    printed = run_shared(
        """
        import jax
        import numpy as np
        from keras_tricks.schedules.cycles import OneCycle
        for total_steps in (10, 500, 12345):
            rates = jax.jit(OneCycle(0.3, total_steps))(np.arange(total_steps + 2))
            print(np.asarray(rates).tobytes().hex())
        """,
        backend="jax",
    )
    for total_steps, line in zip((10, 500, 12345), printed.splitlines(), strict=True):
        rates = np.frombuffer(bytes.fromhex(line), np.float32)
        exact = [torch_one_cycle(step, 0.3, total_steps) for step in range(total_steps)]
        error = np.abs(rates[:total_steps] - exact)
        assert error.max() <= 4 * np.spacing(np.float32(0.3))
        np.testing.assert_array_equal(rates[-3:], np.float32(0.3 / 25 / 1e4))


@pytest.mark.parametrize("total_steps", [2**25 + 2, 2**31 - 1])
def test_the_last_steps_of_a_very_long_one_cycle_are_told_apart(total_steps):
    """A float32 counter gives several of these steps one value."""
    schedule = OneCycle(1.0, total_steps, anneal="linear", final_div_factor=1e12)
    steps = total_steps - 1 + np.arange(-5, 1)
    exact = [
        torch_one_cycle(
            int(s), 1.0, total_steps, anneal="linear", final_div_factor=1e12
        )
        for s in steps
    ]
    np.testing.assert_allclose(schedule(steps), exact, rtol=1e-6, atol=1e-16)


@settings(max_examples=100, deadline=None)
@given(
    top=st.floats(1e-8, 10.0),
    total_steps=st.integers(1, 2**33),
    fraction=st.floats(0, 1, exclude_max=True),
    three_phase=st.booleans(),
    anneal=st.sampled_from(["cosine", "linear"]),
    steps=st.lists(st.integers(0, 2**34), min_size=1, max_size=20),
)
def test_one_cycle_rates_stay_between_the_final_rate_and_the_top(
    top, total_steps, fraction, three_phase, anneal, steps
):
    schedule = OneCycle(
        top,
        total_steps,
        warmup_fraction=fraction / 2 if three_phase else fraction,
        anneal=anneal,
        three_phase=three_phase,
    )
    rates = schedule(np.array([0, total_steps - 1, total_steps, *steps])).numpy()
    final = np.float32(top / 25 / 1e4)
    assert (rates >= final).all()
    assert (rates <= np.float32(top)).all()
    np.testing.assert_array_equal(rates[1:3], final)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    "schedule",
    [
        OneCycle(0.1, 300),
        CyclicalSchedule(0.0, 0.1, 50, scale="triangular2"),
        CyclicalSchedule(0.0, 0.1, 50, scale="exp_range", gamma=0.99),
    ],
    ids=["one cycle", "triangular2", "exp_range"],
)
def test_a_whole_run_in_one_call_gives_what_single_steps_give(schedule, graph):
    """TensorFlow's float32 sine and exponential differ between the two."""
    rates = tf.function(schedule) if graph else schedule
    steps = np.arange(302)
    one_by_one = [np.asarray(rates(tf.constant(step))) for step in steps]
    np.testing.assert_array_max_ulp(rates(tf.constant(steps)), one_by_one, maxulp=2)


def test_a_warmup_of_one_step_gives_that_step_the_top():
    """torch divides by 0 there: the warmup ends where it begins, at step 0."""
    schedule = OneCycle(0.5, 10, warmup_fraction=0.1)
    assert float(schedule(0)) == 0.5
    assert float(schedule(1)) == pytest.approx(
        torch_one_cycle(1, 0.5, 10, pct_start=0.1), rel=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"initial_learning_rate": -0.1}, ValueError, "initial_learning_rate"),
        ({"initial_learning_rate": None}, TypeError, "initial_learning_rate"),
        ({"maximal_learning_rate": 0.01}, ValueError, "maximal_learning_rate"),
        ({"maximal_learning_rate": float("nan")}, ValueError, "maximal_learning_rate"),
        ({"step_size": 0}, ValueError, "step_size"),
        ({"step_size": 1.5}, ValueError, "step_size"),
        ({"gamma": 0}, ValueError, "gamma"),
        ({"gamma": 1.1}, ValueError, "gamma"),
    ],
)
def test_bad_arguments_of_a_cycle_are_named(arguments, error, named):
    usable = {
        "initial_learning_rate": 0.1,
        "maximal_learning_rate": 0.5,
        "step_size": 10,
    }
    with pytest.raises(error, match=rf"`{named}` must be .*Received: {named}="):
        CyclicalSchedule(**{**usable, **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"max_learning_rate": 0.0}, ValueError, "max_learning_rate"),
        ({"max_learning_rate": tf.constant([0.1])}, TypeError, "max_learning_rate"),
        ({"total_steps": 0}, ValueError, "total_steps"),
        ({"total_steps": "100"}, TypeError, "total_steps"),
        ({"warmup_fraction": 1.0}, ValueError, "warmup_fraction"),
        ({"warmup_fraction": -0.1}, ValueError, "warmup_fraction"),
        (
            {"warmup_fraction": 0.6, "three_phase": True},
            ValueError,
            "warmup_fraction",
        ),
        ({"div_factor": 0.5}, ValueError, "div_factor"),
        ({"final_div_factor": 0}, ValueError, "final_div_factor"),
        ({"final_div_factor": 0.01}, ValueError, "final_div_factor"),
        ({"three_phase": 1}, TypeError, "three_phase"),
    ],
)
def test_bad_arguments_of_one_cycle_are_named(arguments, error, named):
    usable = {"max_learning_rate": 0.1, "total_steps": 100}
    with pytest.raises(error, match=rf"`{named}` must be .*Received: {named}="):
        OneCycle(**{**usable, **arguments})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CyclicalSchedule(0.1, 0.5, 10, scale="exp"), "'exp_range'.*'exp'"),
        (lambda: OneCycle(0.1, 10, anneal="cos"), "'cosine', 'linear'.*'cos'"),
    ],
)
def test_unknown_words_are_refused_with_the_known_ones(build, message):
    with pytest.raises(ValueError, match=message):
        build()
