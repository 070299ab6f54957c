"""The loss of examples that may have any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_tricks import _validation
from keras_tricks.losses.shapes import as_outputs


@keras.saving.register_keras_serializable("keras_tricks", name="MultiLabelLoss")
class MultiLabelLoss(keras.losses.Loss):
    r"""Binary cross-entropy of each label, with weights and the focal factor.

    For the logit `z` of a label, `p = sigmoid(z)`, the label `y`, 0 or 1, and the
    target `q = (1 - label_smoothing) * y + label_smoothing / 2`:

        loss = -(w * q * (1 - p) ** focal_gamma * log(p)
                 + (1 - q) * p ** focal_gamma * log(1 - p))
        w = positive_weight ** balance

    and of an example, the mean over its labels. Without weights and smoothing these are
    Keras's `BinaryCrossentropy` and `BinaryFocalCrossentropy` (whose `alpha` is not
    applied by default either) with `from_logits=True`; with smoothing, Keras's focal
    factor is that of the smoothed label. The model ends in a layer without activation:
    no sigmoid.

    What is neither 0 nor 1 has the loss NaN, and so have the gradients.

    Args:
        label_smoothing: Share of the target that is spread over both answers, from 0
            (none) to below 1.
        focal_gamma: How much less a label counts that is predicted well already; 0
            gives cross-entropy, 2 is the paper's value.
        positive_weights: For each label, how much more a 1 counts than a 0: for a
            balance, the 0s of the label divided by its 1s. None is 1 for all.
        balance: The power of these weights: 0 is none, 1 is all.
        **kwargs: See `keras.losses.Loss`.

    Raises:
        ValueError: If a number is out of its range, or labels have not the shape of the
            logits.

    Example:

    >>> from keras_tricks.losses import MultiLabelLoss
    >>> loss = MultiLabelLoss(positive_weights=[3.0, 1.0])
    >>> round(float(loss([[1, 0]], [[0.0, 0.0]])), 4)  # (3 * log(2) + log(2)) / 2
    1.3863

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017; King and Zeng,
        "Logistic Regression in Rare Events Data", 2001 (weights).
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        positive_weights: Sequence[float] | None = None,
        balance: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**{"name": "multi_label_loss", **kwargs})
        self.label_smoothing = _validation.check_float(
            "label_smoothing", label_smoothing, below=1
        )
        self.focal_gamma = _validation.check_float("focal_gamma", focal_gamma)
        if positive_weights is not None:
            positive_weights = _validation.check_floats(
                "positive_weights", positive_weights, exclusive=True
            )
        self.positive_weights = positive_weights
        self.balance = _validation.check_float("balance", balance)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, logits = as_outputs(y_true, y_pred, "Labels, 0 or 1,")
        is_label = ops.equal(y_true, 0) | ops.equal(y_true, 1)
        smoothing = ops.cast(self.label_smoothing, logits.dtype)
        target = y_true * (1 - smoothing) + smoothing / 2
        # -log(p) and -log(1 - p).
        missed, mistaken = ops.softplus(-logits), ops.softplus(logits)
        positive, negative = target * missed, (1 - target) * mistaken
        if self.focal_gamma:
            positive = positive * ops.exp(-self.focal_gamma * mistaken)
            negative = negative * ops.exp(-self.focal_gamma * missed)
        if self.positive_weights is not None:
            logs = ops.log(ops.convert_to_tensor(self.positive_weights, logits.dtype))
            positive = positive * ops.exp(ops.cast(self.balance, logits.dtype) * logs)
        # A factor, so that gradients have it, too. That of 1 changes no bit.
        known = ops.cast(ops.where(is_label, 1.0, float("nan")), logits.dtype)
        return ops.mean((positive + negative) * known, axis=-1)

    def __repr__(self) -> str:
        return (
            f"MultiLabelLoss(label_smoothing={self.label_smoothing!r}, "
            f"focal_gamma={self.focal_gamma!r}, "
            f"positive_weights={self.positive_weights!r}, balance={self.balance!r})"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "focal_gamma": self.focal_gamma,
            "positive_weights": self.positive_weights,
            "balance": self.balance,
        }
