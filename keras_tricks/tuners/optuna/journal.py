"""Journals: files that hold an Optuna study and survive whoever writes to them.

A journal has Optuna's format: a line of JSON for each change, in which trials and
studies are known by how many there were before. A line that is lost would therefore
shift all that follows. Lines that are written here say more than Optuna asks for, and
Optuna passes over it:

| key | content |
|---|---|
| `line` | how many such lines there were before: a gap tells that some are lost, a repetition that one stands there twice |
| `trial` | in a line that creates a trial: how many there were before |
| `study` | in a line about a study: its name and directions |
| `checksum` | tells whether the line was changed |

With these, a reader puts failed trials without content in the place of those that are
lost, and makes a study anew whose first line is.
"""  # noqa: E501

from __future__ import annotations

import contextlib
import copy
import datetime
import itertools
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from typing import Any
from typing import TypedDict

from keras_tricks.tuners import errors
from keras_tricks.tuners.optuna._import import optuna
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import locks

_SQLITE_SUFFIXES = (".db", ".db3", ".sqlite", ".sqlite3")
# Of a line of a journal, as Optuna and `JournalFile` write it.
_BEGINNING = b'{"op_code":'

# What a lock of ours holds; Optuna's are empty files, or symbolic links.
_MARK = b"keras_tricks"

# No line is longer: a file of gigabytes without one is not taken into memory.
_LONGEST_LINE = 64 * 2**20

# By how many bytes a line that was read is known again.
_TAIL = 256

# The operations that number what they create, and those on a study, by Optuna's codes.
_CREATE_STUDY, _DELETE_STUDY, _CREATE_TRIAL = 0, 1, 4
_ON_STUDIES = frozenset({2, 3, _CREATE_TRIAL})
_FAILED = 3

Entry = dict[str, Any]


def journal_storage(path: str | os.PathLike[str]) -> Any:
    """Returns an `optuna.storages.JournalStorage` whose writers may be killed.

    optuna-dashboard shows the file. Optuna's own backend differs in three ways: a
    process that dies while it writes leaves neither a lock, which others would wait
    for, nor half a line that makes all that is written after it unreadable; and a line
    that is lost, doubled or damaged costs its trial only.

    Raises:
        ValueError: If there is a file which is no journal. It is left as it is.
    """
    # Wherever the process goes meanwhile.
    journal = Path(path).absolute()
    _check(journal)
    storages: Any = optuna().storages
    backend: Any = storages.journal.BaseJournalBackend

    class JournalFile(backend):
        def __init__(self) -> None:
            self._begin_anew()

        def _begin_anew(self) -> None:
            self._reader = _Reader(journal)
            # The entries that were read last, and how many there were before.
            self._entries: list[Entry] = []
            self._number = 0

        def read_logs(self, log_number_from: int) -> list[Entry]:
            if log_number_from < self._number:
                self._begin_anew()
            self._entries += self._reader.read()
            del self._entries[: log_number_from - self._number]
            self._number = log_number_from
            return list(self._entries)

        def append_logs(self, logs: list[Entry]) -> None:
            if not journal.exists():
                # It raises, where the lock would make the file anew.
                self._entries += self._reader.read()
            with _locked(journal):
                self._entries += self._reader.read()
                self._append(logs)

        def _append(self, logs: list[Entry]) -> None:
            with files.opened_to_append(journal) as file:
                # Half a line, of a writer that was killed, would spoil the next one.
                end = _end_of_lines(file)
                file.truncate(end)
                ahead = copy.deepcopy(self._reader)
                text = "".join(map(ahead.written, logs))
                try:
                    _write(file, text.encode())
                except OSError as error:
                    with contextlib.suppress(OSError):
                        file.truncate(end)
                    raise files.storage_error(error, journal) from error

    return storages.JournalStorage(JournalFile())


class _Marks(TypedDict, total=False):
    line: int
    trial: int
    study: tuple[str, list[int]]


class _OfAnEntry(_Marks):
    op_code: int
    worker_id: str


class _OfAStudy(_OfAnEntry):
    study_id: int


class _OfATrial(_OfAnEntry):
    trial_id: int


class _NewStudy(_OfAnEntry):
    study_name: str
    directions: list[int]


class _UserAttribute(TypedDict):
    user_attr: dict[str, Any]


class _SystemAttribute(TypedDict):
    system_attr: dict[str, Any]


class _StudyUserAttribute(_OfAStudy, _UserAttribute):
    pass


