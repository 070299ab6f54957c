"""The data of a probe: as few as its steps need, in a known order."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks import _validation
from keras_tricks.data import BalancedBatches
from keras_tricks.data import rows
from keras_tricks.probes.kept_model import unbuilt_layers
from keras_tricks.training.compiled.data_order import epoch_order

_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Examples:
    """What a probe trains on.

    Attributes:
        arrays: Arrays, of which rows are taken; None where there is a stream.
        stream: A dataset, a `PyDataset` or whatever else yields batches to `fit`.
        batch_size: Examples of a batch of arrays.
    """

    arrays: rows.Examples | None
    stream: Any
    batch_size: int = _BATCH_SIZE

    @classmethod
    def of(
        cls, x: Any, y: Any = None, sample_weight: Any = None, batch_size: Any = None
    ) -> Examples:
        """Returns the examples that were given.

        Raises:
            TypeError: If `x` has no rows and no batches.
            ValueError: If there is something beside an `x` that has all.
        """
        if batch_size is not None:
            batch_size = _validation.check_int("batch_size", batch_size, minimum=1)
        if not is_stream(x):
            arrays = rows.read(x, y, sample_weight)
            return cls(arrays, None, batch_size or _BATCH_SIZE)
        beside = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
        for name, value in beside.items():
            if value is not None:
                raise ValueError(
                    f"`{name}` must be left out where `x` yields batches of its own. "
                    f"{_validation.received(name, value)}"
                )
        return cls(None, x)

    def build(self, model: keras.Model) -> None:
        """Calls a model on a batch if it is not built; a generator is not touched."""
        if not unbuilt_layers(model):
            return
        x = self._first_inputs()
        if x is None:
            return
        with contextlib.suppress(NotImplementedError):  # It has no `call` of its own.
            with model.distribute_strategy.scope():
                model(x)

    def _first_inputs(self) -> Any:
        if self.arrays is not None:
            size = min(self.batch_size, self.arrays.num_rows)
            first = rows.take(self.arrays.parts[0], np.arange(size))
            return rows.map_leaves(as_fit_makes_it, first)
        if isinstance(self.stream, keras.utils.PyDataset):
            batch = self.stream[0]
        elif rows.is_dataset(self.stream):
            batch = next(iter(self.stream.take(1)), (None,))
        else:
            return None
        return keras.utils.unpack_x_y_sample_weight(batch)[0]

    def shuffled(self, num_batches: int, seed: int) -> dict[str, Any]:
        """Returns what `fit` is given for a number of batches.

        Of arrays they are their rows, in one order after another; a stream has an order
        of its own, and is read as often as need be.
        """
        if self.arrays is None:
            # Of what cannot begin anew, Keras shows the first batches once more.
            ends_once = hasattr(self.stream, "__next__")
            return {"x": self.stream, "epochs": 1 if ends_once else num_batches}
        num_rows = self.arrays.num_rows
        length = num_batches * self.batch_size
        epochs = range(math.ceil(length / num_rows))
        orders = [epoch_order(seed, epoch, num_rows) for epoch in epochs]
        parts = self.arrays.at(np.concatenate(orders)[:length])
        given = dict(zip(("x", "y", "sample_weight"), parts, strict=False))
        return {**given, "batch_size": self.batch_size}

    def first_rows(self, count: int) -> rows.Examples:
        """Returns up to so many rows, as arrays; of a stream, those that come first."""
        if self.arrays is not None:
            count = min(count, self.arrays.num_rows)
            return rows.read(*self.arrays.at(np.arange(count)))
        if isinstance(self.stream, BalancedBatches):
            return Examples.of(*self.stream.examples).first_rows(count)
        batches: list[Any] = []
        num_rows = 0
        for batch in _batches(self.stream):
            batches.append(batch if isinstance(batch, tuple) else (batch,))
            num_rows += len(keras.tree.flatten(batch)[0])
            if num_rows >= count:
                break
        if not num_rows:
            raise ValueError("`x` must have batches. Received: x, which yields none")
        whole = keras.tree.map_structure(
            lambda *parts: np.concatenate([np.asarray(part) for part in parts]),
            *batches,
        )
        return Examples.of(*whole).first_rows(count)

    def part(self, num_batches: int, seed: int) -> tuple[Examples, int]:
        """Returns some batches, to be trained on several times, and how many they are.

        They are whole, and the same at each reading.
        """
        if self.arrays is not None:
            size = min(self.batch_size, self.arrays.num_rows)
            num_batches = min(num_batches, self.arrays.num_rows // size)
            order = epoch_order(seed, 0, self.arrays.num_rows)
            arrays = self.arrays.at(order[: num_batches * size])
            return Examples(rows.read(*arrays), None, size), num_batches
        stream = self.stream
        if isinstance(stream, BalancedBatches):
            stream = stream.as_dataset()
        if rows.is_dataset(stream):
            batches = stream.take(num_batches).cache()
            count = sum(1 for _ in batches)  # All readings are of what is read now.
            known = tf.data.experimental.assert_cardinality(count)
            return Examples(None, batches.apply(known)), count
        listed = _Listed([*itertools.islice(_batches(stream), num_batches)])
        return Examples(None, listed), len(listed)


def as_fit_makes_it(leaf: Any) -> Any:
    """Returns an array of numbers in the form in which `fit` shows it to a model."""
    try:
        array = rows.keras_array(leaf)
    except rows.NotAnArrayError:
        return leaf
    return leaf if array is None else array


class _Listed(keras.utils.PyDataset):
    """Batches that are there."""

    def __init__(self, batches: list[Any]):
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        return self._batches[index]


def is_stream(x: Any) -> bool:
    """Whether `x` yields batches itself, as opposed to arrays."""
    if isinstance(x, list | tuple | dict | str | type) or hasattr(x, "shape"):
        return False
    if rows.is_dataset(x) or isinstance(x, keras.utils.PyDataset):
        return True
    return hasattr(x, "__iter__")


def _batches(stream: Any) -> Iterator[Any]:
    if not isinstance(stream, keras.utils.PyDataset):
        yield from stream
        return
    known = stream.num_batches
    for index in itertools.count() if known is None else range(known):
        yield stream[index]
