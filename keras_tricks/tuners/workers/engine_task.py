"""A task of an engine: trials that run in a child of its process, and what they leave.

The child keeps the search, with its programs and data, from one task to the next.
Trials write into a temporary folder; their files go back with the outcome.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pickle
import shutil
import signal
import time
import traceback
from multiprocessing import connection as connections
from pathlib import Path
from typing import Any

import keras_tuner

from keras_tricks.tuners.deadline import Deadline
from keras_tricks.tuners.oracles.base import CHECKPOINT
from keras_tricks.tuners.results import provenance
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.workers import worker_payload
from keras_tricks.tuners.workers.leased_search import leased_tuner


@dataclasses.dataclass(frozen=True)
class Task:
    """Trials for one process of an engine.

    Attributes:
        trials: The oracle's states of the trials.
        files: Those of earlier trials and attempts that these need, by their path in
            the project's folder.
        completed: Trial ID -> what the oracle's `completed_scores` is for it.
        best_scores: The best scores so far, of the trials whose weights are kept, the
            lowest first; None if all weights are.
        assumed: Name of a method of the oracle -> what a trial is answered that calls
            it. The call is made when the trial has ended.
        ends_at: The deadline of the search, on the clock `time.time`.
    """

    trials: list[dict[str, Any]]
    files: dict[str, bytes]
    completed: dict[str, dict[str, float]]
    best_scores: list[float] | None
    assumed: dict[str, Any]
    ends_at: float


@dataclasses.dataclass
class Ended:
    """A trial that has ended.

    Attributes:
        state: The oracle's state of it, as its process left it.
        updates: The metrics that it had, and the steps of these.
        calls: Methods of the oracle that it called, and with what.
        files: What it wrote, by the path in its folder.
    """

    state: dict[str, Any]
    updates: list[tuple[dict[str, Any], int]]
    calls: list[tuple[str, tuple[Any, ...]]]
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Outcome:
    """What became of a task.

    Attributes:
        ended: Its trials that have ended.
        error: What ended the search, as `worker_payload.transportable` has it.
        traceback: Of the error.
    """

    ended: list[Ended]
    error: Any = None
    traceback: str = ""

    def set_error(self, error: BaseException) -> None:
        """Takes an error that is being handled."""
        self.error = worker_payload.transportable(error)
        self.traceback = traceback.format_exc()


class _TaskLine:
    """Answers a worker out of its task; see `leased_search.Line`."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._waiting: collections.deque[dict[str, Any]] = collections.deque()
        self._calls: dict[str, list[tuple[str, tuple[Any, ...]]]] = {}
        self.ended: list[Ended] = []

    def begin(self, task: Task) -> None:
        self._task, self.ended, self._calls = task, [], {}
        self._waiting = collections.deque(task.trials)

    def ask(self, *message: Any) -> Any:
        kind, *rest = message
        return getattr(self, f"_on_{kind}")(*rest)

    def _on_next(self) -> dict[str, Any]:
        return self._on_more() or _stopped()

    def _on_more(self) -> dict[str, Any] | None:
        assert self._task is not None
        # The first one of a task was submitted in time.
        is_first = len(self._waiting) == len(self._task.trials)
        if not is_first and time.time() >= self._task.ends_at:
            self._waiting.clear()
        return self._waiting.popleft() if self._waiting else None

    def _on_back(self, trial_id: str) -> None:
        """Does nothing: a trial that a task does not end is run by the next search."""

    def _on_end(self, state: dict[str, Any], updates: Any) -> str:
        calls = self._calls.pop(state["trial_id"], [])
        self.ended.append(Ended(state, updates, calls))
        return str(state["status"])

    def _on_call(self, name: str, args: tuple[Any, ...], _: dict[str, Any]) -> Any:
        task = self._task
        assert task is not None
        trial_id = args[0]
        if name == "completed_scores":
            return task.completed.get(trial_id, {})
        if name in task.assumed:
            self._calls.setdefault(trial_id, []).append((name, args))
            return task.assumed[name]
        raise NotImplementedError(
            f"The oracle's method {name!r} cannot be called where an executor runs the "
            "trials: give `search` no `executor`, or name the method in the oracle's "
            "`assumed_answers`."
        )


def _stopped() -> dict[str, Any]:
    return keras_tuner.engine.trial.Trial(
        keras_tuner.HyperParameters(), status="STOPPED"
    ).get_state()


class _Search:
    """A search as a process has it that runs tasks.

    Args:
        payload: What `worker_payload.payload` made of it.
        folder: Where trials write.
    """

    def __init__(self, payload: bytes, folder: str):
        self._line = _TaskLine()
        spec = worker_payload.spec_of(payload)
        # Its own versions, and the commit of the script.
        _, commit = spec.session.provenance
        spec.session.provenance = provenance.versions(), commit
        # The searching process counts the failures of all workers.
        spec.oracle_arguments["max_consecutive_failed_trials"] = None
        self._fit = spec.fit_args, spec.fit_kwargs
        self._tuner = leased_tuner(spec, self._line)
        self._tuner.directory = folder
        self._project = Path(self._tuner.project_dir)
        self._tuner._project.folder = self._project

    def run(self, task: Task) -> Outcome:
        """Runs the trials of a task."""
        for name, content in task.files.items():
            path = self._project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._line.begin(task)
        session = self._tuner._runner.session
        session.deadline = Deadline(time.monotonic() + task.ends_at - time.time())
        outcome = Outcome(self._line.ended)
        try:
            self._tuner._run_search(*self._fit)
        except BaseException as error:
            self._tuner.oracle.updates.clear()
            outcome.set_error(error)
        for each in outcome.ended:
            each.files = self._files_of(each.state["trial_id"], task.best_scores)
        for folder in self._project.glob("trial_*"):
            shutil.rmtree(folder, ignore_errors=True)
        return outcome

    def _files_of(self, trial_id: str, best: list[float] | None) -> dict[str, bytes]:
        folder = self._project / f"trial_{trial_id}"
        checkpoint = folder / CHECKPOINT
        if checkpoint.exists() and not self._keeps_weights(folder, best):
            checkpoint.unlink()
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def _keeps_weights(self, folder: Path, best: list[float] | None) -> bool:
        """Whether a trial may be among those whose weights are kept."""
        kept = self._tuner.options.keep_checkpoints
        if best is None or kept is None or len(best) < kept:
            return True
        record = records.TrialRecord.read(folder)
        if record.score is None:
            return False
        sign = scores.sign(self._tuner.oracle.objective.direction)
        # One that scores alike may have begun earlier.
        return sign * record.score <= best[-1]


def main(descriptor: int, folder: str) -> None:
    """Answers tasks with outcomes until the engine's process closes the connection.

    Args:
        descriptor: Of this end of the connection. The payload comes first.
        folder: Where trials write.
    """
    # Ctrl-C reaches all processes of a terminal; the engine's ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = connections.Connection(descriptor)
    try:
        search: _Search | None = None
        payload = connection.recv_bytes()
        while True:
            task = connection.recv_bytes()
            outcome = Outcome([])
            try:
                search = search or _Search(payload, folder)
            except BaseException as error:
                outcome.set_error(error)
            # Should this process end from here on, the trial is to blame.
            connection.send_bytes(b"")
            try:
                if search is not None:
                    outcome = search.run(pickle.loads(task))
            except BaseException as error:
                outcome.set_error(error)
            connection.send_bytes(pickle.dumps(outcome))
    except (EOFError, OSError):
        os._exit(0)
