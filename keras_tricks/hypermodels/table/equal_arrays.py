"""One array for all that are equal, as long as somebody holds it."""

from __future__ import annotations

import weakref
from typing import Any

import keras
import numpy as np


class EqualArrays:
    """Returns for arrays those that were seen before, if these are equal.

    A search tells its data by their identity, and trials on the same data run together.
    A copy, in another process for instance, has seen none.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.hypermodels.table.equal_arrays import EqualArrays
    >>> seen, first = EqualArrays(), {"x": np.zeros(3)}
    >>> seen.of(first)["x"] is seen.of({"x": np.zeros(3)})["x"]
    True
    """

    def __init__(self) -> None:
        self._seen: list[weakref.ref[np.ndarray]] = []

    def of(self, arrays: Any) -> Any:
        """Returns a nest of the arrays that stand for those of a nest."""
        return keras.tree.map_structure(self._one, arrays)

    def _one(self, array: np.ndarray) -> np.ndarray:
        alive = [each for ref in self._seen if (each := ref()) is not None]
        for each in alive:
            is_alike = each.dtype == array.dtype and each.shape == array.shape
            if is_alike and np.array_equal(each, array, equal_nan=True):
                return each
        self._seen = [weakref.ref(each) for each in [*alive, array]]
        return array

    def __reduce__(self) -> Any:
        return type(self), ()
