"""Processes: their names among all machines', and whether they have ended or work."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


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
