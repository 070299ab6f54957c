"""The examples that a `fit` trains on and validates on, read before it begins."""

from __future__ import annotations

import contextlib
import random
import weakref
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import numpy as np

from keras_tricks._fit_call import FitCall
from keras_tricks.hypermodels.tasks.arrays import arrays_of


class Examples(NamedTuple):
    """Some examples.

    Attributes:
        inputs: What the network takes.
        labels: Their labels, None if there are none.
        weights: Their weights, None if there are none.
        place: Where the labels are, in words.
        is_trained_on: Whether `fit` trains on them, but for those that it sets aside.
    """

    inputs: Any
    labels: Any
    weights: Any
    place: str
    is_trained_on: bool = True

    def labels_that_count(self, call: FitCall) -> list[np.ndarray]:
        """Returns the arrays of labels that are trained on, with a weight but 0.

        Args:
            call: The call of `fit` whose examples these are.
        """
        labels, weights = arrays_of(self.labels), arrays_of(self.weights)
        found = []
        for array in labels:
            count = len(array)
            if not is_dataset(call["x"]):
                count = call.num_training_examples(count)
            counts: Any = np.ones(count, bool)
            if len(labels) == len(weights) == 1 and len(weights[0]) == len(array):
                counts = (weights[0][:count].reshape(count, -1) != 0).any(axis=1)
            found.append(array[:count] if counts.all() else array[:count][counts])
        return found


class ReadBefore:
    """What was found in the datasets that were read, so that a search reads each once.

    A copy of it, in another process for instance, knows of none.
    """

    def __init__(self) -> None:
        # The reference tells whether the object is still there: another one may get
        # the number of one that is gone.
        self._known: dict[Any, tuple[weakref.ref, Any]] = {}

    def __contains__(self, key: tuple[Any, ...]) -> bool:
        data, *rest = key
        known = self._known.get((id(data), *rest))
        return known is not None and known[0]() is data

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        data, *rest = key
        return self._known[(id(data), *rest)][1]

    def add(self, key: tuple[Any, ...], found: Any = None) -> None:
        """Remembers a dataset, the first of `key`, and what was found in it."""
        data, *rest = key
        with contextlib.suppress(TypeError):  # Some objects cannot be referred to.
            self._known[(id(data), *rest)] = weakref.ref(data), found

    def __reduce__(self) -> Any:
        return type(self), ()


def examples_of(
    call: FitCall, read_before: ReadBefore, purpose: tuple[Any, ...]
) -> Iterator[Examples]:
    """Yields all examples of a call of `fit`, arrays at once, datasets by batches.

    A `tf.data.Dataset` and a `PyDataset` are read as far as an epoch goes, but only
    once for a purpose. Anything else that gives batches is left alone: a generator
    gives each of them only once. Arrays are yielded each time, as they may have been
    written to in the meantime.

    Args:
        call: The call.
        read_before: The datasets that were read already.
        purpose: What the examples are compared with.
    """
    yield from _of_one(
        (call["x"], call["y"], call["sample_weight"]),
        "`y`",
        call["steps_per_epoch"],
        read_before,
        purpose,
    )
    validation = call["validation_data"]
    if validation is not None:
        pair = validation if isinstance(validation, tuple | list) else (validation,)
        for found in _of_one(
            (*pair, None, None)[:3],
            "`validation_data[1]`",
            call["validation_steps"],
            read_before,
            purpose,
        ):
            yield found._replace(is_trained_on=False)


def _of_one(
    given: tuple[Any, ...],
    place: str,
    steps: int | None,
    read_before: ReadBefore,
    purpose: tuple[Any, ...],
) -> Iterator[Examples]:
    inputs, labels, weights = given
    if not is_dataset(inputs):
        yield Examples(inputs, labels, weights, place)
        return
    key = (inputs, steps, *purpose)
    if key in read_before or not _has_end(inputs, steps):
        return
    with _same_draws():
        for number, batch in enumerate(batches_of(inputs, steps)):
            yield Examples(*batch, f"batch {number} of the dataset")
    read_before.add(key)


def is_dataset(data: Any) -> bool:
    """Whether these are batches that may be read any number of times."""
    if isinstance(data, keras.utils.PyDataset):
        return True
    # A tf.data.Dataset, which may come along with any backend.
    return hasattr(data, "element_spec") and hasattr(data, "take")


def batches_of(dataset: Any, steps: int | None) -> Iterator[tuple[Any, Any, Any]]:
    """Yields inputs, labels and weights of a dataset's batches, at most `steps`."""
    if isinstance(dataset, keras.utils.PyDataset):
        count = num_batches(dataset) if steps is None else steps
        elements: Any = (dataset[index] for index in range(count or 0))
    else:
        elements = iter(dataset if steps is None else dataset.take(steps))
    for element in elements:
        several = element if isinstance(element, tuple | list) else (element,)
        yield (*several, None, None)[:3]


def num_batches(data: Any) -> int | None:
    """Returns the number of batches of an epoch; None if it has no known end."""
    cardinality = getattr(data, "cardinality", None)
    try:
        if cardinality is None:
            number = len(data)
        else:
            number = int(cardinality() if callable(cardinality) else cardinality)
    except (TypeError, NotImplementedError, AttributeError, OverflowError):
        return None
    return number if number > 0 else None


def _has_end(dataset: Any, steps: int | None) -> bool:
    if steps is not None or isinstance(dataset, keras.utils.PyDataset):
        return True
    infinite = -1  # tf.data.INFINITE_CARDINALITY; -2 is one that is not known.
    return int(dataset.cardinality()) != infinite


@contextlib.contextmanager
def _same_draws() -> Iterator[None]:
    """Leaves Python's and NumPy's generators as they were.

    Whoever draws from them in a dataset would have the first trial of a search, which
    alone reads it, trained otherwise than the same settings in any other place.
    """
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
