"""Checks of what a `SwitchedOptimizer` is made from."""

from typing import Any
from typing import Literal

import keras

from keras_tricks import _validation
from keras_tricks.optimizers import keras_hooks

BY_ITSELF = ("plateau", "swats")


def checked_at(at: Any) -> int | Literal["plateau", "swats"]:
    """Returns the step of the switch, or what makes it."""
    if _validation.is_number(_validation.plain(at)):
        return _validation.check_int("at", at, minimum=1)
    if not isinstance(at, str) or at not in BY_ITSELF:
        raise ValueError(
            '`at` must be a step from 1, "plateau" or "swats". '
            f"{_validation.received('at', at)}"
        )
    return at  # type: ignore[return-value]  # It is one of the two.


def check_optimizers(first: Any, second: Any, wrapper_class: type) -> None:
    """Raises unless a `wrapper_class` can switch from one optimizer to another."""
    for name, optimizer in (("first", first), ("second", second)):
        _check_phase(name, optimizer, wrapper_class)
    if first is second:
        raise ValueError(
            "`second` must be another optimizer than `first`, each with a state of its "
            f"own. {_validation.received('second', second)}"
        )
    scales = first.loss_scale_factor, second.loss_scale_factor
    if scales[0] != scales[1]:
        raise ValueError(
            "`first` and `second` must have the same `loss_scale_factor`: a loss is "
            f"scaled before it is known whose it is. Received: {scales[0]} and "
            f"{scales[1]}"
        )


def check_rate_can_be_set(second: Any) -> None:
    """Raises unless the rate that is found is one for `second`."""
    if not isinstance(second, keras.optimizers.SGD):
        raise ValueError(
            "`second` must be a keras.optimizers.SGD where its rate is found "
            "(`find_rate`), since the rate is one of SGD. "
            f"{_validation.received('second', second)}"
        )
    if keras_hooks.rate_variable(second) is None:
        raise ValueError(
            "`second` must have a number for its rate where another one is found "
            "(`find_rate`), such as SGD(0.01, momentum=0.9). "
            f"{_validation.received('second', second)}"
        )


def _check_phase(name: str, optimizer: Any, wrapper_class: type) -> None:
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            f"`{name}` must be a Keras optimizer, such as keras.optimizers.Adam(1e-3). "
            f"{_validation.received(name, optimizer)}"
        )
    if isinstance(optimizer, wrapper_class):
        return
    if keras_hooks.leaf_optimizers(optimizer) != [optimizer]:
        raise ValueError(
            f"`{name}` must be no wrapper and no group of optimizers. Write "
            "ClippedOptimizer(SwitchedOptimizer(...), global_clipnorm=1.0). "
            f"{_validation.received(name, optimizer)}"
        )
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            f"`{name}` must not accumulate by itself: what it has accumulated would be "
            "lost in the switch. Give `gradient_accumulation_steps` to a "
            "ClippedOptimizer around. Received: gradient_accumulation_steps="
            f"{optimizer.gradient_accumulation_steps}"
        )
