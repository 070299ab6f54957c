"""Objectives: whether they are logged, and a trial's score by them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class FitArguments:
    """What `fit` was asked for, as far as its logs depend on it."""

    validated: bool
    validated_each_epoch: bool


def objective_names(objective: Any) -> list[str]:
    """Returns the names of the metrics that make up an objective."""
    several = getattr(objective, "name_to_direction", None)
    return [objective.name] if several is None else list(several)


def compiled_names(model: keras.Model) -> set[str] | None:
    """Returns the names under which a model's training is logged, or None if unknown.

    Several names may stand for one metric: `"acc"` is also listed as `"accuracy"`.
    """
    steps = ("train_step", "test_step", "compute_metrics", "get_metrics_result")
    if any(
        getattr(type(model), step, None) is not getattr(keras.Model, step, None)
        for step in steps
    ):
        return None
    try:
        config = model.get_compile_config()
        known = {metric.name for metric in model.metrics}
    except Exception:
        return None
    if not isinstance(model, keras.Sequential):
        if len(getattr(model, "outputs", None) or ()) != 1:
            return None
    if not config or config.get("weighted_metrics"):
        return None
    if known - {"loss", "compile_metrics"}:
        return None  # Of a layer's own.
    metrics = config.get("metrics") or []
    if not isinstance(metrics, list) or isinstance(config.get("loss"), dict | list):
        loss = config.get("loss")
        if not (isinstance(loss, dict) and "class_name" in loss):
            return None
    names = {"loss"}
    for metric in metrics:
        found = _names_of(metric)
        if found is None:
            return None
        names |= found
    return names


def missing_objective(
    objective: Any, logged: set[str] | None, validated: bool
) -> str | None:
    """Returns the message for an objective that is not among the logged names."""
    if logged is None:
        return None
    if validated:
        logged = logged | {f"val_{name}" for name in logged}
    missing = [name for name in objective_names(objective) if name not in logged]
    return unlogged(missing, logged) if missing else None


def missing_in_result(objective: Any, result: Any) -> str | None:
    """Returns the message for a history that lacks the objective."""
    if not isinstance(result, keras.callbacks.History):
        return None
    return missing_objective(objective, set(result.history), False)


def score_of(result: Any, objective: Any) -> float | None:
    """Returns the objective of one execution: at the best epoch of a history."""
    try:
        if isinstance(result, keras.callbacks.History):
            curves = result.history
            epochs = [
                dict(zip(curves, values, strict=True))
                for values in zip(*curves.values(), strict=True)
            ]
            values = [float(objective.get_value(epoch)) for epoch in epochs]
            best = values[0]
            for value in values[1:]:
                best = value if objective.better_than(value, best) else best
            return best
        if isinstance(result, dict):
            return float(objective.get_value(result))
        return math.nan if result is None else float(result)
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def unlogged(missing: list[str], logged: Any) -> str:
    """Returns the message for metrics that are not among the logged ones."""
    return (
        "`objective` must be among the names that fit logs: "
        f"{', '.join(map(repr, sorted(logged)))}. "
        f"Received: objective={', '.join(map(repr, missing))}"
    )


def _names_of(metric: Any) -> set[str] | None:
    if isinstance(metric, dict) and "class_name" in metric:
        try:
            metric = keras.saving.deserialize_keras_object(metric)
        except Exception:
            return None
    if isinstance(metric, str):
        same = {"acc", "accuracy"}
        names = {metric} | (same if metric in same else set())
        try:
            names.add(keras.metrics.get(metric).name)
        except Exception:
            return names
        return names
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return {name} if isinstance(name, str) else None
