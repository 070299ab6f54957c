"""Saved searches: what the folder of one tells, without loading Keras."""

from __future__ import annotations

import dataclasses
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

from keras_tricks import _validation
from keras_tricks.tuners import errors
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.results.records import TrialRecord
from keras_tricks.tuners.results.reruns import Reruns
from keras_tricks.tuners.results.reruns import scores_of
from keras_tricks.tuners.storage import seals

if TYPE_CHECKING:
    import pandas as pd


Direction = Literal["min", "max"]


@dataclasses.dataclass(frozen=True)
class Objective:
    """The score of a search, as `keras_tuner.Objective` has it.

    Attributes:
        name: Its name; of a list of objectives `"multi_objective"`.
        direction: `"min"` or `"max"`.
        name_to_direction: Of a list of objectives each; empty for a single one.
    """

    name: str
    direction: Direction
    name_to_direction: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SavedSearch:
    """A search of which the files are left. Those of KerasTuner's own tuners will do.

    Attributes:
        folder: Where they are.
        kind: The tuner, by its class; None where that is not known.
        seed: Of the search, or None.
        objective: Its score.
        records: Of the trials that have ended, in their order.
        space: The class and the configuration of each hyperparameter.
        roles: See the tuners' argument `roles`.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import RandomSearch
    >>> from keras_tricks.tuners.results.saved_search import SavedSearch
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", -1.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return hp.get("x") ** 2
    >>> tuner = RandomSearch(
    ...     Parabola(), max_trials=3, directory=tempfile.mkdtemp(), project_name="x")
    >>> tuner.search(verbose=0)
    >>> saved = SavedSearch.read(tuner.project_dir)
    >>> saved.kind, len(saved.records), saved.leaderboard().equals(tuner.leaderboard())
    ('RandomSearch', 3, True)
    """

    folder: Path
    kind: str | None
    seed: int | None
    objective: Objective
    records: list[TrialRecord]
    space: list[tuple[str, dict[str, Any]]]
    roles: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | os.PathLike[str], name: str = "folder") -> SavedSearch:
        """Returns the search in a folder.

        Files that cannot be read are named in warnings, and left out.

        Args:
            folder: The folder.
            name: What it is called in messages.

        Raises:
            TypeError: If it is no path.
            FileNotFoundError: If there is no such folder.
            ValueError: If no search is in it, or no trial has ended.
        """
        if not isinstance(folder, str | os.PathLike):
            raise TypeError(
                f"`{name}` must be a path. {_validation.received(name, folder, True)}"
            )
        if isinstance(folder, str):
            _validation.check_text(name, folder)
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"`{name}` must be the folder of a search, `directory/project_name` of "
                f"its tuner. {_validation.received(name, str(folder))}, where there is "
                "none"
            )
        found = list(records.read_all(folder).values())
        known = {record.trial_id for record in found}
        trials = _trials_in(folder)
        left = [trial for trial in trials if trial.get("trial_id") not in known]
        objective = _objective_of(folder, left) if left else ("score", "min")
        for trial in left:
            found += _record_of(folder, trial, *objective)
        if not found:
            inside = sorted(path.name for path in folder.iterdir())[:8]
            raise ValueError(
                f"`{name}` must be the folder of a search with a trial that has ended, "
                f"`directory/project_name` of its tuner. "
                f"{_validation.received(name, str(folder))}, in which there is "
                f"{', '.join(inside) or 'nothing'}"
            )
        found.sort(key=lambda record: scores.order(record.trial_id))
        search = _read(folder, "search.json")
        try:
            names = dict(search.get("objective") or ())
        except (TypeError, ValueError):
            names = {}
        return cls(
            folder,
            search.get("kind"),
            search.get("seed", found[0].seed),
            Objective(
                found[0].objective,
                found[0].direction,
                names if len(names) > 1 else {},
            ),
            found,
            _space_in(_read(folder, "oracle.json"), trials),
            search["roles"] if isinstance(search.get("roles"), dict) else {},
        )

    def leaderboard(self) -> pd.DataFrame:
        """Returns what the tuner's `leaderboard` does."""
        names = [config["name"] for _, config in self.space]
        return leaderboard.table_of(self.records, self.objective, names)


def rounds_in(folder: str | os.PathLike[str]) -> list[Path]:
    """Returns the folders of a `CoarseToFine` search's rounds; none of another's."""
    rounds = [
        path
        for path in Path(folder).glob("round_*")
        if path.is_dir() and path.name.removeprefix("round_").isdecimal()
    ]
    return sorted(rounds, key=lambda path: int(path.name.removeprefix("round_")))


_RERUN = re.compile(r"trial_([0-9]+)_([0-9]+)_[0-9a-f]+")


