"""Comparisons of a hyperparameter's values, each at its best nuisance settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import numpy as np
import pandas as pd

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks.analysis import holm
from keras_tricks.analysis import searches
from keras_tricks.analysis.extremes import expected_best
from keras_tricks.analysis.finished import FinishedTrials
from keras_tricks.analysis.finished import finished_trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RESAMPLES = 2000
# Numbers of more values than this are compared in bins.
_VALUES = 6
_BINS = 4


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found. `print` shows it.

    Attributes:
        table: A row for each value, the best first: `value`, `trials`, `best` (the best
            score), `fair_best` (what the best of as many trials as the rarest value had
            is on average), `low` and `high` (nine tenths of what the best of as many
            would be, by the bootstrap), `p_value` (that the first is better than this
            one, by chance alone).
        hyperparameter: What was compared.
        objective: The name of the score.
        direction: Whether less or more of it is better.
        fair_trials: As many as the rarest value had.

    Example:

    >>> import pandas as pd
    >>> from keras_tricks.analysis import compare
    >>> trials = pd.DataFrame({"optimizer": ["adam"] * 6 + ["sgd"] * 6,
    ...                        "rate": range(12), "loss": [1, 2, 3, 4, 5, 6] * 2})
    >>> trials.loc[trials.optimizer == "sgd", "loss"] += 10
    >>> found = compare(trials, "optimizer", objective="loss")
    >>> found.best, found.is_clear
    ('adam', True)
    """

    table: pd.DataFrame
    hyperparameter: str
    objective: str
    direction: str
    fair_trials: int

    @property
    def best(self) -> Any:
        """The value whose best is best, with as many trials for each."""
        return self.table["value"].iloc[0]

    @property
    def is_clear(self) -> bool:
        """Whether chance alone explains no lead, with a probability below 0.05."""
        p_values = self.table["p_value"].iloc[1:]
        return len(p_values) > 0 and bool((p_values < 0.05).all())

    def __str__(self) -> str:
        lead = "is better than chance explains" if self.is_clear else "may be chance"
        return (
            f"{self.objective} ({self.direction}) by {self.hyperparameter}:\n"
            f"{self.table.round(4).to_string(index=False)}\n"
            f"The lead of {self.best!r} {lead}."
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws each value's fair best, and nine tenths of what it might be.

        Raises:
            ImportError: If matplotlib is missing.
            TypeError: If `ax` is no matplotlib `Axes`.
        """
        ax = _plotting.axes(ax)
        table = self.table
        middle, low, high = table[["fair_best", "low", "high"]].to_numpy().T
        reach = _plotting.reach(middle, low, high)
        places = np.arange(len(table))
        ax.errorbar(places, middle, reach, fmt="o", capsize=4)
        labels = [
            f"{value}\n{trials} trials".replace(" to ", "\nto ")
            for value, trials in zip(table["value"], table["trials"], strict=True)
        ]
        ax.set_xticks(places, labels)
        ax.set_xlabel(self.hyperparameter)
        ax.set_ylabel(f"best {self.objective} of {self.fair_trials}")
        return ax


def compare(
    search: Any,
    hyperparameter: str | None = None,
    nuisance: Sequence[str] | None = None,
    *,
    objective: str | None = None,
    direction: Literal["min", "max"] = "min",
    seed: int = 0,
) -> Comparison:
    """Returns which value of a hyperparameter is best, each at its best settings.

    The playbook's isolation plot: a scientific hyperparameter is compared at the best
    of the nuisance ones, not at the same. A value that had more trials has a better
    best by chance alone, so that values are compared by what the best of `m` of their
    trials would be on average, `m` being the trials of the rarest value. Of `n` scores,
    the best first, it is

    `sum over i of x_i * binom(n - i, m - 1) / binom(n, m)`

    Whether the lead is more than chance is tested by permutation: the trials of the
    first value and of another one change places at random, 2,000 times; the p-value is
    the share in which the difference is at least as large, and of several values
    it is multiplied as Holm says.

    Args:
        search: A tuner, the folder of a search, an Optuna study of one objective, or a
            frame of trials, such as a leaderboard; of one with a column `status` those
            that are `COMPLETED`. An empty cell is a hyperparameter that the trial does
            not have.
        hyperparameter: What to compare: its values, or four bins with as many trials
            each where it has more than six numbers. None is the scientific one of the
            search's `roles`, if these have one.
        nuisance: The hyperparameters over which the best is taken. None takes all; if
            you name them, no others may vary.
        objective: Of a frame: the column of scores.
        direction: Of a frame: whether less or more of it is better.
        seed: Of the resamples.

    Returns:
        A `Comparison`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If no trial has the hyperparameter, it has one value only, or a
            hyperparameter varies that is not among `nuisance`.

    Example:

    >>> import pandas as pd
    >>> from keras_tricks.analysis import compare
    >>> trials = pd.DataFrame({"units": [32, 64] * 4, "loss": [3, 1, 4, 1, 5, 9, 2, 6]})
    >>> compare(trials, "units", objective="loss").table["best"].tolist()
    [1.0, 2.0]

    References:
        - Godbole, Dahl, Gilmer, Shallue and Nado,
          [Deep Learning Tuning Playbook](
          https://github.com/google-research/tuning_playbook), 2023
        - Dodge, Gururangan, Card, Schwartz and Smith, "Show Your Work: Improved
          Reporting of Experimental Results", 2019, arXiv:1909.03004 (the best of m)
    """
    if hyperparameter is None:
        hyperparameter = _scientific(search)
    hyperparameter = _validation.check_text("hyperparameter", hyperparameter)
    seed = _validation.check_int("seed", seed)
    if isinstance(objective, str) and objective == hyperparameter:
        raise ValueError(
            "`hyperparameter` and `objective` must be different columns. "
            f"{_validation.received('objective', objective)}"
        )
    trials = finished_trials(search, objective, direction)
    _check_names(trials, hyperparameter, nuisance)
    groups = _groups(trials, hyperparameter)
    if len(groups) < 2:
        raise ValueError(
            "`hyperparameter` must have several values among the finished trials. "
            f"Received: {hyperparameter!r}, always {next(iter(groups))!r}"
        )
    fair = min(len(losses) for losses in groups.values())
    by_best = sorted(groups, key=lambda value: expected_best(groups[value], fair))
    rng = np.random.default_rng(seed)
    first = groups[by_best[0]]
    p_values = [math.nan]
    p_values += holm.adjusted(
        [_chance(first, groups[v], fair, rng) for v in by_best[1:]]
    )
    rows = []
    for value, p_value in zip(by_best, p_values, strict=True):
        losses = groups[value]
        drawn = rng.choice(losses, (_RESAMPLES, fair)).min(1)
        low, high = np.quantile(drawn, [0.05, 0.95])
        rows.append(
            [
                value,
                len(losses),
                losses.min(),
                expected_best(losses, fair),
                low,
                high,
                p_value,
            ]
        )
    columns = ["value", "trials", "best", "fair_best", "low", "high", "p_value"]
    table = pd.DataFrame(rows, columns=columns)
    # None is a value of its own, and no missing number.
    table["value"] = pd.Series(by_best, dtype=object)
    if trials.direction == "max":
        table["low"], table["high"] = table["high"].copy(), table["low"].copy()
        numbers = ["best", "fair_best", "low", "high"]
        table[numbers] = -table[numbers]
    return Comparison(table, hyperparameter, trials.objective, trials.direction, fair)


def _scientific(search: Any) -> str | None:
    """Returns the hyperparameter that a search asks about, by its roles."""
    names = (
        []
        if isinstance(search, FinishedTrials | pd.DataFrame)
        else list(searches.search_of(search).roles.get("scientific", ()))
    )
    if len(names) > 1:
        raise ValueError(
            "`hyperparameter` must be given where `roles` has several scientific ones. "
            f"Received: {', '.join(map(repr, names))}"
        )
    return names[0] if names else None


def _check_names(
    trials: FinishedTrials, hyperparameter: str, nuisance: Sequence[str] | None
) -> None:
    known = dict.fromkeys(name for each in trials.settings for name in each)
    if hyperparameter not in known:
        raise ValueError(
            "`hyperparameter` must be one that a finished trial has: "
            f"{', '.join(map(str, known)) or 'there is none'}. "
            f"{_validation.received('hyperparameter', hyperparameter)}"
        )
    if nuisance is None:
        return
    if isinstance(nuisance, str) or not isinstance(nuisance, Sequence):
        raise TypeError(
            "`nuisance` must be a list of names, or None. "
            f"{_validation.received('nuisance', nuisance, True)}"
        )
    unknown = [name for name in nuisance if name not in known]
    others = [n for n in trials.varying if n != hyperparameter and n not in nuisance]
    if unknown or others:
        what = f"{unknown}, which no trial has" if unknown else f"without {others}"
        raise ValueError(
            "`nuisance` must name what varies beside the hyperparameter, and nothing "
            f"else: what varies and is neither would count for its values. Received: "
            f"{what}"
        )


def _groups(trials: FinishedTrials, name: str) -> dict[Any, np.ndarray]:
    """Returns the losses of each value, or of each bin of numbers."""
    places = [n for n, each in enumerate(trials.settings) if name in each]
    values = [trials.settings[n][name] for n in places]
    losses = trials.losses[places]
    are_numbers = all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    )
    labels: list[Any] = [v if isinstance(v, Hashable) else repr(v) for v in values]
    if are_numbers and len(set(labels)) > _VALUES:
        numbers = pd.Series(np.array(values, float))
        bins = numbers.groupby(pd.qcut(numbers, _BINS, duplicates="drop").cat.codes)
        ends = zip(bins.transform("min"), bins.transform("max"), strict=True)
        labels = [f"{low:.3g} to {high:.3g}" for low, high in ends]
    order = dict.fromkeys(labels)
    chosen = np.array([list(order).index(label) for label in labels])
    return {label: losses[chosen == n] for n, label in enumerate(order)}


def _chance(
    one: np.ndarray, other: np.ndarray, number: int, rng: np.random.Generator
) -> float:
    """Returns how probable a lead as large is where values do not matter."""
    lead = expected_best(other, number) - expected_best(one, number)
    both, size = np.concatenate([one, other]), len(one)
    found = 0
    for _ in range(_RESAMPLES):
        mixed = rng.permutation(both)
        found += (
            abs(
                expected_best(mixed[size:], number)
                - expected_best(mixed[:size], number)
            )
            >= lead - 1e-12
        )
    return (found + 1) / (_RESAMPLES + 1)
