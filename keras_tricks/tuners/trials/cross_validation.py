"""Folds of the data inside a trial."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.data import labels as class_labels
from keras_tricks.data import rows
from keras_tricks.tuners import seeds

Preprocess = Callable[[Any], Callable[[Any], Any]]
# Indices of a fold's training examples, and of those for its validation.
Fold = tuple[np.ndarray, np.ndarray]


def check_splits(splits: Any, groups: Any = None) -> None:
    """Checks what a tuner is given, as far as that is possible without data.

    Raises:
        TypeError: If `splits` is no splitter, no list of pairs and no number.
        ValueError: If it is a number below 2, or one with `groups`.
    """
    if isinstance(splits, numbers.Integral) and not isinstance(splits, bool):
        if splits < 2:
            raise ValueError(
                "`splits` must be at least 2 folds. "
                f"{_validation.received('splits', splits)}"
            )
        if groups is not None:
            raise ValueError(
                "`groups` need a splitter that keeps them together, such as "
                f"GroupKFold({splits}). {_validation.received('splits', splits)}"
            )
    elif isinstance(splits, str | bytes | bytearray) or not (
        hasattr(splits, "split") or isinstance(splits, list | tuple)
    ):
        raise TypeError(
            "`splits` must be a scikit-learn splitter such as StratifiedKFold(5), a "
            "number of folds, or a list of (train, test) index arrays. "
            f"{_validation.received('splits', splits)}"
        )


def check(
    splits: Any, call: FitCall, groups: Any = None, seed: int | None = None
) -> list[Fold]:
    """Returns the folds of all trials of a search, before the first of them.

    Args:
        splits: A scikit-learn splitter, a list of `(train, test)` index pairs, or a
            number of folds: shuffled, and stratified where `y` are classes, as
            scikit-learn tells them.
        call: What `search` was given.
        groups: The group of each example, for a splitter that keeps groups together.
        seed: Of the search. A splitter without a seed of its own draws by it.

    Raises:
        TypeError: If the data have no rows to choose from.
        ValueError: If there are validation data besides, or the examples are not as
            many as the folds need.
    """
    for name in ("validation_data", "validation_split"):
        # A split of 0 is none. Data may be arrays, which have no truth value.
        given = call[name]
        if given is not None and not (name == "validation_split" and given == 0):
            raise ValueError(
                f"`splits` makes the validation data of each fold: leave out `{name}`. "
                f"Received: {name} of type {type(given).__name__}"
            )
    size = _number_of_examples(call)
    if groups is not None and len(groups) != size:
        raise ValueError(
            f"`groups` must be as many as the examples, {size}. "
            f"Received: {len(groups)} groups"
        )
    pairs = _pairs(splits, call["y"], size, groups, seed)
    if not pairs:
        raise ValueError(
            "`splits` must make at least one fold. "
            f"{_validation.received('splits', splits)}"
        )
    return [_checked_fold(pair, size) for pair in pairs]


def folds(
    splits: Any,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
    groups: Any = None,
    preprocess: Preprocess | None = None,
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yields the arguments of `fit` for each fold, its test part as validation data.

    Args:
        splits: See `check`.
        fit_args: Arrays `x` and `y`, as far as they are given by their places, and what
            a hypermodel's own `fit` has behind them.
        fit_kwargs: The other arguments by name. Weights of examples go with them.
        groups: See `check`.
        preprocess: Function from the training examples of a fold to a function that
            is applied to its training and its test examples, so that nothing of the
            test part is in a vocabulary or a mean.

    Raises:
        TypeError: See `check`.
        ValueError: See `check`.
    """
    call, others = FitCall(tuple(fit_args[:2]), dict(fit_kwargs)), tuple(fit_args[2:])
    for train, test in check(splits, call, groups):
        training, validation = part(call, train), part(call, test)
        if preprocess is not None:
            apply = preprocess(training["x"])
            training["x"] = apply(training["x"])
            validation["x"] = apply(validation["x"])
        data = [validation.get(name) for name in _ROWS]
        while data[-1] is None:
            data.pop()
        fold = call.replace(**training, validation_data=tuple(data))
        fold = fold.without("validation_split")
        yield (*fold.args, *others), fold.kwargs


# The arguments of `fit` that have a row for each example.
_ROWS = ("x", "y", "sample_weight")