class _StudySystemAttribute(_OfAStudy, _SystemAttribute):
    pass


class _NewTrial(_OfAStudy):
    datetime_start: str | None


class _Parameter(_OfATrial):
    param_name: str
    param_value_internal: float
    distribution: str


class _StateAndValues(_OfATrial):
    state: int
    values: list[float] | None


class _IntermediateValue(_OfATrial):
    step: int
    intermediate_value: float


class _TrialUserAttribute(_OfATrial, _UserAttribute):
    pass


class _TrialSystemAttribute(_OfATrial, _SystemAttribute):
    pass


# What Optuna reads of an entry, by its operation's code.
_SCHEMAS: list[type[Any]] = [
    _NewStudy,
    _OfAStudy,
    _StudyUserAttribute,
    _StudySystemAttribute,
    _NewTrial,
    _Parameter,
    _StateAndValues,
    _IntermediateValue,
    _TrialUserAttribute,
    _TrialSystemAttribute,
]


class _Reader:
    """What a journal holds, line by line.

    Args:
        journal: The file.
    """

    def __init__(self, journal: Path):
        self.journal = journal
        self.offset = 0
        self.num_lines = 0
        self.num_trials = 0
        self.num_studies = 0
        # Those that were not deleted: name and directions.
        self.studies: dict[int, tuple[str, list[int]]] = {}
        # The end of the last line that was read.
        self._tail = b""

    def read(self) -> list[Entry]:
        """Returns the entries that are there since the last call.

        Raises:
            StorageError: If the file cannot be read, or if what was read before is
                there no more. Nobody could tell which trials there are.
        """
        try:
            with files.opened_journal(self.journal) as file:
                return self._read(file)
        except FileNotFoundError:
            if not self.offset:
                return []
            raise self._gone("was deleted") from None
        except errors.StorageError:
            raise
        except OSError as error:
            raise errors.StorageError(
                error.errno, f"Reading {self.journal} failed: {error}"
            ) from error

    def _read(self, file: IO[bytes]) -> list[Entry]:
        entries: list[Entry] = []
        file.seek(self.offset - len(self._tail))
        if file.read(len(self._tail)) != self._tail:
            raise self._gone("was cut, or replaced by another one,")
        while line := file.readline(_LONGEST_LINE):
            if not line.endswith(b"\n"):
                if len(line) == _LONGEST_LINE:
                    raise self._gone("has got a line of 64 MiB or more")
                break  # Being written, or its writer was killed.
            entry = _entry(line)
            if entry is None:
                self._warn("Skipped a damaged line")
            else:
                entries += self._taken(entry)
            self.offset += len(line)
            self._tail = line[-_TAIL:]
        return entries

    def written(self, log: Entry) -> str:
        """Returns the line that tells what Optuna logs, and counts it as read."""
        entry = {**log, "line": self.num_lines}
        if log["op_code"] in _ON_STUDIES and log["study_id"] in self.studies:
            entry["study"] = self.studies[log["study_id"]]
        if log["op_code"] == _CREATE_TRIAL:
            entry["trial"] = self.num_trials
        self._taken(entry)
        return json.dumps(files.with_checksum(entry), separators=(",", ":")) + "\n"

    def _taken(self, entry: Entry) -> list[Entry]:
        """Returns what Optuna is to be told for one line."""
        line = entry.get("line")
        if line is not None:
            if line < self.num_lines:
                self._warn("Skipped a line that stands there twice")
                return []
            if line > self.num_lines:
                self._warn(
                    f"{line - self.num_lines} lines are missing; a trial whose begin "
                    "or end nothing else tells is run again"
                )
            self.num_lines = line + 1
        entries = [*self._lost_study(entry), *self._lost_trials(entry), entry]
        self._count(entry)
        return entries

    def _lost_study(self, entry: Entry) -> Iterator[Entry]:
        study = entry.get("study")
        if study is not None and entry["study_id"] == self.num_studies:
            name, directions = study
            lost = {
                "op_code": _CREATE_STUDY,
                "worker_id": "",
                "study_name": name,
                "directions": directions,
            }
            self._count(lost)
            yield lost

    def _lost_trials(self, entry: Entry) -> Iterator[Entry]:
        if entry["op_code"] != _CREATE_TRIAL or entry["study_id"] not in self.studies:
            return
        while self.num_trials < entry.get("trial", 0):
            lost = {
                "op_code": _CREATE_TRIAL,
                "worker_id": "",
                "study_id": entry["study_id"],
                "state": _FAILED,
                "datetime_start": entry["datetime_start"],
                "datetime_complete": entry["datetime_start"],
            }
            if lost["datetime_complete"] is None:
                del lost["datetime_complete"]
            self._count(lost)
            yield lost

    def _count(self, entry: Entry) -> None:
        """Counts trials and studies as Optuna does."""
        if entry["op_code"] == _CREATE_STUDY:
            names = [name for name, _ in self.studies.values()]
            if entry["study_name"] not in names:
                study = entry["study_name"], entry["directions"]
                self.studies[self.num_studies] = study
                self.num_studies += 1
        elif entry["op_code"] == _DELETE_STUDY:
            self.studies.pop(entry["study_id"], None)
        elif entry["op_code"] == _CREATE_TRIAL and entry["study_id"] in self.studies:
            self.num_trials += 1

    def _gone(self, what: str) -> errors.StorageError:
        return errors.StorageError(
            f"{self.journal} {what} while a search goes on in it. Put back the file "
            "as it was, or delete it, make the tuner again and search from the start",
        )

    def _warn(self, what: str) -> None:
        warnings.warn(f"{what}: {self.journal}, byte {self.offset}", stacklevel=2)


