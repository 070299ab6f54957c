"""What is kept of each trial, on disk and as a table.

A trial's `record.json` stands beside KerasTuner's `trial.json`. It is JSON as Python
writes it, so that a diverged curve holds the tokens `NaN` and `Infinity`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_tricks.tuners import oracles

if TYPE_CHECKING:
    import pandas as pd

RECORD_FILE = "record.json"

COMPLETED = "COMPLETED"
FAILED = "FAILED"
INFEASIBLE = "INFEASIBLE"


@dataclasses.dataclass
class ExecutionRecord:
    """One training run of a trial.

    Attributes:
        seed: What Keras was seeded with just before the model was built.
        curves: The whole history: metric -> list of one value an epoch.
    """

    seed: int
    curves: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

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
        best_epoch: That epoch, counted from 1; the mean over the executions, rounded
            down. None where the hypermodel returned no history.
        settings: The active hyperparameters.
        parameters: Trainable parameters of the model.
        seconds: Duration of the trial, building and tracing included.
        seed: The seed of the search.
        executions: One `ExecutionRecord` for each training run.
        error: Type and message of the error.
        traceback: All of it.
    """

    trial_id: str
    status: str
    objective: str
    direction: str
    score: float | None = None
    best_epoch: int | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    parameters: int | None = None
    seconds: float | None = None
    seed: int | None = None
    executions: list[ExecutionRecord] = dataclasses.field(default_factory=list)
    error: str | None = None
    traceback: str | None = None

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Writes the record into the trial's folder, whole or not at all."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        with tempfile.NamedTemporaryFile(
            "w", dir=folder, prefix=".record.", suffix=".tmp", delete=False
        ) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                file.close()
                os.replace(file.name, Path(folder) / RECORD_FILE)
            except BaseException:
                file.close()
                Path(file.name).unlink(missing_ok=True)
                raise

    @classmethod
    def read(cls, path: Path) -> TrialRecord:
        content = json.loads(path.read_text())
        content["executions"] = [
            ExecutionRecord(**execution) for execution in content["executions"]
        ]
        return cls(**content)

    @classmethod
    def of_trial(cls, trial: Any, objective: Any) -> TrialRecord:
        """What KerasTuner itself knows of a trial that has ended."""
        status = FAILED
        if trial.status == "COMPLETED":
            status = COMPLETED if oracles.is_feasible(trial.score) else INFEASIBLE
        return cls(
            trial_id=trial.trial_id,
            status=status,
            objective=objective.name,
            direction=objective.direction,
            score=trial.score,
            settings=active_settings(trial.hyperparameters),
            error=error_in(trial.message),
            traceback=trial.message,
        )


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


def read_all(project_dir: str | os.PathLike[str]) -> dict[str, TrialRecord]:
    """Returns all records of a project by trial ID, in the order of the trials.

    A file that cannot be read is named in a warning and left out.
    """
    records = []
    for path in Path(project_dir).glob(f"trial_*/{RECORD_FILE}"):
        try:
            records.append(TrialRecord.read(path))
        except (ValueError, TypeError, KeyError) as error:
            warnings.warn(f"Skipped a damaged record, {path}: {error}", stacklevel=4)
    records.sort(key=lambda record: oracles.order(record.trial_id))
    return {record.trial_id: record for record in records}


def leaderboard(
    records: list[TrialRecord], objective: Any, hyperparameters: list[str]
) -> pd.DataFrame:
    """Returns the table of `records`, best first, without score at the bottom.

    Args:
        records: Of trials that have ended.
        objective: The search's `keras_tuner.Objective`.
        hyperparameters: Names in the order that their columns shall have.
    """
    import pandas as pd  # Here, because only this table needs it.

    sign = -1 if objective.direction == "max" else 1

    def place(record: TrialRecord) -> tuple[Any, ...]:
        key = oracles.order(record.trial_id)
        if record.status == COMPLETED:
            assert record.score is not None
            return (0, sign * record.score, key)
        return (1 if record.status == INFEASIBLE else 2, 0.0, key)

    fixed = [
        *("rank", "trial_id", objective.name, "best_epoch"),
        *("parameters", "seconds", "status"),
    ]
    names = dict.fromkeys(hyperparameters)
    for record in records:
        names.update(dict.fromkeys(record.settings))
    # A hyperparameter may be called as a column is.
    columns = {name: f"hp_{name}" if name in fixed else name for name in names}
    rows = []
    for rank, record in enumerate(sorted(records, key=place), start=1):
        row: dict[str, Any] = {
            "rank": rank if record.status == COMPLETED else None,
            "trial_id": record.trial_id,
            objective.name: record.score,
            "best_epoch": record.best_epoch,
            "parameters": record.parameters,
            "seconds": record.seconds,
            "status": record.status,
        }
        row.update((columns[name], value) for name, value in record.settings.items())
        rows.append(row)
    table = pd.DataFrame(rows, columns=[*fixed, *columns.values()])
    table[objective.name] = table[objective.name].astype("float64")
    table["seconds"] = table["seconds"].astype("float64")
    for name in ("rank", "best_epoch", "parameters"):
        table[name] = table[name].astype("Int64")
    for name in columns.values():
        present = [row[name] for row in rows if name in row]
        # Beside a missing value pandas would show 32 units as 32.0.
        if present and all(type(value) is int for value in present):
            table[name] = table[name].astype("Int64")
    return table
