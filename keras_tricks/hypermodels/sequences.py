"""Checks of sequences: shape, numbers and padding, with errors that name a row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.tasks.arrays import arrays_of
from keras_tricks.hypermodels.tasks.arrays import refuse


def check_sequences(
    x: Any,
    place: str,
    shape: tuple[int | None, int],
    mask_value: float | None,
    *,
    only_behind: bool = False,
) -> None:
    """Raises an error if some sequences are not what a recurrent network takes.

    Args:
        x: What `fit` is given, or a batch of it.
        place: Where they are, in words.
        shape: Steps and features of each; steps are None if any number will do.
        mask_value: What all features of a padded step are; None is no padding.
        only_behind: Whether padding in front is refused.

    Raises:
        keras_tuner.errors.FatalValueError: If they are none; it is a `ValueError`.
    """
    steps, features = shape
    required = (
        f"The sequences in {place} must be finite numbers of shape (examples, "
        f"{'steps' if steps is None else steps}, {features})."
    )
    several = isinstance(x, list | tuple) and len(x) != 1
    if several or hasattr(x, "nested_row_splits"):  # A tf.RaggedTensor.
        is_nan = mask_value is None or math.isnan(mask_value)
        value = "np.nan" if is_nan else mask_value
        refuse(
            required,
            "Pad those of unequal lengths: keras.utils.pad_sequences(sequences, "
            f'dtype="float32", padding="post", value={value}) makes one array, '
            f"and HyperRNN(..., mask_value={value}) leaves the padding out.",
            f"x of type {type(x).__name__}",
        )
    for array in arrays_of(x):
        if array.dtype.kind not in "iufb":
            refuse(
                required,
                'NumPy must know them as numbers: `sequences.astype("float32")`.',
                f"dtype={array.dtype}",
            )
        if not _fits(array.shape, shape):
            refuse(required, _remedy(array.shape, shape), f"shape={array.shape}")
        with np.errstate(over="ignore"):
            array = array.astype("float32")
        is_padding = np.zeros(array.shape[:2], bool)
        if mask_value is not None:
            is_padding = padding_of(array, mask_value)
            _check_padding(is_padding, required, mask_value, only_behind)
        _check_numbers(array, is_padding, required)


def padding_of(array: np.ndarray, mask_value: float) -> np.ndarray:
    """Returns which steps of float32 sequences are padding."""
    if math.isnan(mask_value):
        return np.isnan(array).all(axis=-1)
    return (array == np.float32(mask_value)).all(axis=-1)


def _fits(found: tuple[int, ...], shape: tuple[int | None, int]) -> bool:
    steps, features = shape
    return len(found) == 3 and steps in (None, found[1]) and found[2] == features


def _remedy(found: tuple[int, ...], shape: tuple[int | None, int]) -> str:
    """Returns what to do about a shape, as far as that can be told."""
    ways = {
        "x[..., None]": (*found, 1),
        "np.swapaxes(x, 1, 2)": (found[0], *found[:0:-1]),
        "np.swapaxes(x, 0, 1)": (*found[1::-1], *found[2:]),
    }
    fitting = [way for way, made in ways.items() if _fits(made, shape)]
    return f"Perhaps `{fitting[0]}` is meant." if len(fitting) == 1 else ""


def _check_padding(
    is_padding: np.ndarray, required: str, mask_value: float, only_behind: bool
) -> None:
    padding = f"padding, rows of mask_value={mask_value!r}"
    for row in np.flatnonzero(is_padding.all(axis=1)):
        refuse(required, "Leave out empty ones.", f"only {padding}, in row {row}")
    # A sequence begins and ends once.
    edges = np.diff(np.pad(is_padding, ((0, 0), (1, 1)), constant_values=True))
    for row in np.flatnonzero(edges.sum(axis=1) > 2):
        begin = int(np.argmin(is_padding[row]))
        step = begin + int(np.argmax(is_padding[row, begin:]))
        refuse(
            required,
            "Fill gaps, and take a `mask_value` that no step of a sequence has.",
            f"{padding}, between others in row {row}, step {step}",
        )
    if only_behind and is_padding[:, 0].any():
        first = int(np.argmax(is_padding[:, 0]))
        refuse(
            required,
            "cuDNN takes padding behind the sequence alone, as of "
            'keras.utils.pad_sequences(..., padding="post").',
            f"{padding}, in front in row {first}",
        )


def _check_numbers(array: np.ndarray, is_padding: np.ndarray, required: str) -> None:
    with np.errstate(invalid="ignore"):
        is_right = (np.abs(array) <= _validation.GREATEST) | is_padding[:, :, None]
    if not is_right.all():
        row, step, feature = np.argwhere(~is_right)[0]
        refuse(
            required,
            "Fill gaps or leave out such examples.",
            f"{float(array[row, step, feature])!r} in row {row}, step {step}, "
            f"feature {feature}",
        )
