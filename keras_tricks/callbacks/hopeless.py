"""The end of trainings that lead nowhere."""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.callbacks.plateau import MODES
from keras_tricks.callbacks.plateau import Mode
from keras_tricks.diagnosis.curves import Curve
from keras_tricks.diagnosis.extrapolation import chance_to_reach
from keras_tricks.diagnosis.metrics import as_number
from keras_tricks.diagnosis.metrics import direction_of
from keras_tricks.schedules.display import shown

# Epochs, one after the other, that have to say the same.
_IN_A_ROW = 2


class StopHopeless(keras.callbacks.Callback):
    """Ends a training that diverges, has learned nothing, or cannot get to a baseline.

    It is ended where, in two epochs one after the other,

    - the training loss has risen above where it began, and from its best by more than
      a tenth of that and five deviations of its noise; or at once where a value is NaN
      or infinite;
    - after a fair time, `fair_share` of the epochs and at least `min_epochs`, no epoch
      was better than `trivial`, what a predictor reaches that looks at no input;
    - the chance that the best epoch of the whole training reaches `baseline` is below
      1 - `confidence`, if the curve goes on as it does: see
      `keras_tricks.diagnosis.extrapolation`.

    Not during the first `warmup_epochs`, nor because of a plateau alone: plateaus end.
    `stopped_epoch` and `reason` say when and why.

    It counts epochs and looks at `logs` only, so that searches train with it by shared
    and packed programs.

    Args:
        monitor: Name of the metric in `logs`. Of one with several values, such as one
            a class, it is their mean.
        trivial: See `keras_tricks.diagnosis.trivial_score`. None: nothing is compared.
        baseline: What is to be reached at least, such as an earlier model's. None:
            nothing is extrapolated.
        mode: `"min"` if less of the metric is better, `"max"` if more is, `"auto"` to
            go by its name.
        warmup_epochs: Epochs, from the first, in which nothing is ended.
        min_epochs: Epochs before a curve tells anything.
        fair_share: The share of the epochs after which the trivial predictor has to be
            beaten.
        confidence: How sure it has to be that `baseline` is out of reach.
        verbose: 1 to print why a training is ended, 0 to be quiet.

    Attributes:
        stopped_epoch: The last epoch, from 0, of a training that was ended; else None.
        reason: Why it was ended, in one sentence; else None.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, or `mode` is `"auto"` and the
            name of the metric does not tell; after the first epoch, if
            `monitor` is not among what was logged. A metric on validation data that is
            never logged is a warning.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_tricks.callbacks import StopHopeless
    >>> from keras_tricks.diagnosis import trivial_score
    >>> x = np.random.default_rng(0).normal(size=(64, 4))
    >>> y = x.sum(axis=1)
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(1e-9), "mse")  # A rate that is too small.
    >>> stop = StopHopeless("loss", trivial=trivial_score(y, "mse") / 100)
    >>> _ = model.fit(x, y, epochs=100, verbose=0, callbacks=[stop])
    >>> stop.stopped_epoch
    25
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        trivial: float | None = None,
        baseline: float | None = None,
        mode: Mode = "auto",
        warmup_epochs: int = 0,
        min_epochs: int = 5,
        fair_share: float = 0.25,
        confidence: float = 0.99,
        verbose: int = 0,
    ):
        super().__init__()
        self.monitor = _validation.check_text("monitor", monitor)
        least = -_validation.GREATEST
        self.trivial = trivial
        if trivial is not None:
            self.trivial = _validation.check_float("trivial", trivial, minimum=least)
        self.baseline = baseline
        if baseline is not None:
            self.baseline = _validation.check_float("baseline", baseline, minimum=least)
        self.mode = _validation.check_choice("mode", mode, MODES)
        way = direction_of(self.monitor, self.mode, name="mode", metric_name="monitor")
        self._sign = 1.0 if way == "min" else -1.0
        self.warmup_epochs = _validation.check_int("warmup_epochs", warmup_epochs)
        self.min_epochs = _validation.check_int("min_epochs", min_epochs, minimum=1)
        self.fair_share = _validation.check_float("fair_share", fair_share, maximum=1.0)
        self.confidence = _validation.check_float("confidence", confidence, maximum=1.0)
        self.verbose = _validation.check_int("verbose", verbose)
        self._begin()

    def __repr__(self) -> str:
        return shown.made(self)

    def _begin(self) -> None:
        self.stopped_epoch: int | None = None
        self.reason: str | None = None
        self._losses: list[float] = []
        self._values: list[float] = []
        self._epochs = self._in_a_row = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._epochs += 1
        if self.monitor in logs:
            self._values.append(self._sign * as_number(logs[self.monitor]))
        elif not self._values and not self.monitor.startswith("val_"):
            raise ValueError(
                f"`monitor` must be one of what `fit` logs, {', '.join(sorted(logs))}. "
                f"{_validation.received('monitor', self.monitor)}"
            )
        if "loss" in logs:
            self._losses.append(as_number(logs["loss"]))
        total = (self.params or {}).get("epochs") or 0
        reason, is_certain = self._found(epoch + 1, max(total - epoch - 1, 0))
        self._in_a_row = self._in_a_row + 1 if reason else 0
        if reason and (is_certain or self._in_a_row >= _IN_A_ROW):
            self.stopped_epoch, self.reason = epoch, reason
            self.model.stop_training = True
            if self.verbose:
                print(f"\nEpoch {epoch + 1}: StopHopeless ends the training. {reason}")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._epochs and not self._values:
            warnings.warn(
                f"StopHopeless has seen no {self.monitor!r} in what `fit` logged, "
                f"{', '.join(sorted(logs or {}))}: curves were not compared.",
                stacklevel=2,
            )

    def _found(self, epochs: int, left: int) -> tuple[str | None, bool]:
        """Returns why the training is hopeless, or None, and whether that is certain.

        Args:
            epochs: How many there were, those of an earlier `fit` included.
            left: How many there are to be.
        """
        if epochs <= self.warmup_epochs:
            return None, False
        last = [*self._values[-1:], *self._losses[-1:]]
        if not all(map(math.isfinite, last)):
            return "Its loss or metric is not finite.", True
        after_warmup = min(epochs - self.warmup_epochs, self._epochs)
        if left == 0 or after_warmup < self.min_epochs or not self._values:
            return None, False
        values = np.array(self._values)
        values = values[np.isfinite(values)]  # The warmup may have had others.
        found = self._diverges(after_warmup) or self._has_learned_nothing(values, left)
        return found or self._is_out_of_reach(values, left), False

    def _diverges(self, epochs: int) -> str | None:
        losses = np.array(self._losses[-epochs:])
        if len(losses) < 8:  # Fewer tell nothing of their noise.
            return None
        curve = Curve.of(losses)
        rise = curve.end - curve.best
        least = max(5.0 * curve.noise, 0.1 * abs(curve.start))
        if curve.end > curve.start and rise > least:
            return (
                f"Its training loss has risen from {curve.best:.4g} to "
                f"{curve.end:.4g}, above the {curve.start:.4g} that it began with."
            )
        return None

    def _has_learned_nothing(self, values: np.ndarray, left: int) -> str | None:
        is_early = self._epochs < self.fair_share * (self._epochs + left)
        if self.trivial is None or is_early:
            return None
        best = values.min()
        if best < self._sign * self.trivial:
            return None
        return (
            f"After {self._epochs} epochs its best {self.monitor} is "
            f"{self._sign * best:.4g}, no better than the {self.trivial:.4g} of a "
            "predictor without inputs."
        )

    def _is_out_of_reach(self, values: np.ndarray, left: int) -> str | None:
        if self.baseline is None:
            return None
        # With `validation_freq` there are fewer values than epochs.
        number = len(values) + round(left * len(values) / self._epochs)
        chance = chance_to_reach(values, number, self._sign * self.baseline)
        if chance >= 1.0 - self.confidence:
            return None
        return (
            f"In the {left} epochs that are left its {self.monitor} would reach "
            f"{self.baseline:.4g} with a chance of {chance:.2g}."
        )
