"""Warmup, a constant rate for most of the run, and a decay at its end."""

from typing import Any
from typing import Literal

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules import numerics
from keras_tricks.schedules import run_length
from keras_tricks.schedules import steps
from keras_tricks.schedules.base import Schedule

Tail = Literal["linear", "cosine", "1-sqrt"]
# Share of the way from the peak to the end rate that is gone after the share `x` of
# the decay; each rises from 0 to 1.
TAILS = {
    "linear": lambda x: x,
    "cosine": numerics.raised_cosine,
    "1-sqrt": ops.sqrt,
}


@keras.saving.register_keras_serializable(package="keras_tricks")
class WarmupStableDecay(Schedule):
    """Linear warmup, a constant rate, and a decay in the last steps ("WSD").

    | steps | rate |
    |---|---|
    | `step < warmup_steps` | `start + (peak - start) * step / warmup_steps` |
    | until `total_steps - decay_steps` | `peak` |
    | until `total_steps` | `end + (peak - end) * f(x)`, see below |
    | from `total_steps` on | exactly `end` |

    with `x = (step - (total_steps - decay_steps)) / decay_steps` and `f(x)` one of

    - `"linear"`: `1 - x`;
    - `"cosine"`: `(1 + cos(pi * x)) / 2`;
    - `"1-sqrt"`: `1 - sqrt(x)`, which falls fast and then ever more slowly.

    Since the rate does not depend on the length of the run before the decay, a run can
    be prolonged from any checkpoint of the constant part.

    Args:
        peak_learning_rate: The constant rate, > 0.
        total_steps: Optimizer updates of the whole run, warmup and decay included.
        warmup_steps: Updates of the warmup, >= 0.
        decay_steps: Updates of the decay, >= 1; a tenth to a fifth of the run is
            usual.
        end_learning_rate: The rate at the end, from 0 to `peak_learning_rate`.
        decay: `"linear"`, `"cosine"` or `"1-sqrt"`.
        start_learning_rate: The rate of step 0, from 0 to `peak_learning_rate`.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If a number is not a number.
        ValueError: If a number is out of its range, the warmup and the decay together
            are longer than the run, or `decay` is unknown.

    Example:

    >>> from keras_tricks.schedules import WarmupStableDecay
    >>> schedule = WarmupStableDecay(
    ...     1e-3, total_steps=1000, warmup_steps=100, decay_steps=200)
    >>> [f"{rate:.1e}" for rate in schedule([50, 100, 800, 900, 1000]).numpy()]
    ['5.0e-04', '1.0e-03', '1.0e-03', '5.0e-04', '0.0e+00']

    Reference:
        Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with
        Scalable Training Strategies", 2024, section 4. For `"1-sqrt"`: Hägele et al.,
        "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
        2024, section 3.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        total_steps: int,
        warmup_steps: int,
        decay_steps: int,
        *,
        end_learning_rate: float = 0.0,
        decay: Tail = "linear",
        start_learning_rate: float = 0.0,
    ):
        super().__init__()
        self.peak_learning_rate = _validation.check_float(
            "peak_learning_rate", peak_learning_rate, exclusive=True
        )
        self.total_steps = _validation.check_int("total_steps", total_steps, minimum=1)
        self.warmup_steps = _validation.check_int("warmup_steps", warmup_steps)
        self.decay_steps = _validation.check_int("decay_steps", decay_steps, minimum=1)
        self.end_learning_rate = _validation.check_float(
            "end_learning_rate", end_learning_rate
        )
        self.decay = _validation.check_choice("decay", decay, tuple(TAILS))
        self.start_learning_rate = _validation.check_float(
            "start_learning_rate", start_learning_rate
        )
        if self.warmup_steps + self.decay_steps > self.total_steps:
            raise ValueError(
                "`warmup_steps` and `decay_steps` must fit into `total_steps` "
                f"together. Received: warmup_steps={warmup_steps}, "
                f"decay_steps={decay_steps}, total_steps={total_steps}"
            )
        for name in ("start_learning_rate", "end_learning_rate"):
            if getattr(self, name) > self.peak_learning_rate:
                raise ValueError(
                    f"`{name}` must be at most `peak_learning_rate`. "
                    f"Received: {name}={getattr(self, name)}, "
                    f"peak_learning_rate={peak_learning_rate}"
                )

    @classmethod
    def from_epochs(
        cls,
        peak_learning_rate: float,
        *,
        num_examples: Any,
        batch_size: int | None = None,
        epochs: int,
        warmup_fraction: float = 0.1,
        decay_fraction: float = 0.2,
        **kwargs: Any,
    ) -> "WarmupStableDecay":
        """Returns the schedule of a whole `fit` from its data.

        `total_steps = epochs * ceil(num_examples / batch_size)`; warmup and decay take
        their shares of it, rounded down, the decay at least one update.

        Args:
            peak_learning_rate: The constant rate.
            num_examples: See `WarmupPolynomialDecay.from_epochs`.
            batch_size: See there.
            epochs: Epochs of the run.
            warmup_fraction: Share of the updates that warm up, from 0 to 1.
            decay_fraction: Share of the updates in which the rate decays.
            **kwargs: Other arguments of the constructor.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If a number is out of its range, or the size of the data is
                not known.

        Example:

        >>> schedule = WarmupStableDecay.from_epochs(
        ...     1e-3, num_examples=1001, batch_size=100, epochs=10)
        >>> schedule.total_steps, schedule.warmup_steps, schedule.decay_steps
        (110, 11, 22)
        """
        total_steps = run_length.num_updates(num_examples, batch_size, epochs)
        decay_steps = run_length.share("decay_fraction", decay_fraction, total_steps)
        return cls(
            peak_learning_rate,
            total_steps,
            warmup_steps=run_length.share(
                "warmup_fraction", warmup_fraction, total_steps
            ),
            decay_steps=max(decay_steps, 1),
            **kwargs,
        )

    def rate(self, step: Any) -> Any:
        rate = self._decay(step)
        if self.warmup_steps == 0:
            return rate
        start, peak = self.start_learning_rate, np.float32(self.peak_learning_rate)
        climb = np.float32(self.peak_learning_rate - start)
        warmup = climb * steps.ratio(step, self.warmup_steps)
        if start:
            warmup = ops.minimum(np.float32(start) + warmup, peak)
        return ops.where(step < steps.count(self.warmup_steps), warmup, rate)

    def _decay(self, step: Any) -> Any:
        end = np.float32(self.end_learning_rate)
        fall = np.float32(self.peak_learning_rate - self.end_learning_rate)
        begin = steps.count(self.total_steps - self.decay_steps)
        done = steps.ratio(ops.maximum(step - begin, 0), self.decay_steps)
        # Subtracted from the peak, what is gone leaves the constant part exact.
        gone = fall * TAILS[self.decay](done)
        rate = ops.maximum(np.float32(self.peak_learning_rate) - gone, end)
        return ops.where(step >= steps.count(self.total_steps), end, rate)
