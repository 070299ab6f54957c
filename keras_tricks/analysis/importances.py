"""Importances of hyperparameters: which explain a search's scores, and which pairs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import numpy as np
import pandas as pd

from keras_tricks import _plotting
from keras_tricks import _validation
from keras_tricks.analysis import fanova
from keras_tricks.analysis import ranges
from keras_tricks.analysis.finished import FinishedTrials
from keras_tricks.analysis.finished import finished_trials
from keras_tricks.tuners.search_space.unit_cube import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_TRIALS = 8
_RESAMPLES = 20
_TREES = 16
_CONFIDENCE = 0.9
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
            `trials` (those that have it: of a conditional one the shares are of their
            variance).
        interactions: The same for pairs, in `one` and `other`: what both explain
            together beyond each alone. A pair matters from 0.05 on.
        explained: The share of the variance of trials that a forest did not see, and
            explains; below 0 where it is worse than their mean.
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
        table = self.table.iloc[::-1]
        middle = table["importance"].to_numpy()
        reach = [
            np.maximum(middle - table["low"].to_numpy(), 0.0),
            np.maximum(table["high"].to_numpy() - middle, 0.0),
        ]
        colors = ["C0" if matters else "0.7" for matters in table["matters"]]
        names = list(map(str, table["hyperparameter"]))
        ax.barh(names, middle, xerr=reach, color=colors, capsize=3)
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
    r"""Returns how much of the scores' variance hyperparameters and pairs explain.

    Functional analysis of variance: the trials' scores $s(x)$ are fitted by forests of
    regression trees, whose predictions are averaged over the whole space, evenly on
    each hyperparameter's own scale. With $m_f(x_f)$ the mean over all
    but $f$, the importance of $f$ and of a pair are

    $$\frac{\mathrm{Var}\, m_f}{\mathrm{Var}\, s}, \qquad
    \frac{\mathrm{Var}(m_{fg} - m_f - m_g)}{\mathrm{Var}\, s}$$

    Twenty samples of the trials, drawn with replacement, each have sixteen trees, and
    one column more, of random numbers. What is above 95 % of what these explain
    matters; the others may be fixed. A hyperparameter that some trials lack
    is judged among those that have it.

    Args:
        search: A tuner, an Optuna study of one objective, or a frame of trials, such as
            a leaderboard. Of a frame ranges are those of the values.
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
    if len(trials.scores) < _LEAST_TRIALS:
        raise ValueError(
            f"`search` must have {_LEAST_TRIALS} trials with a score. Received: "
            f"{len(trials.scores)}"
        )
    if np.ptp(trials.scores) == 0:
        raise ValueError(
            "`search` must have scores that differ. Received: "
            f"{len(trials.scores)} times {trials.scores[0]}"
        )
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
        found = _Shares.of(part, losses, np.random.default_rng([seed, number]))
        rows += [[part.names[n], *found.single(n), count] for n in part.asked]
        pairs += [
            [*(part.names[one], part.names[other]), *found.pair(one, other), count]
            for one in range(len(part.names))
            for other in range(one + 1, len(part.names))
            if one in part.asked or other in part.asked
        ]
        if number == 0:
            explained = found.explained
    numbers = ["importance", "low", "high", "matters", "trials"]
    return Importances(
        _sorted(pd.DataFrame(rows, columns=["hyperparameter", *numbers])),
        _sorted(pd.DataFrame(pairs, columns=["one", "other", *numbers])),
        explained,
        trials.objective,
        _reason(explained, trials.losses, scores),
    )


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(
        "importance", ascending=False, kind="stable", ignore_index=True
    )


def _transformed(losses: np.ndarray, scores: str) -> np.ndarray:
    from scipy import stats

    return stats.rankdata(losses) if scores == "ranks" else losses


