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
from keras_tricks.data import BalancedBatches
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
    # A training in several calls goes on to other orders in each.
    epoch = _CurrentEpoch()
    batches = _batches(call, order_seed, epoch)
    if batches is None:
        return original(*args, **kwargs)
    dataset, changes = batches
    epoch.begin(next(calls) * EPOCHS_A_CALL)
    rest = call.without(*_DATA_ARGUMENTS).kwargs | changes
    rest |= {
        "shuffle": False,
        "validation_batch_size": call["validation_batch_size"] or call["batch_size"],
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


def _batches(
    call: FitCall, order_seed: int, epoch: _CurrentEpoch
) -> tuple[Any, dict[str, Any]] | None:
    """Returns the batches of a call, and what else changes; None leaves it to Keras."""
    x = call["x"]
    if isinstance(x, BalancedBatches):
        others = ("y", "sample_weight", "validation_split")
        if not _is_by_epochs(call) or any(call.is_given(name) for name in others):
            return None
        dataset = _dataset(x.examples, x.batch_size, x.rows_of, epoch)
        return dataset, {"class_weight": call["class_weight"]}
    shuffle = call["shuffle"]
    is_shuffled = not isinstance(shuffle, str) and bool(shuffle)  # Not "batch".
    if not is_shuffled or not _is_by_epochs(call):
        return None
    data = arrays.training_and_validation(call)
    if data is None:
        return None
    training, validation = data
    num_examples = arrays.num_examples(training)

    def order(number: int) -> np.ndarray:
        return epoch_order(order_seed, number, num_examples)

    examples = _without_none(training)
    dataset = _dataset(examples, call["batch_size"] or 32, order, epoch)
    if validation is None:
        return dataset, {}
    return dataset, {"validation_data": _without_none(validation)}


def _is_by_epochs(call: FitCall) -> bool:
    """Whether each epoch of a call goes through all batches, and callbacks see it."""
    return call["steps_per_epoch"] is None and not isinstance(
        call["callbacks"], keras.callbacks.CallbackList
    )


class _CurrentEpoch(keras.callbacks.Callback):
    """Knows which epoch `fit` is in."""

    def __init__(self) -> None:
        super().__init__()
        self.begin(0)

    def begin(self, first: int) -> None:
        """Has the epochs count from `first`."""
        self.first = self.number = first

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.number = self.first + epoch


def _dataset(
    data: Any,
    batch_size: int,
    order_of: Callable[[int], np.ndarray],
    epoch: _CurrentEpoch,
) -> Any:
    tensors = keras.tree.map_structure(
        lambda leaf: None if leaf is None else keras.ops.convert_to_tensor(leaf), data
    )
    num_examples = len(order_of(0))

    def order(_: Any) -> Any:
        rows = tf.numpy_function(lambda: order_of(epoch.number), [], tf.int32)
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
