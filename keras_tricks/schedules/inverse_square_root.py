"""Linear warmup, then decay with the inverse square root of the step."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules import steps
from keras_tricks.schedules.base import Schedule


@keras.saving.register_keras_serializable(package="keras_tricks")
class InverseSquareRoot(Schedule):
    """Linear warmup to a peak, then decay with the inverse square root of the step.

    `rate(step) = start + (peak - start) * step / warmup_steps` before
    `warmup_steps`, and `peak * sqrt(warmup_steps / step)` from there on. The run needs
    no known length. This is fairseq's `inverse_sqrt`. With `start == peak` it is
    T5's: constant, then the inverse square root. `NoamSchedule` is the same curve
    with its peak computed from the width of the model.

    Args:
        peak_learning_rate: The rate at the end of the warmup, > 0.
        warmup_steps: Optimizer updates of the warmup, >= 1.
        start_learning_rate: The rate of step 0, from 0 to `peak_learning_rate`.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of its range.

    Example:

    >>> from keras_tricks.schedules import InverseSquareRoot
    >>> schedule = InverseSquareRoot(5e-4, warmup_steps=4000)
    >>> [f"{rate:.3e}" for rate in schedule([2000, 4000, 16000]).numpy()]
    ['2.500e-04', '5.000e-04', '2.500e-04']

    T5's pre-training schedule, `1 / sqrt(max(step, 10000))`:

    >>> schedule = InverseSquareRoot(0.01, 10000, start_learning_rate=0.01)
    >>> [f"{rate:.3e}" for rate in schedule([0, 10000, 40000]).numpy()]
    ['1.000e-02', '1.000e-02', '5.000e-03']

    Reference:
        `inverse_sqrt` in fairseq's `optim/lr_scheduler`. Raffel et al., "Exploring
        the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        2020, section 3.1.2.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        warmup_steps: int,
        *,
        start_learning_rate: float = 0.0,
    ):
        super().__init__()
        self.peak_learning_rate = _validation.check_float(
            "peak_learning_rate", peak_learning_rate, exclusive=True
        )
        self.warmup_steps = _validation.check_int(
            "warmup_steps", warmup_steps, minimum=1
        )
        self.start_learning_rate = _validation.check_float(
            "start_learning_rate", start_learning_rate
        )
        if self.start_learning_rate > self.peak_learning_rate:
            raise ValueError(
                "`start_learning_rate` must be at most `peak_learning_rate`. "
                f"Received: start_learning_rate={start_learning_rate}, "
                f"peak_learning_rate={peak_learning_rate}"
            )

    def rate(self, step: Any) -> Any:
        start, peak = self.start_learning_rate, np.float32(self.peak_learning_rate)
        climb = np.float32(self.peak_learning_rate - start)
        warmup = climb * steps.ratio(step, self.warmup_steps)
        if start:
            warmup = ops.minimum(np.float32(start) + warmup, peak)
        # The step held at the warmup's end keeps the unused branch finite, and makes
        # the ratio, hence the rate, exact there.
        end_of_warmup = steps.count(self.warmup_steps)
        since = ops.cast(ops.maximum(step, end_of_warmup), "float32")
        decay = peak * ops.sqrt(ops.divide(np.float32(self.warmup_steps), since))
        return ops.where(step < end_of_warmup, warmup, decay)
