"""A file that holds an Optuna study and survives whoever writes to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_tricks.tuners import store
from keras_tricks.tuners.optuna_extra import optuna

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SQLITE_SUFFIXES = (".db", ".db3", ".sqlite", ".sqlite3")
# Of a line of a journal, as `_append` and Optuna write it.
_BEGINNING = b'{"op_code":'

# A file's lock excludes other processes only.
_writing = threading.Lock()


def journal_storage(path: str | os.PathLike[str]) -> Any:
    """Returns an `optuna.storages.JournalStorage` whose writers may be killed.

    The file has Optuna's format, and optuna-dashboard shows it. Its own backend differs
    in two ways: a process that dies while it writes leaves neither a lock, which others
    would wait for, nor half a line that makes all that is written after it unreadable.

    Raises:
        ValueError: If there is a file which is no journal. It is left as it is.
    """
    journal = Path(path)
    _check(journal)
    storages: Any = optuna().storages
    backend: Any = storages.journal.BaseJournalBackend
    journal.parent.mkdir(parents=True, exist_ok=True)

    class JournalFile(backend):
        def __init__(self) -> None:
            self._place = (0, 0)  # An entry's number, and where in the file it begins.

        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            number, offset = self._place
            if number > log_number_from:
                number, offset = 0, 0
            entries, end = _read(journal, offset)
            self._place = (number + len(entries), end)
            return entries[log_number_from - number :]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            _append(journal, logs)

    return storages.JournalStorage(JournalFile())


def _read(journal: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Returns the entries that follow an offset, and the offset after the last."""
    entries: list[dict[str, Any]] = []
    if not journal.exists():
        return entries, offset
    with open(journal, "rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break  # Being written, or its writer was killed.
            entry = _entry(line)
            if entry is None:
                warnings.warn(
                    f"Skipped a damaged line: {journal}, byte {offset}", stacklevel=2
                )
            else:
                entries.append(entry)
            offset += len(line)
    return entries, offset


def _check(journal: Path) -> None:
    """Raises if a file is something else, before anything is written to it."""
    beginning = b""
    if journal.is_dir():
        raise ValueError(
            "`storage` must be a file or a URL, and is a folder. "
            f"Received: storage={str(journal)!r}"
        )
    if journal.is_file():
        with open(journal, "rb") as file:
            beginning = file.read(4096)
    if beginning.startswith(b"SQLite format 3") or (
        not beginning and journal.suffix in _SQLITE_SUFFIXES
    ):
        raise ValueError(
            "`storage` is a path of an Optuna journal; a SQLite database is given by "
            f"its URL: storage='sqlite:///{journal}'. Received: {str(journal)!r}"
        )
    if beginning and not _holds_an_entry(journal):
        raise ValueError(
            f"`storage` must be a new file or an Optuna journal, and {str(journal)!r} "
            "holds something else. It is left as it is: give another path."
        )


def _holds_an_entry(journal: Path) -> bool:
    """Whether some line of a file is one of a journal, or its only one begins so."""
    with open(journal, "rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):  # Its writer was killed.
            return _BEGINNING.startswith(first[: len(_BEGINNING)])
        return any(_entry(line) is not None for line in itertools.chain([first], file))


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    is_entry = isinstance(entry, dict) and {"op_code", "worker_id"} <= entry.keys()
    return entry if is_entry else None


def _append(journal: Path, logs: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
    with _locked(journal), store.opened_to_append(journal) as file:
        end = _end_of_lines(file)
        file.truncate(end)
        try:
            content = text.encode()
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise store.storage_error(error, journal) from error


def _end_of_lines(file: Any) -> int:
    """Returns the offset after the last complete line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 4096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@contextlib.contextmanager
def _locked(journal: Path) -> Iterator[None]:
    """Lets one process write at a time."""
    if fcntl is None:
        lock = optuna().storages.journal.JournalFileOpenLock(str(journal))
        lock.acquire()
        try:
            yield
        finally:
            lock.release()
        return
    # The operating system lets go of it when the process ends, however it ends. Closing
    # another descriptor of the journal would release it too, hence a file of its own.
    with _writing, store.opened_to_append(f"{journal}.lock") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield
