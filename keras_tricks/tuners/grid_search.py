"""Every point of a grid, once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import keras_tuner

from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners._typing import ObjectiveLike
from keras_tricks.tuners.oracles.grid import GridSearchOracle
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners._typing import RolesLike
    from keras_tricks.tuners._typing import TunerArguments
    from keras_tricks.tuners.trials.cross_validation import Preprocess


class GridSearch(TunerMixin, keras_tuner.GridSearch):
    """Grid search: every combination of the hyperparameters' values, once.

    A drop-in subclass of `keras_tuner.GridSearch`; what it adds is told at
    `RandomSearch`. The points come in KerasTuner's order: the first has all defaults,
    and the hyperparameter that was asked for last changes first. A hyperparameter
    has its default and then its other values; a range without `step` has its default
    and ten values spread evenly over its scale. A resumed search goes on where it was,
    which KerasTuner's does not. Points that differ only in what their trials do not ask
    for, in branches without a conditional scope too, are one point.

    Args:
        hypermodel: See `RandomSearch`.
        objective: See `RandomSearch`.
        max_trials: Trials to run at most. None, the default, runs the whole grid.
        seed: Seed of every trial's training; the grid itself is not random.
        hyperparameters: See `RandomSearch`.
        tune_new_entries: See `RandomSearch`.
        allow_new_entries: See `RandomSearch`.
        max_retries_per_trial: See `RandomSearch`.
        max_consecutive_failed_trials: See `RandomSearch`.
        parameter_budget: See `RandomSearch`.
        keep_checkpoints: See `RandomSearch`.
        packed_trials: See `RandomSearch`.
        reuse_programs: See `RandomSearch`.
        splits: See `RandomSearch`.
        groups: See `RandomSearch`.
        preprocess: See `RandomSearch`.
        roles: See `RandomSearch`.
        **kwargs: See `RandomSearch`.

    Raises:
        TypeError: See `RandomSearch`.
        ValueError: See `RandomSearch`.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import GridSearch
    >>> class Sum(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Choice("a", [1, 2])
    ...         hp.Int("b", 10, 30, step=10)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return hp.get("a") + hp.get("b")
    >>> tuner = GridSearch(Sum(), seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> tuner.leaderboard()["default_objective"].tolist()
    [11.0, 12.0, 21.0, 22.0, 31.0, 32.0]
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        *,
        parameter_budget: float | None = None,
        keep_checkpoints: int | None = 3,
        packed_trials: Packed = None,
        reuse_programs: bool = True,
        splits: Any = None,
        groups: Any = None,
        preprocess: Preprocess | None = None,
        roles: RolesLike | None = None,
        **kwargs: Unpack[TunerArguments],
    ):
        self.seed = seed
        oracle = GridSearchOracle(
            roles=roles,
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        options = TunerOptions(
            parameter_budget=parameter_budget,
            keep_checkpoints=keep_checkpoints,
            packed_trials=packed_trials,
            reuse_programs=reuse_programs,
            splits=splits,
            groups=groups,
            preprocess=preprocess,
        )
        TunerMixin.__init__(self, oracle, hypermodel, options, **kwargs)
