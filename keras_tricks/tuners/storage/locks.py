"""Exclusive locks on files, which end with their process and are not inherited."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import IO
from typing import Any

from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files

try:
    import fcntl
except ImportError:  # Windows, where filelock does it.
    fcntl = None  # type: ignore[assignment]

# What is locked in a file's place on Windows: there others cannot read a locked file.
WINDOWS_SUFFIX = ".held"

# The locks of this process, and what guards the set while another thread forks.
_held: set[FileLock] = set()
_changing = threading.Lock()


class IsLockedError(OSError):
    """Another process, or another place in this one, has the lock."""


class FileLock:
    """An exclusive lock on a file.

    The operating system lets go of it when the process ends, however it ends. It
    belongs to the open file (`flock`), so that others may open, read and close the file
    meanwhile: a POSIX lock (`lockf`) would end with the first of them in this process.
    A forked child lets go of its copy at once; the lock would outlive its owner
    otherwise.

    Args:
        path: The file. It is made where it is missing.
        waits: Whether to wait for the lock, instead of raising.

    Raises:
        IsLockedError: If the file is locked, and `waits` is False.
        StorageError: If the file cannot be written, is a symbolic link, or is on a file
            system without such locks.
    """

    def __init__(self, path: str | os.PathLike[str], waits: bool = False):
        self.path = Path(path)
        self.waits = waits
        self.file: IO[bytes] | None = None
        self._on_windows: Any = None

    def __enter__(self) -> IO[bytes]:
        with _changing:
            self.file = files.opened_to_append(self.path)
            _held.add(self)
        try:
            self._lock(self.file)
        except BaseException:
            self._close()
            raise
        return self.file

    def _lock(self, file: IO[bytes]) -> None:
        if fcntl is None:
            self._lock_on_windows()
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if self.waits else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise IsLockedError(error.errno, f"{self.path} is locked") from None
            raise errors.StorageError(
                error.errno,
                f"{self.path.parent} is on a file system without file locks ({error}), "
                "so that a second search in it could not be told. Mount it with locks "
                "(Lustre: -o flock), or search in a local `directory`.",
            ) from error

    def _lock_on_windows(self) -> None:
        import filelock

        beside = f"{self.path}{WINDOWS_SUFFIX}"
        self._on_windows = filelock.FileLock(beside, -1 if self.waits else 0)
        try:
            self._on_windows.acquire()
        except filelock.Timeout:
            raise IsLockedError(errno.EACCES, f"{self.path} is locked") from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.file is not None and fcntl is not None:
            # A child that was forked just now may not have closed its copy yet.
            fcntl.flock(self.file, fcntl.LOCK_UN)
        self._close()

    def _close(self) -> None:
        with _changing:
            _held.discard(self)
        if self._on_windows is not None:
            self._on_windows.release()
            self._on_windows = None
        if self.file is not None:
            self.file.close()
            self.file = None


def _in_child() -> None:
    _changing.release()
    for lock in list(_held):
        lock._close()


if fcntl is not None:
    os.register_at_fork(
        before=_changing.acquire,
        after_in_parent=_changing.release,
        after_in_child=_in_child,
    )
