"""The loss of classifiers, for class numbers and logits."""

from typing import Any

import keras
from keras import ops

from keras_tricks import _validation
from keras_tricks.losses.shapes import may_be
from keras_tricks.losses.shapes import rank_is_unknown


@keras.saving.register_keras_serializable("keras_tricks", name="ClassificationLoss")
class ClassificationLoss(keras.losses.Loss):
    r"""Cross-entropy, with smoothed labels and the focal factor if they are asked for.

    For the logits of `K` classes and `p = softmax(logits)`, with the target
    `q = (1 - label_smoothing) * one_hot(label) + label_smoothing / K`:

        loss = -sum_k q_k * (1 - p_k) ** focal_gamma * log(p_k)

    These are Keras's `CategoricalCrossentropy` and, with `alpha=1` (theirs is 0.25),
    `CategoricalFocalCrossentropy`, with `from_logits=True` and the labels one-hot. The
    model ends in a layer without activation: no softmax.

    A label that is no class number, one of 0 to `K - 1`, has the loss NaN, and so have
    the gradients: a training with such labels diverges rather than look perfect.

    Args:
        label_smoothing: Share of the target that is spread over all classes, from 0
            (none) to below 1.
        focal_gamma: How much less a class counts that is predicted well already; 0
            gives cross-entropy, 2 is the paper's value.
        **kwargs: See `keras.losses.Loss`.

    Raises:
        ValueError: If a number is out of its range, or if labels are not one number
            for each row of logits, as one-hot labels are not: their shape is that of
            the logits without the last axis, or with 1 in its place.

    Example:

    >>> import keras
    >>> from keras_tricks.losses import ClassificationLoss
    >>> loss = ClassificationLoss(focal_gamma=2.0)
    >>> round(float(loss([0], [[0.0, 0.0]])), 4)  # (1 - 0.5)**2 * log(2)
    0.1733

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture", 2016 (smoothing);
        Lin et al., "Focal Loss for Dense Object Detection", 2017.
    """

    def __init__(
        self, label_smoothing: float = 0.0, focal_gamma: float = 0.0, **kwargs: Any
    ):
        super().__init__(**{"name": "classification_loss", **kwargs})
        self.label_smoothing = _validation.check_float(
            "label_smoothing", label_smoothing, below=1
        )
        self.focal_gamma = _validation.check_float("focal_gamma", focal_gamma)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = ops.convert_to_tensor(y_pred)
        num_classes = logits.shape[-1]
        y_true = ops.convert_to_tensor(y_true)
        _check_shapes(y_true, logits)
        shape = ops.shape(logits)[:-1]
        # As floats, in which they come from Keras: a GPU compares integers elsewhere.
        numbers = ops.reshape(ops.cast(y_true, "float32"), shape)
        is_class = (numbers >= 0) & (numbers < num_classes)
        is_class = is_class & ops.equal(numbers, ops.floor(numbers))
        labels = ops.reshape(ops.cast(y_true, "int32"), shape)
        target = ops.one_hot(labels, num_classes, dtype=logits.dtype)
        smoothing = ops.cast(self.label_smoothing, logits.dtype)
        target = target * (1 - smoothing) + smoothing / num_classes
        # 0 of a class that cannot be, whose logit is -inf, is 0.
        log_p = ops.log_softmax(logits, axis=-1)
        is_nothing = ops.isinf(log_p) & ops.equal(target, 0)
        counted = ops.where(is_nothing, ops.zeros_like(log_p), log_p)
        if self.focal_gamma:
            # By logits: 1 - p loses its digits where p is near 1.
            target = target * ops.exp(self.focal_gamma * _log_of_others(log_p))
        loss = -ops.sum(target * counted, axis=-1)
        # A factor, so that gradients have it, too. That of 1 changes no bit.
        return loss * ops.cast(ops.where(is_class, 1.0, float("nan")), loss.dtype)

    def __repr__(self) -> str:
        return (
            f"ClassificationLoss(label_smoothing={self.label_smoothing!r}, "
            f"focal_gamma={self.focal_gamma!r})"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "focal_gamma": self.focal_gamma,
        }


def _log_of_others(log_p: Any) -> Any:
    """Returns `log(1 - exp(log_p))`, finite where `p` is 1."""
    tiny = 1e-7
    return ops.log(ops.maximum(-ops.expm1(log_p), tiny))


def _check_shapes(y_true: Any, y_pred: Any) -> None:
    if rank_is_unknown(y_true, y_pred):
        return
    labels, logits = tuple(y_true.shape), tuple(y_pred.shape)
    rows = logits[:-1]
    if any(may_be(labels, shape) for shape in (rows, (*rows, 1))):
        return
    one_hot = len(labels) == len(logits) and may_be(labels[:-1], rows)
    remedy = ": `np.argmax(y, axis=-1)` makes them of one-hot labels" if one_hot else ""
    raise ValueError(
        f"Labels must be class numbers, one for each row of logits, of shape {rows} or "
        f"{(*rows, 1)}{remedy}. "
        f"Received: labels of shape {labels}, logits of {logits}"
    )
