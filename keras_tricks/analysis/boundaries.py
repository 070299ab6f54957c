"""Boundaries of a search space: whether the best is at an edge, and what fails."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import numpy as np
import pandas as pd

from keras_tricks import _plotting
from keras_tricks.analysis import holm
from keras_tricks.analysis.finished import FinishedTrials
from keras_tricks.analysis.finished import finished_trials
from keras_tricks.analysis.space import Hyperparameter
from keras_tricks.tuners.search_space import scales

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_TRIALS = 10
# The outer part of a range, in which one of the best trials would be by chance.
_NARROWEST, _WIDEST = 0.05, 0.2
_BEST_SHARE, _LEAST_BEST = 0.1, 5
_SIGNIFICANT = 0.05
# A region in which trials fail has at least so many of them.
_LEAST_IN_REGION = 3
_PERMUTATIONS = 199


@dataclasses.dataclass(frozen=True)
class Boundaries:
    """What `boundaries` found. `print` shows it.

    Attributes:
        table: A row for each hyperparameter with a range: `hyperparameter`, `best` (the
            best trial's value), `edge` (`"lower"` or `"upper"` if the best trials crowd
            there, else None), `of_best` and `of_all` (the shares of the best tenth and
            of all trials in the outer part at the edge where they are densest),
            `p_value` (that so many of the best are there by chance), and the range
            `low` to `high` to search next: a half wider beyond a crowded edge, where it
            `can_grow`.
        best_at_edge: The hyperparameters of which the best trial's value lies within
            the outer twentieth of the range: a hint, where the trials are too few to
            crowd.
        infeasible_share: The share of trials without a finite score.
        infeasible: A row for each region of the space in which they are more frequent
            than chance explains: `region`, `trials`, `infeasible` (how many).

    Example:

    >>> import numpy as np, pandas as pd
    >>> from keras_tricks.analysis import boundaries
    >>> trials = pd.DataFrame({"x": np.linspace(0, 1, 60)})
    >>> trials["loss"] = -trials["x"]
    >>> found = boundaries(trials, objective="loss")
    >>> found.table["edge"].tolist(), found.best_at_edge
    (['upper'], ['x'])
    """

    table: pd.DataFrame
    best_at_edge: list[str]
    infeasible_share: float
    infeasible: pd.DataFrame

    def __str__(self) -> str:
        lines = []
        for row in self.table.itertuples(index=False):
            if row.edge is None:
                continue
            said = f"The best crowd at the {row.edge} edge of {row.hyperparameter}"
            if row.can_grow:
                lines.append(f"{said}: search {row.low:.4g} to {row.high:.4g}.")
            else:
                lines.append(f"{said}, beyond which it cannot go.")
        crowded = self.table.loc[self.table["edge"].notna(), "hyperparameter"].tolist()
        hints = [name for name in self.best_at_edge if name not in crowded]
        if hints:
            lines.append(
                f"The best trial is at an edge of {', '.join(hints)}, which may be "
                "chance."
            )
        if len(self.table) == 0:
            lines.append("No hyperparameter has a range, so that there are no edges.")
        elif not lines:
            lines.append("The best trials are at no edge.")
        lines.append(f"{self.infeasible_share:.0%} of the trials have no finite score.")
        for row in self.infeasible.itertuples(index=False):
            lines.append(
                f"{row.infeasible} of the {row.trials} where {row.region} have none."
            )
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the shares of the best and of all trials at the edges.

        Raises:
            ImportError: If matplotlib is missing.
            TypeError: If `ax` is no matplotlib `Axes`.
        """
        ax = _plotting.axes(ax)
        table = self.table.iloc[::-1]
        places = np.arange(len(table))
        colors = ["0.7" if edge is None else "C3" for edge in table["edge"]]
        ax.barh(places + 0.2, table["of_best"], 0.4, color=colors, label="of the best")
        ax.barh(places - 0.2, table["of_all"], 0.4, color="C0", label="of all")
        ax.set_yticks(places, [str(name) for name in table["hyperparameter"]])
        ax.set_xlim(0.0, 1.0)
        ax.set_xlabel("share of trials in the outer part of the range")
        ax.legend()
        return ax


