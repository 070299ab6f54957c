"""Bayesian optimization: KerasTuner's, with what all tuners of this package share."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners import seeds
from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners._typing import ObjectiveLike
from keras_tricks.tuners.oracles.bayesian import BayesianOptimizationOracle
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners._typing import TunerArguments
    from keras_tricks.tuners.trials.cross_validation import Preprocess


class BayesianOptimization(TunerMixin, keras_tuner.BayesianOptimization):
    """Bayesian optimization: a Gaussian process over the scores suggests settings.

    A drop-in subclass of `keras_tuner.BayesianOptimization`; what it adds is told at
    `RandomSearch`. Failed and infeasible trials count as the worst one so far, so that
    the Gaussian process learns where not to go. With `packed_trials` each trial of a
    pack is suggested as if those before it had ended a little worse than expected.
    KerasTuner needs scikit-learn and scipy for it without requiring them; this package
    requires both, so that it runs on a fresh install.

    Args:
        hypermodel: See `RandomSearch`.
        objective: See `RandomSearch`.
        max_trials: See `RandomSearch`.
        num_initial_points: Random trials before the first suggestion; by default three
            for each hyperparameter.
        alpha: Variance of the noise that the Gaussian process assumes.
        beta: Weight of exploration against exploitation in the lower confidence bound
            `mean - beta * deviation` that a suggestion minimizes (of the score, or of
            its negative where larger is better).
        seed: See `RandomSearch`.
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
        **kwargs: See `RandomSearch`.

    Raises:
        TypeError: See `RandomSearch`.
        ValueError: See `RandomSearch`.

    Example:

    >>> import tempfile
    >>> import keras_tuner
    >>> from keras_tricks.tuners import BayesianOptimization
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", -1.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return hp.get("x") ** 2
    >>> import keras
    >>> tuner = BayesianOptimization(
    ...     Parabola(), max_trials=8, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> bool(tuner.leaderboard()["default_objective"][0] < 0.01)
    True

    Reference:
        Srinivas et al., "Gaussian Process Optimization in the Bandit Setting", 2010.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
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
        **kwargs: Unpack[TunerArguments],
    ):
        seed = seeds.checked_seed(seed)
        if seed is not None and not 0 <= seed < 2**32:
            # Scikit-learn's Gaussian process takes no others.
            raise ValueError(
                "`seed` must be from 0 to 2**32 - 1. "
                f"{_validation.received('seed', seed)}"
            )
        alpha = _validation.check_float("alpha", alpha, exclusive=True)
        beta = _validation.check_float("beta", beta)
        oracle = BayesianOptimizationOracle(
            objective=objective,
            max_trials=max_trials,
            num_initial_points=num_initial_points,
            alpha=alpha,
            beta=beta,
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
