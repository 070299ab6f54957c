"""Joined, PerUpdate and Shifted, over Keras's schedules and this package's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import keras_tricks.schedules
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import PowerDecay
from keras_tricks.schedules import Scaled
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules import nested
from keras_tricks.schedules import steps
from keras_tricks.schedules.compose import Joined
from keras_tricks.schedules.compose import PerUpdate
from keras_tricks.schedules.compose import Shifted
from keras_tricks.schedules.inverse_square_root import InverseSquareRoot


@keras.saving.register_keras_serializable(package="keras_tricks_tests")
class Counter(keras.optimizers.schedules.LearningRateSchedule):
    """Its rate is its step, so that a test sees which step it was given."""

    def __call__(self, step):
        return keras.ops.cast(step, "float32")

    def get_config(self):
        return {}


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """A user's schedule that returns one Python number whatever the step."""

    def __call__(self, step):
        return 0.25

    def get_config(self):
        return {}


class Unsavable(keras.optimizers.schedules.LearningRateSchedule):
    """The tutorials' class: without `get_config`."""

    def __call__(self, step):
        return keras.ops.cast(step, "float32")


@settings(max_examples=50, deadline=None)
@given(
    boundaries=st.lists(st.integers(1, 50), unique=True, max_size=5).map(sorted),
    steps=st.lists(st.integers(0, 60), min_size=1, max_size=20),
)
def test_joined_hands_each_schedule_the_steps_since_its_boundary(boundaries, steps):
    """Counted by hand: which boundaries are behind, and how long ago the last was."""
    joined = Joined([Counter() for _ in range(len(boundaries) + 1)], boundaries)
    expected = [
        step - max([0, *(b for b in boundaries if b <= step)]) for step in steps
    ]
    np.testing.assert_array_equal(joined(np.array(steps)), expected)


def test_joined_takes_keras_schedules_and_numbers():
    """0.1 falls linearly to 0 in the 4 steps from step 3 on, then it is 7."""
    decay = keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.0)
    joined = Joined([1, decay, 7.0], [3, 8])
    expected = [1, 1, 1, 0.1, 0.075, 0.05, 0.025, 0, 7, 7]
    np.testing.assert_allclose(joined(np.arange(10)), expected, atol=1e-8)
    one_by_one = [float(joined(step)) for step in range(10)]
    np.testing.assert_allclose(one_by_one, expected, atol=1e-8)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_rates_beyond_a_schedules_own_end_do_not_leak(jit_compile):
    """Under XLA Keras's decay is NaN at step 10, where it is no longer in use."""
    decay = keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.0, power=0.5)
    joined = tf.function(Joined([decay, 0.3], [10]), jit_compile=jit_compile)
    rates = joined(tf.range(8, 13)).numpy()
    np.testing.assert_allclose(
        rates, [0.2**0.5 * 0.1, 0.1**1.5, 0.3, 0.3, 0.3], rtol=1e-6
    )


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("boundary", [2**24 + 1, 2**31 - 1, 2**40 + 1])
def test_joined_boundaries_are_exact_at_large_steps(boundary, jit_compile):
    joined = tf.function(Joined([0.5, Counter()], [boundary]), jit_compile=jit_compile)
    steps = tf.constant([boundary + offset for offset in range(-2, 3)], tf.int64)
    np.testing.assert_array_equal(joined(steps), [0.5, 0.5, 0, 1, 2])


def test_a_constant_takes_the_shape_of_the_steps():
    for schedule in (
        Joined([0.25], []),
        Joined([Constant()], []),
        Shifted(Constant(), 1),
    ):
        for shape in ((), (3,), (2, 3)):
            rates = schedule(np.zeros(shape, "int64"))
            assert keras.backend.standardize_dtype(rates.dtype) == "float32"
            np.testing.assert_array_equal(rates, np.full(shape, 0.25, "float32"))


def test_rates_are_float32_when_keras_computes_in_another_floatx():
    before = keras.config.floatx()
    keras.config.set_floatx("float16")
    try:
        decay = keras.optimizers.schedules.PolynomialDecay(0.5, 4, 0.0)
        rates = Joined([decay, 0.25], [4])(np.arange(6))
    finally:
        keras.config.set_floatx(before)
    assert keras.backend.standardize_dtype(rates.dtype) == "float32"
    # Halves and eighths are exact in float16.
    np.testing.assert_array_equal(rates, [0.5, 0.375, 0.25, 0.125, 0.25, 0.25])


@pytest.mark.parametrize("k", [1, 3, 4])
def test_per_update_gives_each_update_one_step(k):
    schedule = PerUpdate(Counter(), k)
    expected = np.repeat(np.arange(5), k)
    np.testing.assert_array_equal(schedule(np.arange(5 * k)), expected)


