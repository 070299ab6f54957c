"""The identity of a search, beside its trials: kind, objective, seed, space, arguments.

`search.json` is written when the first search of a project begins. Whoever resumes the
project is compared with it, so that no leaderboard mixes two searches.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from pathlib import Path
from typing import Any
from typing import Literal

from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import fingerprints
from keras_tricks.tuners.storage import seals

SEARCH_FILE = "search.json"

# What becomes of a constructor's argument that is another one when a search is resumed.
# The scores of before would be those of another search:
REFUSED = frozenset(
    {
        *("allow_new_entries", "tune_new_entries", "executions_per_trial"),
        *("optimizer", "loss", "metrics", "splits", "groups", "preprocess"),
        *("num_initial_points", "alpha", "beta", "engine"),
        *("max_epochs", "factor", "sequence"),
        # Of `CoarseToFine`, whose rounds follow from each other.
        *("tuner", "trials_per_round", "quantile", "importance_threshold", "limits"),
        *("subset", "first_round", "agreement_trials"),
    }
)
# It holds from now on, or is no part of what is searched:
TAKEN = frozenset(
    {
        *("max_trials", "hyperband_iterations", "rounds", "reruns"),
        *("max_retries_per_trial", "max_consecutive_failed_trials"),
        *("max_model_size", "parameter_budget", "sampler", "pruner", "lease_seconds"),
        *("keep_checkpoints", "packed_trials", "reuse_programs", "logger", "tuner_id"),
        # But for what they fix, which is in the space.
        "roles",
        *("distribution_strategy", "overwrite"),
    }
)
# These are compared in ways of their own, or say which project it is.
COMPARED = frozenset({"hypermodel", "hyperparameters", "objective", "seed"})
PLACES = frozenset({"directory", "project_name", "storage", "study_name"})

# Names and directions, in order.
Objectives = list[tuple[str, Literal["min", "max"]]]
# A hyperparameter's class and configuration, under its name. One name may stand for
# several, under different conditions.
Space = dict[str, list[dict[str, Any]]]


@dataclasses.dataclass
class Identity:
    """What must not change while a project lives.

    Attributes:
        objective: Names and directions, in order.
        seed: Of the search. None: whatever the project has.
        space: The hyperparameters that are known before the first trial. None: not
            known, as in a project of KerasTuner's own tuners.
        kind: The tuner, by its class in this package; None: not known.
        arguments: Those of its constructor that are `REFUSED`; see `arguments_of`.
        roles: What hyperparameters are to the search. Other ones change no trial, but
            for what is fixed, which is in the space.
    """

    objective: Objectives | None
    seed: int | None
    space: Space | None
    kind: str | None = None
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    roles: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        files.write_json(folder / SEARCH_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Identity | None:
        """Returns what a folder's search is, or None where that is not known."""
        path = folder / SEARCH_FILE
        if not os.path.lexists(path):
            return None
        try:
            return seals.Seal.of(folder).read(path, cls)
        except errors.DamagedFileError as error:
            warnings.warn(
                f"{error}. Whether this is the same search is not checked.",
                stacklevel=2,
            )
            return None

    def differences(self, now: Identity, *, may_grow: bool = False) -> list[str]:
        """Returns one line for each difference, seen from what was saved.

        Args:
            now: What is to go on.
            may_grow: Whether it may know hyperparameters that were not saved.
        """
        lines = []
        if None not in (self.kind, now.kind) and self.kind != now.kind:
            lines.append(f"kind of search: saved {self.kind}, now {now.kind}")
        if self.objective is not None and self.objective != now.objective:
            lines.append(
                f"objective: saved {_objective_text(self.objective)}, "
                f"now {_objective_text(now.objective)}"
            )
        if None not in (self.seed, now.seed) and self.seed != now.seed:
            lines.append(f"seed: saved {self.seed}, now {now.seed}")
        if self.space is not None and now.space is not None:
            lines += space_differences(self.space, now.space, may_grow=may_grow)
        for name, saved in self.arguments.items():
            if name in now.arguments:
                lines += fingerprints.differences(name, saved, now.arguments[name])
        return lines


def kind_of(tuner: Any) -> str | None:
    """Returns the class of this package that a tuner is, or is derived from."""
    package = __name__.partition(".")[0]
    for cls in type(tuner).__mro__:
        if cls.__module__.partition(".")[0] == package:
            return cls.__name__
    return None


def arguments_of(oracle: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the `REFUSED` arguments of a tuner, as JSON has them.

    Args:
        oracle: The tuner's oracle, whose attributes are called as the arguments.
        given: The arguments that the tuner keeps itself.
    """
    found = {name: vars(oracle)[name] for name in REFUSED & vars(oracle).keys()}
    found |= {name: given[name] for name in REFUSED & given.keys()}
    return {
        name: fingerprints.described(value) for name, value in sorted(found.items())
    }


def objective_of(objective: Any) -> Objectives:
    """Returns names and directions of a KerasTuner objective."""
    several = getattr(objective, "name_to_direction", None)
    if several is None:
        several = {objective.name: objective.direction}
    return [*several.items()]


def space_of(hyperparameters: Any) -> Space:
    """Returns the space of `keras_tuner.HyperParameters` as JSON would."""
    space: Space = {}
    for parameter in hyperparameters.space:
        space.setdefault(parameter.name, []).append(configuration(parameter))
    return space


def configuration(parameter: Any) -> dict[str, Any]:
    """Returns the class and configuration of a hyperparameter, as JSON would."""
    config = {"type": type(parameter).__name__, **parameter.get_config()}
    del config["name"]
    return json.loads(json.dumps(config))


def space_differences(saved: Space, now: Space, *, may_grow: bool = False) -> list[str]:
    """Returns one line for each hyperparameter that has changed, is gone or is new."""
    new = [] if may_grow else [name for name in now if name not in saved]
    lines = [f"hyperparameter {name!r}: new, was not saved" for name in new]
    for name, configs in saved.items():
        others = now.get(name)
        if others is None:
            lines.append(f"hyperparameter {name!r}: saved, now gone")
        elif len(configs) == len(others) == 1 and configs != others:
            lines.append(range_difference(name, configs[0], others[0]))
        elif _sorted(configs) != _sorted(others):
            lines.append(f"hyperparameter {name!r}: saved {configs}, now {others}")
    return lines


def range_difference(name: str, saved: dict[str, Any], now: dict[str, Any]) -> str:
    """Returns the line for a hyperparameter whose configuration has changed."""
    keys = [key for key in {**saved, **now} if saved.get(key) != now.get(key)]
    changes = (f"{key} saved {saved.get(key)!r}, now {now.get(key)!r}" for key in keys)
    return f"hyperparameter {name!r}: {', '.join(changes)}"


def refusal(folder: Path, differences: list[str]) -> ValueError:
    """Returns the error for a project that is not the search that resumes it."""
    lines = "\n".join(f"  {line}" for line in differences)
    return ValueError(
        f"{folder} holds trials of another search:\n{lines}\n"
        "Pass another `project_name`, or overwrite=True to delete those trials."
    )


def _objective_text(objective: Objectives | None) -> str:
    return " + ".join(f"{name!r} ({way})" for name, way in objective or ())


def _sorted(configs: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(config, sort_keys=True) for config in configs)
