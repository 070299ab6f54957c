"""Running trials that the study's pruner has ended."""

from __future__ import annotations

from typing import Any


class Pruning:
    """Asks the pruner after each epoch of a trial's first execution.

    The later executions end after the same epoch, so that their mean is of equals.
    """

    def __init__(self) -> None:
        # Trial ID -> the next epoch of the first execution; None: it has ended.
        self._next: dict[str, int | None] = {}
        # Trial ID -> the last epoch.
        self._last: dict[str, int] = {}

    def begin(self, trial_id: str) -> None:
        """Forgets an earlier attempt at a trial."""
        self._next[trial_id] = 0
        self._last.pop(trial_id, None)

    def report(
        self, shared: Any, entry: Any, trial_id: str, epoch: int, score: float
    ) -> bool:
        """Tells the study an epoch's score. Returns whether the trial shall end now.

        Args:
            shared: The `StudyTrials`.
            entry: The study's entry of the trial.
            trial_id: The trial.
            epoch: From 0.
            score: The objective.
        """
        if trial_id in self._last:
            return epoch >= self._last[trial_id]
        expected = self._next.get(trial_id, 0)
        if expected is None or epoch < expected:
            self._next[trial_id] = None
            return False
        self._next[trial_id] = epoch + 1
        shared.report(entry, epoch, score)
        if not shared.should_prune(entry):
            return False
        self._last[trial_id] = epoch
        return True

    def pruned_after(self, trial_id: str) -> int | None:
        """Returns how many epochs a pruned trial had, or None."""
        last = self._last.get(trial_id)
        return None if last is None else last + 1
