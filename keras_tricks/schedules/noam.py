"""The Transformer's schedule."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules.base import Schedule


@keras.saving.register_keras_serializable(package="keras_tricks")
class NoamSchedule(Schedule):
    """Linear warmup, then decay with the inverse square root of the step.

    `rate(step) = scale * d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)`

    The peak, `scale / sqrt(d_model * warmup_steps)`, is reached at
    `step = warmup_steps`. Step 0 gives 0. This is the `CustomSchedule` of the
    Transformer tutorials (`scale=1`); `keras_tricks.schedules.CustomSchedule` is the
    same class. Rates are within 2 ulp of the formula in float64 for every step from
    1 to 10**6.

    Args:
        d_model: Width of the model, a whole number >= 1.
        warmup_steps: Optimizer updates until the peak, a whole number >= 1.
        scale: Factor on every rate, > 0.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of its range.

    Example:

    >>> from keras_tricks.schedules import NoamSchedule
    >>> schedule = NoamSchedule(d_model=512, warmup_steps=4000)
    >>> print(f"{float(schedule(4000)):.3e}")
    6.988e-04

    Reference:
        Vaswani et al., "Attention Is All You Need", 2017, section 5.3.
    """

    def __init__(self, d_model: int, warmup_steps: int = 4000, *, scale: float = 1.0):
        super().__init__()
        self.d_model = _validation.check_int("d_model", d_model, minimum=1)
        self.warmup_steps = _validation.check_int(
            "warmup_steps", warmup_steps, minimum=1
        )
        self.scale = _validation.check_float("scale", scale, exclusive=True)

    def rate(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        # The root of a quotient, since compilers turn a quotient by a root into a
        # product with an approximate inverse root. At step 0, where the decay is not
        # the smaller one, it must be finite.
        squared_scale = np.float32(self.scale**2 / self.d_model)
        squared_decay = ops.divide(squared_scale, ops.maximum(step, np.float32(1)))
        slope = np.float32(self.scale * self.d_model**-0.5 * self.warmup_steps**-1.5)
        return ops.minimum(ops.sqrt(squared_decay), ops.multiply(step, slope))


CustomSchedule = NoamSchedule
"""`NoamSchedule` under the name that it has in the Transformer tutorials."""
