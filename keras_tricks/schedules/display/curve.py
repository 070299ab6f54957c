"""The rates of a whole run at once, as an array and as a picture."""

from __future__ import annotations

import numbers
import weakref
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks.schedules.base import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Compiling takes as long as evaluating some millions of steps op by op, so that it
# pays for long curves that are asked for again.
_COMPILE_FROM = 2**17

# Op by op, so many steps at once: each op is long enough to hide its start, and its
# results take a few megabytes.
_CHUNK = 2**20

# Schedule -> (its state, the program compiled for it).
_programs: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def curve(
    schedule: LearningRateSchedule | float, steps: int | np.ndarray | Iterable[int]
) -> np.ndarray:
    """Evaluates a schedule at every step of a run in one call.

    The rates are those that calling `schedule` step by step gives, within 2 ulp of the
    largest rate. On TensorFlow, schedules of this package are compiled with XLA when a
    run of 131,072 steps or more is first asked for. A schedule that takes no vector of
    steps (Keras's `CosineDecay` with `warmup_target`) is looped over, which takes
    microseconds a step.

    Args:
        schedule: Any Keras schedule, or a number for a constant rate.
        steps: How many steps, which are then `0, 1, ..., steps - 1`, or the steps
            themselves as an array of any shape: optimizer updates, counted from 0.

    Returns:
        float32 NumPy array, read-only, of length `steps` or of the shape of `steps`.

    Raises:
        TypeError: If `schedule` is no schedule, or `steps` neither a number nor an
            array of whole numbers.
        ValueError: If `steps` is a number below 1 or holds a negative step.

    Example:

    >>> from keras_tricks.schedules import WarmupPolynomialDecay, curve
    >>> rates = curve(WarmupPolynomialDecay(1.0, 10, warmup_steps=4, join="shift"), 11)
    >>> [f"{rate:.2f}" for rate in rates[:7]]
    ['0.00', '0.25', '0.50', '0.75', '1.00', '0.83', '0.67']
    """
    schedule = _checked_schedule(schedule)
    if isinstance(steps, numbers.Real):
        count = _validation.check_int("steps", steps, minimum=1)
        if _COMPILE_FROM <= count < 2**31:
            program = _program(schedule, count)
            if program is not None:
                return program()
        steps = np.arange(count)
    steps = _checked_steps(steps)
    rates = np.empty(steps.shape, np.float32)
    flat, flat_rates = steps.reshape(-1), rates.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        flat_rates[part] = _evaluate(schedule, flat[part])
    rates.flags.writeable = False
    return rates


