"""Labels that are no class numbers, told before they are trained on."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner
import numpy as np


def check_labels(
    labels: Any, num_classes: int, place: str = "`y`", *, one_each: bool = True
) -> None:
    """Raises an error if labels are not numbers from 0 to `num_classes - 1`.

    What no array can be made of is left to Keras, which says what it takes.

    Args:
        labels: Arrays, tensors or columns of labels; None is no labels.
        num_classes: Number of classes.
        place: Where the labels are, in words.
        one_each: Whether each example has one label.

    Raises:
        keras_tuner.errors.FatalValueError: If they are not. It is a `ValueError` that
            ends a search, whose other trials would get the same labels.

    Example:

    >>> from keras_tricks.hypermodels.labels import check_labels
    >>> check_labels([0, 1, 2], num_classes=3)
    >>> check_labels([1, 2, 3], num_classes=3)
    Traceback (most recent call last):
    ...
    keras_tuner.src.errors.FatalValueError: The labels in `y` must be class numbers: ...
    """
    for part in _parts(labels):
        array = _array(part)
        if array is None or not array.size:
            continue
        _check_kind(array, num_classes, place)
        if one_each:
            _check_shape(array, num_classes, place)
        _check_numbers(array, num_classes, place)


def _parts(labels: Any) -> list[Any]:
    """Returns the arrays of a structure, such as `{"logits": labels}`."""
    if labels is None:
        return []
    if isinstance(labels, dict):
        return [*labels.values()]
    several = isinstance(labels, list | tuple)
    if several and any(hasattr(each, "shape") and each.shape for each in labels):
        return [*labels]
    return [labels]


def _array(labels: Any) -> np.ndarray | None:
    try:
        if keras.ops.is_tensor(labels):
            labels = keras.ops.convert_to_numpy(labels)
        array = np.asarray(labels)
        if array.dtype.kind == "V":
            array = array.astype("float32")  # bfloat16 and its like.
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return None
    # A number alone is nothing that `fit` takes.
    return array if array.ndim else None


def _refuse(place: str, num_classes: int, remedy: str, received: str) -> None:
    raise keras_tuner.errors.FatalValueError(
        f"The labels in {place} must be class numbers: whole numbers from 0 to "
        f"{num_classes - 1}, since num_classes={num_classes}. {remedy} "
        f"Received: {received}"
    )


def _check_kind(array: np.ndarray, num_classes: int, place: str) -> None:
    if array.dtype.kind in "iufb":
        return
    first = array.flat[0]
    if array.dtype.kind in "SU" or isinstance(first, str | bytes):
        _refuse(
            place,
            num_classes,
            "`keras.layers.StringLookup(num_oov_indices=0)` or scikit-learn's "
            "`LabelEncoder` makes them of strings.",
            f"{_plain(first)!r} in row 0",
        )
    _refuse(
        place,
        num_classes,
        'NumPy must know them as numbers, as after `labels.astype("int32")`.',
        f"dtype={array.dtype}, {_plain(first)!r} in row 0",
    )


def _check_shape(array: np.ndarray, num_classes: int, place: str) -> None:
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        return
    _refuse(
        place,
        num_classes,
        "Each example has one, in the shape (examples,) or (examples, 1). "
        "`np.argmax(y, axis=-1)` makes them of one-hot labels.",
        f"shape={array.shape}",
    )


def _check_numbers(array: np.ndarray, num_classes: int, place: str) -> None:
    # NaN is neither.
    is_class = (array >= 0) & (array < num_classes)
    if array.dtype.kind == "f":
        is_class &= array == np.floor(array)
    if is_class.all():
        return
    row = np.unravel_index(int(np.argmin(is_class)), array.shape)
    if np.isnan(array).any():
        remedy = "Leave out the examples that have no label."
    elif array.min() >= 1 and array.max() == num_classes:
        remedy = "Subtract 1 from labels that count from 1."
    else:
        remedy = "Scikit-learn's `LabelEncoder` numbers any labels from 0."
    received = f"{_plain(array[row])!r} in row {row[0]}"
    _refuse(place, num_classes, remedy, received)


def _plain(value: Any) -> Any:
    """Returns a NumPy number or string as Python's, which shows no type."""
    return value.item() if isinstance(value, np.generic) else value
