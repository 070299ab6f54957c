"""The length of a run: the number of updates that a `fit` makes, from its data."""

import itertools
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation

# What `keras.Model.fit` takes where it is given arrays and no batch size.
_BATCH_SIZE_OF_FIT = 32


def num_updates(num_examples: Any, batch_size: int | None, epochs: int) -> int:
    """Returns how many updates a `fit` makes: `epochs * batches of an epoch`.

    An epoch of examples has `ceil(num_examples / batch_size)` batches, since `fit`
    keeps the last partial one; data that come in batches have as many as they say.

    Args:
        num_examples: The number of training examples of an epoch, or the data that
            `fit` is given: an array, a pandas frame, a tuple, list or dict of those, a
            `tf.data.Dataset` of known size, or a `keras.utils.PyDataset`. A dataset's
            elements are batches, as they are to `fit`; with a `batch_size` they may be
            single examples, which are told by their shapes, and where these leave the
            first axis open, by the lengths of the first two elements.
        batch_size: Examples a batch; `None` is 32, as in `fit`, or the dataset's own.
            Beside batches it must be the length of theirs.
        epochs: Epochs of the run.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of its range, or the size of the data is not
            known, or not the same in all parts; or if `batch_size` is not that of the
            batches, or nothing tells these from single examples.
    """
    epochs = _validation.check_int("epochs", epochs, minimum=1)
    if batch_size is not None:
        batch_size = _validation.check_int("batch_size", batch_size, minimum=1)
    if hasattr(num_examples, "element_spec") and hasattr(num_examples, "cardinality"):
        elements = _size_of_dataset(num_examples)
        if _has_batches(num_examples, batch_size):
            return epochs * elements
        return epochs * -(-elements // (batch_size or 1))
    if isinstance(num_examples, keras.utils.PyDataset):
        batches = _size_of_py_dataset(num_examples)
        if batch_size is not None:
            first = _lengths(num_examples[0])
            if not _are_batches([first], batches, batch_size):
                raise _not_the_batch_size(num_examples, batch_size, [first])
        return epochs * batches
    number = _number_of_examples(num_examples)
    return epochs * -(-number // (batch_size or _BATCH_SIZE_OF_FIT))


def share(name: str, fraction: float, steps: int) -> int:
    """Returns `floor(fraction * steps)`, as BERT rounds.

    Args:
        name: The fraction's name, for the message.
        fraction: From 0 to 1.
        steps: Updates of the whole run.

    Raises:
        TypeError: If `fraction` is no number.
        ValueError: If it is out of its range.
    """
    hint = ", a share of the updates"
    return int(steps * _validation.check_float(name, fraction, maximum=1, hint=hint))


def _number_of_examples(data: Any) -> int:
    if not isinstance(data, tuple | list | dict) and not hasattr(data, "shape"):
        return _validation.check_int("num_examples", data, minimum=1)
    if getattr(data, "shape", None) == ():  # A number of NumPy's or a tensor.
        return _validation.check_int("num_examples", np.asarray(data).item(), minimum=1)
    leaves = [data] if hasattr(data, "shape") else keras.tree.flatten(data)
    # As in `(x, None)`, or `(x, y, None)` without weights.
    shapes = [getattr(leaf, "shape", None) for leaf in leaves if leaf is not None]
    if not shapes or not all(shapes):
        raise TypeError(
            "`num_examples` must be a number, or data whose parts have the examples "
            "along their first axis: arrays, frames, a tf.data.Dataset, a PyDataset. "
            f"{_validation.received('num_examples', data, True)}"
        )
    sizes = sorted({int(shape[0]) for shape in shapes if shape is not None})
    if len(sizes) > 1 or sizes[0] < 1:
        raise ValueError(
            "`num_examples` must have the same number of examples in all parts, at "
            f"least 1. Received: parts of {sizes} examples"
        )
    return sizes[0]


def _size_of_dataset(dataset: Any) -> int:
    elements = int(dataset.cardinality())
    if elements < 1:
        kind = {-1: "infinite", -2: "unknown", 0: "0"}[elements]
        raise ValueError(
            "`num_examples` must be a dataset of a known size: use `take` of an "
            "infinite one, `tf.data.experimental.assert_cardinality`, or give a "
            "number, with steps_per_epoch * batch_size where `fit` is given "
            "steps_per_epoch. "
            f"{_validation.received('num_examples', dataset)} of size {kind}"
        )
    return elements


def _has_batches(dataset: Any, batch_size: int | None) -> bool:
    """Whether the elements are batches and not single examples."""
    specs = keras.tree.flatten(dataset.element_spec)
    shapes = [spec.shape for spec in specs if hasattr(spec, "shape")]
    leading = {shape[0] if shape.rank else None for shape in shapes}
    scalars = any(shape.rank == 0 for shape in shapes)
    single = scalars or len(leading) > 1
    if single and batch_size is None:
        raise ValueError(
            "`batch_size` must be given for a dataset of single examples, unless it "
            "is batched before. "
            f"{_validation.received('num_examples', dataset)}, batch_size=None"
        )
    if batch_size is not None and not scalars and None in leading:
        return _has_batches_by_lengths(dataset, batch_size)
    size = next(iter(leading), None)
    if not single and size is not None and batch_size not in (None, size):
        raise ValueError(
            "`batch_size` must be left out for a dataset that is batched already; one "
            f"of single examples must be batched before where these have {size} "
            f"numbers in all parts. {_validation.received('num_examples', dataset)}, "
            f"batch_size={batch_size!r}"
        )
    return not single


def _has_batches_by_lengths(dataset: Any, batch_size: int) -> bool:
    """The same where shapes leave it open, from the first two elements."""
    elements = [_lengths(element) for element in itertools.islice(dataset, 2)]
    if any(None in lengths or len(lengths) > 1 for lengths in elements):
        return False  # All parts of a batch have its length.
    if not _are_batches(elements, _size_of_dataset(dataset), batch_size):
        raise _not_the_batch_size(dataset, batch_size, elements)
    return True


def _lengths(element: Any) -> set[int | None]:
    """Returns the lengths of an element's parts, `None` for a scalar."""
    shapes = [getattr(part, "shape", None) for part in keras.tree.flatten(element)]
    return {int(s[0]) if len(s) else None for s in shapes if s is not None}


def _are_batches(elements: list, size: int, batch_size: int) -> bool:
    """Whether the first elements of `size` ones can be batches of `batch_size`.

    Args:
        elements: The lengths of the parts of each of the first elements.
        size: How many elements there are; the last one may be a smaller batch.
        batch_size: Examples a batch.
    """
    full = elements if len(elements) < size else elements[:-1]
    last = elements[-1]
    return all(lengths == {batch_size} for lengths in full) and (
        len(last) == 1 and 1 <= (next(iter(last)) or 0) <= batch_size
    )


def _not_the_batch_size(data: Any, batch_size: int, elements: list) -> ValueError:
    found = ", ".join(str(length) for lengths in elements for length in lengths)
    return ValueError(
        "`batch_size` must be left out for data that come in batches; single examples "
        "in a dataset must be batched before where their first axis has no known "
        f"length. {_validation.received('num_examples', data)}, whose first elements "
        f"have the lengths {found or 'unknown'}, batch_size={batch_size!r}"
    )


def _size_of_py_dataset(dataset: keras.utils.PyDataset) -> int:
    try:
        batches = dataset.num_batches
    except NotImplementedError:  # As Keras's own has it, without `__len__`.
        batches = None
    if not batches:
        raise ValueError(
            "`num_examples` must be a PyDataset of a known size: implement `__len__`. "
            f"{_validation.received('num_examples', dataset)} of {batches} batches"
        )
    return int(batches)
