"""Rank agreement: whether a cheap search orders settings as the full one does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_tricks import _validation
from keras_tricks.analysis.finished import finished_trials

# Fewer pairs tell nothing: the deviation below would be infinite.
_LEAST = 5


@dataclasses.dataclass(frozen=True)
class RankAgreement:
    """What `rank_agreement` found. `print` shows it.

    Attributes:
        tau: Kendall's tau-b: 1 for the same order, 0 for none in common, -1 for the
            reverse.
        low: The lower end of its interval.
        high: The upper end.
        confidence: Of the interval.
        best_kept: Of the best tenth of the full scores (at least one), the share that
            is among the best third of the cheap ones.
        table: A frame of the pairs, `cheap` and `full`, the best by `full` first.

    Example:

    >>> from keras_tricks.analysis import rank_agreement
    >>> print(rank_agreement([1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 5, 6]))
    tau 0.87 (95 % between 0.38 and 0.98) over 6 pairs; 100 % of the best are kept
    """

    tau: float
    low: float
    high: float
    confidence: float
    best_kept: float
    table: pd.DataFrame

    def __str__(self) -> str:
        return (
            f"tau {self.tau:.2f} ({self.confidence:.0%} between {self.low:.2f} and "
            f"{self.high:.2f}) over {len(self.table)} pairs; {self.best_kept:.0%} of "
            "the best are kept"
        ).replace("%", " %")


def rank_agreement(cheap: Any, full: Any, *, confidence: float = 0.95) -> RankAgreement:
    """Returns how well cheap scores order what full ones are known of.

    Before a search on a sample of the rows, or with few epochs, is trusted: train some
    settings both ways. Kendall's tau-b is

    `tau = (C - D) / sqrt((n0 - n1) * (n0 - n2))`

    with the concordant pairs `C`, the discordant ones `D`, `n0 = n * (n - 1) / 2` and
    the pairs `n1`, `n2` that are tied in either. Its interval is that of
    `artanh(tau)`, whose variance is about `0.437 / (n - 4)` (Fieller,
    Hartley and Pearson); an order that agrees wholly counts as one that is half a pair
    short of it.

    Args:
        cheap: Scores, in an order; or a dictionary or series from a setting's name to
            its score; or a tuner or an Optuna study, whose trials are found by their
            settings. Where two searches are given, better is what each calls better.
        full: The same of full trainings.
        confidence: Of the interval, between 0 and 1.

    Returns:
        A `RankAgreement`.

    Raises:
        TypeError: If one of them is nothing of the kind.
        ValueError: If fewer than five pairs are left, or all scores of one are equal.

    Example:

    >>> from keras_tricks.analysis import rank_agreement
    >>> after_2_epochs = {"a": 0.9, "b": 0.7, "c": 0.8, "d": 0.4, "e": 0.5}
    >>> after_50 = {"a": 0.5, "b": 0.3, "c": 0.4, "d": 0.2, "e": 0.1}
    >>> agreement = rank_agreement(after_2_epochs, after_50)
    >>> round(agreement.tau, 2)
    0.8

    Reference:
        Fieller, Hartley and Pearson, "Tests for Rank Correlation Coefficients I", 1957.
    """
    from scipy import stats

    confidence = _validation.check_float(
        "confidence", confidence, exclusive=True, below=1.0
    )
    one, other = _keyed("cheap", cheap), _keyed("full", full)
    if not _has_names(cheap) and not _has_names(full) and len(one) != len(other):
        raise ValueError(
            "`cheap` and `full` must be as many scores, in one order, or have names. "
            f"Received: {len(one)} and {len(other)}"
        )
    names = [name for name in other if name in one]
    table = pd.DataFrame(
        {"cheap": [one[n] for n in names], "full": [other[n] for n in names]}, names
    )
    table = table[np.isfinite(table).all(axis=1)]
    count = len(table)
    if count < _LEAST:
        raise ValueError(
            f"`cheap` and `full` must have {_LEAST} finite scores in common. Received: "
            f"{count}, of {len(one)} and {len(other)}"
        )
    for name in table:
        if table[name].nunique() == 1:
            raise ValueError(
                f"`{name}` must hold scores that differ. Received: {count} times "
                f"{table[name].iloc[0]}"
            )
    tau = round(float(stats.kendalltau(table["cheap"], table["full"]).statistic), 12)
    pairs = count * (count - 1) / 2
    within = np.clip(tau, -1.0 + 0.5 / pairs, 1.0 - 0.5 / pairs)
    reach = stats.norm.ppf(0.5 + confidence / 2) * math.sqrt(0.437 / (count - 4))
    low, high = (math.tanh(math.atanh(within) + s * reach) for s in (-1.0, 1.0))
    table = table.sort_values("full", kind="stable")
    best = table["cheap"].rank(method="min") <= math.ceil(count / 3)
    return RankAgreement(
        tau=tau,
        low=min(low, tau),
        high=max(high, tau),
        confidence=confidence,
        best_kept=float(best.iloc[: math.ceil(count / 10)].mean()),
        table=table,
    )


def _is_search(scores: Any) -> bool:
    return hasattr(scores, "oracle") or hasattr(scores, "get_trials")


def _has_names(scores: Any) -> bool:
    return isinstance(scores, pd.Series | Mapping) or _is_search(scores)


def _keyed(name: str, scores: Any) -> dict[Any, float]:
    """Returns what each score belongs to, and the score; of searches less is better."""
    if _is_search(scores):
        trials = finished_trials(scores)
        keys = [repr(sorted(each.items())) for each in trials.settings]
        return dict(zip(keys, trials.losses.tolist(), strict=True))
    if isinstance(scores, pd.Series):
        twice = scores.index[scores.index.duplicated()].tolist()
        if twice:
            raise ValueError(
                f"`{name}` must have one score of each name. Received: several of "
                f"{_validation.shown(twice[0])}"
            )
        scores = scores.to_dict()
    if not isinstance(scores, Mapping):
        if isinstance(scores, str) or not hasattr(scores, "__len__"):
            raise TypeError(
                f"`{name}` must be scores, a dictionary or series of them, a tuner or "
                f"an Optuna study. {_validation.received(name, scores, True)}"
            )
        array = np.asarray(scores)
        if array.ndim != 1:
            raise ValueError(
                f"`{name}` must be one score after another. Received: an array of the "
                f"shape {array.shape}"
            )
        scores = dict(enumerate(array))
    try:
        return {key: float(value) for key, value in scores.items()}
    except (TypeError, ValueError):
        raise TypeError(
            f"`{name}` must hold numbers. {_validation.received(name, scores)}"
        ) from None
