"""What a predictor reaches that looks at no input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_tricks import _validation


def trivial_score(y: Any, metric: str) -> float:
    """Returns what the best constant prediction reaches: a training has to beat it.

    | metric | the prediction | its score |
    |---|---|---|
    | `"sparse_categorical_crossentropy"`, `"categorical_crossentropy"` | each class by its share `p[k]` | `-sum(p * log(p))` |
    | `"accuracy"`, with `"sparse_categorical_accuracy"` and `"categorical_accuracy"` | the most frequent class | `max(p)` |
    | `"binary_crossentropy"` | each label by its share | the mean over labels of `-p * log(p) - (1 - p) * log(1 - p)` |
    | `"binary_accuracy"` | the more frequent of 0 and 1 | the mean over labels of `max(p, 1 - p)` |
    | `"mean_squared_error"`, `"mse"` | the mean | the variance, its mean over outputs |
    | `"root_mean_squared_error"`, `"rmse"` | the mean | its square root |
    | `"mean_absolute_error"`, `"mae"` | the median | the mean distance from it |

    Args:
        y: The labels or targets: class numbers of the shape `(n,)` or `(n, 1)`, one-hot
            rows `(n, classes)`, zeros and ones for the binary metrics, numbers for the
            others.
        metric: One of the names above.

    Returns:
        The score, in nats where it is an entropy.

    Raises:
        TypeError: If `y` is no array of numbers, or `metric` no text.
        ValueError: If `metric` is none of those, or `y` is nothing that it is of.

    Example:

    >>> from keras_tricks.diagnosis import trivial_score
    >>> labels = [0, 0, 0, 1]
    >>> trivial_score(labels, "accuracy")
    0.75
    >>> round(trivial_score(labels, "sparse_categorical_crossentropy"), 4)
    0.5623
    """  # noqa: E501
    metric = _validation.check_text("metric", metric)
    if metric not in _SCORES:
        names = ", ".join(map(repr, _SCORES))
        raise ValueError(
            f"`metric` must be one of {names}. {_validation.received('metric', metric)}"
        )
    if isinstance(y, list | tuple) and any(
        np.ndim(e) and hasattr(e, "dtype") for e in y
    ):
        raise TypeError(
            "`y` must be one array, of one output: a list of arrays may be several. "
            f"{_validation.received('y', y, True)}"
        )
    values = np.asarray(y)
    if values.dtype.kind not in "buif":
        raise TypeError(
            "`y` must be an array of numbers: class numbers, zeros and ones, or "
            f"targets. {_validation.received('y', y, True)}"
        )
    values = values.astype(np.float64)
    if values.ndim not in (1, 2) or not values.size or not np.isfinite(values).all():
        raise ValueError(
            "`y` must have one row an example, at least one, of finite numbers, and "
            f"the shape (n,) or (n, k). {_validation.received('y', y)}"
        )
    return float(_SCORES[metric](values))


def _shares(values: np.ndarray) -> np.ndarray:
    """Returns the share of each class, of class numbers or of one-hot rows."""
    if values.ndim == 1 or values.shape[1] == 1:
        if (values != np.round(values)).any() or (values < 0).any():
            raise ValueError(
                "`y` must hold whole class numbers from 0 on for this metric. "
                f"{_validation.received('y', values)}"
            )
        _, counts = np.unique(values, return_counts=True)
        return counts / counts.sum()
    if (values < 0).any() or not np.allclose(values.sum(axis=1), 1.0):
        raise ValueError(
            "`y` must hold one-hot rows, which add up to 1, or class numbers of the "
            f"shape (n,) for this metric. {_validation.received('y', values)}"
        )
    return values.mean(axis=0)


def _shares_of_ones(values: np.ndarray) -> np.ndarray:
    if (values < 0).any() or (values > 1).any():
        raise ValueError(
            "`y` must hold zeros and ones for this metric. "
            f"{_validation.received('y', values)}"
        )
    return np.atleast_1d(values.mean(axis=0))


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _accuracy(values: np.ndarray) -> float:
    shares = _shares(values)
    if values.ndim == 2 and values.shape[1] > 1:
        # Of soft labels, too, the largest is the class.
        _, counts = np.unique(values.argmax(axis=1), return_counts=True)
        shares = counts / counts.sum()
    return float(shares.max())


def _binary_entropy(values: np.ndarray) -> float:
    shares = _shares_of_ones(values)
    return float(np.mean([_entropy(np.array([p, 1 - p])) for p in shares]))


def _binary_accuracy(values: np.ndarray) -> float:
    shares = _shares_of_ones(values)
    return float(np.maximum(shares, 1 - shares).mean())


def _variance(values: np.ndarray) -> float:
    return float(values.var(axis=0).mean())


def _distance(values: np.ndarray) -> float:
    return float(np.abs(values - np.median(values, axis=0)).mean())


_SCORES: dict[str, Callable[[np.ndarray], float]] = {
    "sparse_categorical_crossentropy": lambda y: _entropy(_shares(y)),
    "categorical_crossentropy": lambda y: _entropy(_shares(y)),
    "accuracy": _accuracy,
    "sparse_categorical_accuracy": _accuracy,
    "categorical_accuracy": _accuracy,
    "binary_crossentropy": _binary_entropy,
    "binary_accuracy": _binary_accuracy,
    "mean_squared_error": _variance,
    "mse": _variance,
    "root_mean_squared_error": lambda y: _variance(y) ** 0.5,
    "rmse": lambda y: _variance(y) ** 0.5,
    "mean_absolute_error": _distance,
    "mae": _distance,
}
