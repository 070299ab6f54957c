"""Labels of any kind as NumPy arrays, and the errors that name a row of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from typing import NoReturn

import keras
import keras_tuner
import numpy as np


def arrays_of(labels: Any) -> list[np.ndarray]:
    """Returns the arrays of labels that hold any, such as of `{"logits": labels}`.

    What no array can be made of is left to Keras, which says what it takes.
    """
    found = [_array(part) for part in _parts(labels)]
    return [array for array in found if array is not None and array.size]


def _parts(labels: Any) -> list[Any]:
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


def _refuse_extension_types(labels: Any, required: str, dtype: str) -> None:
    """Refuses columns of pandas's own types, which Keras cannot take."""
    for part in _parts(labels):
        types = [getattr(part, "dtype", None)]
        if hasattr(part, "dtypes") and hasattr(part, "columns"):
            types = [*part.dtypes]
        for each in types:
            if type(each).__module__.startswith("pandas"):
                remedy = f'`y.to_numpy("{dtype}")` makes an array of them.'
                refuse(required, remedy, f"dtype={each}")


def check_finite(inputs: Any, place: str) -> None:
    """Refuses float arrays with NaN or infinite numbers, by row.

    Raises:
        keras_tuner.errors.FatalValueError: If there are any; it is a `ValueError`.
    """
    for array in arrays_of(inputs):
        # The sum is NaN or infinite where a number is, and quicker had.
        if array.dtype.kind != "f" or np.isfinite(array.sum(dtype="float64")):
            continue
        is_finite = np.isfinite(array)
        index = np.unravel_index(int(np.argmin(is_finite)), array.shape)
        refuse(
            f"The features in {place} must be finite numbers.",
            "Fill gaps, with the mean of a column for instance; `HyperTable` takes "
            "tables with gaps.",
            f"{plain(array[index])!r} in row {index[0]}",
        )


def refuse(required: str, remedy: str, received: str) -> NoReturn:
    """Ends a search: its other trials would get the same labels.

    Raises:
        keras_tuner.errors.FatalValueError: Always; it is a `ValueError`.
    """
    raise keras_tuner.errors.FatalValueError(
        " ".join(part for part in (required, remedy, f"Received: {received}") if part)
    )


def first_row(is_right: np.ndarray, array: np.ndarray) -> str:
    """Returns the first entry that is not right, with its row, in words."""
    index = np.unravel_index(int(np.argmin(is_right)), array.shape)
    column = f", column {index[1]}" if len(index) > 1 and array.shape[1] > 1 else ""
    return f"{plain(array[index])!r} in row {index[0]}{column}"


def numbers_of(
    labels: Any, required: str, remedy_for_strings: str, dtype: str = "int32"
) -> Iterator[np.ndarray]:
    """Yields the arrays of labels; refuses those that hold no numbers.

    Args:
        labels: Arrays, tensors or columns; None is no labels.
        required: What they must be, a sentence.
        remedy_for_strings: What to do with texts.
        dtype: What the remedy for other types makes of them.

    Raises:
        keras_tuner.errors.FatalValueError: If there are any; it is a `ValueError`.
    """
    _refuse_extension_types(labels, required, dtype)
    for part in _parts(labels):
        if np.ma.is_masked(part):
            refuse(
                required,
                "Keras knows no masks: leave the masked examples out.",
                f"a masked array, {int(np.ma.count_masked(part))} entries masked",
            )
    for array in arrays_of(labels):
        _refuse_no_numbers(array, required, remedy_for_strings, dtype)
        yield array


def _refuse_no_numbers(
    array: np.ndarray, required: str, remedy_for_strings: str, dtype: str
) -> None:
    """Refuses strings, objects, complex numbers and dates."""
    if array.dtype.kind in "iufb":
        return
    if array.dtype.kind in "mM":
        refuse(
            required,
            "Make numbers of times, such as days since one of them: "
            "`(y - y.min()) / numpy.timedelta64(1, 'D')`.",
            f"dtype={array.dtype}",
        )
    first = array.flat[0]
    if array.dtype.kind in "SU" or isinstance(first, str | bytes):
        refuse(required, remedy_for_strings, f"{plain(first)!r} in row 0")
    refuse(
        required,
        f'NumPy must know them as numbers, as after `labels.astype("{dtype}")`.',
        f"dtype={array.dtype}, {plain(first)!r} in row 0",
    )


def plain(value: Any) -> Any:
    """Returns a NumPy number or string as Python's, which shows no type."""
    return value.item() if isinstance(value, np.generic) else value