def _reason(explained: float, losses: np.ndarray, scores: str) -> str | None:
    if explained < _LEAST_EXPLAINED:
        return (
            f"{len(losses)} trials are too few to tell, or their scores too noisy: a "
            f"forest explains {max(explained, 0.0):.0%} of those that it has not seen."
        )
    if scores == "ranks":
        return None
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
        places: The trials.
        names: The hyperparameters.
        asked: Which of them are judged here.
        features: What trees see of each.
        columns: The trials' settings, an array (trials, columns).
    """

    places: np.ndarray
    names: list[str]
    asked: list[int]
    features: list[fanova.Feature]
    columns: np.ndarray


def _parts(trials: FinishedTrials) -> list[_Part]:
    """Returns all trials with what they share, and then what only some have."""
    has = {
        number: np.array([trials.has(each, hp) for each in trials.settings])
        for number, hp in enumerate(trials.space)
    }
    everywhere = np.ones(len(trials.settings), bool)
    groups = {everywhere.tobytes(): everywhere}
    for mask in has.values():
        if mask.sum() >= _LEAST_TRIALS:
            groups.setdefault(mask.tobytes(), mask)
    parts = []
    for key, mask in groups.items():
        places = np.flatnonzero(mask)
        known = [n for n in has if has[n][places].all()]
        part = _part(trials, places, known, [n for n in known if has[n].all()], key)
        if part is not None:
            parts.append(part)
    return parts


def _part(
    trials: FinishedTrials,
    places: np.ndarray,
    known: list[int],
    shared: list[int],
    key: bytes,
) -> _Part | None:
    names: list[str] = []
    asked: list[int] = []
    features: list[fanova.Feature] = []
    columns: list[np.ndarray] = []
    is_all = len(places) == len(trials.settings)
    for number in known:
        hp = trials.space[number]
        values = [trials.settings[place][hp.name] for place in places]
        if len({repr(value) for value in values}) < 2:
            continue
        axis = Axis(hp)
        codes = np.array([axis.code(ranges.value_of(hp, value)) for value in values])
        first = sum(each.shape[1] for each in columns)
        if axis.is_unordered:
            width = len(axis.values)
            columns.append(np.eye(width)[axis.indices(codes)])
            points: np.ndarray | None = np.eye(width)
        else:
            width = 1
            columns.append(codes[:, None])
            points = axis.codes[:, None] if axis.values else None
        if is_all or number not in shared:
            asked.append(len(names))
        names.append(hp.name)
        features.append(fanova.Feature(tuple(range(first, first + width)), points))
    if not asked:
        return None
    return _Part(places, names, asked, features, np.concatenate(columns, axis=1))


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

        count, width = part.columns.shape
        features = [*part.features, fanova.Feature((width,))]
        singles, pairs, unseen, errors = [], [], [], []
        for _ in range(_RESAMPLES):
            drawn = rng.integers(count, size=count)
            left = np.setdiff1d(np.arange(count), drawn)
            x = np.column_stack([part.columns, rng.random(count)])
            forest = RandomForestRegressor(
                _TREES,
                bootstrap=False,
                random_state=int(rng.integers(2**31)),
            ).fit(x[drawn], losses[drawn])
            shares = [fanova.decomposed(t.tree_, features) for t in forest.estimators_]
            known = [(single, pair) for single, pair, variance in shares if variance]
            if known:
                singles.append(np.mean([single for single, _ in known], axis=0))
                pairs.append(np.mean([pair for _, pair in known], axis=0))
            if len(left):
                errors.append((forest.predict(x[left]) - losses[left]) ** 2)
                unseen.append((losses[left] - losses.mean()) ** 2)
        number = len(part.features)
        if not singles:
            zeros = np.zeros((1, number))
            return cls(zeros, zeros[:, :, None] * zeros[:, None], (0.0, 0.0), 0.0)
        all_singles, all_pairs = np.array(singles), np.array(pairs)
        total = np.concatenate(unseen).sum()
        return cls(
            all_singles[:, :-1],
            all_pairs[:, :-1, :-1],
            (
                float(np.quantile(all_singles[:, -1], 0.95)),
                float(np.quantile(all_pairs[:, :-1, -1].max(axis=1), 0.95)),
            ),
            float(1.0 - np.concatenate(errors).sum() / total) if total else 0.0,
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
