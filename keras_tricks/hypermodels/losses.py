"""The loss of hypermodels, declared in their hyperparameters."""

import keras_tuner

from keras_tricks import _validation
from keras_tricks.losses import ClassificationLoss

__all__ = ["LOSSES", "ClassificationLoss", "hyper_loss"]

LOSSES = ("cross_entropy", "focal")


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
