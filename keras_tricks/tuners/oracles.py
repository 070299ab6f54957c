"""KerasTuner's oracles: every seed counts, and only finite scores are best."""

import math
from typing import Any

import keras_tuner

from keras_tricks.tuners import keras_tuner_hooks
from keras_tricks.tuners import seeds


class OracleMixin(keras_tuner_hooks.OracleHooks):
    """What our oracles share. Stands before KerasTuner's oracle in the bases."""

    def __init__(self, *, seed: int | None = None, **kwargs: Any):
        seed = seeds.checked_seed(seed)
        super().__init__(seed=seed, **kwargs)  # type: ignore[call-arg]
        if seed is not None:
            # KerasTuner takes a random seed where it is given 0.
            self.seed = seed
        self.quieten()

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the settings of a trial: a function of seed, trial and results."""
        self.seed_suggestion(trial_id)
        return super().populate_space(trial_id)  # type: ignore[misc]

    @property
    def verbose(self) -> int:
        """Always 0: our tuners show the progress themselves."""
        return 0

    @verbose.setter
    def verbose(self, value: int | str) -> None:
        # `search` hands fit's verbosity to the oracle, which must stay silent.
        pass

    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """Returns the best completed trials, at most `num_trials`, best first.

        Unlike KerasTuner's it never fills up with failed trials, and trials of equal
        score stand in the order in which they were started.
        """
        mixin: Any = self
        completed = [
            trial
            for trial in mixin.trials.values()
            if trial.status == "COMPLETED" and is_feasible(trial.score)
        ]
        sign = -1 if mixin.objective.direction == "max" else 1
        completed.sort(key=lambda trial: (sign * trial.score, order(trial.trial_id)))
        return completed[:num_trials]

    def reload(self) -> None:
        mixin: Any = self
        super().reload()  # type: ignore[misc]
        # Files come in any order; a Gaussian process's last bits depend on it.
        mixin.trials = dict(
            sorted(mixin.trials.items(), key=lambda item: order(item[0]))
        )


class RandomSearchOracle(OracleMixin, keras_tuner.oracles.RandomSearchOracle):
    """KerasTuner's random search."""


class BayesianOptimizationOracle(
    keras_tuner_hooks.BayesianOracleHooks,
    OracleMixin,
    keras_tuner.oracles.BayesianOptimizationOracle,
):
    """KerasTuner's Bayesian optimization."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.gpr.random_state = self.seed


def is_feasible(score: float | None) -> bool:
    """Whether a score is a number: neither missing nor NaN nor infinite."""
    return score is not None and math.isfinite(score)


def order(trial_id: str) -> tuple[int, str]:
    """Sorting key: KerasTuner pads IDs to the width of `max_trials`, which may grow."""
    return (int(trial_id), "") if trial_id.isdecimal() else (0, trial_id)
