"""Trial records: one JSON file for each trial, and the notes on them.

A trial's `record.json` stands beside KerasTuner's `trial.json`. It is JSON as Python
writes it, so that a diverged curve holds the tokens `NaN` and `Infinity`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import warnings
from pathlib import Path
from typing import Any
from typing import Literal

import numpy as np

from keras_tricks.tuners import errors
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import seals

RECORD_FILE = "record.json"
NOTES_FILE = "notes.json"

COMPLETED: Literal["COMPLETED"] = "COMPLETED"
FAILED: Literal["FAILED"] = "FAILED"
INFEASIBLE: Literal["INFEASIBLE"] = "INFEASIBLE"

# Where the settings of a trial come from.
SEARCH, INITIAL = "search", "initial_settings"


@dataclasses.dataclass
class ExecutionRecord:
    """One training run of a trial.

    Attributes:
        seed: What Keras was seeded with just before the model was built.
        curves: The whole history: metric -> list of one value an epoch.
        score: The objective at this run's best epoch.
    """

    seed: int
    curves: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    score: float | None = None

    def append_epoch(self, logs: dict[str, Any]) -> None:
        for name, value in logs.items():
            self.curves.setdefault(name, []).append(as_number(value))

    def set_history(self, history: dict[str, list[Any]]) -> None:
        self.curves = {
            name: [as_number(value) for value in values]
            for name, values in history.items()
        }


@dataclasses.dataclass
class TrialRecord:
    """One trial.

    Attributes:
        trial_id: KerasTuner's ID of the trial.
        status: `"COMPLETED"`; `"INFEASIBLE"`: its score is NaN or
            infinite, or its model is over budget; `"FAILED"`: it raised an error.
        objective: The name of the score.
        direction: `"min"` or `"max"`.
        score: The objective at the best epoch, its mean over the executions.
        objectives: Where the objective is a list, the value of each at that epoch.
        score_deviation: The standard deviation of the executions' scores (with n - 1);
            None for a single one.
        best_epoch: That epoch, counted from 1; the mean over the executions, rounded
            down. None where the hypermodel returned no history.
        settings: The active hyperparameters.
        parameters: Trainable parameters of the model.
        seconds: Duration of the trial, building and tracing included.
        seed: The seed of the search.
        executions: One `ExecutionRecord` for each training run.
        error: Type and message of the error.
        traceback: All of it.
        earlier_errors: Of attempts before, each distinct one once.
        versions: Of Python and of the packages that a result depends on.
        git_commit: Of the folder in which the search was started, with `+changes`
            where tracked files differed from it; None outside of a repository.
        asked_for: Names of the hyperparameters that the model, and its `fit`, looked
            at. None where that is not known: all may count.
        source: Where the settings come from: `"search"`, or `"initial_settings"`.
        stopped_by: `"max_seconds"` if the search's time was up before the last epoch,
            so that the score is that of the epochs so far; `"stop_hopeless: "` and
            why, if that ended it; else None.
        several_ranges: Names that were asked for with another range than the search's.
        weights: Size and SHA-256 of the file of its best epoch's weights; None where it
            saved none.
        note: Texts under `why`, `outcome` and `next`, from `tuner.note`.
    """

    trial_id: str
    status: Literal["COMPLETED", "FAILED", "INFEASIBLE"]
    objective: str
    direction: Literal["min", "max"]
    score: float | None = None
    objectives: dict[str, float] = dataclasses.field(default_factory=dict)
    score_deviation: float | None = None
    best_epoch: int | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    parameters: int | None = None
    seconds: float | None = None
    seed: int | None = None
    executions: list[ExecutionRecord] = dataclasses.field(default_factory=list)
    error: str | None = None
    traceback: str | None = None
    earlier_errors: list[str] = dataclasses.field(default_factory=list)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    git_commit: str | None = None
    asked_for: list[str] | None = None
    several_ranges: list[str] = dataclasses.field(default_factory=list)
    source: str = SEARCH
    stopped_by: str | None = None
    weights: str | None = None
    note: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def known_score(self) -> float:
        """The score of a trial that has one, as each that is completed."""
        assert self.score is not None, self.status
        return self.score

    @property
    def outcome(self) -> str:
        """Its end in words, for messages."""
        return f"{self.status} with score={self.score}"

    def agrees(self, told: TrialRecord) -> bool:
        """Whether it tells the same end as a trial: its score, or that it has none."""
        if self.status != COMPLETED or told.status != COMPLETED:
            return self.status != COMPLETED and told.status != COMPLETED
        return math.isclose(self.known_score, told.known_score, rel_tol=1e-9)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Writes the record into the trial's folder, whole or not at all."""
        content = dataclasses.asdict(self)
        # Notes have a file of their own, which a running search does not touch.
        del content["note"]
        files.write_json(Path(folder) / RECORD_FILE, content, indent=1)

    @classmethod
    def read(
        cls, folder: str | os.PathLike[str], seal: seals.Seal | None = None
    ) -> TrialRecord:
        """Returns the record in a trial's folder.

        Args:
            folder: The folder.
            seal: Of the project, where it is known already.

        Raises:
            DamagedFileError: If there is none, or none of that trial.
        """
        path = Path(folder) / RECORD_FILE
        seal = seals.Seal.of(path.parent.parent) if seal is None else seal
        record = seal.read(path, cls)
        if files.trial_id_of(path.parent.name) != record.trial_id:
            raise errors.ForeignFileError(
                f"{path} is another trial's (trial_id={record.trial_id!r})"
            )
        if record.status == COMPLETED and not scores.is_feasible(record.score):
            raise errors.DamagedFileError(
                f"{path} is damaged (a completed trial with score={record.score!r})"
            )
        return record

    @classmethod
    def of_trial(cls, trial: Any, objective: Any) -> TrialRecord:
        """What KerasTuner itself knows of a trial that has ended."""
        status: Literal["COMPLETED", "FAILED", "INFEASIBLE"] = FAILED
        if trial.status == "COMPLETED":
            status = COMPLETED if scores.is_feasible(trial.score) else INFEASIBLE
        return cls(
            trial_id=trial.trial_id,
            status=status,
            objective=objective.name,
            direction=objective.direction,
            score=trial.score,
            objectives=values_of(trial.metrics, objective),
            settings=active_settings(trial.hyperparameters),
            source=getattr(trial, "source", SEARCH),
            error=error_in(trial.message),
            traceback=trial.message,
        )


