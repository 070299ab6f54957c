"""Values of hyperparameters that remember which of them a model was made from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras_tuner


class WatchedValues(dict):
    """A dict that remembers which of its keys were looked at.

    Attributes:
        read: Keys that were looked at one by one.
        all_read: Whether they were looked at as a whole.

    Example:

    >>> from keras_tricks._watched_values import WatchedValues
    >>> values = WatchedValues({"units": 8, "rate": 0.1})
    >>> values["units"], values.read, values.all_read
    (8, {'units'}, False)
    """

    def __init__(self, values: dict[str, Any]):
        super().__init__(dict.items(values))
        self.read: set[str] = set()
        self.all_read = False

    def note_all(self) -> None:
        """Called when the dict is looked at as a whole."""
        self.all_read = True


def _reads_one(method: str) -> Any:
    original = getattr(dict, method)

    def read(self: WatchedValues, key: Any, *default: Any) -> Any:
        self.read.add(key)
        return original(self, key, *default)

    return read


def _reads_all(method: str) -> Any:
    original = getattr(dict, method)

    def read(self: WatchedValues, *arguments: Any) -> Any:
        self.note_all()
        return original(self, *arguments)

    return read


for _method in ("__getitem__", "__contains__", "get", "pop", "setdefault"):
    setattr(WatchedValues, _method, _reads_one(_method))
for _method in (
    *("__iter__", "__reversed__", "__len__", "__eq__", "__ne__", "__or__", "__ror__"),
    *("__repr__", "items", "keys", "values", "copy", "popitem"),
):
    setattr(WatchedValues, _method, _reads_all(_method))


@contextlib.contextmanager
def watched(
    hp: keras_tuner.HyperParameters, kind: type[WatchedValues] = WatchedValues
) -> Iterator[WatchedValues]:
    """Has the values of `hp` watched inside of the block.

    Args:
        hp: The hyperparameters. Their dict of values is the same afterwards as before,
            with what was added.
        kind: The class of the dict that takes its place.

    Example:

    >>> import keras_tuner
    >>> from keras_tricks._watched_values import watched
    >>> hp = keras_tuner.HyperParameters()
    >>> with watched(hp) as values:
    ...     units = hp.Int("units", 1, 8)
    >>> values.read, hp.values
    ({'units'}, {'units': 1})
    """
    values = hp.values
    hp.values = kind(values)
    try:
        yield hp.values
    finally:
        inner, hp.values = hp.values, values
        values.clear()
        values.update(dict(dict.items(inner)))
        if isinstance(values, WatchedValues):
            values.read |= inner.read
            values.all_read |= inner.all_read
