"""Checks of what `search` is given for Keras's `fit`, before the first trial."""

from __future__ import annotations

from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall

# Counts -> the least one; all but `epochs` and `initial_epoch` may be None.
_COUNTS = {
    "epochs": 1,
    "initial_epoch": 0,
    "batch_size": 1,
    "steps_per_epoch": 1,
    "validation_steps": 1,
    "validation_batch_size": 1,
}
_NEVER_NONE = ("epochs", "initial_epoch")


def check(call: FitCall) -> None:
    """Checks the arguments that every trial would fail by, or train nothing.

    Raises:
        TypeError: If one is of the wrong type.
        ValueError: If one is out of its range.
    """
    for name, least in _COUNTS.items():
        value = call[name]
        if call.is_given(name) and (value is not None or name in _NEVER_NONE):
            _validation.check_int(name, value, minimum=least)
    first, last = int(call["initial_epoch"]), int(call["epochs"])
    if first >= last:
        raise ValueError(
            "`initial_epoch` must be below `epochs`, or nothing is trained. Received: "
            f"initial_epoch={first}, epochs={last}"
        )
    if call["validation_split"] is not None:
        _validation.check_float("validation_split", call["validation_split"], below=1)
    frequency = call["validation_freq"]
    if not isinstance(frequency, list | tuple | set):
        _validation.check_int("validation_freq", frequency, minimum=1)
    _check_callbacks(call)
    weights = call["class_weight"]
    if weights is not None and not isinstance(weights, dict):
        raise TypeError(
            "`class_weight` must be a dictionary from classes to weights. "
            f"{_validation.received('class_weight', weights, True)}"
        )


def _check_callbacks(call: FitCall) -> None:
    given: Any = call["callbacks"]
    is_list = isinstance(given, keras.callbacks.CallbackList)
    if is_list or all(isinstance(c, keras.callbacks.Callback) for c in call.callbacks):
        return
    raise TypeError(
        "`callbacks` must be a list of `keras.callbacks.Callback`s. "
        f"{_validation.received('callbacks', given, True)}"
    )
