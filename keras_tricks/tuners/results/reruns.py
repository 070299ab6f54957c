"""Chosen settings, trained again with seeds of their own."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from keras_tricks.tuners.results import records


@dataclasses.dataclass(frozen=True)
class Reruns:
    """The scores of several trainings of the same settings.

    Attributes:
        settings: The hyperparameters.
        scores: One score for each training that had one.
        failed: How many had none.
    """

    settings: dict[str, Any]
    scores: tuple[float, ...]
    failed: int = 0

    @property
    def mean(self) -> float:
        """Of the scores; NaN without any."""
        return statistics.fmean(self.scores) if self.scores else float("nan")

    @property
    def deviation(self) -> float:
        """Their standard deviation, with n - 1; NaN for fewer than two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else float("nan")


def scores_of(record: records.TrialRecord, reruns: int) -> list[float]:
    """Returns the score of each rerun that has one: the mean of its folds."""
    found = []
    for number in range(reruns):
        # Each fold is trained on that often before the next.
        folds = record.executions[number::reruns]
        scores = [each.score for each in folds if each.score is not None]
        if folds and len(scores) == len(folds):
            found.append(statistics.fmean(scores))
    return found