def test_per_update_is_exact_at_large_steps():
    schedule = PerUpdate(Shifted(Counter(), -(2**40)), 3)
    steps = np.array([3 * 2**40 - 1, 3 * 2**40 + 2, 3 * 2**40 + 3])
    np.testing.assert_array_equal(schedule(steps), [0, 0, 1])


def test_k_accumulated_batches_move_the_weights_as_one_batch_k_times_as_large():
    """The run without accumulation, on batches of 4 x 2 rows, is the oracle."""
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    y = x.sum(axis=1, keepdims=True)

    def train(schedule, batch_size, accumulation):
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")]
        )
        optimizer = keras.optimizers.SGD(
            schedule, gradient_accumulation_steps=accumulation
        )
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
        return np.concatenate([w.ravel() for w in model.get_weights()])

    schedule = WarmupPolynomialDecay(0.3, 8, 3)
    whole = train(schedule, 8, None)
    np.testing.assert_allclose(
        train(PerUpdate(schedule, 4), 2, 4), whole, rtol=1e-5, atol=1e-6
    )
    assert np.abs(train(schedule, 2, 4) - whole).max() > 1e-3


@pytest.mark.parametrize("steps", [0, 1, 5, -1, -5])
def test_shifted_adds_to_the_step_and_stops_at_0(steps):
    expected = [max(step + steps, 0) for step in range(10)]
    np.testing.assert_array_equal(Shifted(Counter(), steps)(np.arange(10)), expected)


def test_shifted_counters_do_not_wrap_around_at_their_end():
    """Wrapped to a negative step, the rate would be that of step 0, which is 0."""
    largest = 2**63 - 1
    rates = Shifted(InverseSquareRoot(1.0, 1), 10)(np.array([largest - 11, largest]))
    np.testing.assert_allclose(rates, 2**-31.5, rtol=1e-6)


def test_under_jax_steps_are_exact_as_far_as_its_32_bits_go(run_shared):
    """Two steps from the end of the counter; a boundary beyond it is never reached."""
    printed = run_shared(
        """
        import jax
        import numpy as np
        from keras_tricks.schedules.compose import Joined, PerUpdate, Shifted
        first = 2**31 - 5
        for schedule in (
            Joined([1, 2], [first]),
            Shifted(Joined([1, 2], [first]), 1),
            Shifted(Joined([1, 2], [first - 1]), -1),
            Shifted(Joined([1, 2], [2**31 - 1]), 2**33),
            Shifted(Joined([1, 2], [5]), -(2**33)),
            PerUpdate(Joined([1, 2], [first // 3]), 3),
            PerUpdate(Joined([1, 2], [5]), 2**33),
            Joined([1, 2], [2**33]),
        ):
            steps = np.arange(first - 2, first + 3, dtype="int32")
            print(*np.asarray(jax.jit(schedule)(steps)).astype(int))
        """,
        backend="jax",
    )
    assert printed.splitlines() == [
        "1 1 2 2 2",
        "1 2 2 2 2",
        "1 1 2 2 2",
        "2 2 2 2 2",
        "1 1 1 1 1",
        "1 1 2 2 2",
        "1 1 1 1 1",
        "1 1 1 1 1",
    ]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Joined(
            [
                Shifted(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), 2),
                keras.optimizers.schedules.CosineDecay(0.2, 6),
                0.05,
            ],
            [4, 11],
        ),
        lambda: PerUpdate(Shifted(Joined([NoamSchedule(64, 4), 0.1], (9,)), -3), 2),
        lambda: Shifted(
            keras.optimizers.schedules.PiecewiseConstantDecay([3], [1, 2]), 1
        ),
    ],
)
def test_nested_schedules_come_back_from_a_file(build, tmp_path):
    """The rates, and the rates after a `.keras` file was written and read."""
    schedule = build()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    restored = loaded.optimizer._learning_rate
    assert type(restored) is type(schedule)
    steps = np.arange(30)
    np.testing.assert_array_equal(restored(steps), schedule(steps))
    assert len(set(np.asarray(schedule(steps)))) > 1


@pytest.mark.parametrize(
    "value",
    [
        lambda step: 0.1,
        NoamSchedule,
        tf.constant([0.1]),
        "0.1",
        None,
        True,
        Unsavable(),
    ],
    ids=["lambda", "class", "tensor", "string", "None", "bool", "without get_config"],
)
@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda value: Joined([0.1, value], [5]), r"schedules\[1\]"),
        (lambda value: PerUpdate(value, 4), "schedule"),
        (lambda value: Shifted(value, 4), "schedule"),
    ],
    ids=["Joined", "PerUpdate", "Shifted"],
)
def test_what_cannot_be_saved_is_refused(build, named, value):
    said = (
        rf"`{named}` must be .* Received: {named}=.* \(of type {type(value).__name__}"
    )
    with pytest.raises(TypeError, match=said):
        build(value)


