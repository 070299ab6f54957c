"""Importances of hyperparameters: which explain a search's scores, and which pairs."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import numpy as np
import pandas as pd

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks.analysis import fanova
from keras_tricks.analysis.finished import FinishedTrials
from keras_tricks.analysis.finished import finished_trials
from keras_tricks.analysis.space import Hyperparameter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_TRIALS = 8
_RESAMPLES = 20
_TREES = 16
# With more, two boxes of a tree are compared for longer than they tell anything.
_MOST_LEAVES = 128
_CONFIDENCE = 0.9
# What a picture shows of a name.
_LONG = 30
# The steps of trees look like interactions of this size.
_LEAST_PAIR = 0.05
# More of the variance than this in so few of the trials is told.
_FEW, _MUCH = 0.1, 0.8
# A forest that explains less than this of trials that it has not seen says little.
_LEAST_EXPLAINED = 0.1


@dataclasses.dataclass(frozen=True)
class Importances:
    """What `importances` found. `print` shows it.

    Attributes:
        table: A row for each hyperparameter, the most important first:
            `hyperparameter`, `importance` (the share of the variance of the scores that
            it explains alone), `low` and `high` (nine tenths of the resamples),
            `matters` (whether `low` is above what a column of random numbers explains),
            `trials` and `among` (which trials: of a conditional one the shares are of
            the variance of those that have it). Where no other setting tells
            which trials lack it, a row among all is for whether they have it. Of
            fewer than eight trials nothing is known, and the shares are NaN.
        interactions: The same for pairs, in `one` and `other`: what both explain
            together beyond each alone. A pair matters from 0.05 on.
        explained: The share of the trials' variance that is explained by the mean
            prediction of the forests that did not see them; below 0 where it is worse
            than the trials' mean.
        objective: The name of the score.
        reason: Why the importances are not to be trusted, or None.

    Example:

    >>> import numpy as np, pandas as pd
    >>> from keras_tricks.analysis import importances
    >>> a, b = np.random.default_rng(0).random((2, 60))
    >>> trials = pd.DataFrame({"a": a, "b": b, "loss": 3 * a + b})
    >>> found = importances(trials, objective="loss")
    >>> found.table["hyperparameter"].tolist(), found.reason
    (['a', 'b'], None)
    """

    table: pd.DataFrame
    interactions: pd.DataFrame
    explained: float
    objective: str
    reason: str | None

    def __str__(self) -> str:
        lines = [
            f"Shares of the variance of {self.objective}:",
            self.table.round(3).to_string(index=False),
        ]
        known = self.interactions[self.interactions["matters"]]
        if len(known):
            lines += ["Pairs:", known.round(3).to_string(index=False)]
        if self.reason is not None:
            lines.append(self.reason)
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws a bar for each hyperparameter, with nine tenths of the resamples.

        Raises:
            ImportError: If matplotlib is missing.
            TypeError: If `ax` is no matplotlib `Axes`.
        """
        ax = _plotting.axes(ax)
        table = self.table[self.table["importance"].notna()].iloc[::-1]
        middle, low, high = table[["importance", "low", "high"]].to_numpy().T
        reach = _plotting.reach(middle, low, high)
        colors = ["C0" if matters else "0.7" for matters in table["matters"]]
        places = np.arange(len(table))
        ax.barh(places, middle, xerr=reach, color=colors, capsize=3)
        ax.set_yticks(places, [name[:_LONG] for name in table["hyperparameter"]])
        ax.set_xlim(0.0, None)
        ax.set_xlabel(f"share of the variance of {self.objective}")
        return ax