def boundaries(
    search: Any,
    *,
    objective: str | None = None,
    direction: Literal["min", "max"] = "min",
) -> Boundaries:
    """Says whether a search space held the best point, and where trials fail.

    The best tenth of the trials, at least five, crowd at an edge where more of them lie
    in the outer part of the range than chance explains. Of `m` of them that part is
    `1 / m` of the range, on its own scale, between a twentieth and a fifth; with `k` of
    them there, and a share `p` of all trials,

    `P(K >= k)` for `K ~ Binomial(m, p)`

    is below 0.05 after Holm's correction for all edges.

    Regions in which trials have no finite score (they diverged, or were over budget)
    are the leaves of a decision tree of two levels, by Fisher's exact test against the
    rest of the space. Since the tree looks for them, their p-values are compared with
    the least of trees that are grown where the failures are dealt out at random, 199
    times, and 0.05 are allowed.

    Args:
        search: A tuner, the folder of a search, an Optuna study of one objective, or a
            frame of trials, such as a leaderboard. Of a frame ranges are those of the
            values.
        objective: Of a frame: the column of scores.
        direction: Of a frame: whether less or more of it is better.

    Returns:
        A `Boundaries`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If fewer than ten trials have a score.

    Example:

    >>> import numpy as np, pandas as pd
    >>> from keras_tricks.analysis import boundaries
    >>> rate = 10 ** np.linspace(-4, 0, 40)
    >>> loss = np.where(rate > 0.1, np.inf, (np.log10(rate) + 2.5) ** 2)
    >>> trials = pd.DataFrame({"rate": rate, "loss": loss})
    >>> print(boundaries(trials, objective="loss"))
    The best trials are at no edge.
    25% of the trials have no finite score.
    10 of the 10 where rate > 0.106 have none.

    Reference:
        Godbole, Dahl, Gilmer, Shallue and Nado,
        [Deep Learning Tuning Playbook](
        https://github.com/google-research/tuning_playbook), 2023: "Identifying bad
        search space boundaries"
    """
    trials = finished_trials(search, objective, direction)
    trials.require(_LEAST_TRIALS)
    trials.require_ranges()
    order = np.argsort(trials.losses, kind="stable")
    best = order[: max(_LEAST_BEST, int(_BEST_SHARE * len(order)))]
    rows, p_values = [], []
    at_edge: list[str] = []
    for hp in trials.space:
        places = _places(trials, hp)
        if places is None:
            continue
        known = np.isfinite(places)
        chosen = places[best][np.isfinite(places[best])]
        if not len(chosen):
            continue
        edge, of_best, of_all, p_value = _densest(chosen, places[known])
        if places[order[0]] <= scales.EDGE or places[order[0]] >= 1 - scales.EDGE:
            at_edge.append(hp.name)
        value = trials.settings[order[0]].get(hp.name)
        rows.append([hp, value, edge, of_best, of_all])
        p_values.append(p_value)
    table = []
    # Each hyperparameter has two edges, of which the denser one was taken.
    adjusted = holm.adjusted([min(1.0, 2.0 * p) for p in p_values])
    for (hp, value, edge, of_best, of_all), p_value in zip(rows, adjusted, strict=True):
        is_crowded = p_value < _SIGNIFICANT
        low, high = (
            scales.extended(hp, edge) if is_crowded else (hp.min_value, hp.max_value)
        )
        shown = edge if is_crowded else None
        can_grow = (low, high) != (hp.min_value, hp.max_value)
        table.append(
            [hp.name, value, shown, of_best, of_all, p_value, low, high, can_grow]
        )
    columns = ["hyperparameter", "best", "edge", "of_best", "of_all", "p_value"]
    made = pd.DataFrame(table, columns=[*columns, "low", "high", "can_grow"])
    made["edge"] = pd.Series([row[2] for row in table], dtype=object)
    number = len(trials.infeasible)
    return Boundaries(
        made,
        at_edge,
        number / (number + len(trials.scores)),
        _regions(trials),
    )


def _places(trials: FinishedTrials, hp: Hyperparameter) -> np.ndarray | None:
    """Returns where each trial lies in a range, from 0 to 1; NaN where it has none."""
    if not hp.has_range:
        return None
    return np.array(
        [
            hp.place(each[hp.name]) if hp.is_in(each) else np.nan
            for each in trials.settings
        ]
    )


