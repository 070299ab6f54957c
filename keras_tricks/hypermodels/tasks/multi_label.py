"""Examples with any number of labels."""

from __future__ import annotations

from typing import Any
from typing import ClassVar

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.tasks.arrays import first_row
from keras_tricks.hypermodels.tasks.arrays import numbers_of
from keras_tricks.hypermodels.tasks.arrays import refuse
from keras_tricks.hypermodels.tasks.metrics import MultiLabelAUC
from keras_tricks.hypermodels.tasks.metrics import MultiLabelF1
from keras_tricks.hypermodels.tasks.task import Metric
from keras_tricks.hypermodels.tasks.task import Task
from keras_tricks.losses import MultiLabelLoss

LOSSES = ("binary_cross_entropy", "focal")


class MultiLabel(Task):
    """Any of the labels: rows of 0 and 1 in, one logit a label out.

    | name | range | default | kind |
    |---|---|---|---|
    | `loss` | fixed; `"binary_cross_entropy"` or `"focal"` | the first | structural |
    | `label_smoothing` | fixed | 0 | scalar |
    | `focal_gamma` (only with `"focal"`) | fixed | 2 | scalar |
    | `balance` | fixed; from 0, no weights, to 1, those of a balance | 0 | scalar |

    With `balance`, a 1 of a label counts `(number of 0s / number of 1s) ** balance`
    times as much as a 0, counted in the labels that are trained on.
    """

    metrics: ClassVar[dict[str, Metric]] = {
        # Of logits: the label is there where its probability is above 0.5.
        "accuracy": lambda num_outputs, known: keras.metrics.BinaryAccuracy(
            name="accuracy", threshold=0.0
        ),
        "macro_f1": lambda num_outputs, known: MultiLabelF1(),
        "auc": lambda num_outputs, known: MultiLabelAUC(num_outputs),
    }
    default_metrics = ("accuracy", "macro_f1")

    def loss(
        self, hp: keras_tuner.HyperParameters, known: Any = None
    ) -> keras.losses.Loss:
        kind = hp.Fixed("loss", LOSSES[0])
        _validation.check_choice("loss", kind, LOSSES)
        smoothing = hp.Fixed("label_smoothing", 0.0)
        gamma = hp.Fixed("focal_gamma", 2.0)
        balance = _validation.check_float(
            "balance", hp.Fixed("balance", 0.0), maximum=1
        )
        return MultiLabelLoss(
            smoothing, gamma if kind == "focal" else 0.0, known, balance
        )

    def check(self, labels: Any, place: str, *, one_each: bool) -> None:
        required = (
            f"The labels in {place} must be rows of 0 and 1, one for each of the "
            f"{self.num_outputs} labels, since num_classes={self.num_outputs}."
        )
        for array in numbers_of(
            labels,
            required,
            "Scikit-learn's `MultiLabelBinarizer` makes them of names.",
        ):
            if one_each and array.shape[1:] != (self.num_outputs,):
                remedy = ""
                if array.shape[1:] == () and self.num_outputs == 1:
                    remedy = "`y[:, None]` has a column for the one label."
                elif array.shape[1:] in ((), (1,)):
                    remedy = 'Class numbers are those of `task="classification"`.'
                refuse(required, remedy, f"shape={array.shape}")
            is_label = (array == 0) | (array == 1)
            if not is_label.all():
                refuse(required, "", first_row(is_label, array))

    def seen(self, batches: list[np.ndarray]) -> tuple[float, ...]:
        counts = sum(len(batch) for batch in batches)
        ones = np.sum([batch.sum(axis=0, dtype="float64") for batch in batches], axis=0)
        has_both = (ones > 0) & (ones < counts)
        return tuple(
            np.where(has_both, (counts - ones) / np.maximum(ones, 1), 1.0).tolist()
        )
