"""The classes that a model confuses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.data.labels import Labels
from keras_tricks.data.rows import Examples


def check_model(model: Any, *, is_counted: bool) -> None:
    """Raises if `model` is no model, or classes are named besides."""
    if model is None:
        return
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a keras.Model or None. "
            f"{_validation.received('model', model, True)}"
        )
    if not is_counted:
        raise ValueError(
            "`model` must be left out where `classes` are named. "
            f"{_validation.received('model', model)}"
        )


def most_confused(
    model: keras.Model, examples: Examples, labels: Labels, count: int
) -> list[int]:
    """Returns the places of the classes that a model confuses most.

    Args:
        model: The model; it gives a number for each class.
        examples: The examples.
        labels: Their labels.
        count: How many classes.

    Raises:
        ValueError: If the model's output does not suit.
    """
    from sklearn.metrics import confusion_matrix

    outputs = np.asarray(model.predict(examples.parts[0], verbose=0))
    numbers = _numbers_of(labels, outputs)
    rates = confusion_matrix(
        numbers[labels.codes], outputs.argmax(axis=1), labels=numbers
    ).astype(float)
    rates /= labels.counts[:, None]
    np.fill_diagonal(rates, 0.0)
    mutual = rates + rates.T
    first = np.unravel_index(np.argmax(mutual), mutual.shape)
    # Where nothing is confused, the first two classes are as good as any.
    chosen = [int(place) for place in first] if mutual.any() else [0, 1]
    while len(chosen) < count:
        towards = mutual[:, chosen].sum(axis=1)
        towards[chosen] = -1.0
        chosen.append(int(np.argmax(towards)))
    return sorted(chosen)


def _numbers_of(labels: Labels, outputs: np.ndarray) -> np.ndarray:
    """Returns the number of the model's output for each class."""
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        size = outputs.shape[1]
        names = labels.names
        are_outputs = (
            names.dtype.kind in "fiu" and names.min() >= 0 and names.max() < size
        )
        if are_outputs:
            return names.astype(int)
        if size == len(names):
            return np.arange(size)
    raise ValueError(
        "`model` must give a number for each class, in a row of "
        f"{len(labels.names)}. Received: outputs of shape {outputs.shape}"
    )
