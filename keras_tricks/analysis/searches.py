"""Searches, from tuners, folders and Optuna studies: their trials and their space."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

from keras_tricks import _validation
from keras_tricks.analysis import space as spaces
from keras_tricks.analysis.space import Hyperparameter
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import saved_search
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.results.records import ExecutionRecord
from keras_tricks.tuners.results.records import TrialRecord
from keras_tricks.tuners.results.reruns import Reruns
from keras_tricks.tuners.results.saved_search import Direction
from keras_tricks.tuners.results.saved_search import Objective
from keras_tricks.tuners.results.saved_search import SavedSearch

if TYPE_CHECKING:
    import pandas as pd

# The kind of a search that is a study.
OPTUNA = "Optuna study"
# What ended a trial that has no score, and might have had one.
PRUNED = "pruner"
REQUIRED = "must be a tuner, the folder of a search, or an Optuna study"


@dataclasses.dataclass(frozen=True)
class Search:
    """A search, wherever it is kept.

    Attributes:
        name: Of its project, or of its study.
        kind: The tuner, by its class.
        objective: Its score.
        records: Of the trials that have ended, in their order.
        space: Its hyperparameters.
        seed: Of the search, or None.
        roles: See the tuners' argument `roles`.
        reruns: What `tuner.confirm` has trained again, by trial ID.
    """

    name: str
    kind: str | None
    objective: Objective
    records: list[TrialRecord]
    space: list[Hyperparameter]
    seed: int | None = None
    roles: dict[str, Any] = dataclasses.field(default_factory=dict)
    reruns: dict[str, Reruns] = dataclasses.field(default_factory=dict)

    @property
    def ranked(self) -> list[TrialRecord]:
        """The records of the trials that have a score, best first."""
        scored = [record for record in self.records if record.status == "COMPLETED"]
        return scores.best_first(scored, self.objective.direction)

    def leaderboard(self) -> pd.DataFrame:
        """Returns the table of its trials, best first."""
        names = [hp.name for hp in self.space]
        return leaderboard.table_of(self.records, self.objective, names)


def search_of(given: Any) -> Search:
    """Returns one search.

    Args:
        given: A tuner, a folder, or an Optuna study of one objective.

    Raises:
        TypeError: If it is none of them.
        ValueError: If a folder holds no search, or a study has several objectives.
        FileNotFoundError: If there is no such folder.
    """
    has_rounds = hasattr(given, "rounds_run")
    if isinstance(given, str | os.PathLike) and str(given):
        has_rounds = bool(saved_search.rounds_in(given))
    if has_rounds:
        raise TypeError(
            f"`search` {REQUIRED}. Received: a CoarseToFine, which has several: take a "
            "round's tuner, `rounds_run[-1].tuner`, or its folder; `search_report` "
            "takes all"
        )
    is_keras_tuners = hasattr(given, "oracle") and not hasattr(given, "leaderboard")
    if is_keras_tuners and hasattr(given, "project_dir"):
        given = given.project_dir  # KerasTuner's own has nothing but its files.
    if isinstance(given, str | os.PathLike):
        saved = SavedSearch.read(given, "search")
        return Search(
            saved.folder.resolve().name,
            saved.kind,
            saved.objective,
            saved.records,
            [spaces.of_configuration(*each) for each in saved.space],
            saved.seed,
            saved.roles,
            saved_search.reruns_in(saved.folder),
        )
    if hasattr(given, "leaderboard") and hasattr(given, "oracle"):
        objective = given.oracle.objective
        return Search(
            given.project_name,
            type(given).__name__,
            Objective(
                objective.name,
                objective.direction,
                getattr(objective, "name_to_direction", {}),
            ),
            given._ended_records(),
            [
                spaces.of_configuration(type(hp).__name__, hp.get_config())
                for hp in given.oracle.get_space().space
            ],
            getattr(given.oracle, "seed", None),
            getattr(given, "roles", {}),
            saved_search.reruns_in(given.project_dir),
        )
    if hasattr(given, "get_trials") and hasattr(given, "directions"):
        return _of_study(given)
    raise TypeError(
        f"`search` {REQUIRED}. {_validation.received('search', given, True)}"
    )


def searches_of(given: Any) -> list[Search]:
    """Returns the searches of a list, the rounds of a `CoarseToFine`, or the only one.

    Raises:
        TypeError: If something is no search.
        ValueError: If there is none, or a folder holds none.
        FileNotFoundError: If there is no such folder.
    """
    if isinstance(given, Sequence) and not isinstance(given, str):
        several = list(given)
    elif hasattr(given, "rounds_run"):
        several = [each.tuner for each in given.rounds_run]
    elif isinstance(given, str | os.PathLike) and saved_search.rounds_in(given):
        several = saved_search.rounds_in(given)
    else:
        return [search_of(given)]
    if not several:
        raise ValueError(
            f"`search` {REQUIRED}, or a list of them that is not empty. Received: none"
        )
    return [search_of(each) for each in several]


_STATUS: dict[str, Literal["COMPLETED", "FAILED", "INFEASIBLE"]] = {
    "COMPLETE": "COMPLETED",
    "PRUNED": "INFEASIBLE",
    "FAIL": "INFEASIBLE",
}


def _of_study(study: Any) -> Search:
    if len(study.directions) != 1:
        raise ValueError(
            "`search` must have one objective. Received: a study of "
            f"{len(study.directions)}"
        )
    direction: Direction = "max" if study.directions[0].name == "MAXIMIZE" else "min"
    trials = [t for t in study.get_trials() if t.state.name in _STATUS]
    distributions: dict[str, list[Any]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            distributions.setdefault(name, []).append(distribution)
    return Search(
        study.study_name,
        OPTUNA,
        Objective("value", direction),
        [
            TrialRecord(
                trial_id=str(trial.number),
                status=_STATUS[trial.state.name]
                if trial.value is None or math.isfinite(trial.value)
                else "INFEASIBLE",
                objective="value",
                direction=direction,
                score=trial.value if trial.state.name == "COMPLETE" else None,
                settings=trial.params,
                stopped_by=PRUNED if trial.state.name == "PRUNED" else None,
                seconds=trial.duration.total_seconds() if trial.duration else None,
                executions=[
                    ExecutionRecord(
                        0, {"value": list(trial.intermediate_values.values())}
                    )
                ]
                if trial.intermediate_values
                else [],
            )
            for trial in trials
        ],
        [spaces.of_distributions(name, each) for name, each in distributions.items()],
    )
