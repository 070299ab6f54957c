"""The oracles of a Bayesian search: ours, and KerasTuner's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras_tuner
import numpy as np

from keras_tricks.tuners import seeds
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.oracles import expected_improvement
from keras_tricks.tuners.oracles import parzen
from keras_tricks.tuners.oracles.base import OracleMixin
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.search_space import once_each
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space import quasi_random
from keras_tricks.tuners.search_space.unit_cube import UnitCube

# Trials that a model of the scores needs, and from how many on its parameters are those
# of the first 10 % fewer trials, which are fitted once.
LEAST_SCORES = 2
REFITTED_UNTIL = 16
GROWTH = 1.1
# From this trial on every second one comes from densities. What is smooth is found by
# then.
DENSITIES_FROM = 30
# Trials with a score, and trials without one, that a model is made of at most. Its cost
# grows with their third power.
MOST = 500


class _ExpectedImprovement(keras_tuner.Oracle):
    """First a Sobol sequence, then what promises to improve on the best most.

    Later on every second trial is one that resembles the good ones instead.
    """

    seed: int
    trials: dict[str, Any]

    def __init__(self, *, num_initial_points: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.engine = "log_ei"
        self.num_initial_points = num_initial_points
        self._dimensions: list[str] = []
        self._rows = once_each.OnceEach(
            UnitCube, lambda cube, settings: cube.encoded([settings])[0]
        )
        self._signatures = once_each.signatures()
        # What was fitted -> to how many trials and axes, and the parameters.
        self._fitted: dict[str, tuple[tuple[int, int], np.ndarray]] = {}

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        space = self.get_space().space
        cube = self._rows.prepared(space)
        number = int(trial_id)
        settings = None
        if number < self._num_initial_points(cube):
            self._dimensions = quasi_random.dimension_names(space, self._dimensions)
            settings = quasi_random.settings_at(
                "sobol", self.seed, space, self._dimensions, number
            )
        elif cube.dimensions:
            with _one_thread():
                settings = self._suggested(cube, space, trial_id)
        if settings is None:
            settings = points.random_unseen(
                space, self._seen(space), self.seed, trial_id
            )
        if settings is not None:
            return {"status": "RUNNING", "values": settings}
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED", "values": None}

    def _num_initial_points(self, cube: UnitCube) -> int:
        if self.num_initial_points is not None:
            return self.num_initial_points
        return min(max(4, 2 * cube.dimensions), 10)

    def _suggested(
        self, cube: UnitCube, space: list[Any], trial_id: str
    ) -> points.Settings | None:
        """Returns the best settings that no trial has, or None."""
        groups: dict[str, list[Any]] = {"scored": [], "failed": [], "pending": []}
        for trial in self.trials.values():
            if not trial.hyperparameters.values:
                continue  # Its files were lost.
            if trial.status not in keras_tuner_hooks.ENDED:
                groups["pending"].append(trial)
            elif trial.status == "COMPLETED" and scores.is_feasible(trial.score):
                groups["scored"].append(trial)
            elif not points.names_out_of_range(space, trial.hyperparameters.values):
                # Else it failed by an initial setting, and says nothing of any other.
                groups["failed"].append(trial)
        if len(groups["scored"]) < LEAST_SCORES:
            return None
        seen = self._seen(space)
        # Few of the candidates of a small space are new; `seen` has the last word.
        for settings in self._candidates(cube, space, trial_id, groups):
            if points.signature(space, settings) not in seen:
                return settings
        return None

    def _candidates(
        self,
        cube: UnitCube,
        space: list[Any],
        trial_id: str,
        groups: dict[str, list[Any]],
    ) -> Iterator[points.Settings]:
        """Yields settings, the most promising ones first."""
        sign = scores.sign(self.objective.direction)
        scored = _best_and_others(groups["scored"], sign)
        ended = self._rows_of(space, [*scored, *_spread(groups["failed"], MOST)])
        pending = self._rows_of(space, groups["pending"])
        tried = np.concatenate([ended, pending])
        found = np.array([sign * trial.score for trial in scored])
        generator = np.random.default_rng(
            seeds.derived_seed(self.seed, trial_id, "candidates")
        )
        surrogate = expected_improvement.Surrogate(
            cube,
            ended,
            found,
            pending,
            self._parameters_of_scores(space, groups["scored"], sign),
            self._parameters_of_feasible(space, groups["scored"], groups["failed"]),
        )
        if int(trial_id) >= DENSITIES_FROM and int(trial_id) % 2:
            yield from parzen.suggestions(
                cube, tried, found, surrogate.log_feasible, generator
            )
        yield from expected_improvement.suggestions(surrogate, cube, tried, generator)

    def _seen(self, space: list[Any]) -> set[str]:
        return set(self._signatures.of(space, self.trials.values()))

    def _rows_of(self, space: list[Any], trials: list[Any]) -> np.ndarray:
        rows = self._rows.of(space, trials)
        return np.array(rows).reshape(len(rows), self._rows.prepared(space).dimensions)

    # The parameters are functions of the trials alone, so that a search that is resumed
    # suggests what it would have suggested.

    def _parameters_of_scores(
        self, space: list[Any], scored: list[Any], sign: float
    ) -> np.ndarray:
        """Returns the parameters of the process of the scores."""
        cube = self._rows.prepared(space)

        def fitted(count: int) -> np.ndarray:
            trials = _best_and_others(scored[:count], sign)
            found = np.array([sign * trial.score for trial in trials])
            rows = self._rows_of(space, trials)
            return expected_improvement.fitted_parameters(cube, rows, found)

        return self._fitted_once("scores", len(scored), cube, fitted)

    def _parameters_of_feasible(
        self, space: list[Any], scored: list[Any], failed: list[Any]
    ) -> np.ndarray | None:
        """Returns the parameters of the process of what is feasible, if not all is."""
        if not failed:
            return None
        with_score = {trial.trial_id for trial in scored}
        every = sorted([*scored, *failed], key=lambda t: scores.order(t.trial_id))
        cube = self._rows.prepared(space)

        def fitted(count: int) -> np.ndarray:
            trials = _spread(every[:count], MOST)
            rows = self._rows_of(space, trials)
            is_feasible = np.array([t.trial_id in with_score for t in trials])
            return expected_improvement.fitted_feasibility(cube, rows, is_feasible)

        return self._fitted_once("feasible", len(every), cube, fitted)

    def _fitted_once(
        self, what: str, count: int, cube: UnitCube, fitted: Callable[[int], np.ndarray]
    ) -> np.ndarray:
        """Returns what is fitted to these trials, or to a few less that were before."""
        key = _milestone(count), cube.dimensions
        known = self._fitted.get(what)
        if known is None or known[0] != key:
            known = self._fitted[what] = key, fitted(key[0])
        return known[1]


@functools.cache
def _thread_pools() -> Any:
    import threadpoolctl  # Scikit-learn requires it, too.

    return threadpoolctl.ThreadpoolController()


def _one_thread() -> Any:
    """Has small matrices not wait for threads."""
    return _thread_pools().limit(limits=1, user_api="blas")


def _best_and_others(trials: list[Any], sign: float) -> list[Any]:
    """Returns at most `MOST` trials: the best ones, and some of each rank below."""
    if len(trials) <= MOST:
        return trials
    ranked = sorted(trials, key=lambda trial: sign * trial.score)
    return ranked[: MOST // 2] + _spread(ranked[MOST // 2 :], MOST - MOST // 2)


def _spread(trials: list[Any], count: int) -> list[Any]:
    """Returns at most so many of some trials, at even distances."""
    if len(trials) <= count:
        return trials
    return [trials[number * len(trials) // count] for number in range(count)]


def _milestone(count: int) -> int:
    """Returns to how many of so many trials the parameters are fitted."""
    if count <= REFITTED_UNTIL:
        return count
    last = REFITTED_UNTIL
    while int(last * GROWTH) <= count:
        last = int(last * GROWTH)
    return last


class ExpectedImprovementOracle(OracleMixin, _ExpectedImprovement):
    """A Gaussian process and the expected improvement."""

    is_told_by_trials = True


class BayesianOptimizationOracle(
    keras_tuner_hooks.BayesianOracleHooks,
    OracleMixin,
    keras_tuner.oracles.BayesianOptimizationOracle,
):
    """KerasTuner's Bayesian optimization."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.engine = "keras_tuner"
        self.gpr.random_state = self.seed
