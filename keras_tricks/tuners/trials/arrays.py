"""Arrays that `fit` is given, in the form in which Keras shows them to a model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_tricks._fit_call import FitCall
from keras_tricks.data import BalancedBatches
from keras_tricks.data import rows


def as_arrays(
    x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None
) -> tuple[Any, Any, Any] | None:
    """Returns `(x, y, sample_weight)` as `keras.Model.fit` would make them of arrays.

    Lists become tuples, and each leaf a NumPy array: floats have Keras's default float
    type, integers are kept, a pandas Series has a second axis of size 1. A single
    `sample_weight` stands for all outputs; `class_weight` becomes a `sample_weight`, in
    which a class that it does not name has 1. What is returned may be given again.

    Args:
        x: An array, or a list, tuple or dictionary of them, also nested.
        y: The same, or None.
        sample_weight: One array, or one for each output, some of them None.
        class_weight: Number of the class -> weight. `fit` weights the examples that it
            trains on, so it is given once those for validation were split off.

    Returns:
        None where the data are not arrays of numbers with the same number of examples,
        one or more, and where Keras would refuse them. `fit` itself takes those.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.tuners.trials.arrays import as_arrays
    >>> x, y, weights = as_arrays([np.zeros(3), np.ones(3)], np.array([0, 2, 1]),
    ...                           class_weight={2: 5.0})
    >>> type(x), x[0].dtype, weights.tolist()
    (<class 'tuple'>, dtype('float32'), [1.0, 5.0, 1.0])
    >>> as_arrays(range(3)) is None
    True
    """
    if x is None or (class_weight is not None and (y is None or _is_nested(y))):
        return None
    if y is None:
        sample_weight = None  # `fit` does not look at it.
    try:
        sample_weight = _weights_of_outputs(y, sample_weight)
        structure = keras.tree.lists_to_tuples((x, y, sample_weight))
        arrays = keras.tree.map_structure(rows.keras_array, structure)
        if class_weight is not None:
            if sample_weight is not None:
                return None
            arrays = (*arrays[:2], _weights_of_classes(arrays[1], class_weight))
    except (rows.NotAnArrayError, AttributeError, TypeError, ValueError):
        return None
    lengths = {len(leaf) for leaf in keras.tree.flatten(arrays) if leaf is not None}
    return arrays if len(lengths) == 1 and lengths != {0} else None


def given_arrays(call: FitCall) -> list[np.ndarray]:
    """Returns the arrays that a call of `fit` is given, and those in other objects."""
    names = ("x", "y", "sample_weight", "validation_data")
    given = [call[name] for name in names]
    if isinstance(given[0], BalancedBatches):
        given[0] = given[0].examples
    leaves = keras.tree.flatten(given)
    return [
        np.asarray(leaf)
        for leaf in leaves
        if isinstance(leaf, np.ndarray) or type(leaf).__module__.startswith("pandas.")
    ]


def num_examples(arrays: Any) -> int:
    """Returns how many examples there are in a structure of arrays."""
    return next(len(leaf) for leaf in keras.tree.flatten(arrays) if leaf is not None)


def split_arrays(arrays: Any, num_training: int) -> tuple[Any, Any]:
    """Returns the first `num_training` examples, and the others."""

    def part(rows: slice) -> Any:
        return keras.tree.map_structure(
            lambda leaf: None if leaf is None else leaf[rows], arrays
        )

    return part(slice(num_training)), part(slice(num_training, None))


def training_and_validation(call: FitCall) -> tuple[Any, Any] | None:
    """Returns what a call of `fit` trains on, and what it splits off of that.

    Returns:
        `(x, y, sample_weight)` of the training, its class weights among them, and those
        of the validation, or None without a `validation_split`. None where `as_arrays`
        is None, or Keras would refuse to split.
    """
    training = as_arrays(call["x"], call["y"], call["sample_weight"])
    validation = None
    if training is None:
        return None
    if call["class_weight"] is not None and call["sample_weight"] is not None:
        return None
    if call.validation_share:
        size = num_examples(training)
        num_training = call.num_training_examples(size)
        if not 0 < num_training < size:
            return None
        training, validation = split_arrays(training, num_training)
    if call["class_weight"] is not None:
        training = as_arrays(training[0], training[1], None, call["class_weight"])
        if training is None:
            return None
    return training, validation


def _is_nested(data: Any) -> bool:
    return keras.tree.is_nested(data)


def _weights_of_outputs(y: Any, sample_weight: Any) -> Any:
    """Returns the weights with the structure of `y`."""
    if sample_weight is None or not _is_nested(y):
        return sample_weight
    if isinstance(sample_weight, list | tuple | dict):
        keras.tree.assert_same_structure(y, sample_weight)
        return sample_weight
    shape = sample_weight.shape
    if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):
        raise rows.NotAnArrayError
    return keras.tree.map_structure(lambda _: sample_weight, y)


def _weights_of_classes(y: Any, class_weight: Any) -> np.ndarray:
    if y.ndim > 1:
        y = y.argmax(axis=-1) if y.shape[-1] != 1 else y.squeeze(axis=-1)
    if y.ndim > 1:
        raise rows.NotAnArrayError
    classes, places = np.unique(np.round(y).astype("int32"), return_inverse=True)
    weights = [class_weight.get(int(label), 1.0) for label in classes]
    return np.asarray(weights, keras.config.floatx())[places]
