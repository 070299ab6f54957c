"""BERT's schedule: linear warmup, then polynomial decay."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules import run_length
from keras_tricks.schedules import steps
from keras_tricks.schedules import warmup
from keras_tricks.schedules.base import Schedule


@keras.saving.register_keras_serializable(package="keras_tricks")
class WarmupPolynomialDecay(Schedule):
    """BERT's learning rate: linear warmup, then polynomial decay.

    The decay is

    `decay(s) = (initial - end) * (1 - min(s, decay_steps) / decay_steps)**power + end`

    and with `cycle=True` `decay_steps` is replaced in it by the first multiple of
    `decay_steps` that is at least `s` (and at least `decay_steps`). The warmup is
    `initial * step / warmup_steps` for `step < warmup_steps`. How they are joined:

    - `"overlap"` (BERT, tf-models' nlp `WarmUp`): `decay(step)` runs underneath from
      step 0, so that the rate drops where the warmup ends;
    - `"shift"` (Hugging Face): the decay starts when the warmup ends and takes the
      `decay_steps - warmup_steps` updates that are left;
    - `"lower"` (tf-models' `LinearWarmup`): as `"overlap"`, but the warmup climbs to
      `decay(warmup_steps)` only, without a drop;
    - `"multiply"` (ELECTRA): `decay(step) * step / warmup_steps`, without a drop.

    With `"overlap"` the rates are those of BERT's TF1 graph
    (`tf.compat.v1.train.polynomial_decay` under the warmup mask), bit for bit, in
    eager mode against a TF1 graph without grappler. They differ from TF1 on purpose
    in these places: steps are compared as integers of 64 bits; at and after the last
    step the rate is exactly `end_learning_rate`, under XLA too, where TF1's own
    formula can give NaN; and a cycle is counted in integers, so that it ends at
    `end_learning_rate`, where TF1's rounded quotient can jump to the next cycle.

    Args:
        initial_learning_rate: The rate before decay, >= 0.
        decay_steps: Optimizer updates of the whole run, warmup included, >= 1
            (`num_train_steps` in BERT).
        warmup_steps: Updates of the warmup, >= 0 (`num_warmup_steps` in BERT).
        end_learning_rate: The rate at the end of the decay, >= 0.
        power: Exponent of the decay, > 0; 1 is linear.
        cycle: Whether to start again, from a lower rate, after each `decay_steps`.
        join: `"overlap"`, `"shift"`, `"lower"` or `"multiply"`.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If a number is not a number, `cycle` not a bool.
        ValueError: If a number is out of its range, `join` unknown, the warmup longer
            than the run, or as long with `"shift"` or `"lower"`, which leave no decay;
            or if the rate would be 0 at every step, as after 1 step of warmup in a run
            of 1 step.

    Example:

    >>> from keras_tricks.schedules import WarmupPolynomialDecay
    >>> schedule = WarmupPolynomialDecay(5e-5, decay_steps=10000, warmup_steps=1000)
    >>> [f"{rate:.3e}" for rate in schedule([500, 999, 1000, 10000]).numpy()]
    ['2.500e-05', '4.995e-05', '4.500e-05', '0.000e+00']

    Reference:
        `create_optimizer` in `optimization.py` of google-research/bert.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        warmup_steps: int = 0,
        end_learning_rate: float = 0.0,
        power: float = 1.0,
        cycle: bool = False,
        *,
        join: warmup.Join = "overlap",
    ):
        super().__init__()
        self.initial_learning_rate = _validation.check_float(
            "initial_learning_rate", initial_learning_rate
        )
        self.decay_steps = _validation.check_int("decay_steps", decay_steps, minimum=1)
        self.warmup_steps = _validation.check_int("warmup_steps", warmup_steps)
        self.end_learning_rate = _validation.check_float(
            "end_learning_rate", end_learning_rate
        )
        self.power = _validation.check_float("power", power, exclusive=True)
        self.cycle = _validation.check_flag("cycle", cycle)
        self.join = _validation.check_choice("join", join, warmup.JOINS)
        left_to_decay = self.decay_steps - self.warmup_steps
        if join == "shift":
            unusable = left_to_decay < 1
        else:
            unusable = left_to_decay < 0 and not cycle
        if unusable:
            raise ValueError(
                "`warmup_steps` must be shorter than the run, `decay_steps`, which "
                f"includes the warmup. Received: warmup_steps={warmup_steps}, "
                f"decay_steps={decay_steps}"
            )
        if join == "lower" and warmup_steps and left_to_decay % self.decay_steps == 0:
            raise ValueError(
                '`warmup_steps` must not end where the decay does with join="lower": '
                "the warmup would climb to the end rate only, which is "
                f"{self.end_learning_rate:g}. Received: warmup_steps={warmup_steps}, "
                f"decay_steps={decay_steps}"
            )
        if (
            self.decay_steps == self.warmup_steps == 1
            and not self.end_learning_rate
            and self.initial_learning_rate
        ):
            raise ValueError(
                "`warmup_steps` must be 0 in a run of 1 step, or the rate would be "
                f"0 at every step. Received: warmup_steps={warmup_steps}, "
                f"decay_steps={decay_steps}"
            )

    @classmethod
    def from_epochs(
        cls,
        initial_learning_rate: float,
        *,
        num_examples: Any,
        batch_size: int | None = None,
        epochs: int,
        warmup_fraction: float = 0.1,
        **kwargs: Any,
    ) -> "WarmupPolynomialDecay":
        """Returns the schedule of a whole `fit` from its data.

        `decay_steps = epochs * ceil(num_examples / batch_size)`, since `fit` keeps
        the last partial batch, and
        `warmup_steps = floor(decay_steps * warmup_fraction)`.

        Args:
            initial_learning_rate: The rate before decay.
            num_examples: Training examples of one epoch, or the data themselves:
                arrays, frames, nested or not, a `tf.data.Dataset` of known size, or a
                `PyDataset`. Without what `validation_split` takes away.
            batch_size: Examples a batch; `None` is 32, as in `fit`, or that of a
                dataset, whose elements are batches. Beside batches it must be the
                length of theirs; where shapes do not tell them from single examples,
                the first two elements are read.
            epochs: Epochs of the run.
            warmup_fraction: Share of the updates that warm up, from 0 to 1.
            **kwargs: Other arguments of the constructor.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If a number is out of its range, the size of the data is not
                known, or `batch_size` is not that of their batches.

        Example:

        >>> schedule = WarmupPolynomialDecay.from_epochs(
        ...     1e-3, num_examples=1001, batch_size=100, epochs=10)
        >>> schedule.decay_steps, schedule.warmup_steps
        (110, 11)
        """
        decay_steps = run_length.num_updates(num_examples, batch_size, epochs)
        warmup_steps = run_length.share("warmup_fraction", warmup_fraction, decay_steps)
        return cls(
            initial_learning_rate, decay_steps, warmup_steps=warmup_steps, **kwargs
        )

    def rate(self, step: Any) -> Any:
        return warmup.join_warmup(
            step,
            self._decay,
            warmup_steps=self.warmup_steps,
            peak=self.initial_learning_rate,
            join=self.join,
        )

    def _decay(self, step: Any) -> Any:
        decay_steps = self.decay_steps
        if self.join == "shift":
            decay_steps -= self.warmup_steps
        if not self.cycle:
            return self._decayed(steps.share_left(step, decay_steps))
        # (step - 1) // decay_steps + 1 is the quotient rounded up, in integers.
        length = steps.count(decay_steps)
        cycles = ops.maximum((step - 1) // length + 1, 1)
        until = ops.multiply(np.float32(decay_steps), ops.cast(cycles, "float32"))
        left = ops.subtract(np.float32(1), steps.ratio(step, until))
        decayed = self._decayed(ops.maximum(left, np.float32(0)))
        at_end = ops.logical_and(step > 0, ops.equal(step % length, 0))
        return ops.where(at_end, np.float32(self.end_learning_rate), decayed)

    def _decayed(self, left: Any) -> Any:
        """Returns the rate when the share `left` of the decay is still to come."""
        if self.power != 1:
            left = ops.power(left, np.float32(self.power))
        end = np.float32(self.end_learning_rate)
        rate = ops.multiply(np.float32(self.initial_learning_rate) - end, left)
        return ops.add(rate, end) if end else rate
