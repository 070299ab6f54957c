"""Schedules that rise and fall: Smith's cyclical rates and the one-cycle policy."""

import math
from typing import Any
from typing import Literal
from typing import get_args

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules import numerics
from keras_tricks.schedules import run_length
from keras_tricks.schedules import steps
from keras_tricks.schedules.base import Schedule

Scale = Literal["triangular", "triangular2", "exp_range"]
SCALES = get_args(Scale)
Anneal = Literal["cosine", "linear"]
ANNEALS = get_args(Anneal)


@keras.saving.register_keras_serializable(package="keras_tricks")
class CyclicalSchedule(Schedule):
    """Smith's cyclical learning rate: up and down between two rates, for ever.

    A cycle climbs linearly for `step_size` updates and falls for as many. With
    `cycle = floor(step / (2 * step_size))`, counted from 0, and `height` the position
    on the triangle, from 0 at its foot to 1 at its top,

    `rate(step) = initial + (maximal - initial) * height * s`

    where `s` is 1 for `"triangular"`, `0.5**cycle` for `"triangular2"` and
    `gamma**step` for `"exp_range"`.

    Args:
        initial_learning_rate: The rate at the foot of each cycle, >= 0.
        maximal_learning_rate: The rate at the top, >= `initial_learning_rate`.
        step_size: Optimizer updates of half a cycle, >= 1; Smith advises 2 to 10
            epochs.
        scale: `"triangular"`, `"triangular2"` or `"exp_range"`.
        gamma: Factor of each update, above 0 and at most 1; only `"exp_range"` uses
            it.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If a number is not a number.
        ValueError: If a number is out of its range, or `scale` unknown.

    Example:

    >>> from keras_tricks.schedules import CyclicalSchedule
    >>> schedule = CyclicalSchedule(0.1, 0.5, step_size=2, scale="triangular2")
    >>> [f"{rate:.2f}" for rate in schedule(range(9)).numpy()]
    ['0.10', '0.30', '0.50', '0.30', '0.10', '0.20', '0.30', '0.20', '0.10']

    Reference:
        Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        maximal_learning_rate: float,
        step_size: int,
        *,
        scale: Scale = "triangular",
        gamma: float = 0.99994,
    ):
        super().__init__()
        self.initial_learning_rate = _validation.check_float(
            "initial_learning_rate", initial_learning_rate
        )
        self.maximal_learning_rate = _validation.check_float(
            "maximal_learning_rate", maximal_learning_rate
        )
        if self.maximal_learning_rate < self.initial_learning_rate:
            raise ValueError(
                "`maximal_learning_rate` must be at least `initial_learning_rate`. "
                f"Received: maximal_learning_rate={maximal_learning_rate!r}, "
                f"initial_learning_rate={initial_learning_rate!r}"
            )
        self.step_size = _validation.check_int("step_size", step_size, minimum=1)
        self.scale = _validation.check_choice("scale", scale, SCALES)
        self.gamma = _validation.check_float(
            "gamma", gamma, exclusive=True, maximum=1, hint=", or the rates grow"
        )

    def rate(self, step: Any) -> Any:
        half, whole = steps.count(self.step_size), steps.count(2 * self.step_size)
        cycle = step // whole
        from_top = ops.abs(step - cycle * whole - half)
        height = steps.ratio(half - from_top, self.step_size)
        if self.scale == "triangular2":
            height = height * ops.power(np.float32(0.5), ops.cast(cycle, "float32"))
        elif self.scale == "exp_range":
            height = height * numerics.power_of_step(self.gamma, step)
        foot, top = self.initial_learning_rate, self.maximal_learning_rate
        rate = np.float32(foot) + np.float32(top - foot) * height
        return ops.minimum(rate, np.float32(top))


@keras.saving.register_keras_serializable(package="keras_tricks")
class OneCycle(Schedule):
    """The one-cycle policy, with the formulas of torch's `OneCycleLR`.

    The rate rises from `max / div_factor` to `max`, and falls to
    `max / (div_factor * final_div_factor)`. The phases end at the steps, which need
    not be whole,

    - `warmup_fraction * total_steps - 1`, at `max`;
    - with `three_phase` only: `2 * warmup_fraction * total_steps - 2`, back at
      `max / div_factor`;
    - `total_steps - 1`, at the final rate.

    Between the rates `a` and `b` of a phase's ends, after the share `x` of it, the rate
    is `b + (a - b) * (1 + cos(pi * x)) / 2`, or with `anneal="linear"`
    `b + (a - b) * (1 - x)`. As in torch the last of the `total_steps` updates, step
    `total_steps - 1`, has the final rate, exactly. It is kept afterwards, where torch
    raises. A warmup that ends at step 0 (`warmup_fraction * total_steps == 1`), for
    which torch divides by 0, gives step 0 the rate `max`.

    Only the learning rate is scheduled; the momentum that torch cycles along stays as
    it is.

    Args:
        max_learning_rate: The rate at the top, > 0.
        total_steps: Optimizer updates of the whole run, >= 1.
        warmup_fraction: Share of the run that rises (torch's `pct_start`), from 0 to
            below 1, and at most 0.5 with `three_phase`.
        div_factor: `max / initial`, >= 1.
        final_div_factor: `initial / final`, > 0; the final rate may not be above
            `max`.
        anneal: `"cosine"` or `"linear"`.
        three_phase: Whether the fall first mirrors the rise.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If a number is not a number, or `three_phase` not a bool.
        ValueError: If a number is out of its range, or `anneal` unknown.

    Example:

    >>> from keras_tricks.schedules import OneCycle
    >>> schedule = OneCycle(0.1, total_steps=100)
    >>> [f"{rate:.2e}" for rate in schedule([0, 29, 60, 99]).numpy()]
    ['4.00e-03', '1.00e-01', '5.89e-02', '4.00e-07']

    Reference:
        `torch.optim.lr_scheduler.OneCycleLR`. Smith and Topin, "Super-Convergence: Very
        Fast Training of Neural Networks Using Large Learning Rates", 2018.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        *,
        warmup_fraction: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        anneal: Anneal = "cosine",
        three_phase: bool = False,
    ):
        super().__init__()
        self.max_learning_rate = _validation.check_float(
            "max_learning_rate", max_learning_rate, exclusive=True
        )
        self.total_steps = _validation.check_int("total_steps", total_steps, minimum=1)
        self.warmup_fraction = _validation.check_float(
            "warmup_fraction", warmup_fraction
        )
        self.div_factor = _validation.check_float("div_factor", div_factor, minimum=1)
        self.final_div_factor = _validation.check_float(
            "final_div_factor", final_div_factor, exclusive=True
        )
        self.anneal = _validation.check_choice("anneal", anneal, ANNEALS)
        self.three_phase = _validation.check_flag("three_phase", three_phase)
        if self.warmup_fraction >= 1 or (three_phase and self.warmup_fraction > 0.5):
            raise ValueError(
                "`warmup_fraction` must be a share of the run that leaves room for "
                "the fall: below 1, and at most 0.5 with three phases. Received: "
                f"warmup_fraction={warmup_fraction}, three_phase={three_phase}"
            )
        if self.div_factor * self.final_div_factor < 1:
            raise ValueError(
                "`final_div_factor` must be at least 1 / `div_factor`, or the final "
                "rate is above `max_learning_rate`. Received: "
                f"final_div_factor={final_div_factor}, div_factor={div_factor}"
            )

    @classmethod
    def from_epochs(
        cls,
        max_learning_rate: float,
        *,
        num_examples: Any,
        batch_size: int | None = None,
        epochs: int,
        **kwargs: Any,
    ) -> "OneCycle":
        """Returns the schedule of a whole `fit` from its data.

        `total_steps = epochs * ceil(num_examples / batch_size)`.

        Args:
            max_learning_rate: The highest rate.
            num_examples: See `WarmupPolynomialDecay.from_epochs`.
            batch_size: See there.
            epochs: Epochs of the run.
            **kwargs: Other arguments of the constructor, `warmup_fraction` for one.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If a number is out of its range, or the size of the data is
                not known.

        Example:

        >>> schedule = OneCycle.from_epochs(
        ...     0.1, num_examples=1001, batch_size=100, epochs=10)
        >>> schedule.total_steps
        110
        """
        total_steps = run_length.num_updates(num_examples, batch_size, epochs)
        return cls(max_learning_rate, total_steps, **kwargs)

    def rate(self, step: Any) -> Any:
        top = self.max_learning_rate
        initial = top / self.div_factor
        final = initial / self.final_div_factor
        last = self.total_steps - 1
        # Each phase: the step and the rate it begins with, those it ends with.
        summit = self.warmup_fraction * self.total_steps - 1
        phases = [(0.0, initial, summit, top)]
        if self.three_phase:
            descent = 2 * self.warmup_fraction * self.total_steps - 2
            phases.append((summit, top, descent, initial))
            phases.append((descent, initial, last, final))
        else:
            phases.append((summit, top, last, final))

        *earlier, (begin, before, end, after) = phases
        left = self._left(step, begin, end)
        fall, floor = np.float32(before - after), np.float32(after)
        for begin, before, end, after in reversed(earlier):
            within = step <= steps.count(math.floor(end))
            left = ops.where(within, self._left(step, begin, end), left)
            fall = ops.where(within, np.float32(before - after), fall)
            floor = ops.where(within, np.float32(after), floor)
        if self.anneal == "cosine":
            left = numerics.raised_cosine(left)
        rate = ops.clip(
            floor + fall * left, np.float32(min(initial, final)), np.float32(top)
        )
        return ops.where(step >= steps.count(last), np.float32(final), rate)

    @staticmethod
    def _left(step: Any, begin: float, end: float) -> Any:
        """Returns the share of a phase that is left, from 1 at `begin` to 0."""
        # Whole steps are subtracted as integers, which stay apart above 2**24.
        largest = np.iinfo(keras.backend.standardize_dtype(step.dtype)).max
        whole = min(math.ceil(end), largest)
        left = ops.cast(steps.count(whole) - step, "float32") + np.float32(end - whole)
        return ops.divide(left, np.float32((end - begin) or 1.0))