def importances(
    search: Any,
    *,
    objective: str | None = None,
    direction: Literal["min", "max"] = "min",
    scores: Literal["as they are", "ranks"] = "as they are",
    seed: int = 0,
) -> Importances:
    """Returns how much of the scores' variance hyperparameters and pairs explain.

    Functional analysis of variance: the trials' scores `s(x)` are fitted by forests of
    regression trees, whose predictions are averaged over the whole space, evenly on
    each hyperparameter's own scale. With `m_f` the mean over all
    but `f`, the importance of `f` and that of a pair are

    `Var(m_f) / Var(s)` and `Var(m_fg - m_f - m_g) / Var(s)`

    Twenty samples of the trials, drawn with replacement, each have sixteen trees, and
    one column more, of random numbers. What is above 95 % of what these explain
    matters; the others may be fixed. A hyperparameter that some trials lack
    is judged among those that have it, and so is whether they have it, where no other
    setting tells that.

    Args:
        search: A tuner, the folder of a search, an Optuna study of one objective, or a
            frame of trials, such as a leaderboard. Of a frame ranges are those of the
            values.
        objective: Of a frame: the column of scores.
        direction: Of a frame: whether less or more of it is better.
        scores: `"ranks"` goes by the order of the scores, so that a few that are far
            from all others (trainings that failed) do not decide alone.
        seed: Of samples and forests.

    Returns:
        An `Importances`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If fewer than eight trials have a score, or no hyperparameter varies
            among them, or all scores are equal.

    Example:

    >>> import numpy as np, pandas as pd
    >>> from keras_tricks.analysis import importances
    >>> rng = np.random.default_rng(0)
    >>> trials = pd.DataFrame({"rate": rng.random(80), "seed": rng.random(80)})
    >>> trials["loss"] = (trials["rate"] - 0.5) ** 2
    >>> importances(trials, objective="loss").table["matters"].tolist()
    [True, False]

    Reference:
        Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing
        Hyperparameter Importance", 2014
    """
    seed = _validation.check_int("seed", seed)
    _validation.check_choice("scores", scores, ("as they are", "ranks"))
    trials = finished_trials(search, objective, direction)
    trials.require(_LEAST_TRIALS)
    if np.ptp(trials.scores) == 0:
        raise ValueError(
            "`search` must have scores that differ. Received: "
            f"{len(trials.scores)} times {trials.scores[0]}"
        )
    trials.require_ranges()
    parts = _parts(trials)
    if not parts:
        raise ValueError(
            "`search` must have a hyperparameter that varies among its finished "
            f"trials. Received: {len(trials.scores)} trials with the same settings"
        )
    rows: list[list[Any]] = []
    pairs: list[list[Any]] = []
    explained = 0.0
    for number, part in enumerate(parts):
        losses = _transformed(trials.losses[part.places], scores)
        count = len(part.places)
        is_all = count == len(trials.scores)
        found = _Shares.of(part, losses, np.random.default_rng([seed, number]))
        among = "all" if is_all else _among(count)
        rows += [[part.names[n], *found.single(n), count, among] for n in part.asked]
        pairs += [
            [
                *(part.names[one], part.names[other]),
                *found.pair(one, other),
                *(count, among),
            ]
            for one, other in itertools.combinations(range(len(part.names)), 2)
            if one in part.asked or other in part.asked
        ]
        if is_all:
            explained = found.explained
    rows += _missing_rows(trials)
    numbers = ["importance", "low", "high", "matters", "trials", "among"]
    table = _sorted(pd.DataFrame(rows, columns=["hyperparameter", *numbers]))
    interactions = _sorted(pd.DataFrame(pairs, columns=["one", "other", *numbers]))
    return Importances(
        table,
        interactions,
        explained,
        trials.objective,
        _few_tell(explained, len(trials.scores))
        or _nothing_stands_out(explained, table, interactions)
        or _few_decide(trials.losses, scores),
    )


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(
        "importance", ascending=False, kind="stable", ignore_index=True
    )


def _transformed(losses: np.ndarray, scores: str) -> np.ndarray:
    """Returns ranks, or the losses with a middle of 0 and a largest size of 1."""
    from scipy import stats

    if scores == "ranks":
        return stats.rankdata(losses)
    # Halves, so that no difference of large numbers is infinite.
    around = losses / 2.0 - np.median(losses) / 2.0
    return around / np.abs(around).max() if around.any() else around


def _few_tell(explained: float, count: int) -> str | None:
    if explained >= _LEAST_EXPLAINED:
        return None
    return (
        f"{count} trials are too few to tell, or their scores too noisy: a forest "
        f"explains {max(explained, 0.0):.0%} of those that it has not seen."
    )


