"""Examples with numbers to be predicted."""

from __future__ import annotations

import math
import warnings
from typing import Any
from typing import ClassVar
from typing import NamedTuple
from typing import cast

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.tasks.arrays import first_row
from keras_tricks.hypermodels.tasks.arrays import numbers_of
from keras_tricks.hypermodels.tasks.arrays import refuse
from keras_tricks.hypermodels.tasks.metrics import ScaledRMSE
from keras_tricks.hypermodels.tasks.metrics import StandardizedR2
from keras_tricks.hypermodels.tasks.target_scale import TargetScale
from keras_tricks.hypermodels.tasks.task import Metric
from keras_tricks.hypermodels.tasks.task import Task
from keras_tricks.losses import RegressionLoss
from keras_tricks.losses.regression import KINDS
from keras_tricks.losses.regression import Kind
from keras_tricks.parameters.keras_hooks import all_layers

# In deviations of the targets.
COARSEST_STEP = 0.01
# Deviations between which squares are far from the ends of float32.
SQUARED_AS_THEY_ARE = (1e-12, 1e12)


class Scale(NamedTuple):
    """Mean and deviation of each target."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


class Regression(Task):
    """Numbers in, numbers in the same unit out.

    The network learns standardised targets: its last layer multiplies by the deviation
    of the targets that are trained on and adds their mean. The loss is in deviations.

    | name | range | default | kind |
    |---|---|---|---|
    | `loss` | fixed; `"mse"`, `"mae"`, `"huber"`, `"quantile"` | `"mse"` | structural |
    | `huber_delta` (only with `"huber"`), in deviations | fixed | 1 | scalar |
    | `quantile` (only with `"quantile"`) | fixed | 0.5 | scalar |
    """

    layer = "standardized"
    metrics: ClassVar[dict[str, Metric]] = {
        "rmse": lambda num_outputs, known: ScaledRMSE(_power_of_two(known)),
        "mae": lambda num_outputs, known: keras.metrics.MeanAbsoluteError("mae"),
        "r2": lambda num_outputs, known: StandardizedR2(*(known or ())),
    }
    default_metrics = ("rmse", "mae", "r2")

    def outputs(self, x: Any, known: Scale | None, max_norm: float = 0.0) -> Any:
        outputs = super().outputs(x, known, max_norm)
        return TargetScale(*(known or ()), dtype="float32", name="outputs")(outputs)

    def loss(
        self, hp: keras_tuner.HyperParameters, known: Scale | None = None
    ) -> keras.losses.Loss:
        kind = _validation.check_choice("loss", hp.Fixed("loss", "mse"), KINDS)
        delta = _validation.check_float(
            "huber_delta", hp.Fixed("huber_delta", 1.0), exclusive=True
        )
        quantile = hp.Fixed("quantile", 0.5)
        deviation: Any = (1.0,) if known is None else known.deviation
        if len(deviation) == 1:
            [deviation] = deviation
        return RegressionLoss(cast(Kind, kind), delta, quantile, deviation)

    def check(self, labels: Any, place: str, *, one_each: bool) -> None:
        shapes = f"(examples, {self.num_outputs})"
        if self.num_outputs == 1:
            shapes = f"(examples,) or {shapes}"
        required = f"The targets in {place} must be finite numbers of shape {shapes}."
        for array in numbers_of(labels, required, "", "float32"):
            rows = [(self.num_outputs,), *([()] if self.num_outputs == 1 else [])]
            if one_each and array.shape[1:] not in rows:
                remedy = f"`num_outputs` is {self.num_outputs}."
                refuse(required, remedy, f"shape={array.shape}")
            # Beyond float32's numbers they would be infinite.
            with np.errstate(invalid="ignore"):
                is_right = np.abs(array.astype("float64")) <= _validation.GREATEST
            if not is_right.all():
                remedy = "Leave out the examples that have no target."
                remedy = remedy if np.isnan(array.astype("float64")).any() else ""
                refuse(required, remedy, first_row(is_right, array))

    def seen(self, batches: list[np.ndarray]) -> Scale:
        columns = np.concatenate(
            [batch.astype("float64").reshape(-1, self.num_outputs) for batch in batches]
        )
        mean, deviation = columns.mean(axis=0), columns.std(axis=0)
        # What does not vary is learned as it is; its deviation may be rounding.
        deviation = np.where(np.ptp(columns, axis=0) == 0, 1.0, deviation)
        _check_digits(columns, mean, deviation)
        return Scale(tuple(mean.tolist()), tuple(deviation.tolist()))

    def unseen(self) -> Scale:
        return Scale((0.0,) * self.num_outputs, (1.0,) * self.num_outputs)

    def check_network(self, model: keras.Model, known: Scale | None) -> None:
        scales = [each for each in all_layers(model) if isinstance(each, TargetScale)]
        if known is not None and known != self.unseen() and not scales:
            warnings.warn(
                "The network must learn the targets in the data's unit, with mean "
                f"{_validation.shown(known.mean)} and deviation "
                f"{_validation.shown(known.deviation)}, since it does not end with "
                "`outputs`: `return keras.Model(inputs, self.outputs(features))`.",
                stacklevel=3,
            )

    def set_in(self, model: keras.Model, known: Scale | None) -> None:
        for layer in model.layers:
            if isinstance(layer, TargetScale) and known is not None:
                layer.set(*known)


def _power_of_two(known: Scale | None) -> float:
    """Returns what deviations are divided by where float32 cannot hold their squares.

    It is 1 for most targets: a program knows the number.
    """
    largest = 1.0 if known is None else max(known.deviation)
    if SQUARED_AS_THEY_ARE[0] < largest < SQUARED_AS_THEY_ARE[1]:
        return 1.0
    return 2.0 ** min(max(round(math.log2(largest)), -120), 120)


def _check_digits(columns: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Refuses targets whose differences float32, Keras's type, cannot hold."""
    largest = np.abs(columns).max(axis=0).astype("float32")
    step = np.spacing(largest).astype("float64")
    for number in np.flatnonzero(
        (step > COARSEST_STEP * deviation) | (deviation < _validation.LEAST)
    ):
        refuse(
            "Targets must differ by much more than float32, in which they are compared "
            f"and predicted, can tell apart: near {mean[number]:.6g} its numbers are "
            f"{step[number]:.3g} apart, and the deviation of the targets is "
            f"{columns[:, number].std():.3g}.",
            "Subtract an offset such as their mean, divide by a unit such as their "
            "deviation, and do the reverse to the predictions.",
            f"targets from {columns[:, number].min():.12g} to "
            f"{columns[:, number].max():.12g}",
        )
