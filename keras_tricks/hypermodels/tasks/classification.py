"""Examples of one of several classes."""

from __future__ import annotations

from typing import Any
from typing import ClassVar

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks.hypermodels.tasks.class_numbers import check_labels
from keras_tricks.hypermodels.tasks.metrics import ClassificationAUC
from keras_tricks.hypermodels.tasks.metrics import ClassificationF1
from keras_tricks.hypermodels.tasks.task import Metric
from keras_tricks.hypermodels.tasks.task import Task
from keras_tricks.losses import ClassificationLoss

LOSSES = ("cross_entropy", "focal")


class Classification(Task):
    """One class an example: class numbers in, one logit a class out."""

    metrics: ClassVar[dict[str, Metric]] = {
        "accuracy": lambda num_outputs, known: "accuracy",
        "macro_f1": lambda num_outputs, known: ClassificationF1(),
        "auc": lambda num_outputs, known: ClassificationAUC(num_outputs),
    }
    default_metrics = ("accuracy",)
    learns_of_labels = False

    def loss(
        self, hp: keras_tuner.HyperParameters, known: Any = None
    ) -> keras.losses.Loss:
        return hyper_loss(hp)

    def check(self, labels: Any, place: str, *, one_each: bool) -> None:
        check_labels(labels, self.num_outputs, place, one_each=one_each)


def hyper_loss(hp: keras_tuner.HyperParameters) -> ClassificationLoss:
    """Declares the loss in `hp`, fixed to cross-entropy, and returns it.

    | name | range | default | kind |
    |---|---|---|---|
    | `loss` | fixed; `"cross_entropy"` or `"focal"` | `"cross_entropy"` | structural |
    | `label_smoothing` | fixed | 0 | scalar |
    | `focal_gamma` (only with `"focal"`) | fixed | 2 | scalar |
    """
    kind = _validation.check_choice("loss", hp.Fixed("loss", "cross_entropy"), LOSSES)
    smoothing = hp.Fixed("label_smoothing", 0.0)
    gamma = hp.Fixed("focal_gamma", 2.0)
    return ClassificationLoss(smoothing, gamma if kind == "focal" else 0.0)
