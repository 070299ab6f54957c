"""Metrics by their names: whether less or more of them is better."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from keras_tricks import _validation

# Parts of names of which less is better, looked for first: "negative_log_likelihood".
_LESS = re.compile(
    r"loss|error|mse|mae|rmse|mape|msle|entropy|hinge|poisson|diverg|false_|"
    r"perplexity|nll|negative|cosh|huber|distance|brier|cost|penalty|"
    r"(^|_)(ece|wer|cer|fid|fpr|fnr)($|_)"
)
# Those of shares, of which all is 1, and those that may have other bounds.
_SHARES = re.compile(
    r"acc|auc|precision|recall|f1|fbeta|f_beta|f_score|iou|io_u|top_k|r2|dice|jaccard|"
    r"sensitivity|specificity|hit_rate|(^|_)(map|mrr|ndcg|tpr|tnr)($|_)"
)
_MORE = re.compile(
    r"similarity|correlation|pearson|spearman|true_|kappa|mcc|psnr|ssim|bleu|rouge|"
    r"meteor|reward|likelihood"
)


def direction_of(
    metric: str,
    direction: str = "auto",
    *,
    name: str = "direction",
    metric_name: str = "metric",
) -> str:
    """Returns `"min"` or `"max"`: what a metric is better for.

    Args:
        metric: Its name, on training or on validation data.
        direction: What the user says: one of the two, or `"auto"` to go by the name.
        name: What the user calls `direction`.
        metric_name: What the user calls `metric`.

    Raises:
        ValueError: If `direction` is none of the three, or `"auto"` and the name does
            not tell.

    Example:

    >>> from keras_tricks.diagnosis.metrics import direction_of
    >>> direction_of("val_accuracy"), direction_of("loss")
    ('max', 'min')
    """
    direction = _validation.check_choice(name, direction, ("min", "max", "auto"))
    if direction != "auto":
        return direction
    known = known_direction(metric)
    if known is None:
        raise ValueError(
            f"`{metric_name}` must tell by its name whether less or more of it is "
            f'better, or `{name}` be "min" or "max". Received: {metric_name}={metric!r}'
        )
    return known


def known_direction(metric: str) -> str | None:
    """Returns what a metric is better for by its name, or None.

    Example:

    >>> from keras_tricks.diagnosis.metrics import known_direction
    >>> known_direction("val_mean_io_u"), known_direction("my_metric")
    ('max', None)
    """
    metric = metric.lower()
    if _LESS.search(metric):
        return "min"
    return "max" if _SHARES.search(metric) or _MORE.search(metric) else None


def is_share(metric: str) -> bool:
    """Whether it is one of those of which all is 1, by its name."""
    metric = metric.lower()
    return not _LESS.search(metric) and bool(_SHARES.search(metric))


def as_number(value: Any) -> float:
    """Returns what was logged as one number: of several their mean, as Keras prints it.

    `keras.metrics.F1Score`, for instance, has one a class.
    """
    return float(np.mean(np.asarray(value, np.float64)))