def plot(
    schedules: Mapping[str, LearningRateSchedule | float]
    | Iterable[LearningRateSchedule | float]
    | LearningRateSchedule
    | float,
    steps: int | np.ndarray | Iterable[int],
    *,
    log_scale: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draws the rates of one or several schedules over the steps of a run.

    Args:
        schedules: A schedule, several, or a dictionary from labels to schedules. A
            number stands for a constant rate.
        steps: As in `curve`, in one dimension.
        log_scale: Whether rates are drawn on a logarithmic scale, on which rates of 0
            are left out.
        ax: The matplotlib `Axes` to draw on; by default those of a new figure.

    Returns:
        The `Axes`. Nothing is shown or saved.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `schedules` holds what is no schedule, or `ax` is no `Axes`.
        ValueError: If there is no schedule, `steps` is unusable or of more than one
            dimension, or no rate is above 0 with `log_scale`.

    Example:

    >>> import matplotlib
    >>> matplotlib.use("Agg")  # draw to files only
    >>> from keras_tricks.schedules import NoamSchedule, plot
    >>> ax = plot({"base": NoamSchedule(512), "big": NoamSchedule(1024)}, 20_000)
    >>> ax.get_xlabel(), [text.get_text() for text in ax.get_legend().get_texts()]
    ('step (optimizer updates)', ['base', 'big'])
    >>> ax.figure.savefig("schedules.png")  # doctest: +SKIP
    """
    labelled = _labelled(schedules)
    log_scale = _validation.check_flag("log_scale", log_scale)
    if isinstance(steps, numbers.Real):
        drawn_steps = np.arange(_validation.check_int("steps", steps, minimum=1))
    else:
        drawn_steps = steps = _checked_steps(steps)
    if drawn_steps.ndim != 1 or not drawn_steps.size:
        raise ValueError(
            "`steps` must be a number of steps or a vector of at least one. "
            f"Received: steps of shape {drawn_steps.shape}"
        )
    rates = {label: curve(schedule, steps) for label, schedule in labelled.items()}
    if log_scale and not all((r > 0).any() for r in rates.values()):
        label = next(label for label, r in rates.items() if not (r > 0).any())
        raise ValueError(
            "A logarithmic scale needs a rate above 0. "
            f"Received: log_scale=True and only rates of 0 from {label!r}"
        )
    ax = _plotting.axes(ax)
    for label, values in rates.items():
        ax.plot(drawn_steps, values, label=label)
    ax.set_xlabel("step (optimizer updates)")
    ax.set_ylabel("learning rate")
    if log_scale:
        ax.set_yscale("log", nonpositive="mask")
    ax.grid(True, alpha=0.3)
    if len(rates) > 1 or isinstance(schedules, Mapping):
        ax.legend()
    return ax


def _checked_schedule(
    schedule: Any, name: str = "schedule"
) -> LearningRateSchedule | float:
    if isinstance(schedule, LearningRateSchedule):
        return schedule
    if _validation.is_number(_validation.plain(schedule)):
        return _validation.check_float(name, schedule)
    raise TypeError(
        f"`{name}` must be a `keras.optimizers.schedules.LearningRateSchedule` or a "
        f"number. {_validation.received(name, schedule, True)}"
    )


def _checked_steps(steps: Any) -> np.ndarray:
    if isinstance(steps, range):
        steps = np.arange(steps.start, steps.stop, steps.step)
    array = np.asarray(steps)
    if array.dtype.kind == "f" and np.all(array == np.floor(array)):
        # Whole floats, 1e4 say, as NumPy's linspace and arange give them.
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(
            "`steps` must be a whole number or an array of whole numbers. "
            f"{_validation.received('steps', steps, True)}"
        )
    if array.size and array.min() < 0:
        raise ValueError(
            f"`steps` must be 0 or more. Received: steps that begin at {array.min()}"
        )
    return array


def _evaluate(schedule: LearningRateSchedule | float, steps: np.ndarray) -> np.ndarray:
    """Returns the rates of a vector of steps without XLA."""
    if not isinstance(schedule, LearningRateSchedule):
        return np.full(steps.shape, schedule, np.float32)
    steps = ops.convert_to_tensor(steps, dtype=keras.backend.standardize_dtype("int"))
    for evaluate in (_at_once, _in_a_loop):
        try:
            rates = evaluate(schedule, steps)
        except Exception:
            # Each backend has its own error for a condition on a vector, or on what is
            # not known yet. A broken schedule fails again, for one step, below.
            continue
        # It may also have taken the vector for one step.
        if rates.shape == tuple(steps.shape):
            return rates
    return np.array([float(schedule(step)) for step in steps], np.float32)


def _at_once(schedule: LearningRateSchedule, steps: Any) -> np.ndarray:
    return ops.convert_to_numpy(schedule(steps))


def _in_a_loop(schedule: LearningRateSchedule, steps: Any) -> np.ndarray:
    def loop(steps: Any) -> Any:
        return ops.map(lambda step: ops.cast(schedule(step), "float32"), steps)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        loop = tf.function(loop, autograph=False)
    return ops.convert_to_numpy(loop(steps))


def _program(
    schedule: LearningRateSchedule | float, count: int
) -> Callable[[], np.ndarray] | None:
    """Returns the compiled program of a schedule, or `None` if it shall have none."""
    # Compiled by XLA, Keras's own lose digits that ours do not.
    if keras.backend.backend() != "tensorflow" or not isinstance(schedule, Schedule):
        return None
    # A schedule that was changed since needs a new program.
    state = count, repr(schedule.get_config())
    known_state, program = _programs.get(schedule, (None, None))
    if known_state != state:
        program = _compile(schedule, count)
        _programs[schedule] = state, program
    return program


def _compile(schedule: Schedule, count: int) -> Callable[[], np.ndarray] | None:
    """Returns a function that gives the rates of the steps 0 to `count - 1`.

    XLA makes one pass over the steps of what takes a dozen op by op.
    """
    import tensorflow as tf

    # The program must not keep the schedule, its key, alive.
    rate_of = weakref.proxy(schedule)

    @tf.function(autograph=False, jit_compile=True)
    def rates_of_run() -> tf.Tensor:
        # Counted in 32 bits, which a CPU converts to floats several at a time.
        return rate_of(tf.cast(tf.range(count, dtype=tf.int32), tf.int64))

    try:
        program = rates_of_run.get_concrete_function()
    except Exception:
        return None  # A child takes no vectors; it is looped over.
    # `.numpy()` would copy; a view of the tensor's memory keeps it alive.
    return lambda: np.asarray(memoryview(program()))


def _labelled(schedules: Any) -> dict[str, LearningRateSchedule | float]:
    """Returns label -> schedule, with labels made up where none are given."""
    if isinstance(schedules, Mapping):
        labelled = dict(schedules)
        for label in labelled:
            if not isinstance(label, str):
                raise TypeError(f"Labels must be strings. Received: {label!r}")
    else:
        if isinstance(schedules, LearningRateSchedule | numbers.Real):
            schedules = [schedules]
        elif (
            isinstance(schedules, str)
            or not isinstance(schedules, Iterable)
            or getattr(schedules, "shape", None) == ()
        ):
            _checked_schedule(schedules, "schedules")
        labelled = {}
        for schedule in schedules:
            name = (
                type(schedule).__name__
                if isinstance(schedule, LearningRateSchedule)
                else _validation.shown(schedule)
            )
            same = sum(label.split(" ")[0] == name for label in labelled)
            labelled[f"{name} ({same + 1})" if same else name] = schedule
    if not labelled:
        raise ValueError(
            "`schedules` must hold at least one schedule. "
            f"{_validation.received('schedules', schedules)}"
        )
    return {
        label: _checked_schedule(value, "schedules")
        for label, value in labelled.items()
    }