def several(objective: Any) -> dict[str, str]:
    """Returns the names and directions of a list of objectives; none for a single."""
    return getattr(objective, "name_to_direction", {})


def values_of(metrics: Any, objective: Any) -> dict[str, float]:
    """Returns the value of each of several objectives, of those that are known.

    Args:
        metrics: KerasTuner's, of a trial.
        objective: The search's.
    """
    return {
        name: float(metrics.get_best_value(name))
        for name in several(objective)
        if metrics.exists(name)
    }


def as_number(value: Any) -> Any:
    """Returns a metric's value as a float, or as nested lists of floats."""
    try:
        return np.asarray(value, dtype="float64").tolist()
    except (TypeError, ValueError):
        # A callback may log anything, and that must not fail the trial.
        return str(value)


def active_settings(hyperparameters: Any) -> dict[str, Any]:
    """Returns the values of the hyperparameters whose conditions hold."""
    return {
        name: value
        for name, value in hyperparameters.values.items()
        if hyperparameters.is_active(name)
    }


def error_in(traceback: str | None) -> str | None:
    """Returns type and message of the error that ends a formatted traceback."""
    if traceback is None:
        return None
    last = traceback.rpartition("Traceback (most recent call last):\n")[2]
    lines = last.splitlines()
    # The frames are indented; the message may have several lines and is not.
    while lines and lines[0].startswith(" "):
        del lines[0]
    return "\n".join(lines).strip()


def errors_of_attempts(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the distinct errors of a trial's earlier attempts, in their order."""
    try:
        record = TrialRecord.read(folder)
    except errors.DamagedFileError:
        return []
    found = [*record.earlier_errors, record.error]
    return list(dict.fromkeys(error for error in found if error is not None))


def deviation(executions: list[ExecutionRecord]) -> float | None:
    """Returns the standard deviation of the executions' scores, or None."""
    found = [e.score for e in executions if e.score is not None]
    if len(found) < max(2, len(executions)) or not all(map(math.isfinite, found)):
        return None
    return statistics.stdev(found)


Notes = dict[str, dict[str, str]]


def read_notes(project_dir: str | os.PathLike[str]) -> Notes:
    """Returns the notes by trial ID.

    Raises:
        DamagedFileError: If their file cannot be read.
    """
    path = Path(project_dir) / NOTES_FILE
    # A link that leads nowhere is there, and is no file.
    return files.read_json(path, Notes) if os.path.lexists(path) else {}


def write_notes(project_dir: str | os.PathLike[str], notes: Notes) -> None:
    """Writes the notes, without a checksum: people may edit them, too."""
    text = json.dumps(notes, indent=1, ensure_ascii=False)
    files.write_text(Path(project_dir) / NOTES_FILE, text)


def read_all(project_dir: str | os.PathLike[str]) -> dict[str, TrialRecord]:
    """Returns all records of a project by trial ID, in the order of the trials.

    A file that cannot be read is named in a warning and left out.
    """
    records = []
    notes: Notes = {}
    try:
        notes = read_notes(project_dir)
    except errors.DamagedFileError as error:
        warnings.warn(f"Skipped the notes: {error}", stacklevel=4)
    seal = seals.Seal.of(project_dir)
    for folder in Path(project_dir).glob("trial_*"):
        if not os.path.lexists(folder / RECORD_FILE):
            continue
        try:
            record = TrialRecord.read(folder, seal)
        except errors.DamagedFileError as error:
            warnings.warn(f"Skipped a damaged record: {error}", stacklevel=4)
            continue
        record.note = notes.get(record.trial_id, {})
        records.append(record)
    records.sort(key=lambda record: scores.order(record.trial_id))
    return {record.trial_id: record for record in records}
