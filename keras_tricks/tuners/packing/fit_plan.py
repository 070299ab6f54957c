"""Plans: what a call of `fit` asks for, where a compiled program can do the same."""

from __future__ import annotations

import zlib
from typing import Any
from typing import NamedTuple

import keras
import numpy as np

from keras_tricks._fit_call import FitCall
from keras_tricks.data import BalancedBatches
from keras_tricks.training.compiled.data import Data
from keras_tricks.training.compiled.data import is_stream
from keras_tricks.training.compiled.functional_model import UnsupportedModelError
from keras_tricks.training.packs import memory
from keras_tricks.tuners.packing import epoch_callbacks
from keras_tricks.tuners.trials import arrays

# What only `fit` itself does: these must be left out, or have Keras's default.
_ONLY_DEFAULT = {
    "steps_per_epoch": None,
    "validation_steps": None,
    "validation_freq": 1,
}


class FitPlan(NamedTuple):
    """One training.

    Attributes:
        data: What it trains on.
        initial_epoch: The number of the first epoch.
        epochs: The number of the epoch after the last one.
        callbacks: What follows it.
    """

    data: Data
    initial_epoch: int
    epochs: int
    callbacks: list[keras.callbacks.Callback]

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

    def plan(self, call: FitCall, may_change: bool = False) -> FitPlan:
        """Returns what a call of `fit` asks for.

        Args:
            call: The call.
            may_change: Whether its arrays may hold other numbers than before.

        Raises:
            UnsupportedModelError: If only `fit` itself can do it.
        """
        for name in call.unknown():
            raise UnsupportedModelError(f"`fit` is given `{name}`")
        for name, default in _ONLY_DEFAULT.items():
            given = call[name]
            if given is not default and not (type(given) is int and given == default):
                raise UnsupportedModelError(f"`fit` is given `{name}`")
        if call["shuffle"] not in (True, False, None):
            raise UnsupportedModelError(f"`fit` is given `shuffle={call['shuffle']!r}`")
        callbacks = keras.tree.flatten(call.callbacks)
        for callback in callbacks:
            reason = epoch_callbacks.reason_not_by_epoch(callback)
            if reason is not None:
                raise UnsupportedModelError(reason)
        return FitPlan(
            self._data_of(call, may_change),
            int(call["initial_epoch"]),
            int(call["epochs"]),
            callbacks,
        )

    def _data_of(self, call: FitCall, may_change: bool) -> Data:
        names = ("x", "y", "sample_weight", "validation_data")
        given = [call[name] for name in names]
        class_weight = call["class_weight"]
        key = (
            *(id(leaf) for leaf in keras.tree.flatten(given)),
            repr([keras.tree.map_structure(lambda _: 0, part) for part in given]),
            repr(class_weight),
            call.array_batch_size,
            call["validation_batch_size"],
            call.validation_share,
            bool(call["shuffle"]),
            _checksums(call) if may_change else None,
        )
        if key not in self._data:
            self._data[key] = given, self._made(call)
        return self._data[key][1]

    def _made(self, call: FitCall) -> Data:
        training, validation = _training(call)
        size = sum(
            leaf.nbytes
            for leaf in keras.tree.flatten((training, validation))
            if isinstance(leaf, np.ndarray)
        )
        if size > memory.USABLE_SHARE * memory.available_bytes():
            raise UnsupportedModelError(
                "the arrays would take more memory than is free"
            )
        x = call["x"]
        is_balanced = isinstance(x, BalancedBatches)
        try:
            data = Data(
                _on_device(training),
                _on_device(validation),
                x.batch_size if is_balanced else call.array_batch_size,
                self._order_seed if call["shuffle"] else None,
                call["validation_batch_size"] or call.array_batch_size,
                x.rows_of if is_balanced else None,
            )
        except ValueError as error:
            raise UnsupportedModelError(str(error)) from error
        if not data.has_known_length():
            # Reading a dataset may change what it yields when it is read again.
            raise UnsupportedModelError(
                "the number of batches of a dataset is unknown, and would have to be "
                "counted by reading it once more than `fit` does. "
                "`dataset.apply(tf.data.experimental.assert_cardinality(n))` tells it"
            )
        if data.is_empty():
            raise UnsupportedModelError(
                "there are no examples to train on, or to validate on"
            )
        return data


def _checksums(call: FitCall) -> tuple[int, ...]:
    """Returns what differs where numbers of the arrays, or their order, do."""
    return tuple(
        zlib.crc32(
            repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
        )
        for array in arrays.given_arrays(call)
    )


def _training(call: FitCall) -> tuple[Any, Any]:
    """Returns the examples of the training and of the validation, without None."""
    x, validation = call["x"], call["validation_data"]
    training: Any
    split = None
    if is_stream(x) or isinstance(x, BalancedBatches):
        rest = ("y", "sample_weight", "class_weight", "validation_split")
        if any(call[name] is not None and call[name] != 0 for name in rest):
            raise UnsupportedModelError("a dataset is given with arguments of arrays")
        training = x
        if isinstance(x, BalancedBatches):
            training = arrays.as_arrays(*x.examples)
            if training is None:
                raise UnsupportedModelError("balanced batches are not of numbers")
            training = _whole(training)
    else:
        found = arrays.training_and_validation(call)
        if found is None:
            raise UnsupportedModelError(
                "`x`, `y` and their weights are no dataset, and no arrays of numbers "
                f"with one length. Received: x of type {type(x).__name__}"
            )
        training, split = found
        training = _whole(training)
    if validation is None:
        return training, None if split is None else _whole(split)
    if is_stream(validation):
        return training, validation
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        raise UnsupportedModelError(
            "`validation_data` are not `(x, y)` or `(x, y, weights)`"
        )
    validation = arrays.as_arrays(*validation)
    if validation is None:
        raise UnsupportedModelError("`validation_data` are not arrays of numbers")
    return training, _whole(validation)


def _whole(examples: Any) -> Any:
    """Returns `(x, y)` or `(x, y, weights)`, or raises if there is a gap."""
    if examples[2] is None:
        examples = examples[:2]
    if any(leaf is None for leaf in keras.tree.flatten(examples)):
        raise UnsupportedModelError(
            "there are no labels, or no weights, for some outputs"
        )
    return examples


def _on_device(examples: Any) -> Any:
    if examples is None or is_stream(examples):
        return examples
    return keras.tree.map_structure(keras.ops.convert_to_tensor, examples)
