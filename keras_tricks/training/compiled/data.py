"""The data of trials: arrays on the device, or a stream of batches."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_tricks import _validation
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled.data_order import epoch_order
from keras_tricks.training.compiled.data_order import known_length
from keras_tricks.training.compiled.functional_model import State
from keras_tricks.training.compiled.programs import Program


@dataclasses.dataclass
class Data:
    """What all trials train on.

    Attributes:
        examples: `(x, y)` or `(x, y, weights)`, each a tensor or a nest of tensors; or
            a `tf.data.Dataset` of such batches, which is read once an epoch, as it
            comes.
        validation: The same for the validation, or None.
        batch_size: Examples a step, where there is no dataset.
        order_seed: See `data_order.epoch_order`; a dataset has an order of its own.
        validation_batch_size: The same for the validation; None is `batch_size`.
        rows_of: Function from the number of an epoch to the rows of `examples` that it
            shows, int32, as many in each and in whole batches; None shows all of them,
            in the order of `order_seed`.

    Raises:
        ValueError: If a dataset does not end, or its elements are not as above.

    Example:

    >>> import tensorflow as tf
    >>> from keras_tricks.training.compiled.data import Data
    >>> dataset = tf.data.Dataset.from_tensor_slices(([1.0] * 5, [0] * 5)).batch(2)
    >>> Data(dataset, None, batch_size=2, order_seed=0).steps_per_epoch
    3
    """

    examples: Any
    validation: Any
    batch_size: int
    order_seed: int | None
    validation_batch_size: int | None = None
    rows_of: Callable[[int], np.ndarray] | None = None

    def __post_init__(self) -> None:
        for dataset in (self.examples, self.validation):
            if is_stream(dataset):
                _check(dataset)

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, a partial last one included."""
        if is_stream(self.examples):
            return _num_batches(self.examples)
        return math.ceil(self._epoch_length / self.batch_size)

    @functools.cached_property
    def _epoch_length(self) -> int:
        """Examples of an epoch."""
        if self.rows_of is not None:
            return len(self.rows_of(0))
        return num_examples(self.examples)

    def _order_of(self, epoch: int) -> np.ndarray:
        if self.rows_of is not None:
            return self.rows_of(epoch)
        return epoch_order(self.order_seed, epoch, num_examples(self.examples))

    @functools.cached_property
    def _validation_steps(self) -> int:
        return _num_batches(self.validation)

    @functools.cached_property
    def sample(self) -> Any:
        """A few examples, to be looked at; of a dataset, what is known unread.

        A dataset that shuffles is in another order after each time that it is read.
        """
        if is_stream(self.examples):
            return self.specs[0]
        return tf.nest.map_structure(lambda tensor: tensor[:2], self.examples)

    @functools.cached_property
    def specs(self) -> tuple[Any, Any]:
        """Kind and shape of the batches, as `fit` would know them.

        Those of the training and of the validation, which may have no weights; None
        where there is no validation.
        """
        validation_batch_size = self.validation_batch_size or self.batch_size
        length = None if is_stream(self.examples) else self._epoch_length
        return (
            _spec(self.examples, self.batch_size, length),
            _spec(self.validation, validation_batch_size),
        )

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
        if is_stream(self.examples):
            steps = tf.constant(self.steps_per_epoch)
            with keras_hooks.reading(self.examples) as batches:
                return program.train_stream(state, numbers, rates, batches, steps)
        order = tf.constant(self._order_of(epoch))
        return program.train_epoch(
            state, numbers, rates, self.examples, order, self.batch_size
        )

    def evaluate(
        self, program: Program, state: State, numbers: Any
    ) -> tuple[State, dict[str, Any]]:
        """Returns the losses and metrics of the validation, if there is one.

        Before them comes the state after it.
        """
        if self.validation is None:
            return state, {}
        if is_stream(self.validation):
            steps = tf.constant(self._validation_steps)
            with keras_hooks.reading(self.validation) as batches:
                return program.evaluate_stream(state, numbers, batches, steps)
        return program.evaluate(
            state,
            numbers,
            self.validation,
            self.validation_batch_size or self.batch_size,
        )

    def is_read_anew(self) -> bool:
        """Whether each epoch reads a dataset, which others may go on to read."""
        return is_stream(self.examples) or is_stream(self.validation)

    def has_known_length(self) -> bool:
        """Whether no dataset has to be read for its batches to be counted."""
        return all(
            int(dataset.cardinality()) != tf.data.UNKNOWN_CARDINALITY
            for dataset in (self.examples, self.validation)
            if is_stream(dataset)
        )

    def is_empty(self) -> bool:
        """Whether there is nothing to train on, or nothing to validate on."""
        if self.steps_per_epoch == 0:
            return True
        return is_stream(self.validation) and self._validation_steps == 0

    def for_fit(self, epoch: int) -> dict[str, Any]:
        """Returns the arguments with which `keras.Model.fit` trains for this epoch."""
        arguments: dict[str, Any] = {"x": self.examples}
        if not is_stream(self.examples):
            order = self._order_of(epoch)
            arrays = tf.nest.map_structure(
                lambda tensor: tf.gather(tensor, order), self.examples
            )
            names = ("x", "y", "sample_weight")
            arguments = dict(zip(names, arrays, strict=False))
            arguments["batch_size"] = self.batch_size
        arguments["validation_data"] = self.validation
        if self.validation is not None and not is_stream(self.validation):
            arguments["validation_batch_size"] = (
                self.validation_batch_size or self.batch_size
            )
        return arguments


def num_examples(examples: Any) -> int:
    """Returns how many examples there are in nested tensors."""
    return int(tf.nest.flatten(examples)[0].shape[0])


def _spec(examples: Any, batch_size: int, num_shown: int | None = None) -> Any:
    """Returns what is known of batches, of `num_shown` examples or of all."""
    if examples is None:
        return None
    if is_stream(examples):
        return examples.element_spec
    length = known_length(num_shown or num_examples(examples), batch_size)
    return tf.nest.map_structure(
        lambda each: tf.TensorSpec([length, *each.shape[1:]], each.dtype), examples
    )


def is_stream(data: Any) -> bool:
    """Whether this is a dataset of batches rather than an array."""
    return isinstance(data, tf.data.Dataset)


def _check(dataset: tf.data.Dataset) -> None:
    spec = dataset.element_spec
    is_batch = isinstance(spec, tuple) and len(spec) in (2, 3)
    if not is_batch or not all(
        isinstance(each, tf.TensorSpec) and each.shape.rank
        for each in tf.nest.flatten(spec)
    ):
        raise ValueError(
            "The elements of a dataset must be batches `(x, y)` or `(x, y, weights)` "
            f"of dense tensors. {_validation.received('element_spec', spec)}"
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
