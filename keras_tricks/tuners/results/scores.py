"""Scores and trial IDs, for the oracle and for the records alike."""

import math


def is_feasible(score: float | None) -> bool:
    """Whether a score is a number: neither missing nor NaN nor infinite."""
    return score is not None and math.isfinite(score)


def order(trial_id: str) -> tuple[int, str]:
    """Sorting key: KerasTuner pads IDs to the width of `max_trials`, which may grow."""
    return (int(trial_id), "") if trial_id.isdecimal() else (0, trial_id)
