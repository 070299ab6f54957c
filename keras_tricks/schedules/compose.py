"""Schedules made from schedules: one after another, stretched, and moved."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _validation
from keras_tricks.schedules import nested
from keras_tricks.schedules import steps as step_arithmetic
from keras_tricks.schedules.base import Schedule


@keras.saving.register_keras_serializable(package="keras_tricks")
class Joined(Schedule):
    """Schedules one after another, each counting from the step it starts at.

    `rate(step) = schedules[i](step - boundaries[i - 1])` for
    `boundaries[i - 1] <= step < boundaries[i]`; the first starts at step 0 and the last
    never ends. This is optax's `join_schedules`.

    All schedules are evaluated at every step, and one of the rates is taken, so
    that a vector of steps works, under XLA too. Keras's `CosineDecay` with a
    `warmup_target` is the exception: it refuses vectors by itself.

    Args:
        schedules: At least one schedule: Keras's own, this package's, or numbers,
            which are constant rates.
        boundaries: The steps, in optimizer updates, at which the second and each
            further schedule starts: whole numbers >= 1, each above the one before it,
            one fewer than schedules.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If a schedule is neither a schedule nor a number, or cannot be saved,
            or a boundary is not a number.
        ValueError: If the boundaries are not increasing, or not one fewer than
            schedules.

    Example:

    >>> import keras
    >>> from keras_tricks.schedules import Joined
    >>> decay = keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.0)
    >>> schedule = Joined([0.01, decay, 0.001], boundaries=[5, 15])
    >>> [f"{rate:.3f}" for rate in schedule([0, 4, 5, 10, 15, 99]).numpy()]
    ['0.010', '0.010', '0.100', '0.050', '0.001', '0.001']
    """

    def __init__(
        self,
        schedules: Sequence[LearningRateSchedule | float],
        boundaries: Sequence[int],
    ):
        super().__init__()
        for name, value in (("schedules", schedules), ("boundaries", boundaries)):
            if not isinstance(value, list | tuple):
                raise TypeError(
                    f"`{name}` must be a list or a tuple. "
                    f"{_validation.received(name, value, True)}"
                )
        self.schedules = [
            nested.schedule(f"schedules[{number}]", value)
            for number, value in enumerate(schedules)
        ]
        self.boundaries = [
            _validation.check_int(f"boundaries[{number}]", value, minimum=1)
            for number, value in enumerate(boundaries)
        ]
        if len(self.boundaries) != len(self.schedules) - 1:
            raise ValueError(
                "`boundaries` must be one fewer than `schedules`. Received: "
                f"boundaries={boundaries!r} for {len(self.schedules)} schedules"
            )
        if any(b <= a for a, b in itertools.pairwise(self.boundaries)):
            raise ValueError(
                "`boundaries` must be strictly increasing. "
                f"{_validation.received('boundaries', boundaries)}"
            )

    def rate(self, step: Any) -> Any:
        rate = nested.evaluate(self.schedules[0], step)
        for start, schedule in zip(self.boundaries, self.schedules[1:], strict=True):
            first = step_arithmetic.count(start)
            since = ops.maximum(step - first, 0)
            rate = ops.where(step >= first, nested.evaluate(schedule, since), rate)
        return rate


@keras.saving.register_keras_serializable(package="keras_tricks")
class PerUpdate(Schedule):
    """A schedule that counts updates where Keras counts the batches accumulated.

    `rate(step) = schedule(step // gradient_accumulation_steps)`

    With `gradient_accumulation_steps=k` a Keras optimizer updates the weights after
    every `k` batches, but hands its schedule a step that grows with every batch, so
    that the schedule runs `k` times too fast. Wrapped, it gives the rates that it gives
    without accumulation on batches `k` times as large.

    Args:
        schedule: The schedule over updates: Keras's own, this package's, or a number,
            which is a constant rate.
        gradient_accumulation_steps: Batches of one update, >= 1; the optimizer's
            argument of the same name.

    Call arguments:
        step: Batches seen so far (`optimizer.iterations`), counted from 0; a scalar or
            an array of any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If `schedule` is neither a schedule nor a number, or cannot be saved,
            or `gradient_accumulation_steps` is not a number.
        ValueError: If `gradient_accumulation_steps` is out of its range.

    Example:

    >>> import keras
    >>> from keras_tricks.schedules import NoamSchedule, PerUpdate
    >>> schedule = NoamSchedule(d_model=512, warmup_steps=1000)
    >>> optimizer = keras.optimizers.Adam(
    ...     PerUpdate(schedule, 4), gradient_accumulation_steps=4)
    >>> bool(PerUpdate(schedule, 4)(403) == schedule(100))
    True
    """

    def __init__(
        self, schedule: LearningRateSchedule | float, gradient_accumulation_steps: int
    ):
        super().__init__()
        self.schedule = nested.schedule("schedule", schedule)
        self.gradient_accumulation_steps = _validation.check_int(
            "gradient_accumulation_steps", gradient_accumulation_steps, minimum=1
        )

    def rate(self, step: Any) -> Any:
        batches = step_arithmetic.count(self.gradient_accumulation_steps)
        return nested.evaluate(self.schedule, step // batches)


@keras.saving.register_keras_serializable(package="keras_tricks")
class Shifted(Schedule):
    """A schedule that is `steps` updates ahead.

    `rate(step) = schedule(max(step + steps, 0))`

    `Shifted(schedule, 1)` counts the first update as step 1, so that a warmup from 0
    does not waste it. `Shifted(schedule, done)` goes on with a schedule of which `done`
    updates were made by another optimizer. A negative number delays: the schedule
    stays at its step 0 for as many updates.

    Args:
        schedule: The schedule that is moved: Keras's own, this package's, or a number,
            which is a constant rate.
        steps: Optimizer updates by which it is ahead, a whole number.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If `schedule` is neither a schedule nor a number, or cannot be saved,
            or `steps` is not a number.
        ValueError: If `steps` is not whole.

    Example:

    >>> from keras_tricks.schedules import Shifted, WarmupPolynomialDecay
    >>> schedule = WarmupPolynomialDecay(0.1, decay_steps=100, warmup_steps=10)
    >>> [f"{float(s(0)):.2f}" for s in (schedule, Shifted(schedule, 1))]
    ['0.00', '0.01']
    """

    def __init__(self, schedule: LearningRateSchedule | float, steps: int):
        super().__init__()
        self.schedule = nested.schedule("schedule", schedule)
        self.steps = _validation.check_int("steps", steps, minimum=-(2**63))

    def rate(self, step: Any) -> Any:
        distance = step_arithmetic.count(abs(self.steps))
        if self.steps < 0:
            return nested.evaluate(self.schedule, ops.maximum(step - distance, 0))
        # A counter near its end stays there: it must not wrap around to step 0.
        largest = np.iinfo(keras.backend.standardize_dtype(step.dtype)).max
        step = ops.minimum(step, max(largest - self.steps, 0)) + distance
        return nested.evaluate(self.schedule, step)
