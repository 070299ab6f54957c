"""Rounds: what each of several searches changed, and what that gained."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pandas as pd

from keras_tricks.analysis import finished
from keras_tricks.analysis.compare import compare
from keras_tricks.analysis.searches import Search
from keras_tricks.analysis.space import Hyperparameter
from keras_tricks.analysis.texts import shown

_SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Rounds:
    """Several searches, one after the other.

    Attributes:
        table: A row for each: `search`, `trials` (that have a score), `best` (the best
            score), `gain` (by how much that is better than the best of all before;
            negative if it is worse), `p_value` (that so large a lead over all before
            is chance, at as many trials), `is_clear` (whether it is below 0.05),
            `changes` (of the space), `note` (what was noted on its best trial).
        objective: The name of the score.

    Example:

    >>> from keras_tricks.analysis.rounds import rounds
    >>> from keras_tricks.analysis.searches import Search
    >>> from keras_tricks.tuners.results.records import TrialRecord
    >>> from keras_tricks.tuners.results.saved_search import Objective
    >>> first, second = (
    ...     Search(name, None, Objective("loss", "min"), [
    ...         TrialRecord(str(n), "COMPLETED", "loss", "min", score=best + n)
    ...         for n in range(8)], [])
    ...     for name, best in (("wide", 10.0), ("narrow", 1.0)))
    >>> rounds([first, second]).table[["search", "gain", "is_clear"]].values.tolist()
    [['wide', nan, False], ['narrow', 9.0, True]]
    """

    table: pd.DataFrame
    objective: str

    def __str__(self) -> str:
        lines = []
        for row in self.table.itertuples(index=False):
            head = f"{row.search}: {row.trials} trials, best {self.objective} "
            lines.append(head + f"{row.best:.4g}.")
            if row.changes:
                lines.append(f"  Changed: {'; '.join(row.changes)}.")
            if not math.isnan(row.gain):
                lines.append(f"  {_gain_in_words(row)}")
            if row.note:
                lines.append(f"  Noted: {row.note}")
        return "\n".join(lines)


def rounds(several: list[Search]) -> Rounds:
    """Returns what each search changed and gained over those before.

    Raises:
        ValueError: If they have different objectives.
    """
    names = {(s.objective.name, s.objective.direction) for s in several}
    if len(names) > 1:
        raise ValueError(
            "Several searches must have one objective to be compared. Received: "
            + ", ".join(f"{name} ({way})" for name, way in sorted(names))
        )
    rows: list[list[Any]] = []
    before: list[float] = []
    for number, search in enumerate(several):
        trials = finished.trials_of(search)
        losses = trials.losses.tolist()
        sign = 1.0 if trials.direction == "min" else -1.0
        gain = p_value = math.nan
        if before and losses:
            gain = min(before) - min(losses)
            p_value = _chance(before, losses)
        previous = several[number - 1].space if number else []
        rows.append(
            [
                search.name,
                len(losses),
                sign * min(losses) if losses else math.nan,
                gain,
                p_value,
                gain > 0 and p_value < _SIGNIFICANT,
                changes(previous, search.space) if number else [],
                _note(search),
            ]
        )
        before += losses
    columns = ["search", "trials", "best", "gain", "p_value", "is_clear"]
    table = pd.DataFrame(rows, columns=[*columns, "changes", "note"])
    return Rounds(table, several[0].objective.name)


def _gain_in_words(row: Any) -> str:
    how = "better" if row.gain > 0 else "worse"
    text = f"{abs(row.gain):.4g} {how} than the best before"
    if row.gain <= 0:
        return f"{text}: not adopted."
    if row.is_clear:
        return f"{text}, beyond chance (p = {row.p_value:.2g})."
    return f"{text}, which may be chance (p = {row.p_value:.2g}): confirm it."


def _chance(before: list[float], losses: list[float]) -> float:
    """Returns how probable such a lead is where both searches are alike."""
    frame = pd.DataFrame(
        {
            "search": ["before"] * len(before) + ["now"] * len(losses),
            "loss": [*before, *losses],
        }
    )
    found = compare(frame, "search", objective="loss")
    # With as many trials as now, those before may have been better.
    return float(found.table["p_value"].iloc[1]) if found.best == "now" else 1.0


def _note(search: Search) -> str:
    table = search.leaderboard()
    if not len(table):
        return ""
    best = table["trial_id"].iloc[0]
    record = next(r for r in search.records if r.trial_id == best)
    return " ".join(
        f"{name}: {record.note[name]}"
        for name in ("why", "outcome", "next")
        if record.note.get(name)
    )


def changes(before: list[Hyperparameter], now: list[Hyperparameter]) -> list[str]:
    """Returns what a space has that the one before had not, in words."""
    old = {hp.name: hp for hp in before}
    new = {hp.name: hp for hp in now}
    found = []
    for name, hp in new.items():
        if name not in old:
            found.append(f"{name} is new: {described(hp)}")
        elif described(old[name]) != described(hp):
            found.append(f"{name} from {described(old[name])} to {described(hp)}")
    found += [f"{name} is gone" for name in old if name not in new]
    return found


def described(hp: Hyperparameter) -> str:
    """Returns what a hyperparameter can be, in words."""
    if hp.min_value is None:
        if len(hp.values) == 1:
            return f"always {shown(hp.values[0])}"
        return " or ".join(map(shown, hp.values))
    scale = "" if hp.sampling == "linear" else f" ({hp.sampling})"
    step = "" if hp.step in (None, 1) else f" in steps of {hp.step:.4g}"
    return f"{hp.min_value:.4g} .. {hp.max_value:.4g}{scale}{step}"
