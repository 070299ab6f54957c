"""The loss of regressions, in units of the targets' deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Literal
from typing import get_args

import keras
import numpy as np
from keras import ops

from keras_tricks import _validation
from keras_tricks.losses.shapes import as_outputs

Kind = Literal["mse", "mae", "huber", "quantile"]
KINDS = get_args(Kind)


@keras.saving.register_keras_serializable("keras_tricks", name="RegressionLoss")
class RegressionLoss(keras.losses.Loss):
    r"""Squared, absolute, Huber's or a quantile's error of standardised targets.

    For the error `e = (y_true - y_pred) / deviation` of an output:

        mse:       e ** 2
        mae:       |e|
        huber:     e ** 2 / 2 if |e| <= delta, else delta * (|e| - delta / 2)
        quantile:  quantile * e if e >= 0, else (quantile - 1) * e

    and of an example, the mean over its outputs. With a deviation of 1 these are
    Keras's `MeanSquaredError`, `MeanAbsoluteError` and `Huber`; a quantile's is the
    pinball loss, which is least where that share of the targets lies below the output.

    Divided by the deviation of the targets, losses and gradients are of the same size
    whatever the unit: a mean squared error of 1 is that of a constant output, 0.25 one
    whose errors are half as large.

    Args:
        kind: `"mse"`, `"mae"`, `"huber"` or `"quantile"`.
        delta: Where Huber's error becomes linear, > 0, in deviations.
        quantile: The quantile to be learned, above 0 and below 1.
        deviation: The unit of the targets, > 0: one number, or one for each output.
        **kwargs: See `keras.losses.Loss`.

    Raises:
        ValueError: If a number is out of its range, `kind` is unknown, or targets have
            not the shape of the outputs, but for a vector that stands for a column.

    Example:

    >>> from keras_tricks.losses import RegressionLoss
    >>> float(RegressionLoss("mse", deviation=10.0)([120.0], [[100.0]]))
    4.0

    Reference:
        Huber, "Robust Estimation of a Location Parameter", 1964; Koenker and Bassett,
        "Regression Quantiles", 1978.
    """

    def __init__(
        self,
        kind: Kind = "mse",
        delta: float = 1.0,
        quantile: float = 0.5,
        deviation: float | Sequence[float] = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**{"name": "regression_loss", **kwargs})
        self.kind = _validation.check_choice("kind", kind, KINDS)
        self.delta = _validation.check_float("delta", delta, exclusive=True)
        self.quantile = _validation.check_float(
            "quantile", quantile, exclusive=True, below=1
        )
        # One alone is a number that a compiled program takes as an argument.
        self.deviation: float | tuple[float, ...]
        if np.ndim(deviation) == 0:
            self.deviation = _validation.check_float(
                "deviation", deviation, exclusive=True
            )
        else:
            self.deviation = _validation.check_floats(
                "deviation", deviation, exclusive=True
            )

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = as_outputs(y_true, y_pred, "Targets")
        error = (y_true - y_pred) / ops.cast(self.deviation, y_pred.dtype)
        return ops.mean(self._of(error), axis=-1)

    def _of(self, error: Any) -> Any:
        if self.kind == "mse":
            return ops.square(error)
        if self.kind == "mae":
            return ops.abs(error)
        if self.kind == "quantile":
            quantile = ops.cast(self.quantile, error.dtype)
            return ops.maximum(quantile * error, (quantile - 1) * error)
        delta, size = ops.cast(self.delta, error.dtype), ops.abs(error)
        # Not a choice between two formulas, of which the square would overflow.
        inside = ops.minimum(size, delta)
        return inside * (size - inside / 2)

    def __repr__(self) -> str:
        return (
            f"RegressionLoss({self.kind!r}, delta={self.delta!r}, "
            f"quantile={self.quantile!r}, deviation={self.deviation!r})"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "delta": self.delta,
            "quantile": self.quantile,
            "deviation": self.deviation,
        }
