"""Ranges: whether a name is always asked for with the same one.

KerasTuner keeps the first range of a name, and passes over all later ones.
"""

from __future__ import annotations

import json
from typing import Any

Configuration = dict[str, Any]
# A name, and the conditions under which it stands for a hyperparameter.
_Key = tuple[str, str]


class SavedRanges:
    """Those hyperparameters of a resumed search that its first build does not show.

    Whether they are the same ones is known when a trial asks for them.

    Example:

    >>> from keras_tricks.tuners.search_space import ranges
    >>> saved = ranges.SavedRanges()
    >>> config = {"type": "Int", "min_value": 1, "conditions": []}
    >>> saved.add("units", config)
    >>> saved.is_waiting("units", config)
    True
    >>> saved.confirm("units", config)
    >>> saved.is_waiting("units", config)
    False
    """

    def __init__(self) -> None:
        self._waiting: set[_Key] = set()

    def add(self, name: str, configuration: Configuration) -> None:
        """Adds one that was saved."""
        self._waiting.add(_key(name, configuration))

    def confirm(self, name: str, configuration: Configuration) -> None:
        """Called when it was asked for as it was saved."""
        self._waiting.discard(_key(name, configuration))

    def is_waiting(self, name: str, configuration: Configuration) -> bool:
        """Whether it was saved, and not yet asked for in the same way."""
        return _key(name, configuration) in self._waiting


def _key(name: str, configuration: Configuration) -> _Key:
    return name, json.dumps(configuration["conditions"], sort_keys=True)
