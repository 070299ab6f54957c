"""Deadlines: when a search ends for want of time."""

from __future__ import annotations

import dataclasses
import math
import time

from keras_tricks import _validation


@dataclasses.dataclass(frozen=True)
class Deadline:
    """A moment on the clock `time.monotonic`, which the processes of a machine share.

    Attributes:
        at: The moment; infinite where a search has time until no trials are left.
    """

    at: float = math.inf

    @classmethod
    def after(cls, max_seconds: float | None) -> Deadline:
        """Returns the one that is so many seconds from now; None is never.

        Raises:
            TypeError: If `max_seconds` is not a number.
            ValueError: If it is not above 0.
        """
        if max_seconds is None:
            return cls()
        seconds = _validation.check_float("max_seconds", max_seconds, exclusive=True)
        return cls(time.monotonic() + seconds)

    @property
    def is_set(self) -> bool:
        return math.isfinite(self.at)

    @property
    def seconds_left(self) -> float:
        return self.at - time.monotonic()

    @property
    def is_over(self) -> bool:
        return self.seconds_left <= 0
