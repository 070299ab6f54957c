"""Confirmation of the winner: better than the next, or only luckier."""

from __future__ import annotations

import dataclasses
import html
import math
from typing import Any

from keras_tricks import _validation
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.results.reruns import Reruns

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """What `tuner.confirm` found. `print` shows it.

    Attributes:
        reruns: The best trials, trained again, in the order of the search.
        trial_ids: Their IDs.
        searched: Their scores in the search, whose best are also the luckiest.
        baseline: The score to beat, or None.
        direction: `"min"` or `"max"`.
        objective: The name of the score.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import RandomSearch
    >>> class Noisy(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", 0.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         noise = keras.random.normal(())
    ...         return hp.get("x") + 0.001 * float(noise)
    >>> tuner = RandomSearch(
    ...     Noisy(), max_trials=5, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> confirmation = tuner.confirm(top=2, reruns=3)
    >>> [len(reruns.scores) for reruns in confirmation.reruns]
    [3, 3]
    >>> confirmation.beats_second
    True
    """

    reruns: tuple[Reruns, ...]
    trial_ids: tuple[str, ...]
    searched: tuple[float, ...]
    baseline: float | None
    direction: str
    objective: str

    @property
    def beats_second(self) -> bool | None:
        """Whether the first is better than the second beyond the spread.

        None where there is no second, or one of the two was trained less than twice.
        """
        if len(self.reruns) < 2:
            return None
        return is_better(self.reruns[0], self.reruns[1].scores, self.direction)

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the first is better than the baseline beyond its spread."""
        if self.baseline is None:
            return None
        return is_better(self.reruns[0], (self.baseline,), self.direction)

    def _repr_html_(self) -> str:
        cells = [
            (
                html.escape(trial_id),
                f"{searched:.4g}",
                f"{again.mean:.4g}",
                f"{again.deviation:.2g}",
                f"{len(again.scores)}",
                f"{again.failed}",
            )
            for trial_id, searched, again in zip(
                self.trial_ids, self.searched, self.reruns, strict=True
            )
        ]
        names = ("trial", "in the search", "mean", "deviation", "reruns", "failed")
        head = "".join(f"<th>{name}</th>" for name in names)
        rows = "".join(
            f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells
        )
        verdicts = "".join(f"<p>{html.escape(line)}</p>" for line in self._verdicts())
        return (
            f"<table><caption>{html.escape(self.objective)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{verdicts}"
        )

    def __str__(self) -> str:
        lines = [
            f"trial {trial_id}: {self.objective} {searched:.4g} in the search, "
            f"{again.mean:.4g} +- {again.deviation:.2g} in {len(again.scores)} reruns"
            + (f", {again.failed} without a score" if again.failed else "")
            for trial_id, searched, again in zip(
                self.trial_ids, self.searched, self.reruns, strict=True
            )
        ]
        return "\n".join([*lines, *self._verdicts()])

    def _verdicts(self) -> list[str]:
        lines = []
        verdicts = {
            True: "beats",
            False: "does not beat",
            None: "cannot be held against",
        }
        if len(self.reruns) > 1:
            lines.append(
                f"The first {verdicts[self.beats_second]} the second beyond the spread."
            )
        if self.baseline is not None:
            lines.append(
                f"The first {verdicts[self.beats_baseline]} the baseline of "
                f"{self.baseline:.4g} beyond the spread."
            )
        return lines


def confirm(
    tuner: Any,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
    *,
    top: int = 3,
    reruns: int = 5,
    baseline: float | None = None,
) -> Confirmation:
    """Trains the `top` trials of a search again, `reruns` times each.

    Raises:
        ValueError: If `top` is below 1, `reruns` below 2, or no trial has a score.
        RuntimeError: If a training ends with an error.
    """
    top = _validation.check_int("top", top, minimum=1)
    reruns = _validation.check_int("reruns", reruns, minimum=2)
    if baseline is not None:
        baseline = _validation.check_float(
            "baseline", baseline, minimum=-_validation.GREATEST
        )
    best = best_records(tuner)[:top]
    if not best:
        raise ValueError("There is no trial with a score to confirm: search first.")
    found = [
        tuner._rerun(
            record,
            reruns,
            name=f"trial_{record.trial_id}",
            fit_args=fit_args,
            fit_kwargs=fit_kwargs,
        )
        for record in best
    ]
    return Confirmation(
        tuple(found),
        tuple(record.trial_id for record in best),
        tuple(record.known_score for record in best),
        baseline,
        tuner.oracle.objective.direction,
        tuner.oracle.objective.name,
    )


def best_records(tuner: Any) -> list[records.TrialRecord]:
    """Returns the records of the trials with a score, best first."""
    scored = [r for r in tuner._ended_records() if r.status == records.COMPLETED]
    return scores.best_first(scored, tuner.oracle.objective.direction)


def is_better(first: Reruns, second: tuple[float, ...], direction: str) -> bool | None:
    """Whether `first` has the better mean, at a confidence of 95 %.

    Welch's one-sided t-test; a single score in `second` is taken as exact.

    Returns:
        None with fewer than two scores in `first`.
    """
    from scipy import stats

    if len(first.scores) < 2 or not second:
        return None
    sign = -scores.sign(direction)
    ours, theirs = [sign * s for s in first.scores], [sign * s for s in second]
    gain = sum(ours) / len(ours) - sum(theirs) / len(theirs)
    if len(set(ours)) == 1 and len(set(theirs)) == 1:
        return gain > 0  # No spread at all, of which the test makes NaN.
    if len(theirs) == 1:
        p = stats.ttest_1samp(ours, theirs[0], alternative="greater").pvalue
    else:
        test = stats.ttest_ind(ours, theirs, equal_var=False, alternative="greater")
        p = test.pvalue
    return bool(math.isfinite(p) and p < 1 - CONFIDENCE)