def _nothing_stands_out(
    explained: float, table: pd.DataFrame, interactions: pd.DataFrame
) -> str | None:
    if table["matters"].any() or interactions["matters"].any():
        return None
    most = f"{table['hyperparameter'][0]}, {table['importance'][0]:.2f}"
    is_pair = len(interactions) and (
        interactions["importance"][0] > table["importance"][0]
    )
    if is_pair:
        first = interactions.iloc[0]
        most = (
            f"{first['one']} and {first['other']} together, {first['importance']:.2f}"
        )
    return (
        f"Nothing stands out from chance, though all together explain {explained:.0%} "
        f"of trials that were not seen; the largest share is that of {most}. Fix "
        "nothing yet: more trials would tell."
    )


def _few_decide(losses: np.ndarray, scores: str) -> str | None:
    if scores == "ranks":
        return None
    losses = _transformed(losses, scores)
    squares = np.sort((losses - losses.mean()) ** 2)[::-1]
    few = max(1, int(_FEW * len(losses)))
    share = float(squares[:few].sum() / squares.sum())
    if share < _MUCH:
        return None
    return (
        f"{few} of the {len(losses)} trials make up {share:.0%} of the variance: what "
        'they have in common is what is found. scores="ranks" goes by the order.'
    )


@dataclasses.dataclass(frozen=True)
class _Part:
    """Hyperparameters on the trials that have all of them.

    Attributes:
        names: The hyperparameters.
        asked: Which of them are judged here.
        features: What trees see of each.
        columns: The trials' settings, an array (trials, columns of a feature) each.
        places: The trials.
    """

    names: list[str]
    asked: list[int]
    features: list[fanova.Feature]
    columns: list[np.ndarray]
    places: np.ndarray

    def add(self, trials: FinishedTrials, hp: Hyperparameter, is_asked: bool) -> None:
        """Adds a hyperparameter, if it varies."""
        values = [trials.settings[place][hp.name] for place in self.places]
        if len({repr(value) for value in values}) < 2:
            return
        places = np.array([hp.place(value) for value in values])
        if hp.is_unordered:
            every = np.eye(len(hp.values))
            chosen = np.rint(places * (len(hp.values) - 1)).astype(int)
            self._add(hp.name, every[chosen], every, is_asked)
        else:
            points = hp.places[:, None] if hp.values else None
            self._add(hp.name, places[:, None], points, is_asked)

    def add_presence(self, name: str, mask: np.ndarray) -> None:
        """Adds whether trials have what others lack."""
        points = np.array([[0.0], [1.0]])
        self._add(name, mask[:, None].astype(float), points, True)

    def _add(
        self, name: str, columns: np.ndarray, points: np.ndarray | None, is_asked: bool
    ) -> None:
        first = sum(each.shape[1] for each in self.columns)
        if is_asked:
            self.asked.append(len(self.names))
        self.names.append(name)
        self.columns.append(columns)
        places = tuple(range(first, first + columns.shape[1]))
        self.features.append(fanova.Feature(places, points))


def _parts(trials: FinishedTrials) -> list[_Part]:
    """Returns all trials with what they share, and then what only some have."""
    has = [
        np.array([hp.is_in(each) for each in trials.settings]) for hp in trials.space
    ]
    everywhere = np.ones(len(trials.settings), bool)
    groups = {everywhere.tobytes(): everywhere}
    for mask in has:
        if mask.sum() >= _LEAST_TRIALS:
            groups.setdefault(mask.tobytes(), mask)
    parts = []
    for mask in groups.values():
        part = _Part([], [], [], [], np.flatnonzero(mask))
        for number, hp in enumerate(trials.space):
            if has[number][mask].all():
                part.add(trials, hp, is_asked=bool((has[number] == mask).all()))
        if mask.all():
            for names, own in _presences(trials, has):
                part.add_presence(names, own)
        if part.asked:
            parts.append(part)
    return parts


def _presences(
    trials: FinishedTrials, has: list[np.ndarray]
) -> list[tuple[str, np.ndarray]]:
    """Returns what some trials lack, for no reason that another setting tells."""
    shared = [
        [repr(each[hp.name]) for each in trials.settings]
        for hp, mask in zip(trials.space, has, strict=True)
        if mask.all()
    ]
    found: dict[bytes, list[int]] = {}
    for number, mask in enumerate(has):
        if mask.any() and not mask.all() and not any(_tells(v, mask) for v in shared):
            found.setdefault(mask.tobytes(), []).append(number)
    return [
        (", ".join(trials.space[n].name for n in numbers), has[numbers[0]])
        for numbers in found.values()
    ]


