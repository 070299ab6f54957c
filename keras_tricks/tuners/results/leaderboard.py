"""Tables of trials: the leaderboard, and the errors of those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from keras_tricks.tuners.results import scores
from keras_tricks.tuners.results.records import COMPLETED
from keras_tricks.tuners.results.records import INFEASIBLE
from keras_tricks.tuners.results.records import TrialRecord
from keras_tricks.tuners.results.records import several

if TYPE_CHECKING:
    import pandas as pd


def table_of(
    records: list[TrialRecord], objective: Any, hyperparameters: list[str]
) -> pd.DataFrame:
    """Returns the table of `records`, best first, without score at the bottom.

    Args:
        records: Of trials that have ended.
        objective: The search's `keras_tuner.Objective`.
        hyperparameters: Names in the order that their columns shall have.
    """
    import pandas as pd  # Here, because only this table needs it.

    sign = scores.sign(objective.direction)

    def place(record: TrialRecord) -> tuple[Any, ...]:
        key = scores.order(record.trial_id)
        if record.status == COMPLETED:
            return (0, sign * record.known_score, key)
        return (1 if record.status == INFEASIBLE else 2, 0.0, key)

    notes = [
        key
        for key in ("why", "outcome", "next")
        if any(r.note.get(key) for r in records)
    ]
    # Of these a table has a column where a trial is marked.
    marks = [
        name
        for name, usual in (("source", "search"), ("stopped_by", None))
        if any(getattr(record, name) != usual for record in records)
    ]
    has_deviation = any(record.score_deviation is not None for record in records)
    fixed = [
        *("rank", "trial_id", objective.name, *several(objective)),
        *(["deviation"] if has_deviation else []),
        *("best_epoch", "parameters", "seconds", "status", *marks, *notes),
    ]
    names = dict.fromkeys(hyperparameters)
    for record in records:
        names.update(dict.fromkeys(record.settings))
    # A hyperparameter may be called as a column is.
    columns: dict[str, str] = {}
    for name in names:
        column = name
        while column in fixed or (column != name and column in names):
            column = f"hp_{column}"
        columns[name] = column
    rows = []
    for rank, record in enumerate(sorted(records, key=place), start=1):
        row: dict[str, Any] = {
            "rank": rank if record.status == COMPLETED else None,
            "trial_id": record.trial_id,
            objective.name: record.score,
            **{name: record.objectives.get(name) for name in several(objective)},
            "best_epoch": record.best_epoch,
            "parameters": record.parameters,
            "seconds": record.seconds,
            "status": record.status,
            **{name: getattr(record, name) for name in marks},
            **{key: record.note.get(key) for key in notes},
        }
        if has_deviation:
            row["deviation"] = record.score_deviation
        row.update((columns[name], value) for name, value in record.settings.items())
        rows.append(row)
    table = pd.DataFrame(rows, columns=[*fixed, *columns.values()])
    numbers = [objective.name, *several(objective), "seconds"]
    for name in (*numbers, *(["deviation"] if has_deviation else [])):
        table[name] = table[name].astype("float64")
    for name in ("rank", "best_epoch", "parameters"):
        table[name] = table[name].astype("Int64")
    for name in columns.values():
        present = [row[name] for row in rows if name in row]
        # Beside a missing value pandas would show 32 units as 32.0.
        if present and all(type(value) is int for value in present):
            table[name] = table[name].astype("Int64")
    return table


def errors_text(ended: list[TrialRecord]) -> str:
    """Returns one line for each distinct error, with the trials that had it."""
    trials_of: dict[str, list[str]] = {}
    for record in ended:
        trials_of.setdefault(record.error or "no message", []).append(record.trial_id)
    return "\n".join(
        f"trial {', '.join(trial_ids)}: {error}"
        for error, trial_ids in trials_of.items()
    )
