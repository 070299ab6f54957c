"""What a search is: its objective, its seed and its space, kept beside its trials.

`search.json` is written when the first search of a project begins. Whoever resumes the
project is compared with it, so that no leaderboard mixes two searches.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

from keras_tricks.tuners import store

SEARCH_FILE = "search.json"

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
    """

    objective: list[list[str]] | None
    seed: int | None
    space: Space | None

    def write(self, folder: Path) -> None:
        store.write_json(folder / SEARCH_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Identity | None:
        """Returns what a folder's search is, or None where that is not known."""
        path = folder / SEARCH_FILE
        if not path.exists():
            return None
        try:
            return cls(**store.read_json(path))
        except (store.DamagedFileError, TypeError) as error:
            warnings.warn(
                f"{error}. Whether this is the same search is not checked.",
                stacklevel=2,
            )
            return None

    def differences(self, now: Identity) -> list[str]:
        """Returns one line for each difference, seen from what was saved."""
        lines = []
        if self.objective is not None and self.objective != now.objective:
            lines.append(
                f"objective: saved {_objective_text(self.objective)}, "
                f"now {_objective_text(now.objective)}"
            )
        if None not in (self.seed, now.seed) and self.seed != now.seed:
            lines.append(f"seed: saved {self.seed}, now {now.seed}")
        if self.space is not None and now.space is not None:
            lines += space_differences(self.space, now.space)
        return lines


def objective_of(objective: Any) -> list[list[str]]:
    """Returns names and directions of a KerasTuner objective."""
    several = getattr(objective, "name_to_direction", None)
    if several is None:
        several = {objective.name: objective.direction}
    return [[name, direction] for name, direction in several.items()]


def space_of(hyperparameters: Any) -> Space:
    """Returns the space of `keras_tuner.HyperParameters` as JSON would."""
    space: Space = {}
    for entry in json.loads(json.dumps(hyperparameters.get_config()))["space"]:
        config = {"type": entry["class_name"], **entry["config"]}
        space.setdefault(config.pop("name"), []).append(config)
    return space


def space_differences(saved: Space, now: Space) -> list[str]:
    """Returns one line for each hyperparameter that has changed or is gone."""
    lines = []
    for name, configs in saved.items():
        others = now.get(name)
        if others is None:
            lines.append(f"hyperparameter {name!r}: saved, now gone")
        elif len(configs) == len(others) == 1 and configs != others:
            lines.append(f"hyperparameter {name!r}: {_changes(configs[0], others[0])}")
        elif _sorted(configs) != _sorted(others):
            lines.append(f"hyperparameter {name!r}: saved {configs}, now {others}")
    return lines


def refusal(folder: Path, differences: list[str]) -> ValueError:
    """Returns the error for a project that is not the search that resumes it."""
    lines = "\n".join(f"  {line}" for line in differences)
    return ValueError(
        f"{folder} holds trials of another search:\n{lines}\n"
        "Pass another `project_name`, or overwrite=True to delete those trials."
    )


def _changes(saved: dict[str, Any], now: dict[str, Any]) -> str:
    keys = [key for key in {**saved, **now} if saved.get(key) != now.get(key)]
    return ", ".join(
        f"{key} saved {saved.get(key)!r}, now {now.get(key)!r}" for key in keys
    )


def _objective_text(objective: list[list[str]] | None) -> str:
    return " + ".join(f"{name!r} ({way})" for name, way in objective or ())


def _sorted(configs: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(config, sort_keys=True) for config in configs)
