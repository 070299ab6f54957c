"""Metrics by their names: whether less or more of them is better."""

from keras_tricks import _validation

# Parts of the names of metrics of which more is better, and of which all is 1.
_SHARES = ("acc", "auc", "precision", "recall", "f1", "iou", "top_k", "r2")


def direction_of(metric: str, direction: str = "auto") -> str:
    """Returns `"min"` or `"max"`: what a metric is better for.

    Args:
        metric: Its name, on training or on validation data.
        direction: What the user says: one of the two, or `"auto"` to go by the name.

    Raises:
        ValueError: If `direction` is none of the three.

    Example:

    >>> from keras_tricks.diagnosis.metrics import direction_of
    >>> direction_of("val_accuracy"), direction_of("loss")
    ('max', 'min')
    """
    direction = _validation.check_choice("direction", direction, ("min", "max", "auto"))
    if direction != "auto":
        return direction
    return "max" if any(part in metric.lower() for part in _SHARES) else "min"