@pytest.mark.parametrize(
    ("build", "error", "named"),
    [
        (lambda: Joined([0.1, -0.1], [5]), ValueError, r"schedules\[1\]"),
        (lambda: Joined([0.1, float("nan")], [5]), ValueError, r"schedules\[1\]"),
        (lambda: Joined(0.1, [5]), TypeError, "schedules"),
        (lambda: Joined([0.1, 0.2], 5), TypeError, "boundaries"),
        (lambda: Joined([0.1, 0.2], [0]), ValueError, r"boundaries\[0\]"),
        (lambda: Joined([0.1, 0.2], [2.5]), ValueError, r"boundaries\[0\]"),
        (lambda: Joined([0.1, 0.2], [None]), TypeError, r"boundaries\[0\]"),
        (lambda: Joined([0.1, 0.2], []), ValueError, "boundaries"),
        (lambda: Joined([], []), ValueError, "boundaries"),
        (lambda: Joined([0.1, 0.2, 0.3], [9, 5]), ValueError, "boundaries"),
        (lambda: Joined([0.1, 0.2, 0.3], [5, 5]), ValueError, "boundaries"),
        (lambda: PerUpdate(0.1, 0), ValueError, "gradient_accumulation_steps"),
        (lambda: PerUpdate(0.1, None), TypeError, "gradient_accumulation_steps"),
        (lambda: Shifted(0.1, 0.5), ValueError, "steps"),
        (lambda: Shifted(0.1, "1"), TypeError, "steps"),
        (lambda: Shifted(float("inf"), 1), ValueError, "schedule"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(build, error, named):
    with pytest.raises(error, match=rf"`{named}` must be .* Received: {named}="):
        build()


decays = keras.optimizers.schedules


@pytest.mark.parametrize(
    "schedule",
    [
        Warmup(decays.CosineDecay(0.1, 9), 5),
        Joined([decays.PiecewiseConstantDecay([5], [0.1, 0.2]), 0.1], [3]),
        PerUpdate(decays.CosineDecay(0.0, 9, warmup_target=0.1, warmup_steps=5), 4),
        Shifted(Warmup(decays.ExponentialDecay(0.1, 5, 0.5), 3), -2),
        Scaled(decays.CosineDecayRestarts(0.1, 5, alpha=0.2), 0.5),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_what_a_schedule_shows_makes_it_again(schedule):
    """Keras's schedules inside, too."""
    again = eval(repr(schedule), {**vars(decays), **vars(keras_tricks.schedules)})
    assert again.get_config() == schedule.get_config()


def test_of_keras_s_schedules_what_is_not_the_default_is_shown():
    schedule = Shifted(decays.CosineDecay(0.1, 9, alpha=0.5), 1)
    shown = "CosineDecay(initial_learning_rate=0.1, decay_steps=9, alpha=0.5)"
    assert repr(schedule) == f"Shifted(schedule={shown}, steps=1)"


@pytest.mark.parametrize(
    ("schedule", "shown"), [(Counter(), "Counter()"), (Unsavable(), "Unsavable(...)")]
)
def test_schedules_of_the_user_s_are_shown_as_far_as_they_tell(schedule, shown):
    optimizer = AdamWeightDecay(schedule)
    assert repr(optimizer).startswith(f"AdamWeightDecay(learning_rate={shown}, ")


@pytest.mark.parametrize("step", [2**40, np.int64(2**40), 2.0**40, -3])
def test_a_step_is_a_whole_number_of_64_bits_from_0(step):
    found = steps.as_step(step)
    assert keras.backend.standardize_dtype(found.dtype) == "int64"
    assert int(found) == max(0, int(step))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("schedule", [Constant(), Counter(), 0.5])
def test_a_child_has_a_rate_for_each_step(schedule, shape):
    step = steps.as_step(np.full(shape, 7))
    rate = nested.evaluate(schedule, step)
    expected = {Constant: 0.25, Counter: 7.0, float: 0.5}[type(schedule)]
    np.testing.assert_array_equal(np.asarray(rate), np.full(shape, expected, "float32"))


@pytest.mark.parametrize("rate", [0, 0.0, -1e-3])
def test_the_rate_before_a_power_decay_is_above_0(rate):
    with pytest.raises(ValueError, match="`pre_offset_learning_rate` must be"):
        PowerDecay(0.1, offset=3, pre_offset_learning_rate=rate)


def test_a_power_decay_has_the_rate_before_it_up_to_its_offset():
    """Steps since the offset count from 1: 0.1, then 0.1 / 2."""
    schedule = PowerDecay(0.1, -1.0, offset=3, pre_offset_learning_rate=0.5)
    rates = np.asarray(schedule(np.arange(6)))
    np.testing.assert_allclose(rates, [0.5, 0.5, 0.5, 0.5, 0.1, 0.05], rtol=1e-6)
