"""What trials train on: arrays on the device, or a stream of batches."""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_tricks.training.data_order import epoch_order
from keras_tricks.training.programs import Program
from keras_tricks.training.steps import State


@dataclasses.dataclass
class Data:
    """What all trials train on.

    Attributes:
        x: The examples, a tensor; or a `tf.data.Dataset` of batches `(x, y)`, which is
            read once an epoch, as it comes.
        y: Their labels; None with a dataset.
        validation: `(x, y)` of the validation, a dataset of batches, or None.
        batch_size: Examples a step, where there is no dataset.
        order_seed: See `data_order.epoch_order`; a dataset has an order of its own.

    Raises:
        ValueError: If a dataset does not end, or its elements are not `(x, y)`.

    Example:

    >>> import tensorflow as tf
    >>> from keras_tricks.training.data import Data
    >>> dataset = tf.data.Dataset.from_tensor_slices(([1.0] * 5, [0] * 5)).batch(2)
    >>> Data(dataset, None, None, batch_size=2, order_seed=0).steps_per_epoch
    3
    """

    x: Any
    y: Any
    validation: Any
    batch_size: int
    order_seed: int | None

    def __post_init__(self) -> None:
        for dataset in (self.x, self.validation):
            if is_stream(dataset):
                _check(dataset)

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, a partial last one included."""
        if is_stream(self.x):
            return _num_batches(self.x)
        return math.ceil(self.x.shape[0] / self.batch_size)

    @functools.cached_property
    def _validation_steps(self) -> int:
        return _num_batches(self.validation)

    def examples(self) -> tuple[Any, Any]:
        """Returns a few examples and their labels."""
        x, y = next(iter(self.x)) if is_stream(self.x) else (self.x, self.y)
        return x[:2], y[:2]

    def train_epoch(
        self, program: Program, state: State, numbers: Any, rates: Any, epoch: int
    ) -> tuple[State, dict[str, Any]]:
        """Trains for an epoch.

        Args:
            program: The compiled epochs.
            state: See `Program.train_epoch`, as for `numbers`.
            numbers: See there.
            rates: The learning rate of each step of the epoch.
            epoch: Number of the epoch, counted from 0.
        """
        if is_stream(self.x):
            steps = tf.constant(self.steps_per_epoch)
            return program.train_stream(state, numbers, rates, self.x, steps)
        order = tf.constant(epoch_order(self.order_seed, epoch, self.x.shape[0]))
        return program.train_epoch(
            state, numbers, rates, self.x, self.y, order, self.batch_size
        )

    def evaluate(self, program: Program, state: State, numbers: Any) -> dict[str, Any]:
        """Returns the losses and metrics of the validation, if there is one."""
        if self.validation is None:
            return {}
        if is_stream(self.validation):
            steps = tf.constant(self._validation_steps)
            return program.evaluate_stream(state, numbers, self.validation, steps)
        return program.evaluate(state, numbers, *self.validation, self.batch_size)

    def for_fit(self, epoch: int) -> dict[str, Any]:
        """Returns the arguments with which `keras.Model.fit` trains for this epoch."""
        arguments: dict[str, Any] = {"x": self.x}
        if not is_stream(self.x):
            x, y = np.asarray(self.x), np.asarray(self.y)
            order = epoch_order(self.order_seed, epoch, len(x))
            arguments = {"x": x[order], "y": y[order], "batch_size": self.batch_size}
        arguments["validation_data"] = self.validation
        if self.validation is not None and not is_stream(self.validation):
            arguments["validation_data"] = tuple(map(np.asarray, self.validation))
            arguments["validation_batch_size"] = self.batch_size
        return arguments


def is_stream(data: Any) -> bool:
    """Whether this is a dataset of batches rather than an array."""
    return isinstance(data, tf.data.Dataset)


def _check(dataset: tf.data.Dataset) -> None:
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(
            "The elements of a dataset must be batches `(x, y)`, without weights of "
            f"examples. Received: element_spec={spec!r}"
        )
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "A dataset must end: an epoch is one reading of it. `dataset.take(n)` has "
            f"an end. Received: {dataset!r}"
        )


def _num_batches(dataset: tf.data.Dataset) -> int:
    known = int(dataset.cardinality())
    if known != tf.data.UNKNOWN_CARDINALITY:
        return known
    return int(dataset.reduce(np.int64(0), lambda number, *batch: number + 1))
