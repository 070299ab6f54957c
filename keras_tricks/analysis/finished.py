"""Finished trials of a search: settings and scores, whatever searched."""

from __future__ import annotations

import dataclasses
import os
from typing import Any
from typing import Literal

import numpy as np
import pandas as pd

from keras_tricks import _validation
from keras_tricks.analysis import searches
from keras_tricks.analysis import space as spaces
from keras_tricks.analysis.searches import Search
from keras_tricks.analysis.space import Hyperparameter

_REQUIRED = (
    "must be a tuner, the folder of a search, an Optuna study, or a frame of trials "
    "with `objective=` the name of its column of scores"
)


class TooFewTrialsError(ValueError):
    """A question that so few trials do not answer.

    Args:
        needed: How many it takes.
        found: How many have a score.
    """

    def __init__(self, needed: int, found: int):
        super().__init__(
            f"`search` must have {needed} trials with a score. "
            f"{_validation.received('trials', found)}"
        )
        self.needed = needed
        self.found = found


@dataclasses.dataclass(frozen=True)
class FinishedTrials:
    """The trials that have a score.

    Attributes:
        settings: The settings of each trial; inactive hyperparameters are missing.
        scores: The score of each.
        objective: The name of the score.
        direction: Whether less or more of it is better.
        space: The hyperparameters with their ranges; of a frame what its values are in.
        infeasible: The settings of the trials that ended without a finite score, errors
            of the code apart.
        deviation: The standard deviation of one score, from repeated trainings of
            trials; None where none was repeated.
        without_range: Columns of a frame with numbers that are not finite: they are
            settings, and have no range.
    """

    settings: list[dict[str, Any]]
    scores: np.ndarray
    objective: str
    direction: str
    space: list[Hyperparameter]
    infeasible: list[dict[str, Any]]
    deviation: float | None = None
    without_range: tuple[str, ...] = ()

    def require(self, least: int) -> None:
        """Raises a `TooFewTrialsError` if fewer trials have a score."""
        if len(self.scores) < least:
            raise TooFewTrialsError(least, len(self.scores))

    def require_ranges(self) -> None:
        """Raises a `ValueError` if a hyperparameter has infinite values."""
        if self.without_range:
            raise ValueError(
                "`search` must have finite numbers as settings. Leave the cells empty "
                "of trials that do not have one, or put a text there. Received: "
                f"infinity in {', '.join(map(repr, self.without_range))}"
            )

    @property
    def losses(self) -> np.ndarray:
        """The scores, with their sign changed where more is better."""
        return self.scores if self.direction == "min" else -self.scores

    @property
    def varying(self) -> list[str]:
        """The hyperparameters that are not the same in all trials."""
        names = dict.fromkeys(name for each in self.settings for name in each)
        return [
            name
            for name in names
            if len({repr(each.get(name)) for each in self.settings}) > 1
        ]


def finished_trials(
    search: Any,
    objective: str | None = None,
    direction: Literal["min", "max"] = "min",
) -> FinishedTrials:
    """Returns the trials of a search that have a finite score.

    Args:
        search: A tuner, the folder of a search, an Optuna study of one objective, or a
            frame with a row for each trial and a column for each hyperparameter and
            for the score.
        objective: Of a frame: the column of scores; columns that a leaderboard has
            beside hyperparameters count for nothing.
        direction: Of a frame: whether less or more is better.

    Raises:
        TypeError: If it is nothing of the kind.
        ValueError: If a frame has no such column, a folder holds no search, or there
            are several objectives.
        FileNotFoundError: If there is no such folder.
    """
    checked = _validation.check_choice("direction", direction, ("min", "max"))
    if objective is not None:
        objective = _validation.check_text("objective", objective)
    if isinstance(search, FinishedTrials):
        return search
    if isinstance(search, pd.DataFrame):
        return _of_frame(search, objective, checked)
    is_search = (
        isinstance(search, str | os.PathLike)
        or hasattr(search, "oracle")
        or hasattr(search, "rounds_run")
        or (hasattr(search, "get_trials") and hasattr(search, "directions"))
    )
    if is_search:
        found = trials_of(searches.search_of(search))
        if objective is not None:
            raise TypeError(
                "`objective` must be None except for a frame of trials; a search knows "
                f"its own. {_validation.received('objective', objective)}"
            )
        return found
    raise TypeError(
        f"`search` {_REQUIRED}. {_validation.received('search', search, True)}"
    )


