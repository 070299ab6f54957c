"""Folds of the data inside a trial."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np

Preprocess = Callable[[Any], Callable[[Any], Any]]


def folds(
    splits: Any,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
    groups: Any = None,
    preprocess: Preprocess | None = None,
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yields the arguments of `fit` for each fold, its test part as validation data.

    Args:
        splits: A scikit-learn splitter, or a list of `(train, test)` index pairs.
        fit_args: What `search` was given: arrays `x` and `y` first.
        fit_kwargs: The same.
        groups: The group of each example, for a splitter that keeps groups together.
        preprocess: Function from the training examples of a fold to a function that
            is applied to its training and its test examples, so that nothing of the
            test part is in a vocabulary or a mean.

    Raises:
        TypeError: If the data are not arrays.
        ValueError: If there are validation data besides.
    """
    named = dict(zip(("x", "y"), fit_args, strict=False)) | {
        name: fit_kwargs[name] for name in ("x", "y") if name in fit_kwargs
    }
    for name in ("x", "y"):
        if not hasattr(named.get(name), "shape"):
            raise TypeError(
                f"`splits` needs the arrays `x` and `y`. Received: {name} of type "
                f"{type(named.get(name)).__name__}"
            )
    for name in ("validation_data", "validation_split"):
        if fit_kwargs.get(name) is not None:
            raise ValueError(
                f"`splits` makes the validation data of each fold: leave out `{name}`. "
                f"Received: {name}={type(fit_kwargs[name]).__name__}"
            )
    rest = {key: value for key, value in fit_kwargs.items() if key not in named}
    x, y = named["x"], named["y"]
    for train, test in _index_pairs(splits, x, y, groups):
        x_train, x_test = _rows(x, train), _rows(x, test)
        if preprocess is not None:
            apply = preprocess(x_train)
            x_train, x_test = apply(x_train), apply(x_test)
        validation = (x_test, _rows(y, test))
        yield (
            (x_train, _rows(y, train), *fit_args[2:]),
            {**rest, "validation_data": validation},
        )


def _index_pairs(splits: Any, x: Any, y: Any, groups: Any) -> Any:
    if hasattr(splits, "split"):
        return splits.split(np.zeros(len(x)), np.asarray(y), groups)
    return splits


def _rows(array: Any, indices: Any) -> Any:
    return array.iloc[indices] if hasattr(array, "iloc") else array[indices]


def check_splits(splits: Any) -> None:
    """Raises `TypeError` if `splits` is neither a splitter nor a list of pairs."""
    if hasattr(splits, "split") or isinstance(splits, list | tuple):
        return
    raise TypeError(
        "`splits` must be a scikit-learn splitter such as StratifiedKFold(5), or a "
        f"list of (train, test) index arrays. Received: splits={splits!r}"
    )
