"""Numbers among the arguments of `fit`, told to be wrong before Keras takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.hypermodels.tasks.arrays import arrays_of
from keras_tricks.hypermodels.tasks.arrays import first_row
from keras_tricks.hypermodels.tasks.arrays import refuse


def with_numbers(call: FitCall) -> FitCall:
    """Returns a call whose numbers were checked, each under its own name.

    Raises:
        TypeError: If one is no number.
        ValueError: If one is out of range.
    """
    for name in ("epochs", "batch_size", "steps_per_epoch"):
        if call[name] is not None:
            whole = _validation.check_int(name, call[name], minimum=1)
            call = call.replace(**{name: whole})
    if call["validation_split"] is not None:
        _validation.check_float("validation_split", call["validation_split"], below=1)
    return call


def check_class_weight(weights: dict[Any, Any], num_classes: int) -> None:
    """Checks that weights are those of classes: Keras passes over any others.

    Raises:
        keras_tuner.errors.FatalValueError: If not; it is a `ValueError`.
    """
    for key, weight in weights.items():
        is_class = isinstance(_validation.plain(key), int) and 0 <= key < num_classes
        number = _validation.plain(weight)
        is_weight = _validation.is_number(number) and 0 <= number < np.inf
        if not is_class or not is_weight:
            refuse(
                "`class_weight` must be a dictionary from class numbers, 0 to "
                f"{num_classes - 1}, to weights that are finite and not negative.",
                "",
                f"{key!r}: {weight!r}",
            )


def check_weights(weights: Any, place: str) -> None:
    """Checks that the weights of examples are finite.

    Raises:
        keras_tuner.errors.FatalValueError: If not; it is a `ValueError`.
    """
    for array in arrays_of(weights):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            refuse(
                f"The weights of the examples of {place} must be finite.",
                "A weight of 0 leaves an example out.",
                first_row(np.isfinite(array), array),
            )
