"""A warmup in front of any schedule, joined to it in one of four ways."""

from collections.abc import Callable
from typing import Any
from typing import Literal
from typing import get_args

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules import nested
from keras_tricks.schedules import steps
from keras_tricks.schedules.base import Schedule
from keras_tricks.schedules.display import shown

Join = Literal["overlap", "shift", "lower", "multiply"]
JOINS = get_args(Join)


@keras.saving.register_keras_serializable(package="keras_tricks")
class Warmup(Schedule):
    """Warms up to a schedule: its own, one of Keras's, or a constant rate.

    For `step < warmup_steps` the rate is

    `start + (peak - start) * (step / warmup_steps)**power`

    | join | `peak` | the rate from `warmup_steps` on |
    |---|---|---|
    | `"shift"` (Hugging Face) | `schedule(0)` | `schedule(step - warmup_steps)` |
    | `"overlap"` (BERT, tf-models nlp) | `schedule(0)` | `schedule(step)` |
    | `"lower"` (tf-models) | `schedule(warmup_steps)` | `schedule(step)` |
    | `"multiply"` (ELECTRA) | `schedule(step)` | `schedule(step)` |

    With `"multiply"` and `start=0` the rate is therefore
    `schedule(step) * min(step / warmup_steps, 1)**power`.

    Args:
        schedule: A `LearningRateSchedule`, or a number for a constant rate.
        warmup_steps: Optimizer updates of the warmup, >= 0; 0 is none.
        start: The rate of step 0, >= 0.
        power: Exponent of the climb, > 0; 1 is linear.
        join: `"shift"`, `"overlap"`, `"lower"` or `"multiply"`.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar, or an array of
            any shape if `schedule` takes one (Keras's `CosineDecay` with a warmup of
            its own does not).

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If `schedule` is neither a schedule nor a number (a lambda could not
            be saved), or another argument not a number.
        ValueError: If a number is out of its range or `join` unknown; or, unless
            `start` is above 0 or `schedule` the number 0, if the warmup would climb to
            a rate of 0 (that of a schedule with a warmup of its own, with `"shift"`
            and `"overlap"`), or `"overlap"` or `"multiply"` leaves a schedule that has
            come down to 0.

    Example:

    >>> import keras
    >>> from keras_tricks.schedules import Warmup
    >>> cosine = keras.optimizers.schedules.CosineDecay(1e-3, decay_steps=900)
    >>> schedule = Warmup(cosine, warmup_steps=100)
    >>> [f"{rate:.1e}" for rate in schedule([0, 50, 100, 550, 1000]).numpy()]
    ['0.0e+00', '5.0e-04', '1.0e-03', '5.0e-04', '0.0e+00']

    Reference:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2.
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule | float,
        warmup_steps: int,
        *,
        start: float = 0.0,
        power: float = 1.0,
        join: Join = "shift",
    ):
        super().__init__()
        self.schedule = nested.schedule("schedule", schedule)
        self.warmup_steps = _validation.check_int("warmup_steps", warmup_steps)
        self.start = _validation.check_float("start", start)
        self.power = _validation.check_float("power", power, exclusive=True)
        self.join = _validation.check_choice("join", join, JOINS)
        if self.warmup_steps:
            self._check_rates()

    def _check_rates(self) -> None:
        """Raises if the warmup climbs to a rate of 0, or nothing is left after it."""
        if self.schedule == 0 or self.start:
            return  # The rate of 0 was asked for, or there is another one.
        end = self.warmup_steps
        climbs_to_first = self.join in ("shift", "overlap")
        if climbs_to_first and nested.known_rate(self.schedule, 0) == 0:
            raise ValueError(
                "`schedule` must have a rate > 0 at its step 0, to which the warmup "
                f'climbs with join="{self.join}". One that warms up by itself needs no '
                "other warmup; `Shifted(schedule, 1)` begins at its step 1. Received: "
                f"a rate of 0 there of schedule={shown.value_of(self.schedule)}"
            )
        # Two steps in a row where the decay runs underneath, since a cyclic one is at
        # 0 for one step.
        after = {"shift": (), "lower": (end,)}.get(self.join, (end - 1, end))
        rates = [nested.known_rate(self.schedule, step) for step in after]
        if rates and all(rate == 0 for rate in rates):
            raise ValueError(
                "`schedule` must have a rate > 0 where the warmup ends, at step "
                f'{end}, which join="{self.join}" leaves to come. Received: a rate of '
                f"0 there of schedule={shown.value_of(self.schedule)}"
            )

    def rate(self, step: Any) -> Any:
        return join_warmup(
            step,
            lambda step: nested.evaluate(self.schedule, step),
            warmup_steps=self.warmup_steps,
            join=self.join,
            start=self.start,
            power=self.power,
        )


def join_warmup(
    step: Any,
    decay: Callable[[Any], Any],
    *,
    warmup_steps: int,
    join: str,
    start: float = 0.0,
    power: float = 1.0,
    peak: float | None = None,
) -> Any:
    """Returns the rate of `step` for a warmup joined to `decay`; see `Warmup`.

    Args:
        step: Integer tensor, never negative.
        decay: Function from an integer tensor of steps to float32 rates, finite for
            every step.
        warmup_steps: See `Warmup`.
        join: See `Warmup`.
        start: See `Warmup`.
        power: See `Warmup`.
        peak: `decay(0)` where it is known exactly, which spares its rounding.
    """
    if warmup_steps == 0:
        return decay(step)
    after = decay(step) if join != "shift" else None
    if join == "multiply":
        top = after
    elif join == "lower":
        top = decay(steps.as_step(warmup_steps))
    else:
        top = decay(steps.as_step(0)) if peak is None else np.float32(peak)
    done = steps.ratio(step, warmup_steps)
    if power != 1:
        done = ops.power(done, np.float32(power))
    if start:
        bottom = np.float32(start)
        warmup = ops.add(bottom, ops.multiply(ops.subtract(top, bottom), done))
    else:
        warmup = ops.multiply(top, done)
    boundary = steps.count(warmup_steps)
    if join == "shift":
        after = decay(ops.maximum(step - boundary, 0))
    return ops.where(step < boundary, warmup, after)
