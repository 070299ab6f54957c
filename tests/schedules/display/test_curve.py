"""`curve` against the schedule called step by step, and what `plot` draws."""

import gc
import importlib
import sys
import weakref

import keras
import matplotlib
import numpy as np
import pytest
from keras.optimizers.schedules import LearningRateSchedule
from matplotlib import pyplot as plt

from keras_tricks.schedules import NoamSchedule
from keras_tricks.schedules import Warmup
from keras_tricks.schedules import WarmupPolynomialDecay
from keras_tricks.schedules.display.curve import curve
from keras_tricks.schedules.display.curve import plot
from keras_tricks.schedules.scaled import Scaled
from tests.schedules import families

# The package offers a function of the module's name.
module = importlib.import_module("keras_tricks.schedules.display.curve")

RUN = families.RUN_STEPS + 5

KERAS = {
    "cosine": lambda: keras.optimizers.schedules.CosineDecay(0.1, RUN, alpha=0.1),
    "cosine with warmup": lambda: keras.optimizers.schedules.CosineDecay(
        0.0, 15, warmup_target=0.1, warmup_steps=5
    ),
    "restarts": lambda: keras.optimizers.schedules.CosineDecayRestarts(0.1, 5),
    "exponential": lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
    "inverse time": lambda: keras.optimizers.schedules.InverseTimeDecay(0.1, 3, 0.5),
    "piecewise": lambda: keras.optimizers.schedules.PiecewiseConstantDecay(
        [5, 10], [0.1, 0.01, 0.001]
    ),
    # XLA makes this one NaN at its end.
    "polynomial": lambda: keras.optimizers.schedules.PolynomialDecay(
        0.1, 10, power=0.5
    ),
    "cosine in a warmup": lambda: Warmup(
        keras.optimizers.schedules.CosineDecay(0.1, 20), 5
    ),
}


class Stepwise(LearningRateSchedule):
    """What users write: no config, and only for one step outside of a graph."""

    def __call__(self, step):
        return 0.1 if step < 5 else 0.01


class Constant(LearningRateSchedule):
    """Gives one rate for however many steps."""

    def __call__(self, step):
        return keras.ops.convert_to_tensor(0.25)

    def get_config(self):
        return {}


def one_by_one(schedule, steps):
    return np.array([float(schedule(int(step))) for step in steps], np.float32)


@pytest.fixture(params=["op by op", "compiled"])
def way(request, monkeypatch):
    """Both ways of `curve`; long runs alone are compiled otherwise."""
    if request.param == "compiled":
        monkeypatch.setattr(module, "_COMPILE_FROM", 1)
    return request.param


@pytest.mark.parametrize(
    "build",
    [build for _, build in families.BUILDERS],
    ids=[label for label, _ in families.BUILDERS],
)
def test_every_schedule_has_its_stepwise_rates_within_2_ulp(build, way):
    schedule = build()
    rates = curve(schedule, RUN)
    assert rates.dtype == np.float32
    np.testing.assert_array_max_ulp(rates, one_by_one(schedule, range(RUN)), maxulp=2)