def _densest(chosen: np.ndarray, places: np.ndarray) -> tuple[str, float, float, float]:
    """Returns the edge at which the best are least by chance, two shares and how."""
    from scipy import stats

    found = []
    zone = min(max(1.0 / len(chosen), _NARROWEST), _WIDEST)
    for edge, inside in (
        ("lower", lambda p: p <= zone),
        ("upper", lambda p: p >= 1.0 - zone),
    ):
        count, of_all = int(inside(chosen).sum()), float(inside(places).mean())
        # Of few trials none may be there; the zone has its share nevertheless.
        share = max(of_all, zone)
        p_value = float(stats.binom.sf(count - 1, len(chosen), min(share, 1.0)))
        found.append((p_value, edge, count / len(chosen), of_all))
    p_value, edge, of_best, of_all = min(found)
    return edge, of_best, of_all, p_value


# Regions in which trials fail.


def _regions(trials: FinishedTrials) -> pd.DataFrame:
    """Returns the regions in which infeasible trials are frequent."""
    columns = ["region", "trials", "infeasible"]
    settings = [*trials.settings, *trials.infeasible]
    failed = np.arange(len(settings)) >= len(trials.settings)
    known, codes = _codes(trials, settings)
    if not 0 < failed.sum() < len(failed) or not known:
        return pd.DataFrame([], columns=columns)
    tree, found = _leaves(codes, failed)
    rng = np.random.default_rng(0)
    by_chance = np.array(
        [
            min(p_value for p_value, _ in _leaves(codes, rng.permutation(failed))[1])
            for _ in range(_PERMUTATIONS)
        ]
    )
    rows = []
    for leaf, (p_value, inside) in enumerate(found):
        as_often = int((by_chance <= p_value).sum())
        if (as_often + 1) / (_PERMUTATIONS + 1) >= _SIGNIFICANT:
            continue
        rule = _rule(tree, leaf, known)
        rows.append([rule, int(inside.sum()), int(failed[inside].sum())])
    table = pd.DataFrame(rows, columns=columns)
    shares = table["infeasible"] / table["trials"]
    return table.iloc[np.argsort(-shares, kind="stable")].reset_index(drop=True)


def _leaves(
    codes: np.ndarray, failed: np.ndarray
) -> tuple[Any, list[tuple[float, np.ndarray]]]:
    """Returns a tree, and for each of its leaves a p-value and which trials it has."""
    from scipy import stats
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_depth=2, min_samples_leaf=_LEAST_IN_REGION, random_state=0
    ).fit(codes, failed)
    numbers = tree.apply(codes)
    found = []
    for number in _leaf_numbers(tree.tree_):
        inside = numbers == number
        # Of drawing as many trials as the region has, without putting them back.
        p_value = stats.hypergeom.sf(
            failed[inside].sum() - 1, len(failed), failed.sum(), inside.sum()
        )
        found.append((float(p_value), inside))
    return tree.tree_, found


def _leaf_numbers(tree: Any) -> list[int]:
    left, right = tree.children_left, tree.children_right
    return [node for node in range(tree.node_count) if left[node] == right[node]]


# What a column of codes means: a hyperparameter, and one of its choices or None.
_Column = tuple[Hyperparameter, Any]


def _codes(
    trials: FinishedTrials, settings: list[dict[str, Any]]
) -> tuple[list[_Column], np.ndarray]:
    """Returns what all trials have, as columns of numbers, and what each means."""
    known: list[_Column] = []
    columns: list[list[float]] = []
    for hp in trials.space:
        if not all(hp.is_in(each) for each in settings):
            continue
        values = [hp.value_of(each[hp.name]) for each in settings]
        if hp.min_value is not None:
            known.append((hp, None))
            columns.append([scales.scaled(hp, value) for value in values])
            continue
        for choice in hp.values:
            known.append((hp, choice))
            columns.append([float(value == choice) for value in values])
    return known, np.array(columns).T


def _rule(tree: Any, number: int, known: list[_Column]) -> str:
    """Returns what the settings of leaf `number` have in common, in words."""
    leaf, parents = _leaf_numbers(tree)[number], {}
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            parents[int(child)] = node
    parts: list[str] = []
    while leaf in parents:
        node = parents[leaf]
        hp, choice = known[tree.feature[node]]
        is_left = tree.children_left[node] == leaf
        if choice is None:
            place = scales.unscaled(hp, float(tree.threshold[node]))
            parts.append(f"{hp.name} {'<=' if is_left else '>'} {place:.3g}")
        else:
            parts.append(f"{hp.name} is {'not ' if is_left else ''}{choice}")
        leaf = node
    return " and ".join(reversed(parts))