# What a leaderboard has beside the hyperparameters and the score.
_NO_SETTINGS = (
    *("rank", "trial_id", "best_epoch", "parameters", "seconds", "status"),
    *("source", "stopped_by", "why", "outcome", "next", "deviation"),
)


def _of_frame(
    frame: pd.DataFrame, objective: str | None, direction: str
) -> FinishedTrials:
    _check_columns(frame)
    if objective is None or objective not in frame.columns:
        raise ValueError(
            "`objective` must be the column of scores, one of "
            f"{', '.join(map(str, frame.columns))}. "
            f"{_validation.received('objective', objective)}"
        )
    rest = frame.iloc[:0]
    if "status" in frame.columns:
        rest = frame[frame["status"] == "INFEASIBLE"]
        frame = frame[frame["status"] == "COMPLETED"]
    names = [n for n in frame.columns if n != objective and n not in _NO_SETTINGS]
    settings, infeasible = _settings_in(frame, names), _settings_in(rest, names)
    values = {n: [s[n] for s in (*settings, *infeasible) if n in s] for n in names}
    without_range = [n for n in names if spaces.has_infinity(values[n])]
    return _finite(
        settings,
        frame[objective].tolist(),
        objective,
        direction,
        [
            spaces.of_values(name, values[name])
            for name in names
            if name not in without_range
        ],
        infeasible,
        without_range=tuple(without_range),
    )


def _check_columns(frame: pd.DataFrame) -> None:
    """Raises unless each column has a text for its name, and one of its own."""
    names = list(frame.columns)
    wrong = [name for name in names if not isinstance(name, str)]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if wrong or twice:
        raise ValueError(
            "The columns of `search` must have different texts as names: "
            "`search.rename(columns=str)`. Received: "
            + (f"the names {wrong}" if wrong else f"{twice[0]!r} more than once")
        )


def _settings_in(frame: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    if not names:  # Older versions of pandas have no rows of nothing.
        return [{} for _ in range(len(frame))]
    return [
        {
            n: value
            for n, value in zip(names, row, strict=True)
            if not _is_missing(value)
        }
        for row in frame[names].itertuples(index=False)
    ]


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value


def trials_of(search: Search) -> FinishedTrials:
    """Returns the trials of a search that have a finite score."""
    records = [r for r in search.records if r.status == "COMPLETED"]
    deviations = [r.score_deviation for r in records if r.score_deviation is not None]
    return _finite(
        [record.settings for record in records],
        [record.score for record in records],
        search.objective.name,
        search.objective.direction,
        search.space,
        [
            record.settings
            for record in search.records
            if record.status == "INFEASIBLE" and record.stopped_by != searches.PRUNED
        ],
        float(np.sqrt(np.mean(np.square(deviations)))) if deviations else None,
    )


def _finite(
    settings: list[dict[str, Any]],
    scores: list[Any],
    objective: str,
    direction: str,
    space: list[Hyperparameter],
    infeasible: list[dict[str, Any]],
    deviation: float | None = None,
    without_range: tuple[str, ...] = (),
) -> FinishedTrials:
    numbers = np.array(scores, "float64")
    is_finite = np.isfinite(numbers)
    known, rest = np.flatnonzero(is_finite), np.flatnonzero(~is_finite)
    return FinishedTrials(
        [settings[place] for place in known],
        numbers[known],
        objective,
        direction,
        space,
        [*infeasible, *(settings[place] for place in rest)],
        deviation,
        without_range,
    )
