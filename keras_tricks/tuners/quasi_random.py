"""Points that fill the search space evenly: scrambled Sobol and Halton sequences."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.tuners import points
from keras_tricks.tuners import seeds
from keras_tricks.tuners.oracles import OracleMixin
from keras_tricks.tuners.searches import HyperModelLike
from keras_tricks.tuners.searches import ObjectiveLike
from keras_tricks.tuners.tuner import TunerMixin

Sequence = Literal["sobol", "halton"]
SEQUENCES = get_args(Sequence)
# The scrambling of a coordinate depends on how many there are, so that a search uses
# the first ones of more than it needs: a new hyperparameter then changes no other.
DIMENSIONS = (64, 1024, 21201)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners.arguments_by_name import TunerArguments


def unit_points(sequence: str, seed: int, dimensions: int, count: int) -> np.ndarray:
    """Returns the first points of a scrambled sequence in the unit cube.

    Args:
        sequence: `"sobol"` or `"halton"`.
        seed: The seed of the search.
        dimensions: Coordinates of a point.
        count: How many points.

    Returns:
        A float64 array of shape `(count, dimensions)`: the first coordinates of
        scipy's sequence in 64 dimensions (or in 1024, or 21201, where they do not
        suffice).

    Raises:
        ValueError: If there are more than 21201 dimensions, which Sobol's sequence is
            not defined for.
    """
    from scipy.stats import qmc  # Here, because it is slow to import.

    if dimensions > DIMENSIONS[-1]:
        raise ValueError(
            f"A quasi-random search can have {DIMENSIONS[-1]} hyperparameters. "
            f"Received: {dimensions} of them"
        )
    engine_class = {"sobol": qmc.Sobol, "halton": qmc.Halton}[sequence]
    engine = engine_class(
        next(size for size in DIMENSIONS if size >= dimensions),
        scramble=True,
        seed=np.random.default_rng(seeds.derived_seed(seed, "sequence")),
    )
    # Sobol's points are balanced in blocks of 2^m, and scipy warns about others.
    block = 1 << max(count - 1, 0).bit_length()
    return engine.random(block)[:count, :dimensions]


def settings_of(
    space: list[Any], names: list[str], point: np.ndarray
) -> points.Settings:
    """Returns the settings at a point of the unit cube, coordinate i for `names[i]`."""
    coordinates = dict(zip(names, point.tolist(), strict=False))
    return points.complete(
        space, lambda hp: hp.prob_to_value(coordinates.get(hp.name, 0.5))
    )


def dimension_names(space: list[Any], known: list[str]) -> list[str]:
    """Returns the names of the coordinates: the `known` ones, then new ones by name."""
    tuned = (hp for hp in space if not isinstance(hp, _FIXED))
    new = {hp.name for hp in tuned} - set(known)
    return [*known, *sorted(new)]


_FIXED = keras_tuner.engine.hyperparameters.Fixed


def settings_at(
    sequence: str, seed: int, space: list[Any], names: list[str], index: int
) -> points.Settings | None:
    """Returns settings number `index` of those that a sequence comes by.

    Settings that were there before do not count. In a small space the ones that the
    sequence is long in coming to follow in the order of a grid.

    Args:
        sequence: `"sobol"` or `"halton"`.
        seed: The seed of the search.
        space: The hyperparameters.
        names: Those that have a coordinate, in order.
        index: From 0.

    Returns:
        The settings, or None if the space has no more.
    """
    everything = points.all_points(space)
    if everything is None:
        cube = unit_points(sequence, seed, len(names), index + 1)
        return settings_of(space, names, cube[index])
    cube = unit_points(sequence, seed, len(names), 16 * len(everything))
    # One by one, since few of them are needed.
    found = itertools.chain(
        (settings_of(space, names, point) for point in cube), everything
    )
    return next(itertools.islice(_distinct(space, found), index, None), None)


def _distinct(
    space: list[Any], found: Iterable[points.Settings]
) -> Iterator[points.Settings]:
    seen: set[str] = set()
    for one in found:
        signature = points.signature(space, one)
        if signature not in seen:
            seen.add(signature)
            yield one


class _Sequence(keras_tuner.Oracle):
    """Gives trial i the i-th of the settings that the sequence comes by."""

    seed: int

    def __init__(self, *, sequence: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.sequence = sequence
        self.dimensions: list[str] = []

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        space = self.get_space().space
        self.dimensions = dimension_names(space, self.dimensions)
        settings = settings_at(
            self.sequence, self.seed, space, self.dimensions, int(trial_id)
        )
        if settings is not None:
            return {"status": "RUNNING", "values": settings}
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "dimensions": self.dimensions}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.dimensions = state["dimensions"]


class QuasiRandomOracle(OracleMixin, _Sequence):
    """Suggests the points of a scrambled Sobol or Halton sequence."""

    looks_at_scores = False


class QuasiRandomSearch(TunerMixin, keras_tuner.Tuner):
    """Quasi-random search: points that leave no gaps, as random ones do.

    Trial i (from 0) has point i of a low-discrepancy sequence in the unit cube, each
    coordinate mapped through its hyperparameter's own scale. With the same number of
    trials the points come closer to the optimum than random ones if few of the
    hyperparameters matter. Like a random search, and unlike a Bayesian one, it may run
    any number of trials at a time without a loss.

    A point is a function of the seed and the trial alone. The hyperparameters that are
    known at the start take the coordinates in the order of their names, those that
    appear later the next ones, so that they move no other. In a space of few points,
    those that come again are left out, and the search ends when all have been tried.
    What it shares with the other tuners is told at `RandomSearch`.

    Args:
        hypermodel: See `RandomSearch`.
        objective: See `RandomSearch`.
        max_trials: Trials to run at most. For `"sobol"` a power of 2 is best.
        sequence: `"sobol"` or `"halton"`, scrambled.
        seed: Seed of the scrambling and of every trial's training. None draws one.
        hyperparameters: See `RandomSearch`.
        tune_new_entries: See `RandomSearch`.
        allow_new_entries: See `RandomSearch`.
        max_retries_per_trial: See `RandomSearch`.
        max_consecutive_failed_trials: See `RandomSearch`.
        **kwargs: See `RandomSearch`.

    Raises:
        TypeError: See `RandomSearch`.
        ValueError: If `sequence` is neither. See also `RandomSearch`.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import QuasiRandomSearch
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", 0.0, 4.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return (hp.get("x") - 2) ** 2
    >>> tuner = QuasiRandomSearch(
    ...     Parabola(), max_trials=4, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> sorted(tuner.leaderboard()["x"].astype(int))  # One in each quarter.
    [0, 1, 2, 3]

    Reference:
        Bousquet et al., "Critical Hyper-Parameters: No Random, No Cry", 2017; the
        sequences are `scipy.stats.qmc`'s.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_trials: int | None = 10,
        sequence: Sequence = "sobol",
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Unpack[TunerArguments],
    ):
        _validation.check_choice("sequence", sequence, SEQUENCES)
        oracle = QuasiRandomOracle(
            sequence=sequence,
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        TunerMixin.__init__(self, oracle, hypermodel, **kwargs)