def reruns_in(folder: str | os.PathLike[str]) -> dict[str, Reruns]:
    """Returns what `tuner.confirm` trained again, by trial ID: the last time of each.

    Files that cannot be read are left out.
    """
    found: dict[str, Reruns] = {}
    rerun = sorted(Path(folder).glob("reruns/trial_*"), key=os.path.getmtime)
    for path in rerun:
        name = _RERUN.fullmatch(path.name)
        if name is None:
            continue
        trial_id, number = name[1], int(name[2])
        for trial in path.glob("trial_*"):
            try:
                record = TrialRecord.read(trial)
            except errors.DamagedFileError:
                continue
            known = tuple(scores_of(record, number))
            found[trial_id] = Reruns(record.settings, known, number - len(known))
    return found


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not os.path.lexists(folder / name):
        return {}
    try:
        return seals.Seal.of(folder).read(folder / name)
    except errors.DamagedFileError as error:
        warnings.warn(f"Skipped a damaged file: {error}", stacklevel=4)
        return {}


def _trials_in(folder: Path) -> list[dict[str, Any]]:
    """Returns what KerasTuner's files tell of each trial."""
    found, seal = [], seals.Seal.of(folder)
    for path in folder.glob("trial_*/trial.json"):
        try:
            found.append(seal.read(path))
        except errors.DamagedFileError as error:
            warnings.warn(f"Skipped a damaged trial: {error}", stacklevel=4)
    return found


def _space_in(
    oracle: dict[str, Any], trials: list[dict[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    """Returns the hyperparameters that the oracle, or a trial, knows."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for place in (oracle, *trials):
        try:
            for entry in (place.get("hyperparameters") or {}).get("space", ()):
                config = entry["config"]
                key = repr((config["name"], config.get("conditions")))
                found.setdefault(key, (entry["class_name"], config))
        except (AttributeError, KeyError, TypeError):
            warnings.warn("Skipped a damaged space of hyperparameters", stacklevel=4)
    return list(found.values())


# Trials that KerasTuner's own tuners saved, which have no record.


def _record_of(
    folder: Path, trial: dict[str, Any], objective: str, direction: Direction
) -> list[TrialRecord]:
    """Returns a record of a trial, if it has ended."""
    status, score = trial.get("status"), trial.get("score")
    if status not in ("COMPLETED", "FAILED", "INVALID"):
        return []
    ended: Literal["COMPLETED", "FAILED", "INFEASIBLE"] = "FAILED"
    try:
        if status == "COMPLETED":
            ended = "COMPLETED" if scores.is_feasible(score) else "INFEASIBLE"
        return [
            TrialRecord(
                trial_id=str(trial["trial_id"]),
                status=ended,
                objective=objective,
                direction=direction,
                score=score,
                settings=dict(trial["hyperparameters"]["values"]),
                error=records.error_in(trial.get("message")),
            )
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        warnings.warn(
            f"Skipped a damaged trial of {folder}: {trial.get('trial_id')!r} "
            f"({type(error).__name__}: {error})",
            stacklevel=4,
        )
        return []


def _objective_of(folder: Path, trials: list[dict[str, Any]]) -> tuple[str, Direction]:
    """Returns the metric whose values are the scores, which KerasTuner does not save.

    Of several that are, one of the validation.
    """
    agreeing: dict[tuple[str, Direction], None] | None = None
    for trial in trials:
        if trial.get("status") != "COMPLETED":
            continue
        here = _metrics_at_the_score(trial)
        if agreeing is None:
            agreeing = here
        agreeing = {name: None for name in agreeing if name in here}
    names = list(agreeing or ())
    validated = [name for name in names if name[0].startswith("val_")] or names
    if len(validated) != 1:
        told = ", ".join(f"{name} ({way})" for name, way in validated)
        warnings.warn(
            f"Which metric {folder} was searched by is not known for sure: "
            + (f"its scores are those of {told}" if told else "none has its scores")
            + f". Taken: {validated[0] if validated else ('score', 'min')}",
            stacklevel=4,
        )
    return validated[0] if validated else ("score", "min")


def _metrics_at_the_score(trial: dict[str, Any]) -> dict[tuple[str, Direction], None]:
    found: dict[tuple[str, Direction], None] = {}
    try:
        for name, metric in (trial.get("metrics") or {}).get("metrics", {}).items():
            values = [sum(o["value"]) / len(o["value"]) for o in metric["observations"]]
            if trial.get("score") in values:
                found[name, "max" if metric["direction"] == "max" else "min"] = None
    except (AttributeError, KeyError, TypeError, ZeroDivisionError):
        pass  # The trial is named as damaged.
    return found
