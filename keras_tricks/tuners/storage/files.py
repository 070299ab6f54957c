"""Atomic files: whole or not there, with schemas and checksums."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
from collections.abc import Collection
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import IO
from typing import Any

import msgspec

from keras_tricks import _validation
from keras_tricks.tuners import errors

LOCK_FILE = "search.lock"
# Under this key, a file or line of JSON tells what the rest of it must add up to.
CHECKSUM = "checksum"

_FULL = re.compile(r"No space left|File too large|quota exceeded|errno = (28|27|122)\b")
# By these a folder is known as a search's, KerasTuner's tuners included.
_SEARCH_FILES = frozenset(
    {LOCK_FILE, "oracle.json", "search.json", "tuner0.json", "study.journal"}
)
# What else a search, its workers and its rounds leave in it.
_LEFT_BY_SEARCH = re.compile(
    r"notes\.json|worker_[0-9]+\.log|live_curves\.png|study\.journal\.(lock|held)"
    r"|search\.lock\.held|round_[0-9]+|reruns|\..*\.tmp\..*"
)
# Files of JSON, and journals, are not larger: what is would take all memory.
_LARGEST_JSON = 256 * 2**20
_LARGEST_JOURNAL = 64 * 2**30
# What KerasTuner calls a trial. Part of a path, so that nothing else may be one.
TRIAL_ID = re.compile(r"[0-9]+")
# A drive of Windows has one letter; a `Path` makes one slash of two.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_counter = itertools.count()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
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
    check_trial_folder(path.parent)
    temporary = path.with_name(f".{os.getpid()}-{next(_counter)}.tmp.{path.name}")
    try:
        yield temporary
        if temporary.exists():
            waiting = _waiting.get()
            if durable and waiting is not None:
                waiting.append((temporary, path))
                return
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def batched_fsync() -> Iterator[None]:
    """Has the durable files that are written inside appear at the end, all at once.

    The disk then takes them side by side, instead of one after the other.

    Raises:
        StorageError: If the folder cannot be written, for instance a full disk.
    """
    if _waiting.get() is not None:
        yield
        return
    files: list[tuple[Path, Path]] = []
    token = _waiting.set(files)
    try:
        yield
    finally:
        _waiting.reset(token)
        try:
            with futures.ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(_flush, [temporary for temporary, _ in files]))
            for temporary, path in files:
                os.replace(temporary, path)
        except OSError as error:
            for temporary, _ in files:
                temporary.unlink(missing_ok=True)
            raise storage_error(error, files[0][1]) from error


# Files that this thread has written but that are not yet there; None while each is
# flushed by itself.
_waiting: contextvars.ContextVar[list[tuple[Path, Path]] | None]
_waiting = contextvars.ContextVar("_waiting", default=None)


def _flush(path: Path) -> None:
    """Waits until the disk has a file: its rename may else come before its content."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def write_text(path: str | os.PathLike[str], text: str, durable: bool = True) -> None:
    """Writes a file whole or not at all: see `atomic_write`.

    Raises:
        StorageError: If the folder cannot be written, for instance a full disk.
    """
    try:
        with atomic_write(path, durable) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from error


def write_bytes(path: str | os.PathLike[str], content: Any) -> None:
    """Writes a file whole or not at all: see `atomic_write`.

    Raises:
        StorageError: If the folder cannot be written, for instance a full disk.
    """
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise storage_error(error, path) from error


def write_json(
    path: str | os.PathLike[str],
    content: Any,
    durable: bool = True,
    indent: int | None = None,
) -> None:
    """Writes an object as JSON with its checksum, whole or not: see `atomic_write`."""
    write_text(path, json.dumps(with_checksum(content), indent=indent), durable)