def _tells(values: list[str], mask: np.ndarray) -> bool:
    """Whether each value, of those that come often, goes with one side of a mask."""
    if len(set(values)) > len(values) // 2:
        return False
    sides = set(zip(values, mask.tolist(), strict=True))
    return len(sides) == len(set(values))


def _missing_rows(trials: FinishedTrials) -> list[list[Any]]:
    """Returns a row for each hyperparameter that too few trials have to be judged."""
    rows = []
    for hp in trials.space:
        count = sum(hp.is_in(each) for each in trials.settings)
        if 0 < count < min(_LEAST_TRIALS, len(trials.settings)):
            rows.append([hp.name, *[np.nan] * 3, False, count, _among(count)])
    return rows


def _among(count: int) -> str:
    return f"the {count} that have it"


@dataclasses.dataclass(frozen=True)
class _Shares:
    """Shares of each resample, and what random numbers explain.

    Attributes:
        singles: An array (resamples, features).
        pairs: An array (resamples, features, features).
        noise: What a single random column explains, and a pair with it, at most.
        explained: See `Importances`.
    """

    singles: np.ndarray
    pairs: np.ndarray
    noise: tuple[float, float]
    explained: float

    @classmethod
    def of(cls, part: _Part, losses: np.ndarray, rng: np.random.Generator) -> _Shares:
        from sklearn.ensemble import RandomForestRegressor

        known = np.concatenate(part.columns, axis=1)
        count, width = known.shape
        features = [*part.features, fanova.Feature((width,))]
        singles, pairs = [], []
        # Predictions of each trial by the forests that did not see it.
        sums, times = np.zeros(count), np.zeros(count)
        for _ in range(_RESAMPLES):
            drawn = rng.integers(count, size=count)
            left = np.setdiff1d(np.arange(count), drawn)
            x = np.column_stack([known, rng.random(count)])
            forest = RandomForestRegressor(
                _TREES,
                max_leaf_nodes=_MOST_LEAVES,
                random_state=int(rng.integers(2**31)),
            ).fit(x[drawn], losses[drawn])
            shares = [fanova.decomposed(t.tree_, features) for t in forest.estimators_]
            grown = [(single, pair) for single, pair, variance in shares if variance]
            if grown:
                singles.append(np.mean([single for single, _ in grown], axis=0))
                pairs.append(np.mean([pair for _, pair in grown], axis=0))
            if len(left):
                sums[left] += forest.predict(x[left])
                times[left] += 1
        number = len(part.features)
        if not singles:
            zeros = np.zeros((1, number))
            return cls(zeros, zeros[:, :, None] * zeros[:, None], (0.0, 0.0), 0.0)
        all_singles, all_pairs = np.array(singles), np.array(pairs)
        unseen = times > 0
        errors = sums[unseen] / times[unseen] - losses[unseen]
        total = ((losses[unseen] - losses.mean()) ** 2).sum()
        return cls(
            all_singles[:, :-1],
            all_pairs[:, :-1, :-1],
            (
                float(np.quantile(all_singles[:, -1], 0.95)),
                float(np.quantile(all_pairs[:, :-1, -1].max(axis=1), 0.95)),
            ),
            float(1.0 - (errors**2).sum() / total) if total else 0.0,
        )

    def single(self, number: int) -> list[Any]:
        """Returns importance, low, high and whether it matters."""
        return _summed_up(self.singles[:, number], self.noise[0])

    def pair(self, one: int, other: int) -> list[Any]:
        """Returns the same of a pair."""
        floor = max(self.noise[1], _LEAST_PAIR)
        return _summed_up(self.pairs[:, one, other], floor)


def _summed_up(shares: np.ndarray, noise: float) -> list[Any]:
    tail = (1.0 - _CONFIDENCE) / 2
    low, high = np.quantile(shares, [tail, 1.0 - tail])
    return [float(shares.mean()), float(low), float(high), bool(low > noise)]
