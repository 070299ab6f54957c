"""Rows of examples: of nests of arrays and frames, and of datasets of known size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_tricks import _validation

# Of array-likes that have no rows of one shape, Keras feeds something else.
NOT_DENSE = ("RaggedTensor", "SparseTensor")
_INFINITE, _UNKNOWN = -1, -2


class NotAnArrayError(Exception):
    """Something else is among the data."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples, and the form in which they were given.

    Attributes:
        parts: `(x, y)`, or `(x, y, sample_weight)`, each a nest of arrays; of a dataset
            what its elements consist of.
        num_rows: How many examples there are.
        is_dataset: Whether they come from a dataset.
        batch_size: Of the dataset's batches; None if it had single examples.
        is_tuple: Whether the dataset's elements were tuples.
    """

    parts: tuple[Any, ...]
    num_rows: int
    is_dataset: bool = False
    batch_size: int | None = None
    is_tuple: bool = True

    @property
    def y(self) -> Any:
        """The labels, None where there are none."""
        return self.parts[1] if len(self.parts) > 1 else None

    def replaced(self, y: Any) -> Examples:
        """Returns the examples with other labels."""
        parts = (self.parts[0], y, *self.parts[2:])
        return dataclasses.replace(self, parts=parts)

    def at(self, rows: np.ndarray) -> tuple[Any, ...]:
        """Returns some rows in the form of what was given: `(dataset, None)` or arrays.

        Args:
            rows: Their numbers, in any order, and also several times.
        """
        parts = tuple(take(part, rows) for part in self.parts)
        if not self.is_dataset:
            return parts
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices(
            parts if self.is_tuple else parts[0]
        )
        if self.batch_size is not None:
            dataset = dataset.batch(self.batch_size)
        return dataset, None


def read(x: Any, y: Any = None, sample_weight: Any = None) -> Examples:
    """Returns the examples of arrays, or of a dataset, which is read once.

    Args:
        x: An array, a frame, a tensor, or a list, tuple or dictionary of them; a list
            of numbers or texts is one array. Or a `tf.data.Dataset` of known size, of
            batches or of single examples.
        y: The same, or None.
        sample_weight: The same, or None.

    Raises:
        TypeError: If `x` has no rows.
        ValueError: If the parts are not equally long, or a dataset has no known size.
    """
    if is_dataset(x):
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(
                    f"`{name}` must be None where `x` is a dataset, whose elements "
                    "are `(x, y)` or `(x, y, weights)`. "
                    f"{_validation.received(name, value)}"
                )
        return _read_dataset(x)
    parts = (x, y) if sample_weight is None else (x, y, sample_weight)
    names = ("x", "y", "sample_weight")
    sizes: dict[str, int] = {}
    for name, part in zip(names, parts, strict=False):
        if part is None and name != "x":
            continue
        for leaf in leaves(part):
            length = _length(name, leaf)
            if sizes.setdefault(name, length) != sizes["x"] or length != sizes[name]:
                raise ValueError(
                    f"`{name}` must have as many rows in all its parts as `x`. "
                    f"Received: {sizes['x']} in x and {length} in {name}"
                )
        if not sizes.get(name):
            raise ValueError(
                f"`{name}` must have rows. {_validation.received(name, part)}"
            )
    return Examples(parts, sizes["x"])


def is_dataset(data: Any) -> bool:
    """Whether this is a `tf.data.Dataset`, which comes along with any backend."""
    return hasattr(data, "element_spec") and hasattr(data, "take")


# Nests.


def is_nest(data: Any) -> bool:
    """Whether these are several arrays; a list of numbers or texts is one."""
    if isinstance(data, dict):
        return True
    return isinstance(data, list | tuple) and any(
        _has_axes(each) or is_nest(each) for each in data
    )


def map_leaves(function: Callable[[Any], Any], data: Any) -> Any:
    """Returns a nest of what a function makes of its arrays; None stays None."""
    if data is None:
        return None
    if not is_nest(data):
        return function(data)
    if isinstance(data, dict):
        return {key: map_leaves(function, value) for key, value in data.items()}
    mapped = [map_leaves(function, each) for each in data]
    if isinstance(data, list):
        return mapped
    has_names = hasattr(data, "_fields")
    return type(data)(*mapped) if has_names else tuple(mapped)


def leaves(data: Any) -> list[Any]:
    """Returns the arrays of a nest."""
    found: list[Any] = []
    map_leaves(found.append, data)
    return found


def has_rows(data: Any) -> bool:
    """Whether `data` are arrays, or a structure of them, of which rows can be taken."""
    arrays = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return len(arrays) > 0 and all(
        _has_axes(leaf) and type(leaf).__name__ != "SparseTensor" for leaf in arrays
    )


def take(data: Any, rows: np.ndarray) -> Any:
    """Returns rows of a nest of arrays."""
    return map_leaves(lambda leaf: _rows(leaf, rows), data)


def _rows(leaf: Any, indices: np.ndarray) -> Any:
    if isinstance(leaf, list | tuple):
        return type(leaf)([leaf[index] for index in indices])
    if hasattr(leaf, "iloc"):
        return leaf.iloc[indices]
    if hasattr(leaf, "tocsr"):  # A sparse matrix of scipy, of whatever form.
        return leaf.tocsr()[indices]
    if type(leaf).__module__.startswith("tensorflow."):
        import tensorflow as tf

        return tf.gather(leaf, indices)
    if isinstance(leaf, np.ndarray) or keras.ops.is_tensor(leaf):
        return leaf[indices]
    return np.asarray(leaf)[indices]


def _has_axes(leaf: Any) -> bool:
    return len(getattr(leaf, "shape", None) or ()) > 0


def _length(name: str, leaf: Any) -> int:
    if isinstance(leaf, list | tuple):
        return len(leaf)
    if not _has_axes(leaf) or type(leaf).__name__ == "SparseTensor":
        raise TypeError(
            f"`{name}` must be arrays, frames or tensors of which rows can be taken, "
            "or a nest of them; as `x` a `tf.data.Dataset` of known size, too. "
            f"{_validation.received(name, leaf, True)}"
        )
    return int(leaf.shape[0])


# The form in which Keras shows an array to a model.


def keras_array(leaf: Any) -> np.ndarray | None:
    """Returns the array that `fit` would make of one, as numbers.

    Floats have Keras's default float type, integers are kept, and a pandas Series has a
    second axis of size 1.

    Raises:
        NotAnArrayError: If it is no array of numbers.
    """
    import pandas as pd

    if leaf is None:
        return None
    if type(leaf).__name__ in NOT_DENSE or not hasattr(leaf, "__array__"):
        raise NotAnArrayError
    try:
        if isinstance(leaf, pd.DataFrame):
            array = _as_table(leaf)
        else:
            array = np.asarray(leaf)
    except Exception as error:  # Of another library: a tensor on its device, say.
        raise NotAnArrayError from error
    if isinstance(leaf, pd.Series):
        if not isinstance(leaf.dtype, np.dtype):
            raise NotAnArrayError
        array = array[:, None]
    is_float = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    if array.ndim == 0 or not (is_float or array.dtype.kind in "iub"):
        raise NotAnArrayError
    # Extended floats are unknown to Keras.
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise NotAnArrayError
    dtype = keras.config.floatx() if is_float else array.dtype.newbyteorder("=")
    return array.astype(dtype, copy=False)


def _as_table(frame: Any) -> np.ndarray:
    """Returns all columns as floats where one of them is to be converted."""
    if not all(isinstance(dtype, np.dtype) for dtype in frame.dtypes):
        raise NotAnArrayError
    floatx = keras.config.floatx()
    if any(dtype.kind == "f" and dtype.name != floatx for dtype in frame.dtypes):
        frame = frame.astype(floatx)
    return frame.to_numpy()


# Datasets.


def _read_dataset(dataset: Any) -> Examples:
    size = int(dataset.cardinality())
    if size in (_INFINITE, _UNKNOWN):
        raise ValueError(
            "`x` must be a dataset of known size: `dataset.take(n)` ends one that does "
            "not end, and `dataset.apply(tf.data.experimental.assert_cardinality(n))` "
            "tells a size that is unknown. "
            f"{_validation.received('x', dataset)} of size "
            f"{'infinite' if size == _INFINITE else 'unknown'}"
        )
    elements = [*dataset]
    if not elements:
        raise ValueError("`x` must have rows. Received: x, a dataset without elements")
    specs = keras.tree.flatten(dataset.element_spec)
    if any(type(leaf).__name__ in NOT_DENSE for leaf in keras.tree.flatten(elements)):
        raise ValueError(
            "`x` must be a dataset of dense tensors. "
            f"{_validation.received('element_spec', dataset.element_spec)}"
        )
    is_tuple = isinstance(elements[0], tuple)
    are_batches = _are_batches(specs, elements)
    joined = np.concatenate if are_batches else np.stack
    try:
        whole = keras.tree.map_structure(
            lambda *parts: joined([np.asarray(part) for part in parts]), *elements
        )
    except ValueError as error:
        raise ValueError(
            "`x` must be a dataset whose examples have one shape: pad them before. "
            f"{_validation.received('element_spec', dataset.element_spec)}"
        ) from error
    first = keras.tree.flatten(elements[0])[0]
    parts = whole if is_tuple else (whole,)
    return Examples(
        parts,
        len(keras.tree.flatten(whole)[0]),
        is_dataset=True,
        batch_size=int(first.shape[0]) if are_batches else None,
        is_tuple=is_tuple,
    )


def _are_batches(specs: list[Any], elements: list[Any]) -> bool:
    """Whether the elements of a dataset are batches rather than single examples.

    All parts of a batch have one length. So have an example of ten features and its
    one-hot label among ten, but then each label has a single 1.
    """
    if any(spec.shape.rank == 0 for spec in specs):
        return False
    lengths = [
        {int(leaf.shape[0]) for leaf in keras.tree.flatten(each)} for each in elements
    ]
    if any(len(each) > 1 for each in lengths):
        return False
    if any(spec.shape[0] is None for spec in specs):
        return True
    if len(specs) < 2:
        return False
    labels = [np.asarray(keras.tree.flatten(each)[1]) for each in elements]
    return len(labels) < 2 or not all(map(_is_one_hot, labels))


def _is_one_hot(vector: np.ndarray) -> bool:
    if vector.ndim != 1 or len(vector) < 2 or vector.dtype.kind not in "fiub":
        return False
    return bool(np.isin(vector, (0, 1)).all() and vector.sum() == 1)
