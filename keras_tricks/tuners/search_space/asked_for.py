"""The hyperparameters that a trial asked for: those that its result depends on.

A model may ask for `units_3` in some trials only, without a conditional scope. Two
settings that differ in what neither asked for are one setting.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection
from collections.abc import Iterator
from typing import Any

import keras_tuner

from keras_tricks._watched_values import WatchedValues
from keras_tricks._watched_values import watched

_Settings = dict[str, Any]


class AskedFor:
    """Names of hyperparameters that user code looked at."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._is_known = True

    def forget(self) -> None:
        """Called when something was read unseen, so that it may be any of them."""
        self._is_known = False

    @property
    def names(self) -> list[str] | None:
        """The names, sorted; None where all count."""
        return sorted(self._names) if self._is_known else None

    @contextlib.contextmanager
    def asked(self, hp: keras_tuner.HyperParameters) -> Iterator[None]:
        """Takes down what is read of `hp` inside of the block."""
        with watched(hp, _ReadByOthers) as values:
            try:
                yield
            finally:
                self._names |= values.read
                self._is_known &= not values.all_read


class _ReadByOthers(WatchedValues):
    """Does not count that KerasTuner or this package saves all values."""

    def note_all(self) -> None:
        frame = sys._getframe(2)
        while frame.f_back is not None and _is_in(frame, "keras_tuner"):
            # What is read of a copy is not seen.
            self.all_read |= frame.f_code.co_name == "copy"
            frame = frame.f_back
        self.all_read |= not _is_in(frame, "keras_tricks")


def _is_in(frame: Any, package: str) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] == package


class Covered:
    """Settings that were tried, each known by the names that its trial asked for."""

    def __init__(self) -> None:
        # Names -> the values that they had in trials that asked for those.
        self._values: dict[tuple[str, ...], set[tuple[Any, ...]]] = {}

    def add(self, settings: _Settings, asked_for: Collection[str] | None) -> None:
        """Adds the settings of a trial.

        Args:
            settings: All that were active.
            asked_for: Names of those that its result depends on; None for all.
        """
        names = settings if asked_for is None else settings.keys() & set(asked_for)
        key = tuple(sorted(names))
        found = self._values.setdefault(key, set())
        found.add(tuple(settings[name] for name in key))

    def __contains__(self, settings: Any) -> bool:
        """Whether a trial with these settings would do what one has done.

        So it would with all others that these are the beginning of.
        """
        return any(
            all(name in settings for name in names)
            and tuple(settings[name] for name in names) in found
            for names, found in self._values.items()
        )
