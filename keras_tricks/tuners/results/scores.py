"""Scores and trial IDs, for the oracle and for the records alike."""

import math
from typing import Any


def is_feasible(score: float | None) -> bool:
    """Whether a score is a number: neither missing nor NaN nor infinite."""
    return score is not None and math.isfinite(score)


def sign(direction: str) -> float:
    """Returns the factor by which of two scores the smaller one is the better."""
    return -1.0 if direction == "max" else 1.0


def best_first(trials: list[Any], direction: str) -> list[Any]:
    """Returns trials, or records, that have a `score`; equal ones in their order."""
    factor = sign(direction)
    return sorted(trials, key=lambda trial: factor * trial.score)


def order(trial_id: str) -> tuple[int, str]:
    """Sorting key: KerasTuner pads IDs to the width of `max_trials`, which may grow."""
    return (int(trial_id), "") if trial_id.isdecimal() else (0, trial_id)
