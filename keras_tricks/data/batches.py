"""Batches that hold each class equally often."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation
from keras_tricks.data import draws
from keras_tricks.data import keras_hooks
from keras_tricks.data import rows
from keras_tricks.data.labels import Labels
from keras_tricks.data.labels import labels_of


class BalancedBatches(keras.utils.PyDataset):
    r"""Training data in batches that hold the classes equally; for `fit` and `search`.

    Of `K` classes a batch of `B` examples holds each `floor(B / K)` times or once more:
    the places that are left over go round among the classes. The rows of a class are
    dealt to the last one, also over the epochs, before they are shuffled and dealt
    again. All of it is a function of (seed, epoch): a run that is resumed goes on with
    the batches that it would have had.

    Rows that have several labels, a 0/1 matrix, are balanced step by step: the label
    that the epoch has shown least often (none, for rows without labels, is one of them)
    gets the next of its rows, and all labels of that row count.

    With `undo_shift` an example of class `c` weighs `K * n_c / n`: `n_c` of the `n`
    rows, divided by the share `1 / K` that it has in batches. The weighted loss is then
    that of the data as they are, in expectation, so that probabilities stay calibrated,
    and batches are balanced nevertheless. Without it a model thinks rare classes as
    frequent as the others.

    In `search` all trials see the same batches in the same epoch, whatever is trained
    before or beside them. `fit` itself (not `search`) takes the batches of an epoch in
    an order of Python's `random`, unless it is given `shuffle=False`;
    `as_dataset` has an order of its own.

    Args:
        x: See `stratified_subset`. A dataset is read once, into memory.
        y: The labels; see `stratified_subset`. None with a dataset.
        batch_size: Examples a batch; all batches have as many.
        seed: Seed of the order, an integer from 0; None draws one, which is then the
            attribute `seed`.
        labels: See `stratified_subset`.
        sample_weight: A weight for each row.
        steps_per_epoch: Batches an epoch; None is `ceil(rows / batch_size)`, an epoch
            as long as without balance. A class that is more frequent than others is
            then shown in part, and the rest of it in the epochs that follow.
        undo_shift: Whether examples have the weights above.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        epoch: Number of the epoch whose batches these are, from 0. The end of each
            epoch of `fit` (or of `evaluate`) adds 1; set it to 0 to begin again, and to
            the `initial_epoch` of a `fit` that goes on.

    Raises:
        TypeError: If the data have no rows or no labels.
        ValueError: If an argument is out of its range, or rows have several labels and
            `undo_shift` is set.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.data import BalancedBatches
    >>> x, y = np.arange(100.0), np.repeat([0, 1], [95, 5])
    >>> batches = BalancedBatches(x, y, 10, seed=0)
    >>> len(batches), [int(batches[i][1].sum()) for i in range(3)]
    (10, [5, 5, 5])

    Reference:
        Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New
        a Priori Probabilities", 2002 (the weights of `undo_shift`).
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int,
        *,
        seed: int | None,
        labels: Any = None,
        sample_weight: Any = None,
        steps_per_epoch: int | None = None,
        undo_shift: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.batch_size = _validation.check_int("batch_size", batch_size, minimum=1)
        seed = _validation.check_seed("seed", seed)
        self.seed = seed if seed is not None else _drawn_seed()
        self.undo_shift = _validation.check_flag("undo_shift", undo_shift)
        if steps_per_epoch is not None:
            steps_per_epoch = _validation.check_int(
                "steps_per_epoch", steps_per_epoch, minimum=1
            )
        examples = rows.read(x, y, sample_weight)
        self._labels = labels_of(examples, labels)
        if undo_shift and self._labels.codes is None:
            raise ValueError(
                "`undo_shift` must be False where rows have several labels, which no "
                f"one weight sets right. {_validation.received('undo_shift', True)}"
            )
        self._steps = steps_per_epoch or math.ceil(examples.num_rows / self.batch_size)
        self._parts = _parts(examples, self._labels if undo_shift else None)
        self._drawn: tuple[int, np.ndarray] | None = None
        self.epoch = 0

    @property
    def examples(self) -> tuple[Any, ...]:
        """All rows: `(x, y)`, or `(x, y, weights)` if there are any, NumPy arrays."""
        return self._parts

    def rows_of(self, epoch: int) -> np.ndarray:
        """Returns the numbers of the rows of an epoch, batch after batch.

        Args:
            epoch: Number of the epoch, counted from 0.

        Returns:
            Int32 array of shape `(steps * batch_size,)`.
        """
        epoch = _validation.check_int("epoch", epoch)
        drawn = self._drawn
        if drawn is None or drawn[0] != epoch:
            how = self.seed, epoch, self._steps, self.batch_size
            codes, members = self._labels.codes, self._labels.members
            if members is None:
                assert codes is not None
                found = draws.of_classes(codes, *how)
            else:
                found = draws.of_several_labels(members, *how)
            # Workers may ask for it at the same time.
            self._drawn = drawn = epoch, draws.mixed(found, self.seed, epoch)
        return drawn[1]

    def as_dataset(self) -> Any:
        """Returns a `tf.data.Dataset` of the batches, in their order.

        Its first whole reading is the epoch `epoch` of this object, and each further
        one the next; a reading that is broken off before its last batch, as `fit` does
        to build a model, counts for nothing. A search that is given it instead of this
        object shows each pack of trials further epochs.

        Example:

        >>> import numpy as np
        >>> from keras_tricks.data import BalancedBatches
        >>> batches = BalancedBatches(np.arange(4.0), [0, 1, 1, 1], 2, seed=0)
        >>> for x, y in batches.as_dataset():
        ...     print(sorted(y.numpy().tolist()))
        [0, 1]
        [0, 1]
        """
        import tensorflow as tf

        parts = rows.map_leaves(tf.convert_to_tensor, self._parts)
        next_epoch = self.epoch

        def batches() -> Iterator[np.ndarray]:
            nonlocal next_epoch
            each = self.rows_of(next_epoch).reshape(self._steps, self.batch_size)
            yield from each[:-1]
            next_epoch += 1
            yield each[-1]

        spec = tf.TensorSpec([self.batch_size], tf.int32)
        dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
        dataset = dataset.map(
            lambda chosen: rows.map_leaves(lambda leaf: tf.gather(leaf, chosen), parts)
        )
        return dataset.apply(tf.data.experimental.assert_cardinality(self._steps))

    # What Keras asks for.

    def __len__(self) -> int:
        return self._steps

    @property
    def num_batches(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not -self._steps <= index < self._steps:
            raise IndexError(
                f"`index` must be below the {self._steps} batches. "
                f"{_validation.received('index', index)}"
            )
        start = index % self._steps * self.batch_size
        chosen = self.rows_of(self.epoch)[start : start + self.batch_size]
        return tuple(rows.take(part, chosen) for part in self._parts)

    def on_epoch_end(self) -> None:
        if not keras_hooks.is_reset():
            self.epoch += 1


def _drawn_seed() -> int:
    return int(np.random.default_rng().integers(2**63))


def _parts(examples: rows.Examples, labels: Labels | None) -> tuple[Any, ...]:
    """Returns the examples as arrays, with the weights that undo the shift."""
    parts = tuple(rows.map_leaves(_as_array, part) for part in examples.parts)
    if len(parts) > 1 and parts[1] is None:
        parts = parts[:1]
    if labels is None:
        return parts
    if len(parts) < 2:
        raise ValueError(
            "`undo_shift` must be False where there is no `y`, which is weighted. "
            f"{_validation.received('undo_shift', True)}"
        )
    shares = labels.counts / examples.num_rows * len(labels.names)
    weights = shares[labels.codes].astype(keras.config.floatx())
    if len(parts) < 3:
        return (*parts, rows.map_leaves(lambda _: weights, parts[1]))
    return (*parts[:2], rows.map_leaves(lambda own: _times(own, weights), parts[2]))


def _times(own: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return own * weights.reshape(-1, *[1] * (own.ndim - 1))


def _as_array(leaf: Any) -> np.ndarray:
    """Returns an array as `fit` would make it of this one."""
    if isinstance(leaf, list | tuple):
        leaf = np.asarray(leaf)
    if hasattr(leaf, "toarray"):
        leaf = leaf.toarray()
    if type(leaf).__name__ in rows.NOT_DENSE:
        raise TypeError(
            "`x`, `y` and weights must be dense arrays, of rows of one shape. "
            f"Received: a {type(leaf).__name__}"
        )
    try:
        array = rows.keras_array(leaf)
    except rows.NotAnArrayError:
        array = None
    return _as_it_is(leaf) if array is None else array


def _as_it_is(leaf: Any) -> np.ndarray:
    """Returns an array of texts, which a layer may take, or of pandas's own numbers."""
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiubSUO":
        raise TypeError(
            "`x`, `y` and weights must be arrays of numbers or texts. Received: "
            f"{type(leaf).__name__} of dtype {array.dtype}"
        )
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array
