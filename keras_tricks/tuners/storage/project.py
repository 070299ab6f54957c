"""The identity of a search, beside its trials: kind, objective, seed, space, arguments.

`search.json` is written when the first search of a project begins. Whoever resumes the
project is compared with it, so that no leaderboard mixes two searches.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files

SEARCH_FILE = "search.json"

# What becomes of a constructor's argument that is another one when a search is resumed.
# The scores of before would be those of another search:
REFUSED = frozenset(
    {
        *("allow_new_entries", "tune_new_entries", "executions_per_trial"),
        *("optimizer", "loss", "metrics", "splits", "groups", "preprocess"),
        *("num_initial_points", "alpha", "beta", "max_epochs", "factor", "sequence"),
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
        *("distribution_strategy", "overwrite"),
    }
)
# These are compared in ways of their own, or say which project it is.
COMPARED = frozenset({"hypermodel", "hyperparameters", "objective", "seed"})
PLACES = frozenset({"directory", "project_name", "storage", "study_name"})

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
    """

    objective: list[list[str]] | None
    seed: int | None
    space: Space | None
    kind: str | None = None
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        files.write_json(folder / SEARCH_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Identity | None:
        """Returns what a folder's search is, or None where that is not known."""
        path = folder / SEARCH_FILE
        if not path.exists():
            return None
        try:
            return files.read_json(path, cls)
        except errors.DamagedFileError as error:
            warnings.warn(
                f"{error}. Whether this is the same search is not checked.",
                stacklevel=2,
            )
            return None

    def differences(self, now: Identity) -> list[str]:
        """Returns one line for each difference, seen from what was saved."""
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
            lines += space_differences(self.space, now.space)
        for name, saved in self.arguments.items():
            if name in now.arguments:
                lines += _argument_differences(name, saved, now.arguments[name])
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
    return {name: _as_json(value) for name, value in sorted(found.items())}


def _as_json(value: Any) -> Any:
    """Returns what is equal for equal values, in any process, and can be written."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, keras.optimizers.Optimizer | keras.Loss | keras.Metric):
        config = keras.saving.serialize_keras_object(value)
        if isinstance(value, keras.Loss):
            # Their configurations leave numbers out.
            config = {**config, "attributes": _plain(vars(value))}
        return _without_numbers(json.loads(json.dumps(config)))
    if isinstance(value, dict):
        return {str(key): _as_json(each) for key, each in value.items()}
    if _is_array(value) or _holds_arrays(value):
        arrays = [np.asarray(each) for each in keras.tree.flatten(value)]
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(repr(array.tolist()).encode())
        return f"{len(arrays)} arrays, SHA-256 {digest.hexdigest()[:12]}"
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return f"{value.__module__}.{name}"
    text = repr(value)
    # By its address an object is another one in each process.
    return type(value).__qualname__ if " at 0x" in text else text


def _without_numbers(config: Any) -> Any:
    """Returns the config of a Keras object without the numbers that Keras gives.

    The third `SGD` of a process is called `"sgd_2"`.
    """
    if isinstance(config, list):
        return [_without_numbers(each) for each in config]
    if not isinstance(config, dict):
        return config
    found = {key: _without_numbers(value) for key, value in config.items()}
    if isinstance(found.get("name"), str):
        found["name"] = re.sub(r"_\d+$", "", found["name"])
    return found


def _holds_arrays(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(
        map(_is_array, keras.tree.flatten(value))
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Returns those of some values that JSON can hold."""
    return {
        name: _plain(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if value is None or isinstance(value, bool | int | float | str | dict)
    }


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


def _argument_differences(name: str, saved: Any, now: Any) -> list[str]:
    """Returns one line for each place in which two values of an argument differ."""
    if saved == now:
        return []
    if isinstance(saved, dict) and isinstance(now, dict):
        return [
            line
            for key in {**saved, **now}
            for line in _argument_differences(
                f"{name} {key}", saved.get(key), now.get(key)
            )
        ]
    return [f"{name}: saved {saved!r}, now {now!r}"]


def _changes(saved: dict[str, Any], now: dict[str, Any]) -> str:
    keys = [key for key in {**saved, **now} if saved.get(key) != now.get(key)]
    return ", ".join(
        f"{key} saved {saved.get(key)!r}, now {now.get(key)!r}" for key in keys
    )


def _objective_text(objective: list[list[str]] | None) -> str:
    return " + ".join(f"{name!r} ({way})" for name, way in objective or ())


def _sorted(configs: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(config, sort_keys=True) for config in configs)
