"""Decisions on each hyperparameter for the next round of a search."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras_tuner

from keras_tricks.tuners import seeds
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space import scales

# What is added around the best trials, on the scale of a range from 0 to 1.
MARGIN = 0.1


@dataclasses.dataclass(frozen=True)
class Importance:
    """How much a hyperparameter explains of the scores.

    Attributes:
        mean: Mean decrease of the explained variance when its values are permuted.
        deviation: Standard deviation of that over samples of the trials.
    """

    mean: float
    deviation: float

    @property
    def upper(self) -> float:
        """What it is below with some certainty: two deviations above the mean."""
        return self.mean + 2 * self.deviation

    def __str__(self) -> str:
        return f"importance {self.mean:.2f} +- {self.deviation:.2f}"


@dataclasses.dataclass(frozen=True)
class Decision:
    """What becomes of one hyperparameter.

    Attributes:
        name: The hyperparameter's.
        action: `"narrow"`, `"expand"`, `"fix"` or `"keep"`.
        entry: Its entry in the next space, as in `HyperParameters.get_config()`.
        reason: In words and numbers.
    """

    name: str
    action: str
    entry: dict[str, Any]
    reason: str

    def __str__(self) -> str:
        return f"{self.action} {self.name}: {self.reason}"


def importances(
    space: list[Any],
    settings: list[dict[str, Any]],
    scores: list[float],
    seed: int,
    samples: int = 20,
) -> dict[str, Importance]:
    """Returns the permutation importance of each hyperparameter that was varied.

    A forest of extremely randomized trees is fitted to the ranks of the scores, in
    samples of the trials drawn with replacement, and judged on the trials that the
    sample left out. By ranks, a few settings that fail badly do not hide what the
    others differ in.

    Args:
        space: The hyperparameters.
        settings: The active values of each trial.
        scores: The trials' scores.
        seed: Seed of the samples and the forests.
        samples: How many samples.
    """
    import numpy as np
    from scipy import stats
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.inspection import permutation_importance

    varied = [hp for hp in space if len({repr(_value(hp, s)) for s in settings}) > 1]
    if not varied or len(scores) < 4:
        return {}
    x = np.array([[position(hp, _value(hp, s)) for hp in varied] for s in settings])
    y = stats.rankdata(scores)
    generator = np.random.default_rng(seeds.derived_seed(seed, "importances"))
    found = []
    for _ in range(samples):
        drawn = generator.integers(len(y), size=len(y))
        left = np.setdiff1d(np.arange(len(y)), drawn)
        if len(left) < 2 or np.ptp(y[left]) == 0:
            continue
        state = int(generator.integers(2**31))
        forest = ExtraTreesRegressor(n_estimators=60, random_state=state)
        forest.fit(x[drawn], y[drawn])
        permuted = permutation_importance(
            forest, x[left], y[left], n_repeats=5, random_state=state
        )
        found.append(permuted.importances_mean)
    if len(found) < 2:
        return {}
    means, deviations = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    # Of the mean over the samples, hence with the root of their number.
    errors = deviations / math.sqrt(len(found))
    return {
        hp.name: Importance(float(mean), float(error))
        for hp, mean, error in zip(varied, means, errors, strict=True)
    }


def position(hp: Any, value: Any) -> float:
    """Returns where a value lies in its range, 0 to 1 on its scale; -1 if inactive."""
    if value is None:
        return -1.0
    if isinstance(hp, keras_tuner.engine.hyperparameters.Choice):
        return hp.values.index(value) / max(1, len(hp.values) - 1)
    if isinstance(hp, keras_tuner.engine.hyperparameters.Boolean):
        return float(value)
    if not hasattr(hp, "min_value") or hp.max_value == hp.min_value:
        return 0.5
    low, high = scales.scaled(hp, hp.min_value), scales.scaled(hp, hp.max_value)
    return (scales.scaled(hp, value) - low) / (high - low)


def _has(hp: Any, settings: dict[str, Any]) -> bool:
    """Whether settings have a value of `hp`, and not of another of the same name."""
    return hp.name in settings and points.is_active(hp, settings)


def _value(hp: Any, settings: dict[str, Any]) -> Any:
    return settings[hp.name] if _has(hp, settings) else None


def decide(
    hp: Any,
    best: list[dict[str, Any]],
    importance: Importance | None,
    threshold: float,
    limits: tuple[float, float] | None = None,
) -> Decision:
    """Returns what becomes of `hp` after a round.

    Args:
        hp: The KerasTuner hyperparameter, with the range of the round.
        best: The settings of the best quantile of all trials, best first.
        importance: What it explains, or None where that is not known.
        threshold: The importance below which it is fixed.
        limits: The least and the largest value to which a range may be expanded.
    """
    entry = {"class_name": type(hp).__name__, "config": hp.get_config()}
    values = [s[hp.name] for s in best if _has(hp, s)]
    if type(hp).__name__ == "Fixed" or not values:
        return Decision(hp.name, "keep", entry, "nothing was learned about it")
    if importance is not None and importance.upper < threshold:
        fixed = {
            "name": hp.name,
            "value": values[0],
            "conditions": entry["config"]["conditions"],
        }
        return Decision(
            hp.name,
            "fix",
            {"class_name": "Fixed", "config": fixed},
            f"at {_text(values[0])}, {importance} is below {threshold:g}",
        )
    known = f", {importance}" if importance is not None else ""
    if not hasattr(hp, "min_value"):
        return _narrowed_choice(hp, entry, values, known)
    return _new_range(hp, entry, values, known, limits)


def _narrowed_choice(hp: Any, entry: dict, values: list[Any], known: str) -> Decision:
    everything = [False, True] if type(hp).__name__ == "Boolean" else list(hp.values)
    kept = [value for value in everything if value in values]
    if len(kept) == len(everything):
        return Decision(
            hp.name, "keep", entry, f"all its values are among the best{known}"
        )
    if len(kept) == 1:
        config = {
            "name": hp.name,
            "value": kept[0],
            "conditions": entry["config"]["conditions"],
        }
        entry = {"class_name": "Fixed", "config": config}
        reason = f"at {_text(kept[0])}, which all of the best trials have{known}"
        return Decision(hp.name, "fix", entry, reason)
    config = {**entry["config"], "values": kept}
    if config.get("default") not in kept:
        config["default"] = values[0]
    reason = f"to {', '.join(map(_text, kept))}, the values of the best trials{known}"
    return Decision(hp.name, "narrow", {**entry, "config": config}, reason)


def _new_range(
    hp: Any,
    entry: dict,
    values: list[float],
    known: str,
    limits: tuple[float, float] | None,
) -> Decision:
    low, high = scales.scaled(hp, hp.min_value), scales.scaled(hp, hp.max_value)
    width = high - low
    if width == 0:
        return Decision(hp.name, "keep", entry, "its range has one value")
    places = [(scales.scaled(hp, value) - low) / width for value in values]
    start = max(0.0, min(places) - MARGIN)
    end = min(1.0, max(places) + MARGIN)
    action, why = "narrow", f"the best {len(values)} trials lie there"
    if places[0] <= scales.EDGE or places[0] >= 1 - scales.EDGE:
        if places[0] <= scales.EDGE:
            start, edge = -0.5, "lower"
        else:
            end, edge = 1.5, "upper"
        action, why = (
            "expand",
            f"the best trial, {_text(values[0])}, is at the {edge} edge",
        )
    least, largest = limits or scales.natural_limits(hp)
    new_low = max(scales.unscaled(hp, low + start * width), least)
    new_high = min(scales.unscaled(hp, low + end * width), largest)
    if start >= 0:
        new_low = max(new_low, hp.min_value)
    if end <= 1:
        new_high = min(new_high, hp.max_value)
    new_low, new_high = scales.on_the_grid(hp, new_low, new_high)
    if (new_low, new_high) == (hp.min_value, hp.max_value):
        reason = f"{why}, but the range cannot grow" if action == "expand" else why
        return Decision(hp.name, "keep", entry, f"{reason}{known}")
    if action == "expand" and not (new_low < hp.min_value or new_high > hp.max_value):
        action = "narrow"
        why += ", beyond which it cannot grow"
    config = {**entry["config"], "min_value": new_low, "max_value": new_high}
    default = config.get("default")
    if default is None or not new_low <= default <= new_high:
        config["default"] = min(max(values[0], new_low), new_high)
    reason = (
        f"from {_text(hp.min_value)} .. {_text(hp.max_value)} to "
        f"{_text(new_low)} .. {_text(new_high)}, {why}{known}"
    )
    return Decision(hp.name, action, {**entry, "config": config}, reason)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
