"""Decay with a power of the step."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules import steps
from keras_tricks.schedules.base import Schedule


@keras.saving.register_keras_serializable(package="keras_tricks")
class PowerDecay(Schedule):
    """A rate that falls with a negative power of the step; it has no end.

    `rate(step) = initial * (step - offset)**power` from step `offset + 1` on. Up to
    step `offset` the rate is `pre_offset_learning_rate`, which is also the most that it
    ever is; without one it is `initial`. These are tf-models' `PowerDecayWithOffset`
    and, without the offset, its `DirectPowerDecay`. A warmup goes in front of it by
    `Warmup(schedule, warmup_steps, join="overlap")`.

    Args:
        initial_learning_rate: The rate of step `offset + 1`, > 0.
        power: Exponent of the step, below 0; -0.5 is the inverse square root.
        offset: Optimizer updates before the decay, >= 0.
        pre_offset_learning_rate: The rate until the decay begins and the greatest rate,
            > 0, or `None`. tf-models' default is 1e6.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of its range.

    Example:

    >>> from keras_tricks.schedules import PowerDecay
    >>> schedule = PowerDecay(0.1, power=-0.5, offset=100)
    >>> [f"{rate:.3f}" for rate in schedule([0, 101, 104, 200]).numpy()]
    ['0.100', '0.100', '0.050', '0.010']

    Reference:
        `DirectPowerDecay` and `PowerDecayWithOffset` in
        `official/modeling/optimization/lr_schedule.py` of tensorflow/models.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        power: float = -0.5,
        *,
        offset: int = 0,
        pre_offset_learning_rate: float | None = None,
    ):
        super().__init__()
        self.initial_learning_rate = _validation.check_float(
            "initial_learning_rate", initial_learning_rate, exclusive=True
        )
        self.power = _validation.check_float(
            "power", power, minimum=-_validation.GREATEST, below=0
        )
        self.offset = _validation.check_int("offset", offset)
        if pre_offset_learning_rate is not None:
            pre_offset_learning_rate = _validation.check_float(
                "pre_offset_learning_rate", pre_offset_learning_rate, exclusive=True
            )
        self.pre_offset_learning_rate = pre_offset_learning_rate

    def rate(self, step: Any) -> Any:
        since = step - steps.count(self.offset)
        base = ops.cast(ops.maximum(since, 1), "float32")
        initial = np.float32(self.initial_learning_rate)
        rate = ops.multiply(initial, ops.power(base, np.float32(self.power)))
        if self.pre_offset_learning_rate is None:
            return rate
        greatest = np.float32(self.pre_offset_learning_rate)
        return ops.where(since > 0, ops.minimum(rate, greatest), greatest)
