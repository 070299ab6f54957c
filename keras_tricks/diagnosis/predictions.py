"""Predictions: probabilities of classes, of a trained model or out of fold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_tricks import _validation

if TYPE_CHECKING:
    import keras

# Sums of probabilities in float16 and bfloat16 differ from 1 by as much.
_ROUNDING = 0.02


def label_numbers(y: Any) -> np.ndarray:
    """Returns the class number of each row.

    Args:
        y: Class numbers from 0, of shape `(rows,)` or `(rows, 1)`, or one-hot rows.

    Raises:
        ValueError: If it is neither.

    Example:

    >>> from keras_tricks.diagnosis.predictions import label_numbers
    >>> label_numbers([[0, 1], [1, 0], [0, 1]]).tolist()
    [1, 0, 1]
    """
    try:
        array = np.asarray(y)
    except Exception:  # Each library has an error of its own.
        array = np.empty(0, object)
    required = (
        "`y` must hold class numbers 0, 1, ..., one a row, or one-hot rows. Texts and "
        "other labels become numbers by `np.unique(y, return_inverse=True)`"
    )
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise ValueError(f"{required}. {_validation.received('y', y)}")
    if array.ndim == 2 and array.shape[1] > 1:
        is_one_hot = np.isin(array, (0, 1)).all() and (array.sum(1) == 1).all()
        if not is_one_hot:
            wrong = int(np.flatnonzero((array == 1).sum(1) != 1)[:1].sum())
            raise ValueError(
                f"{required}. Received: row {wrong} with {array[wrong].tolist()}"
            )
        return array.argmax(1)
    array = array.reshape(-1)
    usable = np.isfinite(array) & (array >= 0) & (array == np.floor(array))
    if not usable.all():
        wrong = int(np.flatnonzero(~usable)[0])
        raise ValueError(f"{required}. Received: {array[wrong]} in row {wrong}")
    return array.astype(int)


def as_probabilities(outputs: np.ndarray) -> np.ndarray:
    """Returns what a model predicts as one probability a class, in float64.

    A single output is the probability, or the logit, of class 1. Rows that are not
    within 0 and 1, or do not sum to 1, are logits.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.diagnosis.predictions import as_probabilities
    >>> as_probabilities(np.array([[0.25]])).tolist()
    [[0.75, 0.25]]
    >>> as_probabilities(np.array([[3.0, 3.0]])).tolist()
    [[0.5, 0.5]]
    """
    outputs = np.asarray(outputs, "float64")
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    within = outputs.min() >= 0.0 and outputs.max() <= 1.0
    if outputs.shape[1] == 1:
        one = outputs if within else 1.0 / (1.0 + np.exp(-outputs))
        return np.concatenate([1.0 - one, one], axis=1)
    if within and np.abs(outputs.sum(1) - 1.0).max() <= _ROUNDING:
        return outputs / outputs.sum(1, keepdims=True)
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def predicted(model: keras.Model, x: Any, batch_size: int | None) -> np.ndarray:
    """Returns a model's probabilities, checked.

    Raises:
        ValueError: If it does not give one finite number a class for each row.
    """
    try:
        outputs = model.predict(x, batch_size=batch_size, verbose=0)
    except ValueError as error:
        raise ValueError(
            f"`x` must be what `model` takes, which fails with: {error}"
        ) from error
    if not isinstance(outputs, np.ndarray) or outputs.ndim > 2:
        shape = getattr(outputs, "shape", type(outputs).__name__)
        raise ValueError(
            "`model` must give one number a class for each row. Received: a model "
            f"whose predictions are of shape {shape}"
        )
    if not np.isfinite(outputs).all():
        row = int(np.argwhere(~np.isfinite(outputs))[0][0])
        raise ValueError(
            "`model` must give finite numbers. Received: a model that predicts "
            f"{outputs[row].tolist()} for row {row}"
        )
    return as_probabilities(outputs)


def out_of_fold(
    build: Callable[[], keras.Model],
    x: Any,
    labels: np.ndarray,
    y: Any,
    *,
    folds: int,
    seed: int,
    fit_arguments: dict[str, Any],
) -> np.ndarray:
    """Returns each row's probabilities by a model that was not trained on it."""
    import keras
    from sklearn import model_selection

    splits = model_selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
    rows = np.arange(len(labels))
    found: np.ndarray | None = None
    for number, (inside, outside) in enumerate(splits.split(rows, labels)):
        keras.utils.set_random_seed(seed + number)
        model = build()
        if not isinstance(model, keras.Model):
            raise TypeError(
                "`model` must be a keras.Model, or a function that returns a compiled "
                f"one. Received: a function that returns {_validation.shown(model)}"
            )
        arguments = {"verbose": 0, **fit_arguments}
        if arguments.get("sample_weight") is not None:
            arguments["sample_weight"] = rows_of(arguments["sample_weight"], inside)
        model.fit(rows_of(x, inside), rows_of(y, inside), **arguments)
        part = predicted(model, rows_of(x, outside), arguments.get("batch_size"))
        if found is None:
            found = np.zeros((len(labels), part.shape[1]))
        found[outside] = part
    assert found is not None
    return found


def rows_of(data: Any, rows: np.ndarray) -> Any:
    """Returns some rows of arrays, frames or a nest of them."""

    def of_one(leaf: Any) -> Any:
        return leaf.iloc[rows] if hasattr(leaf, "iloc") else np.asarray(leaf)[rows]

    if isinstance(data, dict):
        return {name: rows_of(part, rows) for name, part in data.items()}
    if isinstance(data, list | tuple) and data and np.ndim(data[0]) > 0:
        return type(data)(rows_of(part, rows) for part in data)
    return of_one(data)