def opened_to_read(
    path: str | os.PathLike[str], largest: int | None = None
) -> IO[bytes]:
    """Opens a file of a search, which is a regular file and none that is linked to.

    Nothing waits for the writer of a pipe, and no device is read.

    Args:
        path: The file.
        largest: Its largest size, in bytes; None is any.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it cannot be read, or is no such file; the message says why.
    """
    if os.path.islink(path):
        raise OSError(f"a symbolic link, to {os.readlink(path)}, which is not followed")
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)  # None of them is there on every system.
    # Whatever that is, it is not opened.
    _check_regular(os.stat(path, follow_symlinks=False))
    file = open(os.open(path, flags), "rb")
    try:
        status = os.fstat(file.fileno())
        _check_regular(status)
        if largest is not None and status.st_size > largest:
            raise OSError(f"{status.st_size} bytes, more than the {largest} that fit")
    except BaseException:
        file.close()
        raise
    return file


def opened_journal(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a journal as `opened_to_read` does."""
    return opened_to_read(path, _LARGEST_JOURNAL)


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError("a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file: a pipe, a socket or a device")


def json_in(path: str | os.PathLike[str]) -> Any:
    """Returns what a JSON file holds, whatever that is.

    Raises:
        DamagedFileError: If there is no such file, or it holds no JSON.
    """
    try:
        with opened_to_read(path, _LARGEST_JSON) as file:
            return json.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        raise errors.DamagedFileError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise errors.DamagedFileError(f"{path} is damaged ({error})") from error


def read_json(
    path: str | os.PathLike[str],
    schema: Any = dict[str, Any],
    *,
    is_sealed: bool = False,
) -> Any:
    """Returns the object that a JSON file holds.

    Args:
        path: The file.
        schema: What the object is to be read as: a dataclass, a `TypedDict` or another
            type of `msgspec.convert`. Keys that it does not know are left out.
        is_sealed: Whether it must have a checksum.

    Raises:
        DamagedFileError: If there is no such file, if what it holds does not fit the
            schema, or if it was changed since it was written.
    """
    content = json_in(path)
    try:
        if is_sealed and isinstance(content, dict) and CHECKSUM not in content:
            raise ValueError("its checksum is missing: it was changed by another hand")
        return parsed(content, schema)
    except ValueError as error:
        raise errors.DamagedFileError(f"{path} is damaged ({error})") from error


def converted(path: str | os.PathLike[str], content: Any, schema: Any) -> Any:
    """Returns what a file holds as an instance of `schema`; see `read_json`.

    Raises:
        DamagedFileError: If it does not fit.
    """
    try:
        return _converted(content, schema)
    except ValueError as error:
        raise errors.DamagedFileError(f"{path} is damaged ({error})") from error


def parsed(content: Any, schema: Any) -> Any:
    """Returns what was read as JSON as an instance of `schema`.

    Raises:
        ValueError: If it does not fit, with the field, what was expected and what was
            found; or if its checksum is another one.
    """
    if not isinstance(content, dict):
        raise ValueError(f"Expected a JSON object, got {type(content).__name__}")
    if CHECKSUM in content:
        content = dict(content)
        if content.pop(CHECKSUM) != checksum(content):
            raise ValueError("it was changed since it was written")
    return _converted(content, schema)


def _converted(content: Any, schema: Any) -> Any:
    try:
        return msgspec.convert(content, schema)
    except msgspec.ValidationError as error:  # Of older versions it is no ValueError.
        raise ValueError(str(error)) from error


def with_checksum(content: dict[str, Any]) -> dict[str, Any]:
    """Returns an object with the checksum that tells whether it was changed."""
    return {**content, CHECKSUM: checksum(json.loads(json.dumps(content)))}


def checksum(content: dict[str, Any]) -> str:
    """Returns the beginning of the SHA-256 of an object that was read as JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checked_directory(directory: str | os.PathLike[str] | None) -> None:
    """Checks that projects can be kept in a folder.

    Raises:
        TypeError: If `directory` is no path.
        ValueError: If it is a URL: locks, and files that are whole or not there, need a
            file system.
    """
    if directory is None:
        return
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(
            "`directory` must be a path or None. "
            f"{_validation.received('directory', directory, True)}"
        )
    if _URL.match(os.fspath(directory)):
        raise ValueError(
            "`directory` must be a folder of a file system of this machine; a search "
            "keeps nothing under a URL. Mount the bucket, or search in a local folder "
            f"and copy that. Received: directory={str(directory)!r}"
        )


def made_folder(folder: Path) -> None:
    """Makes a folder, and those above it, where they are missing.

    Raises:
        StorageError: If it cannot be made.
        ValueError: If no folder can have such a name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:  # A zero byte, or half a character.
        raise ValueError(
            "`directory` and `project_name` must make a path of this file system "
            f"({error}). Received: {str(folder)!r}"
        ) from error
    except OSError as error:
        raise storage_error(error, folder) from error


def version(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Returns what differs whenever a file was replaced; None if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def storage_error(
    error: BaseException, path: str | os.PathLike[str]
) -> errors.StorageError:
    """Returns the error that ends a search whose folder cannot be written."""
    if isinstance(error, errors.StorageError):
        return error  # It says so already.
    text = (
        f"Writing {path} failed: {error}. What was saved before is intact. Once the "
        "folder can be written again, run the search again: it goes on from there"
    )
    number = getattr(error, "errno", None)
    return errors.StorageError(*([text] if number is None else [number, text]))


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that the disk, the quota or the file is full.

    HDF5 reports it by its message only.
    """
    return isinstance(error, OSError | RuntimeError) and bool(_FULL.search(str(error)))


def opened_to_append(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a file to read it and to write at its end; makes it where it is missing.

    Raises:
        StorageError: If it cannot be written, is no regular file, or stands in another
            place, too: what a link leads to is no file of a search, and is left as it
            is.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)  # None of them is there on every system.
    try:
        with contextlib.suppress(FileNotFoundError):
            _check_regular(os.stat(path))
        file = open(os.open(path, flags, 0o666), "ab+", buffering=0)
        if os.fstat(file.fileno()).st_nlink > 1:
            file.close()
            raise errors.StorageError(
                f"{path} is a hard link: the same file has another name elsewhere. A "
                "search writes only files of its own. Delete that name, or copy the "
                "project without links.",
            )
        return file
    except errors.StorageError:
        raise
    except OSError as error:
        if not os.path.islink(path):
            raise storage_error(error, path) from error
        raise errors.StorageError(
            error.errno,
            f"{path} is a symbolic link, to {os.readlink(path)}. A search writes "
            "only files of its own. Delete the link, or give the path that it "
            "leads to.",
        ) from None


def check_trial_folder(folder: Path) -> None:
    """Refuses a link in the place of a trial's folder.

    Raises:
        StorageError: If it is one: what that leads to is left as it is.
    """
    if trial_id_of(folder.name) is not None and folder.is_symlink():
        raise errors.StorageError(
            f"{folder} is a symbolic link, to {os.readlink(folder)}. A search writes "
            "only in folders of its own. Delete the link.",
        )


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file's content.

    Raises:
        OSError: If it cannot be read, or is no regular file.
    """
    digest = hashlib.sha256()
    with opened_to_read(path) as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def remove_temporary_files(folder: Path) -> None:
    """Removes what killed writers left behind."""
    for pattern in (".*.tmp.*", "trial_*/.*.tmp.*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def remove_trials(folder: Path, except_for: Collection[str]) -> None:
    """Removes the folders of trials that are not among the named ones."""
    for path in folder.glob("trial_*"):
        trial_id = trial_id_of(path.name)
        if trial_id is None or trial_id in except_for or path.is_symlink():
            continue
        if path.is_dir():
            shutil.rmtree(path)


def trial_id_of(name: str) -> str | None:
    """Returns the ID of the trial whose folder has a name, or None if none's has."""
    trial_id = name.removeprefix("trial_")
    is_one = trial_id != name and TRIAL_ID.fullmatch(trial_id)
    return trial_id if is_one else None


def is_of_a_search(name: str) -> bool:
    """Whether only searches write a file or folder of such a name."""
    return name in _SEARCH_FILES or trial_id_of(name) is not None


def is_left_by_a_search(name: str) -> bool:
    """Whether a search may have written a file or folder of such a name."""
    return is_of_a_search(name) or _LEFT_BY_SEARCH.fullmatch(name) is not None
