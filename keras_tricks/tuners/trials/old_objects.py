"""Objects that last as long as a search, kept from the garbage collector."""

from __future__ import annotations

import gc
import time
from typing import Any


class OldObjects:
    """A context in which objects that are there already are not looked at again.

    KerasTuner collects garbage in full twice a trial, through all of TensorFlow's
    objects: half of the time of a small trial. What the trials leave is added when
    looking through it has taken as long as to add it, so that the time of a trial does
    not grow with those before.

    Who keeps objects from the collector already goes on to do so: they cannot be told
    from others when these are given back.
    """

    def __init__(self) -> None:
        self._is_active = False
        self._cost = self._spent = 0.0
        self._begun = 0.0

    def __enter__(self) -> OldObjects:
        self._is_active = not gc.get_freeze_count()
        if self._is_active:
            self._add_all()
            gc.callbacks.append(self._measure)
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_active:
            self._is_active = False
            gc.callbacks.remove(self._measure)
            gc.unfreeze()

    def add_what_lasts(self) -> None:
        """Adds what is there now, if that pays. Called when a trial has ended."""
        if self._is_active and self._spent > self._cost:
            self._add_all()

    def _add_all(self) -> None:
        begun = time.perf_counter()
        # Some of what was added may be garbage by now.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._cost, self._spent = time.perf_counter() - begun, 0.0

    def _measure(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        elif info["generation"] == 2:
            self._spent += time.perf_counter() - self._begun
