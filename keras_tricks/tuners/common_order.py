"""Examples in an order that all trials of a search have in common.

`fit` shuffles by what each trial was seeded with, so that one trial may be better than
another by its batches alone. A model that is trained by `fit` here goes through arrays
in the order in which shared programs do: a function of the search's seed and the epoch.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.training.data_order import epoch_order
from keras_tricks.tuners import fit_plan

# More than any one call trains for.
EPOCHS_A_CALL = 2**20


def use_common_order(model: keras.Model, order_seed: int) -> None:
    """Has `model.fit` shuffle arrays by the common order.

    Data of other kinds, and arrays with `shuffle=False`, are left to Keras.

    Args:
        model: The model of a trial; its own `fit` is replaced.
        order_seed: The seed of the search.
    """
    fit = functools.partial(_fit, model.fit, order_seed, itertools.count())
    object.__setattr__(model, "fit", fit)


def _fit(
    original: Any, order_seed: int, calls: Iterator[int], *args: Any, **kwargs: Any
) -> Any:
    given = inspect.signature(original).bind(*args, **kwargs).arguments
    data = given.get("x"), given.get("y"), given.get("sample_weight")
    if given.get("shuffle", True) is not True or not _are_arrays(data):
        return original(*args, **kwargs)
    if given.get("steps_per_epoch") is not None:
        return original(*args, **kwargs)
    batch_size = given.pop("batch_size", None) or 32
    split = given.pop("validation_split", None) or 0.0
    if split and given.get("validation_data") is None:
        data, given["validation_data"] = _split(data, split)
    given.setdefault("validation_batch_size", batch_size)
    for name in ("x", "y", "sample_weight"):
        given.pop(name, None)
    given["shuffle"] = False
    # A training in several calls goes on to other orders in each.
    epoch = _CurrentEpoch(first=next(calls) * EPOCHS_A_CALL)
    # Before the others, which may themselves train or stop.
    given["callbacks"] = [epoch, *(given.get("callbacks") or ())]
    dataset = _dataset(_without_none(data), batch_size, order_seed, epoch)
    return original(dataset, **given)


class _CurrentEpoch(keras.callbacks.Callback):
    """Knows which epoch `fit` is in."""

    def __init__(self, first: int):
        super().__init__()
        self.first = self.number = first

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.number = self.first + epoch


def _dataset(arrays: Any, batch_size: int, order_seed: int, epoch: _CurrentEpoch):
    tensors = keras.tree.map_structure(fit_plan.as_tensor, arrays)
    num_examples = len(keras.tree.flatten(arrays)[0])

    def order(_: Any) -> Any:
        def current() -> np.ndarray:
            return epoch_order(order_seed, epoch.number, num_examples)

        rows = tf.numpy_function(current, [], tf.int32)
        return tf.ensure_shape(rows, [num_examples])

    def batches(rows: Any) -> Any:
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)

    def examples(rows: Any) -> Any:
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors)

    dataset = tf.data.Dataset.range(1).map(order).flat_map(batches)
    dataset = dataset.map(examples, num_parallel_calls=tf.data.AUTOTUNE)
    size = tf.data.experimental.assert_cardinality(math.ceil(num_examples / batch_size))
    return dataset.apply(size).prefetch(tf.data.AUTOTUNE)


def _are_arrays(data: Any) -> bool:
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return (
        len(leaves) > 0
        and all(fit_plan.is_array_of_numbers(leaf) and leaf.ndim for leaf in leaves)
        and len({len(leaf) for leaf in leaves}) == 1
        and len(leaves[0]) > 0
    )


def _split(data: Any, share: float) -> tuple[Any, Any]:
    """Returns training and validation data, as `fit` splits arrays."""
    first = math.floor(len(keras.tree.flatten(data)[0]) * (1 - share))

    def part(rows: slice) -> Any:
        return keras.tree.map_structure(
            lambda leaf: None if leaf is None else leaf[rows], data
        )

    return part(slice(first)), _without_none(part(slice(first, None)))


def _without_none(data: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns `(x, y, sample_weight)` up to the last one that is there."""
    kept = list(data)
    while kept and kept[-1] is None:
        kept.pop()
    return tuple(kept)
