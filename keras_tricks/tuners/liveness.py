"""Signs of life, and whether the process that should give them has ended or works."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil


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


def this_process() -> str:
    """Names this process, also among those that had or will have its ID."""
    return f"{_machine()}:{os.getpid()}:{_started(os.getpid())}"


def _machine() -> str:
    """Names the machine, and the container in it, where a process ID means one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}".replace(":", "")
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Returns when a process began, or None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # A killed process that nobody has waited for is one, too.
    return None if fields[0] in "ZX" else fields[19]


def is_dead(owner: str) -> bool:
    """Whether a process is known to have ended. Of other machines nothing is known."""
    if not owner:
        return True
    pid, started = _here(owner)
    return pid is not None and _started(pid) != started


def work_of(owner: str) -> float | None:
    """Returns the processor time of a process of this machine; None of others."""
    pid, _ = _here(owner)
    return None if pid is None else processor_seconds(pid)


def processor_seconds(pid: int) -> float | None:
    """Returns the processor time of a process so far; None if it has ended.

    It rises while a long call of C code keeps all of its Python threads silent.
    """
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return times.user + times.system


def _here(owner: str) -> tuple[int | None, str]:
    """Returns ID and start of a process, by its name; no ID if it is elsewhere."""
    machine, pid, started, *_ = [*owner.split(":"), "", ""]
    if not machine or machine != _machine() or not pid.isdecimal():
        return None, started
    return int(pid), started
