"""What runs in a process of somebody else's engine: it hands trials to a child.

The engine's process keeps its own threads, random numbers and libraries, of which a
trial may not see anything; so each task runs in a child of its own interpreter, which
keeps the search, with its programs and data, for the next task. As many children run
at a time as the engine runs tasks in this process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import multiprocessing.util
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from keras_tricks import _child_process

# For how long a child waits for a further task.
IDLE_SECONDS = 30.0
# By how much the moment at which a process began may seem to differ.
SAME_PROCESS_SECONDS = 60.0
# How often it is asked whether anybody still wants a task.
POLL_SECONDS = 0.25


class ChildDiedError(RuntimeError):
    """A process has ended while it ran a task."""


class CannotBeginError(RuntimeError):
    """A process of an engine could not begin a task, whichever that was."""


@dataclasses.dataclass(frozen=True)
class PayloadFile:
    """What all tasks of a search share, on a disk of this machine.

    Attributes:
        path: The file.
        digest: Its SHA-256.
        owner: The number of the searching process.
        begun: When that has begun.
    """

    path: str
    digest: str
    owner: int
    begun: float

    @classmethod
    def of(cls, payload: bytes) -> PayloadFile:
        """Writes a payload into a file that only this user reads."""
        _remove_what_is_left()
        number, name = tempfile.mkstemp(prefix=_prefix(), suffix=".search")
        with os.fdopen(number, "wb") as file:
            file.write(payload)
        digest, this = hashlib.sha256(payload).hexdigest(), psutil.Process()
        return cls(name, digest, this.pid, this.create_time())

    @property
    def is_over(self) -> bool:
        """Whether the search is: its file is gone, or its process."""
        if not os.path.exists(self.path):
            return True
        try:
            begun = psutil.Process(self.owner).create_time()
        except psutil.Error:
            return True
        # It is told by a clock that people set; numbers are used again after longer.
        return abs(begun - self.begun) > SAME_PROCESS_SECONDS

    def read(self) -> bytes:
        """Returns the payload.

        Raises:
            ValueError: If the file is not what the searching process wrote.
        """
        content = Path(self.path).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise ValueError(f"{self.path} is not what the searching process wrote.")
        return content


@dataclasses.dataclass(frozen=True)
class EngineCall:
    """What an engine is given to run, with a payload and a task.

    Attributes:
        search: Names the search among all that a process may see.
        module: The one whose `main` runs in the child.
        environment: Variables that the child has.
        search_path: Folders of modules, as the searching process has them.
        ends_at: When no further task begins, on the clock `time.time`.
    """

    search: str
    module: str
    environment: dict[str, str]
    search_path: list[str]
    ends_at: float = math.inf

    def __call__(self, payload: bytes | PayloadFile, task: bytes) -> bytes:
        """Returns what the child answers to a task; nothing if nobody wants it.

        Raises:
            CannotBeginError: If no child begins with it.
            ChildDiedError: If the child ends instead.
        """
        is_cancelled = _cancellation(payload)
        if time.time() > self.ends_at or is_cancelled():
            return b""
        child = _idle_child(self)
        try:
            if child is None:
                child = _begun(self, payload)
            answer = child.answer(task, is_cancelled)
        except BaseException:
            if child is not None:
                child.close()
            raise
        if answer is None:
            child.close()
            return b""
        with _lock:
            child.idle_since = time.monotonic()
            _idle.append(child)
        return answer


def _begun(call: EngineCall, payload: bytes | PayloadFile) -> _Child:
    """Returns a new child.

    Raises:
        CannotBeginError: If this machine has no room for its files, and the like.
    """
    try:
        content = payload if isinstance(payload, bytes) else payload.read()
        return _Child(call, content)
    except (OSError, ValueError) as error:
        raise CannotBeginError(f"{type(error).__name__}: {error}") from error


def called(call: EngineCall, *args: Any) -> Any:
    """Calls `call`; engines that take functions alone are given this one."""
    return call(*args)


class _Child:
    """A process that runs the tasks of one search, one at a time."""

    def __init__(self, call: EngineCall, payload: bytes):
        self.search = call.search
        self.idle_since = 0.0
        _remove_what_is_left()
        self._folder = tempfile.mkdtemp(prefix=_prefix())
        self._connection: Any = None
        self._process: Any = None
        self._error: Exception | None = None
        self._has_ended = threading.Event()
        has_started = threading.Event()
        # The child ends with the thread that starts it, and an engine's may be short.
        threading.Thread(
            target=self._keep, args=(call, has_started), daemon=True
        ).start()
        has_started.wait()
        with _lock:
            _every.add(self)
        # A child that died at once is found when its answer is waited for.
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send_bytes(payload)

    def _keep(self, call: EngineCall, has_started: threading.Event) -> None:
        """Starts the process, and ends it once it has had nothing to do for long."""
        here = [os.path.abspath(path) for path in sys.path]
        more = [path for path in call.search_path if os.path.exists(path)]
        environment = {**os.environ, **call.environment}
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*here, *more]))
        try:
            self._process, self._connection = _child_process.started(
                call.module, self._folder, environment=environment
            )
        except Exception as error:
            self._error = error
        has_started.set()
        while not self._has_ended.wait(1.0):
            with _lock:
                is_old = time.monotonic() - self.idle_since > IDLE_SECONDS
                if not (self in _idle and is_old):
                    continue
                _idle.remove(self)
            self.close()

    def answer(self, task: bytes, is_cancelled: Callable[[], bool]) -> bytes | None:
        """Returns the answer to a task; None if it is cancelled before.

        Raises:
            CannotBeginError: If the process has not got as far as the task.
            ChildDiedError: If it has ended since.
        """
        if self._connection is None:
            error = f"{type(self._error).__name__}: {self._error}"
            raise CannotBeginError(f"its process did not start ({error})")
        has_begun = False
        try:
            self._connection.send_bytes(task)
            # It says that it begins, and then what became of the task.
            if not self._has_said_something(is_cancelled):
                return None
            self._connection.recv_bytes()
            has_begun = True
            if not self._has_said_something(is_cancelled):
                return None
            return self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            kind = ChildDiedError if has_begun else CannotBeginError
            code = self._process.wait()
            raise kind(f"its process ended with status {code}") from error

    def _has_said_something(self, is_cancelled: Callable[[], bool]) -> bool:
        """Waits until it has; False if the task is cancelled before."""
        while not self._connection.poll(POLL_SECONDS):
            if is_cancelled():
                return False
        return True

    def close(self) -> None:
        """Ends the process, and removes what it has written."""
        with _lock:
            _every.discard(self)
        self._has_ended.set()
        if self._connection is not None:
            self._connection.close()
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@functools.cache
def _prefix_here() -> str:
    """Returns how files of this machine, and of the container in it, begin."""
    names = [socket.gethostname()]
    with contextlib.suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        names.append(os.readlink("/proc/self/ns/pid"))
    here = hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
    return f"keras_tricks_{here}_"


def _prefix() -> str:
    return f"{_prefix_here()}{os.getpid()}_"


def _remove_what_is_left() -> None:
    """Removes what processes of this machine have left that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_prefix_here()}*_*"):
        number = path.name.removeprefix(_prefix_here()).partition("_")[0]
        if not number.isdecimal() or psutil.pid_exists(int(number)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


_lock = threading.Lock()
_idle: list[_Child] = []
_every: set[_Child] = set()


def _idle_child(call: EngineCall) -> _Child | None:
    """Returns a child that waits for tasks of this search, if there is one."""
    with _lock:
        for child in _idle:
            if child.search == call.search:
                _idle.remove(child)
                return child
    return None


def close_children(search: str | None = None) -> None:
    """Ends the children of a search, or of all, in this process."""
    with _lock:
        ended = [child for child in _every if search in (None, child.search)]
        _idle[:] = [child for child in _idle if child not in ended]
    for child in ended:
        child.close()


def _begin() -> None:
    """Begins without children, also in a fork of a process that has some."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()
    _every.clear()
    # Also in processes of `multiprocessing`, which do without `atexit`.
    multiprocessing.util.Finalize(None, close_children, exitpriority=0)


_begin()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


def _cancellation(payload: bytes | PayloadFile) -> Callable[[], bool]:
    """Returns a function that tells whether nobody wants this task any more."""
    if isinstance(payload, PayloadFile):
        return lambda: payload.is_over
    if "distributed" in sys.modules:
        import distributed

        with contextlib.suppress(ValueError):
            worker = distributed.get_worker()
            key = worker.get_current_task()

            def is_cancelled() -> bool:
                state = worker.state.tasks.get(key)
                return state is None or state.state in ("cancelled", "released")

            return is_cancelled
    return lambda: False
