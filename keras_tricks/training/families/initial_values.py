"""Initial values of variables that were deferred, without making the variables."""

import contextlib
from typing import Any

import keras

from keras_tricks.training.compiled import keras_hooks

_KERAS_OWN = frozenset(
    kind.__module__
    for kind in (
        keras.initializers.Zeros,
        keras.initializers.GlorotUniform,
        keras.random.SeedGenerator,
    )
)
_PLAIN = (bool, int, float, str, type(None))


def deferred() -> contextlib.AbstractContextManager[None]:
    """Has variables that are made inside wait for their values where that is exact."""
    return keras_hooks.values_deferred(is_pure)


def is_pure(initializer: Any) -> bool:
    """Whether an initializer is known to yield the same whenever it is called.

    It is one of Keras's, and its seed, if it has one, is a number.
    """
    kind = initializer if hasattr(initializer, "__qualname__") else type(initializer)
    if kind.__module__ not in _KERAS_OWN:
        return False
    return all(_is_plain(value) for value in vars(initializer).values())


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return type(value) in _PLAIN
