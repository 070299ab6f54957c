"""Examples in an order that all trials of a search have in common.

`fit` shuffles by what each trial was seeded with, so that one trial may be better than
another by its batches alone. A model that is trained by `fit` here goes through arrays
in the order in which shared programs do: a function of the search's seed and the epoch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks._fit_call import FitCall
from keras_tricks.training.compiled.data_order import epoch_order
from keras_tricks.training.compiled.data_order import known_length
from keras_tricks.tuners.trials import arrays

# More than any one call trains for.
EPOCHS_A_CALL = 2**20


def use_common_order(model: keras.Model, order_seed: int) -> None:
    """Has `model.fit` shuffle arrays by the common order.

    Data of other kinds, arrays with `shuffle=False`, and what Keras refuses are left to
    it, as is a model with a `fit` of its own.

    Args:
        model: The model of a trial; its own `fit` is replaced.
        order_seed: The seed of the search.
    """
    original = vars(model).get("fit", model.fit)
    if isinstance(original, _FitInOrder):
        original = original.original  # A hypermodel may return a model again.
    elif "fit" in vars(model) or type(model).fit is not keras.Model.fit:
        return
    object.__setattr__(model, "fit", _FitInOrder(original, order_seed))


class _FitInOrder:
    """A model's `fit` that goes through arrays in the common order."""

    def __init__(self, original: Callable[..., Any], order_seed: int):
        self.original = original
        self._order_seed = order_seed
        self._calls = itertools.count()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _fit(self.original, self._order_seed, self._calls, *args, **kwargs)


def _fit(
    original: Any, order_seed: int, calls: Iterator[int], *args: Any, **kwargs: Any
) -> Any:
    try:
        call = FitCall.of(args, kwargs)
    except TypeError:
        return original(*args, **kwargs)  # Whose message it is.
    data = arrays.training_and_validation(call) if _is_shuffled(call) else None
    if data is None:
        return original(*args, **kwargs)
    training, validation = data
    rest = call.without(*_DATA_ARGUMENTS).kwargs
    if validation is not None:
        rest["validation_data"] = _without_none(validation)
    batch_size = call["batch_size"]
    # A training in several calls goes on to other orders in each.
    epoch = _CurrentEpoch(first=next(calls) * EPOCHS_A_CALL)
    examples = _without_none(training)
    dataset = _dataset(examples, batch_size or 32, order_seed, epoch)
    rest |= {
        "shuffle": False,
        "validation_batch_size": call["validation_batch_size"] or batch_size,
        # Before the others, which may themselves train or stop.
        "callbacks": [epoch, *call.callbacks],
    }
    return original(dataset, **rest)


# What is in the dataset that `fit` is given.
_DATA_ARGUMENTS = (
    "x",
    "y",
    "sample_weight",
    "class_weight",
    "batch_size",
    "validation_split",
)


def _is_shuffled(call: FitCall) -> bool:
    """Whether `fit` would shuffle all examples, so that it may be done here."""
    shuffle = call["shuffle"]
    return (
        not isinstance(shuffle, str)  # "batch"
        and bool(shuffle)
        and call["steps_per_epoch"] is None
        and not isinstance(call["callbacks"], keras.callbacks.CallbackList)
    )


class _CurrentEpoch(keras.callbacks.Callback):
    """Knows which epoch `fit` is in."""

    def __init__(self, first: int):
        super().__init__()
        self.first = self.number = first

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.number = self.first + epoch


def _dataset(data: Any, batch_size: int, order_seed: int, epoch: _CurrentEpoch) -> Any:
    tensors = keras.tree.map_structure(
        lambda leaf: None if leaf is None else keras.ops.convert_to_tensor(leaf), data
    )
    num_examples = arrays.num_examples(data)

    def order(_: Any) -> Any:
        def current() -> np.ndarray:
            return epoch_order(order_seed, epoch.number, num_examples)

        rows = tf.numpy_function(current, [], tf.int32)
        return tf.ensure_shape(rows, [num_examples])

    def batches(rows: Any) -> Any:
        # A model's code may read the length of its batches, where all have the same.
        is_even = known_length(num_examples, batch_size) is not None
        return tf.data.Dataset.from_tensor_slices(rows).batch(
            batch_size, drop_remainder=is_even
        )

    def examples(rows: Any) -> Any:
        return keras.tree.map_structure(
            lambda tensor: None if tensor is None else tf.gather(tensor, rows), tensors
        )

    dataset = tf.data.Dataset.range(1).map(order).flat_map(batches)
    dataset = dataset.map(examples, num_parallel_calls=tf.data.AUTOTUNE)
    size = tf.data.experimental.assert_cardinality(math.ceil(num_examples / batch_size))
    return dataset.apply(size).prefetch(tf.data.AUTOTUNE)


def _without_none(data: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns `(x, y, sample_weight)` up to the last one that is there."""
    kept = list(data)
    while kept and kept[-1] is None:
        kept.pop()
    return tuple(kept)
