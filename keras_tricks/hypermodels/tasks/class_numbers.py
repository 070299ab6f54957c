"""Labels that are no class numbers, told before they are trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_tricks.hypermodels.tasks.arrays import first_row
from keras_tricks.hypermodels.tasks.arrays import numbers_of
from keras_tricks.hypermodels.tasks.arrays import refuse


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

    >>> from keras_tricks.hypermodels.tasks.class_numbers import check_labels
    >>> check_labels([0, 1, 2], num_classes=3)
    >>> check_labels([1, 2, 3], num_classes=3)
    Traceback (most recent call last):
    ...
    keras_tuner.src.errors.FatalValueError: The labels in `y` must be class numbers: ...
    """
    required = (
        f"The labels in {place} must be class numbers: whole numbers from 0 to "
        f"{num_classes - 1}, since num_classes={num_classes}."
    )
    for array in numbers_of(
        labels,
        required,
        "`keras.layers.StringLookup(num_oov_indices=0)` or scikit-learn's "
        "`LabelEncoder` makes them of strings.",
    ):
        if one_each and array.shape[1:] not in ((), (1,)):
            refuse(
                required,
                "Each example has one, in the shape (examples,) or (examples, 1). "
                "`np.argmax(y, axis=-1)` makes them of one-hot labels.",
                f"shape={array.shape}",
            )
        _check_numbers(array, num_classes, required)


def _check_numbers(array: np.ndarray, num_classes: int, required: str) -> None:
    # NaN is neither.
    is_class = (array >= 0) & (array < num_classes)
    if array.dtype.kind == "f":
        is_class &= array == np.floor(array)
    if is_class.all():
        return
    if np.isnan(array).any():
        remedy = "Leave out the examples that have no label."
    elif array.min() >= 1 and array.max() == num_classes:
        remedy = "Subtract 1 from labels that count from 1."
    else:
        remedy = "Scikit-learn's `LabelEncoder` numbers any labels from 0."
    refuse(required, remedy, first_row(is_class, array))
