"""What a call of `fit` asks for, where a compiled program can do the same."""

from __future__ import annotations

import math
from typing import Any
from typing import NamedTuple

import keras
import numpy as np

from keras_tricks.training import memory
from keras_tricks.training.data import Data
from keras_tricks.training.data import is_stream
from keras_tricks.training.steps import NotUnderstood
from keras_tricks.tuners import judgement
from keras_tricks.tuners import progress

# What `fit` may be given, and what it counts as if it is left out. An argument that is
# not here must be left out, or have the default that stands below.
_UNDERSTOOD = {
    "x": None,
    "y": None,
    "batch_size": 32,
    "epochs": 1,
    "verbose": "auto",
    "callbacks": None,
    "validation_split": 0.0,
    "validation_data": None,
    "shuffle": True,
    "initial_epoch": 0,
}
_ONLY_DEFAULT = {"validation_freq": 1}


class FitPlan(NamedTuple):
    """One training.

    Attributes:
        data: What it trains on.
        initial_epoch: The number of the first epoch.
        epochs: The number of the epoch after the last one.
        stopping: Callbacks of type `keras.callbacks.EarlyStopping`.
    """

    data: Data
    initial_epoch: int
    epochs: int
    stopping: list[keras.callbacks.EarlyStopping]

    @property
    def num_steps(self) -> int:
        """Updates of the whole run."""
        return (self.epochs - self.initial_epoch) * self.data.steps_per_epoch


class Plans:
    """Reads arguments of `fit`, and holds the data that they name, once.

    Args:
        order_seed: Seed of the order of the examples: the search's.
    """

    def __init__(self, order_seed: int):
        self._order_seed = order_seed
        # The arrays are kept, too, so that no others get their identity.
        self._data: dict[Any, tuple[Any, Data]] = {}

    def plan(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> FitPlan:
        """Returns what a call of `fit` asks for.

        Raises:
            NotUnderstood: If only `fit` itself can do it.
        """
        given = dict(zip(judgement.FIT_ARGUMENTS, fit_args, strict=False)) | fit_kwargs
        for name, value in given.items():
            if name not in _UNDERSTOOD and value != _ONLY_DEFAULT.get(name):
                raise NotUnderstood(f"`fit` is given `{name}`")
        given = {**_UNDERSTOOD, **given}
        return FitPlan(
            self._data_of(given),
            int(given["initial_epoch"]),
            int(given["epochs"]),
            _stopping(given["callbacks"]),
        )

    def _data_of(self, given: dict[str, Any]) -> Data:
        x, y, validation = given["x"], given["y"], given["validation_data"]
        split, shuffle = given["validation_split"] or 0.0, bool(given["shuffle"])
        if validation is not None and not is_stream(validation):
            if not isinstance(validation, tuple | list) or len(validation) != 2:
                raise NotUnderstood("`validation_data` are not a pair of arrays")
            validation = tuple(validation)
        parts = [x] if is_stream(x) and y is None and not split else [x, y]
        parts += validation if isinstance(validation, tuple) else [validation]
        for part in parts:
            if not (is_array_of_numbers(part) or is_stream(part) or part is None):
                raise NotUnderstood(f"the data are {type(part).__name__}")
        if parts[0] is None or is_stream(x) != (y is None):
            raise NotUnderstood("the data are neither `x` and `y` nor a dataset")
        batch_size = given["batch_size"] or 32
        key = (*map(id, parts), batch_size, split, shuffle)
        if key not in self._data:
            if validation is None and split:
                x, y, validation = _split(x, y, split)
            self._data[key] = parts, self._made(x, y, validation, batch_size, shuffle)
        return self._data[key][1]

    def _made(
        self, x: Any, y: Any, validation: Any, batch_size: int, shuffle: bool
    ) -> Data:
        pairs = [(x, y)] + ([validation] if isinstance(validation, tuple) else [])
        arrays = [part for pair in pairs for part in pair if not is_stream(part)]
        if any(len(array) == 0 for array in arrays if array is not None):
            raise NotUnderstood("there are no examples")
        size = sum(array.nbytes for array in arrays if array is not None)
        if size > memory.USABLE_SHARE * memory.available_bytes():
            raise NotUnderstood("the arrays would take more memory than is free")
        try:
            return Data(
                as_tensor(x),
                as_tensor(y),
                tuple(map(as_tensor, validation))
                if isinstance(validation, tuple)
                else validation,
                batch_size,
                self._order_seed if shuffle else None,
            )
        except ValueError as error:
            raise NotUnderstood(str(error)) from error


def _split(x: np.ndarray, y: np.ndarray, share: float) -> tuple[Any, Any, Any]:
    """Returns `x`, `y` and the validation as `fit` does: the last examples."""
    first = math.floor(len(x) * (1 - share))
    return x[:first], y[:first], (x[first:], y[first:])


def is_array_of_numbers(data: Any) -> bool:
    """Whether `data` is a NumPy array that a tensor can be made of."""
    return isinstance(data, np.ndarray) and data.dtype.kind in "fiub"


def as_tensor(array: Any) -> Any:
    """Returns an array on the device, its floats as `fit` would make them.

    A dataset, or None, is returned as it is.
    """
    if not isinstance(array, np.ndarray):
        return array
    if array.dtype.kind == "f":
        array = array.astype(keras.config.floatx(), copy=False)
    return keras.ops.convert_to_tensor(array)


def _stopping(callbacks: Any) -> list[keras.callbacks.EarlyStopping]:
    found = []
    for callback in callbacks or ():
        if type(callback) is keras.callbacks.EarlyStopping:
            found.append(callback)
        # Diverged trials end by themselves.
        elif type(callback) not in (progress.QuietFit, keras.callbacks.TerminateOnNaN):
            raise NotUnderstood(
                f"the callback {type(callback).__name__} may need the model"
            )
    return found
