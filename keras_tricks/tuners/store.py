"""Files that are whole or not there, and one search a folder at a time."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Collection
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import IO
from typing import Any
from typing import ClassVar

import keras_tuner

try:
    import fcntl
except ImportError:  # Windows: a second search in one folder is not noticed there.
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "search.lock"

_FULL = re.compile(r"No space left|File too large|quota exceeded|errno = (28|27|122)\b")
# Of KerasTuner's tuners, too.
_SEARCH_FILES = frozenset(
    {LOCK_FILE, "oracle.json", "search.json", "tuner0.json", "study.journal"}
)
# What KerasTuner calls a trial. Part of a path, so that nothing else may be one.
TRIAL_ID = re.compile(r"[0-9]+")
_counter = itertools.count()


class DamagedFileError(ValueError):
    """A file of the search is missing, cut off, or holds something else."""


class StorageError(keras_tuner.errors.FatalError, OSError):
    """The search's folder cannot be written. It ends the search, not only a trial."""


class ProjectInUseError(RuntimeError):
    """Another process is searching in the same folder."""


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
    """Gives the name under which a file is to be written, and then renames it.

    The file is whole or not there: what it held before stays until the context ends,
    and for good if an error ends it, or if nothing was written. The name has the same
    endings, on which Keras insists.

    Args:
        path: The file.
        durable: Whether it shall outlast the machine, too, if that goes down at once.
            Waiting for the disk takes milliseconds.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}-{next(_counter)}.tmp.{path.name}")
    try:
        yield temporary
        if temporary.exists():
            if durable and _waiting is not None:
                _waiting.append((temporary, path))
                return
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def flushed_together() -> Iterator[None]:
    """Has the durable files that are written inside appear at the end, all at once.

    The disk then takes them side by side, instead of one after the other.

    Raises:
        StorageError: If the folder cannot be written, for instance a full disk.
    """
    global _waiting
    if _waiting is not None:
        yield
        return
    _waiting = []
    try:
        yield
    finally:
        files, _waiting = _waiting, None
        try:
            with futures.ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(_flush, [temporary for temporary, _ in files]))
            for temporary, path in files:
                os.replace(temporary, path)
        except OSError as error:
            for temporary, _ in files:
                temporary.unlink(missing_ok=True)
            raise storage_error(error, files[0][1]) from error


# Files that are written but not yet there; None while each is flushed by itself.
_waiting: list[tuple[Path, Path]] | None = None


def _flush(path: Path) -> None:
    """Waits until the disk has a file: its rename may else come before its content."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def write_text(path: str | os.PathLike[str], text: str, durable: bool = True) -> None:
    """Writes a file whole or not at all: see `whole_file`.

    Raises:
        StorageError: If the folder cannot be written, for instance a full disk.
    """
    try:
        with whole_file(path, durable) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from error


def write_json(
    path: str | os.PathLike[str], content: Any, durable: bool = True
) -> None:
    """Writes `content` as JSON, whole or not at all: see `whole_file`."""
    write_text(path, json.dumps(content), durable)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the object that a JSON file holds.

    Raises:
        DamagedFileError: If there is no such file, or no object in it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedFileError(f"{path} is missing") from None
    except ValueError as error:
        raise DamagedFileError(f"{path} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} is damaged (it holds no JSON object)")
    return content


def version(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Returns what differs whenever a file was replaced; None if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def storage_error(error: BaseException, path: str | os.PathLike[str]) -> StorageError:
    """Returns the error that ends a search whose folder cannot be written."""
    return StorageError(
        getattr(error, "errno", None),
        f"Writing {path} failed: {error}. What was saved before is intact. Once the "
        "folder can be written again, run the search again: it goes on from there",
    )


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that the disk, the quota or the file is full.

    HDF5 reports it by its message only.
    """
    return isinstance(error, OSError | RuntimeError) and bool(_FULL.search(str(error)))


def opened_to_append(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a file to read it and to write at its end; makes it where it is missing.

    Raises:
        StorageError: If it is a symbolic link: what that leads to is no file of a
            search, and is left as it is.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    # The first is not there on Windows, the second nowhere else.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        return open(os.open(path, flags, 0o666), "ab+", buffering=0)
    except OSError as error:
        if not os.path.islink(path):
            raise
        raise StorageError(
            error.errno,
            f"{path} is a symbolic link, to {os.readlink(path)}. A search writes "
            "only files of its own. Delete the link, or give the path that it "
            "leads to.",
        ) from None


def remove_temporary_files(folder: Path) -> None:
    """Removes what killed writers left behind."""
    for pattern in (".*.tmp.*", "trial_*/.*.tmp.*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def remove_trials(folder: Path, except_for: Collection[str]) -> None:
    """Removes the folders of trials that are not among the named ones."""
    for path in folder.glob("trial_*"):
        trial_id = trial_id_of(path.name)
        if trial_id is not None and trial_id not in except_for and path.is_dir():
            shutil.rmtree(path)


def trial_id_of(name: str) -> str | None:
    """Returns the ID of the trial whose folder has a name, or None if none's has."""
    trial_id = name.removeprefix("trial_")
    is_one = trial_id != name and TRIAL_ID.fullmatch(trial_id)
    return trial_id if is_one else None


def _is_of_a_search(name: str) -> bool:
    """Whether only searches write a file or folder of such a name."""
    return name in _SEARCH_FILES or trial_id_of(name) is not None


class ProjectLock:
    """Held by the one search that may write in a folder.

    The operating system lets go of it when the process ends, however it ends. A
    process that was forked from the search does not hold it.

    Args:
        folder: The project's folder. It is made where it is missing.
    """

    # Such locks belong to the process, which could take its own a second time.
    _held_here: ClassVar[set[str]] = set()

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._file: Any = None

    def __enter__(self) -> ProjectLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = str(self.folder.resolve())
        if name in self._held_here:
            raise self._in_use("this process")
        file = opened_to_append(self.folder / LOCK_FILE)
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    file.close()
                    raise StorageError(
                        error.errno,
                        f"{self.folder} is on a file system without POSIX locks "
                        f"({error}), so that a second search in it could not be told. "
                        "Mount it with locks (Lustre: -o flock), or search in a "
                        "local `directory`.",
                    ) from error
                file.seek(0)
                holder = file.read().decode(errors="replace").strip()
                holder = holder or "another process"
                file.close()
                raise self._in_use(holder) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._file = file
        self._held_here.add(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held_here.discard(str(self.folder.resolve()))
        self._file.close()
        self._file = None

    def _in_use(self, holder: str) -> ProjectInUseError:
        return ProjectInUseError(
            f"{holder} is searching in {self.folder}: it can be neither overwritten "
            "nor searched by two at a time. Wait until it ends, choose another "
            "`project_name`, or give the one search more `workers`."
        )


def clear_project(folder: str | os.PathLike[str]) -> None:
    """Empties a project's folder, unless a search is running in it.

    Raises:
        ProjectInUseError: If one is.
        ValueError: If there are files in the folder, but none of a search.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    inside = sorted(path.name for path in folder.iterdir())
    if inside and not any(map(_is_of_a_search, inside)):
        raise ValueError(
            f"overwrite=True would delete what is in {folder}, which is no search's: "
            f"{', '.join(inside[:5])}. Choose another `directory` or `project_name`, "
            "or empty the folder yourself."
        )
    with ProjectLock(folder):
        for path in folder.iterdir():
            if path.name == LOCK_FILE:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