def _check(journal: Path) -> None:
    """Raises if a file is something else, before anything is written to it."""
    beginning = b""
    if journal.is_dir():
        raise ValueError(
            "`storage` must be a file or a URL, and is a folder. "
            f"Received: storage={str(journal)!r}"
        )
    try:
        with files.opened_journal(journal) as file:
            beginning = file.read(4096)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise errors.StorageError(
            error.errno, f"`storage` must be a file; {journal} is {error}"
        ) from error
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
    with files.opened_journal(journal) as file:
        first = file.readline(_LONGEST_LINE)
        if not first.endswith(b"\n"):  # Its writer was killed.
            return _BEGINNING.startswith(first[: len(_BEGINNING)])
        lines = iter(lambda: file.readline(_LONGEST_LINE), b"")
        return any(_entry(line) is not None for line in itertools.chain([first], lines))


def _entry(line: bytes) -> Entry | None:
    """Returns what a line tells, or None if it is damaged."""
    try:
        content = json.loads(line)
        is_marked = "line" in content
        if is_marked and files.CHECKSUM not in content:
            return None
        files.parsed(content, _SCHEMAS[content["op_code"]])
        if not is_marked:
            _check_content(content)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return content


def _check_content(content: Entry) -> None:
    """Has Optuna read the parts of an entry, as it will when it applies it."""
    for direction in content.get("directions", ()):
        optuna().study.StudyDirection(direction)
    optuna().trial.TrialState(content.get("state", 0))
    for name in ("datetime_start", "datetime_complete"):
        if content.get(name) is not None:
            datetime.datetime.fromisoformat(content[name])
    for name in ("user_attr", "system_attr"):
        if len(content.get(name, "x")) != 1:
            raise ValueError(f"{name} of several")
    texts, params = content.get("distributions", {}), content.get("params", {})
    if "distribution" in content:
        texts = {"x": content["distribution"]}
        params = {"x": content["param_value_internal"]}
    of_json = optuna().distributions.json_to_distribution
    distributions = {name: of_json(text) for name, text in texts.items()}
    # It raises where a value lies outside of its distribution.
    optuna().trial.create_trial(
        value=0.0,
        params={
            name: distributions[name].to_external_repr(value)
            for name, value in params.items()
        },
        distributions=distributions,
    )


def _write(file: Any, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]
    os.fsync(file.fileno())


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
    """Lets one process write at a time, be it of ours or one with Optuna's backend."""
    path = f"{journal}.lock"
    lock = optuna().storages.journal.JournalFileOpenLock(str(journal))
    with contextlib.ExitStack() as stack:
        stack.enter_context(locks.FileLock(journal, waits=True))
        if _is_marked(path):
            # Its writer was killed: it would have the lock on the journal, too.
            os.unlink(path)
        try:
            lock.acquire()
        except OSError as error:
            raise files.storage_error(error, path) from error
        stack.callback(lock.release)
        with contextlib.suppress(OSError), open(path, "r+b") as file:
            file.write(_MARK)
        yield


def _is_marked(path: str) -> bool:
    """Whether the file by which Optuna's writers tell each other is one of ours."""
    try:
        with files.opened_to_read(path) as file:
            return file.read(len(_MARK) + 1) == _MARK
    except (OSError, errors.DamagedFileError):
        return False
