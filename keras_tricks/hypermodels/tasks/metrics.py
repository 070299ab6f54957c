"""Keras's metrics for what the hypermodels give: logits, and numbers with an offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_tricks.hypermodels.layers import PACKAGE
from keras_tricks.losses.shapes import as_outputs


@keras.saving.register_keras_serializable(PACKAGE, name="ClassificationF1")
class ClassificationF1(keras.metrics.F1Score):
    """The mean of the classes' F1 scores, from class numbers and logits.

    The F1 score of a class is `2 * precision * recall / (precision + recall)`; that of
    a class that neither occurs nor is predicted is 0.
    """

    def __init__(self, name: str = "macro_f1", dtype: Any = None):
        super().__init__(average="macro", name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        one_hot, logits = _one_hot(y_true, y_pred)
        predicted = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1])
        return super().update_state(one_hot, predicted, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(PACKAGE, name="MultiLabelF1")
class MultiLabelF1(keras.metrics.F1Score):
    """The mean of the labels' F1 scores, from rows of 0 and 1 and logits.

    A label is predicted where its probability is above 0.5.
    """

    def __init__(self, name: str = "macro_f1", dtype: Any = None):
        super().__init__(average="macro", threshold=0.5, name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        return super().update_state(y_true, ops.sigmoid(y_pred), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(PACKAGE, name="MultiLabelAUC")
class MultiLabelAUC(keras.metrics.AUC):
    """The mean area under the curve of the labels, from rows of 0 and 1 and logits.

    The mean is over the labels that some examples have and some have not: Keras takes
    an area of 0 for the others. The area is Keras's, of 200 thresholds.
    """

    def __init__(self, num_labels: int, name: str = "auc", dtype: Any = None):
        super().__init__(
            multi_label=True,
            num_labels=num_labels,
            from_logits=True,
            name=name,
            dtype=dtype,
        )

    def result(self) -> Any:
        # At the first threshold all examples are taken for positive ones.
        ones = self.true_positives[0] + self.false_negatives[0]
        zeros = self.false_positives[0] + self.true_negatives[0]
        self.label_weights = ops.cast((ones > 0) & (zeros > 0), self.dtype)
        try:
            return super().result()
        finally:
            self.label_weights = None

    def get_config(self) -> dict[str, Any]:
        return {"num_labels": self.num_labels, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(PACKAGE, name="ClassificationAUC")
class ClassificationAUC(MultiLabelAUC):
    """The mean area under the curve of each class that occurs against all others.

    From class numbers and logits.
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        one_hot, logits = _one_hot(y_true, y_pred)
        log_p = ops.log_softmax(logits, axis=-1)
        # What the sigmoid makes the probability of a class of.
        against_others = log_p - ops.log(ops.maximum(-ops.expm1(log_p), 1e-7))
        return super().update_state(one_hot, against_others, sample_weight)


@keras.saving.register_keras_serializable(PACKAGE, name="ScaledRMSE")
class ScaledRMSE(keras.metrics.RootMeanSquaredError):
    """Keras's root of the mean squared error, of errors in a unit that can be squared.

    `unit * sqrt(mean(((y_true - y_pred) / unit)**2))`: the squares of 1e-20 are 0 in
    float32, and those of 1e20 infinite.

    Args:
        unit: What errors are divided by. By a power of two nothing is rounded.
        name: Under which it is logged.
        dtype: See `keras.metrics.Metric`.
    """

    def __init__(self, unit: float = 1.0, name: str = "rmse", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.unit = unit

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if self.unit != 1:
            y_pred = ops.convert_to_tensor(y_pred)
            y_true = ops.cast(y_true, y_pred.dtype) / self.unit
            y_pred = y_pred / self.unit
        return super().update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        return super().result() * self.unit if self.unit != 1 else super().result()

    def get_config(self) -> dict[str, Any]:
        return {"unit": self.unit, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(PACKAGE, name="StandardizedR2")
class StandardizedR2(keras.metrics.R2Score):
    """Keras's R2 of standardised numbers, which keeps its digits.

    `1 - sum((y_true - y_pred)**2) / sum((y_true - mean(y_true))**2)`, the mean over
    the outputs. The score is the same in any unit, but Keras's sums of squares hold no
    digit of it where the mean is much larger than the deviation, as that of years is.

    Args:
        mean: Of each output, or one for all.
        deviation: Of each output, or one for all.
        name: Under which it is logged.
        dtype: See `keras.metrics.Metric`.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.0,),
        deviation: Sequence[float] = (1.0,),
        name: str = "r2",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.mean = tuple(mean)
        self.deviation = tuple(deviation)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = as_outputs(y_true, y_pred, "Targets")
        mean = ops.cast(self.mean, y_pred.dtype)
        deviation = ops.cast(self.deviation, y_pred.dtype)
        return super().update_state(
            (y_true - mean) / deviation, (y_pred - mean) / deviation, sample_weight
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "name": self.name,
            "dtype": self.dtype,
        }


def _one_hot(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    logits = ops.convert_to_tensor(y_pred)
    labels = ops.reshape(ops.cast(y_true, "int32"), ops.shape(logits)[:-1])
    return ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype), logits
