"""Signs of life that a process gives while it runs trials."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Heartbeats:
    """Calls `renew` for each running attempt, every so often, in a thread."""

    def __init__(self, renew: Callable[[int], None], seconds: float):
        self._renew = renew
        self._seconds = seconds
        self._numbers: set[int] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def numbers(self) -> list[int]:
        with self._lock:
            return sorted(self._numbers)

    def add(self, number: int) -> None:
        with self._lock:
            self._numbers.add(number)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, daemon=True)
                self._thread.start()

    def discard(self, number: int) -> None:
        with self._lock:
            self._numbers.discard(number)

    def _beat(self) -> None:
        while True:
            time.sleep(self._seconds)
            with self._lock:
                if not self._numbers:
                    self._thread = None
                    return
            for number in self.numbers():
                try:
                    self._renew(number)
                except Exception:
                    # Finished meanwhile, or the storage is away: the next one tells.
                    pass
