"""Saturation of a search: what as many trials again would gain."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import numpy as np
import pandas as pd

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks.analysis.extremes import expected_best
from keras_tricks.analysis.finished import finished_trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_TRIALS = 16
_RESAMPLES = 200
# By no smaller factor do gains shrink from one doubling of the trials to the next.
_LEAST_RATIO = 0.25
# Where no noise is known: a gain below this share of what the search has gained so far.
_SMALL = 0.02


@dataclasses.dataclass(frozen=True)
class Saturation:
    """What `saturation` found. `print` shows it.

    Attributes:
        table: A row for each number of trials, from 1 on: `trials`, `best` (the best
            score of the first so many, in the order in which they ended) and `expected`
            (what the best of so many, drawn at random, is on average).
        more_trials: For how many further trials the gain is.
        gain: By how much these would improve the best score, on average.
        low: The lower end of nine tenths of the resamples of that.
        high: The upper end.
        threshold: The gain that would be of no use: the noise of a score, or 2 % of
            what the search has gained on its median, where no noise is known.
        objective: The name of the score.

    Example:

    >>> import numpy as np, pandas as pd
    >>> from keras_tricks.analysis import saturation
    >>> losses = np.random.default_rng(0).random(200)
    >>> saturation(pd.DataFrame({"loss": losses}), objective="loss").is_saturated
    True
    """

    table: pd.DataFrame
    more_trials: int
    gain: float
    low: float
    high: float
    threshold: float
    objective: str

    @property
    def is_saturated(self) -> bool:
        """Whether even the upper end of the gain would be of no use."""
        return self.high < self.threshold

    def __str__(self) -> str:
        if self.is_saturated:
            verdict = "The search is saturated."
        elif self.low > self.threshold:
            verdict = "More trials would help."
        else:
            verdict = "Whether more trials would help cannot be told."
        return (
            f"{self.more_trials} further trials like those so far would improve "
            f"{self.objective} by {self.gain:.2g}, 90 % between {self.low:.2g} and "
            f"{self.high:.2g}; below {self.threshold:.2g} it is of no use. {verdict}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the best score so far, and that of trials in a random order.

        Raises:
            ImportError: If matplotlib is missing.
            TypeError: If `ax` is no matplotlib `Axes`.
        """
        ax = _plotting.axes(ax)
        table = self.table
        ax.step(table["trials"], table["best"], where="post", label="best so far")
        ax.plot(table["trials"], table["expected"], label="in a random order")
        ax.set_xlabel("trials")
        ax.set_ylabel(self.objective)
        ax.legend()
        return ax


def saturation(
    search: Any,
    *,
    more_trials: int | None = None,
    noise: float | None = None,
    objective: str | None = None,
    direction: Literal["min", "max"] = "min",
    seed: int = 0,
) -> Saturation:
    """Says what further trials would gain, and whether that is of any use.

    With `B(k)` the best of `k` of the `n` trials on average (exactly, over all
    choices), the last doubling of the trials has gained `g1 = B(n/2) - B(n)`, and
    those before it `g2 = B(n/4) - B(n/2)` and `g3 = B(n/8) - B(n/4)`. Gains of
    extremes shrink by a constant factor, as extreme value theory has it, so that the
    next doubling gains

    `g1 * r`, with `r = g2 / g3`, but between 1/4 and 1,

    and other numbers of trials a part, or a sum, of that geometric series. The interval
    is of 200 resamples of the trials. Trials are taken for independent draws: of a
    search that learns from its trials, further ones may gain more.

    Args:
        search: A tuner, the folder of a search, an Optuna study of one objective, or a
            frame of trials, such as a leaderboard, whose rows count in the order in
            which they stand.
        more_trials: How many further trials, >= 1; None is as many as there were.
        noise: The standard deviation of one score from seed to seed, which a gain has
            to exceed. None takes it from trials with several executions, if there are.
        objective: Of a frame: the column of scores.
        direction: Of a frame: whether less or more of it is better.
        seed: Of the resamples.

    Returns:
        A `Saturation`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If fewer than sixteen trials have a score, or an argument is out of
            its range.

    Example:

    >>> import numpy as np, pandas as pd
    >>> from keras_tricks.analysis import saturation
    >>> losses = np.random.default_rng(0).normal(size=20)
    >>> found = saturation(pd.DataFrame({"loss": losses}), objective="loss", noise=0.1)
    >>> found.is_saturated
    False

    Reference:
        Coles, "An Introduction to Statistical Modeling of Extreme Values", 2001
    """
    seed = _validation.check_int("seed", seed)
    if more_trials is not None:
        more_trials = _validation.check_int("more_trials", more_trials, minimum=1)
    if noise is not None:
        noise = _validation.check_float("noise", noise)
    trials = finished_trials(search, objective, direction)
    losses = trials.losses
    count = len(losses)
    trials.require(_LEAST_TRIALS)
    number = count if more_trials is None else more_trials
    rng = np.random.default_rng(seed)
    gains = [_gain(rng.choice(losses, count), number) for _ in range(_RESAMPLES)]
    low, high = np.quantile(gains, [0.05, 0.95])
    if noise is None:
        noise = trials.deviation
    if noise is None:
        noise = _SMALL * float(np.median(losses) - losses.min())
    sign = 1.0 if trials.direction == "min" else -1.0
    table = pd.DataFrame(
        {
            "trials": np.arange(1, count + 1),
            "best": sign * np.minimum.accumulate(losses),
            "expected": [
                sign * expected_best(losses, number) for number in range(1, count + 1)
            ],
        }
    )
    return Saturation(
        table,
        number,
        _gain(losses, number),
        float(low),
        float(high),
        float(noise),
        trials.objective,
    )


def _gain(losses: np.ndarray, more_trials: int) -> float:
    """Returns by how much further trials would improve the best loss, on average."""
    count = len(losses)
    best = [expected_best(losses, count // part) for part in (1, 2, 4, 8)]
    last, before, first = np.subtract(best[1:], best[:-1])
    if last <= 0.0:
        return 0.0
    ratio = float(before / first) if first > 0.0 else 1.0
    shape = math.log2(min(max(ratio, _LEAST_RATIO), 1.0))
    doublings = math.log2((count + more_trials) / count)
    if shape == 0.0:
        return float(last) * doublings
    # A geometric series, also over a part of a doubling.
    factor = 2.0**shape
    return float(last) * factor * (1.0 - factor**doublings) / (1.0 - factor)