def part(call: FitCall, indices: Any) -> dict[str, Any]:
    """Returns rows of those arguments of `fit` that have one for each example."""
    return {
        name: rows.take(call[name], indices) for name in _ROWS if call[name] is not None
    }


def _number_of_examples(call: FitCall) -> int:
    sizes = {}
    for name in _ROWS:
        data = call[name]
        if data is None and name != "x":
            continue
        if not rows.has_rows(data):
            raise TypeError(
                "`splits` needs arrays, of which it takes rows, as `x` and `y`. "
                f"Received: {name} of type {type(data).__name__}"
            )
        for leaf in keras.tree.flatten(data):
            if leaf is not None:
                sizes[name] = int(leaf.shape[0])
                if sizes[name] != sizes["x"]:
                    raise ValueError(
                        "`splits` needs as many rows in all arrays. Received: "
                        f"{sizes['x']} in x and {sizes[name]} in {name}"
                    )
    return sizes["x"]


def _pairs(splits: Any, y: Any, size: int, groups: Any, seed: int | None) -> list[Any]:
    if isinstance(splits, numbers.Integral):
        splits = _splitter(int(splits), _classes(y), size, seed)
    if not hasattr(splits, "split"):
        return list(splits)
    labels = _only_array(y)
    if type(splits).__module__.startswith("sklearn."):
        labels = _classes(y)
        names = [cls.__name__ for cls in type(splits).__mro__]
        if y is not None and labels is None and any("Stratified" in n for n in names):
            raise ValueError(
                f"`splits={type(splits).__name__}` needs one column of labels, by "
                "which it stratifies. Give index pairs, such as "
                f"[*{type(splits).__name__}(...).split(x, labels)]. Received: y of "
                f"type {type(y).__name__} with {len(keras.tree.flatten(y))} outputs"
            )
        if groups is None and "GroupsConsumerMixin" in names:
            raise ValueError(
                f"`splits={type(splits).__name__}` needs the tuner's `groups`, a value "
                "for each row of x: RandomSearch(..., splits=..., groups=...). "
                "Received: groups=None"
            )
    with seeds.global_generators_restored():
        if seed is not None:
            np.random.seed(seeds.derived_seed(seed, "folds") % 2**32)
        return list(splits.split(np.zeros(size), labels, groups))


def _splitter(number: int, labels: Any, size: int, seed: int | None) -> Any:
    """Returns what scikit-learn takes for a number of folds, but shuffled."""
    from sklearn import model_selection
    from sklearn.utils import multiclass

    try:
        kind = multiclass.type_of_target(labels)
    except ValueError:
        kind = "unknown"
    are_classes = kind in ("binary", "multiclass")
    if are_classes:
        counts = np.unique(labels, return_counts=True)[1]
        # Whole numbers of another kind, years for instance, are hardly ever equal.
        are_classes = len(counts) * number <= size and counts.max() >= number
    splitter = model_selection.check_cv(number, labels, classifier=are_classes)
    random_state = None if seed is None else seeds.derived_seed(seed, "folds") % 2**32
    return type(splitter)(number, shuffle=True, random_state=random_state)


def _only_array(y: Any) -> np.ndarray | None:
    """Returns the labels, or None where there are none or several outputs have some."""
    leaves = [leaf for leaf in keras.tree.flatten(y) if leaf is not None]
    return np.asarray(leaves[0]) if len(leaves) == 1 else None


def _classes(y: Any) -> np.ndarray | None:
    """Returns the labels as one column, also where they are one-hot."""
    return class_labels.one_column(_only_array(y))


def _checked_fold(pair: Any, size: int) -> Fold:
    if isinstance(pair, str | dict) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise ValueError(
            "`splits` must be pairs (train, test) of index arrays. "
            f"Received: {pair!r} among them"
        )
    train, test = (_checked_indices(indices, size) for indices in pair)
    return train, test


def _checked_indices(indices: Any, size: int) -> np.ndarray:
    found = np.asarray(indices)
    if found.dtype == bool and found.shape == (size,):
        found = np.flatnonzero(found)
    is_right = found.ndim == 1 and len(found) > 0 and found.dtype.kind in "iu"
    if not is_right or found.min() < -size or found.max() >= size:
        raise ValueError(
            f"`splits` must be pairs of arrays of indices below {size}, the number of "
            f"examples, none of them empty. Received: {indices!r} among them"
        )
    return np.where(found < 0, found + size, found)