@pytest.mark.parametrize("build", KERAS.values(), ids=KERAS)
def test_keras_schedules_have_their_stepwise_rates_within_2_ulp_of_the_largest(
    build, way
):
    """A cosine near its end is the small difference of two large numbers."""
    schedule = build()
    expected = one_by_one(schedule, range(RUN))
    tolerance = 2 * np.spacing(expected.max())
    np.testing.assert_allclose(curve(schedule, RUN), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("build", [Stepwise, Constant])
def test_schedules_that_take_one_step_only_are_asked_step_by_step(build, way):
    schedule = build()
    np.testing.assert_array_equal(curve(schedule, 9), one_by_one(schedule, range(9)))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("decay_steps", [200_000, 123_457])
def test_a_long_run_has_its_stepwise_rates_up_to_the_last_digit_of_its_end(
    power, decay_steps
):
    """Compiled carelessly, rates near the end are off by 100,000 ulp."""
    schedule = WarmupPolynomialDecay(0.1, decay_steps, 1000, power=power, join="shift")
    rates = curve(schedule, 200_001)
    last = range(decay_steps - 40, decay_steps + 1)
    some = np.array([*range(0, decay_steps, 4999), *last])
    np.testing.assert_array_max_ulp(rates[some], one_by_one(schedule, some), maxulp=2)
    assert rates[decay_steps] == 0.0
    assert (np.diff(rates[1000:]) <= 0).all()


def test_noam_is_the_formula_in_float64_within_2_ulp_over_a_million_steps():
    steps = np.arange(1, 10**6, dtype=np.float64)
    exact = 512**-0.5 * np.minimum(steps**-0.5, steps * 4000**-1.5)
    rates = curve(NoamSchedule(512), 10**6)
    np.testing.assert_array_max_ulp(rates[1:], exact.astype(np.float32), maxulp=2)


def test_a_number_is_a_constant_rate(way):
    np.testing.assert_array_equal(curve(0.5, 4), np.full(4, 0.5, np.float32))
    np.testing.assert_array_equal(curve(1, 2), np.ones(2, np.float32))


@pytest.mark.parametrize(
    "steps",
    [
        [0, 5, 7],
        (3,),
        range(2, 9, 3),
        np.arange(12).reshape(3, 4),
        np.array([1.0, 8.0]),
        np.array([], np.int64),
        np.array([2**24 + 1, 2**31 + 5]),
        keras.ops.convert_to_tensor([1, 2]),
    ],
    ids=str,
)
def test_steps_of_any_shape_give_rates_of_that_shape(steps):
    schedule = WarmupPolynomialDecay(1.0, 2**31 + 9, 4)
    rates = curve(schedule, steps)
    steps = np.asarray(steps)
    assert rates.shape == steps.shape
    np.testing.assert_array_equal(rates.ravel(), one_by_one(schedule, steps.ravel()))


def test_many_steps_are_evaluated_in_parts(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)
    schedule = WarmupPolynomialDecay(1.0, 10)
    np.testing.assert_array_equal(curve(schedule, 11), one_by_one(schedule, range(11)))


def test_rates_are_read_only(way):
    """They may be a view of the backend's memory."""
    with pytest.raises(ValueError, match="read-only"):
        curve(NoamSchedule(8), 3)[0] = 1.0


def test_rates_outlive_the_next_call(way):
    schedule = WarmupPolynomialDecay(1.0, 1000)
    first = curve(schedule, 1000)
    expected = first.copy()
    for _ in range(3):
        curve(schedule, 1000)
    gc.collect()
    np.testing.assert_array_equal(first, expected)


def test_a_multiplier_is_read_and_not_frozen(way):
    schedule = Scaled(0.5)
    assert curve(schedule, 3).tolist() == [0.5, 0.5, 0.5]
    schedule.multiplier.assign(0.5)
    assert curve(schedule, 3).tolist() == [0.25, 0.25, 0.25]


def test_a_schedule_that_was_changed_gives_its_new_rates(way):
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    assert curve(schedule, 3).tolist() == [1.0, 0.75, 0.5]
    schedule.initial_learning_rate = 2.0
    assert curve(schedule, 3).tolist() == [2.0, 1.5, 1.0]
    assert curve(schedule, 5).tolist() == [2.0, 1.5, 1.0, 0.5, 0.0]


def test_a_compiled_program_does_not_keep_its_schedule(monkeypatch):
    monkeypatch.setattr(module, "_COMPILE_FROM", 1)
    schedule = NoamSchedule(8)
    curve(schedule, 3)
    reference = weakref.ref(schedule)
    del schedule
    gc.collect()
    assert reference() is None


def test_rates_under_jax_are_those_of_tensorflow(run_shared):
    printed = run_shared(
        """
        import keras
        from keras_tricks.schedules import WarmupPolynomialDecay
        from keras_tricks.schedules.display.curve import curve
        for schedule in (
            WarmupPolynomialDecay(0.1, 50, 10, power=0.5),
            keras.optimizers.schedules.CosineDecay(
                0.0, 30, warmup_target=0.1, warmup_steps=5
            ),
        ):
            print(curve(schedule, 60).tobytes().hex())
        """,
        backend="jax",
    )
    schedules = (
        WarmupPolynomialDecay(0.1, 50, 10, power=0.5),
        keras.optimizers.schedules.CosineDecay(
            0.0, 30, warmup_target=0.1, warmup_steps=5
        ),
    )
    for schedule, line in zip(schedules, printed.splitlines(), strict=True):
        under_jax = np.frombuffer(bytes.fromhex(line), np.float32)
        expected = one_by_one(schedule, range(60))
        np.testing.assert_allclose(under_jax, expected, rtol=0, atol=2e-8)


@pytest.mark.parametrize(
    ("schedule", "steps", "error", "message"),
    [
        (lambda step: 0.1, 3, TypeError, "`schedule` must be .*Received: schedule=<fu"),
        ("cosine", 3, TypeError, "`schedule` must be .*Received: schedule='cosine'"),
        (None, 3, TypeError, "`schedule` must be .*Received: schedule=None"),
        (True, 3, TypeError, "`schedule` must be .*Received: schedule=True"),
        (-0.1, 3, ValueError, "`schedule` must be .*Received: schedule=-0.1"),
        (0.1, 0, ValueError, "`steps` must be a whole number >= 1. Received: steps=0"),
        (0.1, 2.5, ValueError, "`steps` must be .*Received: steps=2.5"),
        (0.1, True, TypeError, "`steps` must be .*Received: steps=True"),
        (0.1, "10", TypeError, "`steps` must be .*Received: steps='10'"),
        (0.1, None, TypeError, "`steps` must be .*Received: steps=None"),
        (0.1, [0.5, 1], TypeError, "`steps` must be .*Received: steps=.0.5, 1"),
        (0.1, [1, np.nan], TypeError, "`steps` must be .*Received: steps=.1, nan"),
        (0.1, [True], TypeError, "`steps` must be .*Received: steps=.True"),
        (0.1, [3, -2], ValueError, "`steps` must be 0 or more. .* at -2"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(
    schedule, steps, error, message
):
    with pytest.raises(error, match=message):
        curve(schedule, steps)


def test_a_broken_schedule_raises_its_own_error(way):
    class Broken(LearningRateSchedule):
        def __call__(self, step):
            raise ZeroDivisionError("mine")

        def get_config(self):
            return {}

    with pytest.raises(ZeroDivisionError, match="mine"):
        curve(Broken(), 3)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_plot_draws_each_curve_under_its_label_and_names_the_axes():
    schedules = {"bert": WarmupPolynomialDecay(1.0, 20, 5), "constant": 0.5}
    ax = plot(schedules, 30)
    assert ax.get_xlabel() == "step (optimizer updates)"
    assert ax.get_ylabel() == "learning rate"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(schedules)
    for line, schedule in zip(ax.get_lines(), schedules.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(30))
        np.testing.assert_array_equal(line.get_ydata(), curve(schedule, 30))


def test_plot_takes_one_schedule_or_a_list_and_steps_of_its_own():
    ax = plot(NoamSchedule(8), range(10, 20))
    assert ax.get_legend() is None
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), np.arange(10, 20))
    ax = plot([NoamSchedule(8), 0.5, NoamSchedule(16)], 5)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["NoamSchedule", "0.5", "NoamSchedule (2)"]


@pytest.mark.parametrize(("log_scale", "scale"), [(False, "linear"), (True, "log")])
def test_the_scale_is_logarithmic_on_request(log_scale, scale):
    """The first rate is 0 and has no place on a logarithmic scale."""
    ax = plot(NoamSchedule(8), 5, log_scale=log_scale)
    assert ax.get_yscale() == scale
    ax.figure.canvas.draw()


def test_plot_draws_on_the_axes_that_it_is_given():
    figure, (left, right) = plt.subplots(1, 2)
    assert plot(0.1, 5, ax=right) is right
    assert plt.get_fignums() == [figure.number]
    assert not left.get_lines()


def test_plot_shows_nothing_and_leaves_the_backend_alone(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: shown.append(args))
    before = matplotlib.get_backend()
    plot(0.1, 5)
    assert shown == []
    assert matplotlib.get_backend() == before


def test_without_matplotlib_it_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="python -m pip install matplotlib"):
        plot(0.1, 5)


@pytest.mark.parametrize(
    ("schedules", "steps", "options", "error", "message"),
    [
        ({}, 5, {}, ValueError, "at least one schedule. Received: schedules={}"),
        ([], 5, {}, ValueError, r"at least one schedule. Received: schedules=\[\]"),
        ({"a": None}, 5, {}, TypeError, "`schedules` must be .*None"),
        (["cosine"], 5, {}, TypeError, "`schedules` must be .*'cosine'"),
        ("cosine", 5, {}, TypeError, "`schedules` must be .*'cosine'"),
        (lambda step: 0.1, 5, {}, TypeError, "`schedules` must be .*<function"),
        ({1: 0.1}, 5, {}, TypeError, "Labels must be strings. Received: 1"),
        (0.1, [[1, 2]], {}, ValueError, r"`steps` must be .*shape \(1, 2\)"),
        (0.1, [], {}, ValueError, r"`steps` must be .*shape \(0,\)"),
        (0.1, 0, {}, ValueError, "`steps` must be .*Received: steps=0"),
        (0.1, 5, {"log_scale": 1}, TypeError, "`log_scale` must be .*Received"),
        (0.0, 5, {"log_scale": True}, ValueError, "needs a rate above 0.*'0.0'"),
        (0.1, 5, {"ax": "left"}, TypeError, "`ax` must be .*Received: ax='left'"),
    ],
)
def test_plot_names_what_is_wrong(schedules, steps, options, error, message):
    with pytest.raises(error, match=message):
        plot(schedules, steps, **options)
    assert plt.get_fignums() == []


def test_schedules_of_one_class_are_numbered():
    ax = plot([NoamSchedule(8), NoamSchedule(16), NoamSchedule(32)], 5)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["NoamSchedule", "NoamSchedule (2)", "NoamSchedule (3)"]
    plt.close(ax.figure)
