"""Bayesian optimization: a Gaussian process suggests settings."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners._typing import ObjectiveLike
from keras_tricks.tuners.oracles.bayesian import BayesianOptimizationOracle
from keras_tricks.tuners.oracles.bayesian import ExpectedImprovementOracle
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners._typing import RolesLike
    from keras_tricks.tuners._typing import TunerArguments
    from keras_tricks.tuners.trials.cross_validation import Preprocess

ENGINES = ("log_ei", "keras_tuner")


class BayesianOptimization(TunerMixin, keras_tuner.BayesianOptimization):
    """Bayesian optimization: a Gaussian process over the scores suggests settings.

    A drop-in subclass of `keras_tuner.BayesianOptimization`; what it adds is told at
    `RandomSearch`.

    The first trials are points of a scrambled Sobol sequence. Then a Gaussian process
    is fitted to the scores over the unit cube of the space (each hyperparameter on its
    own scale, a choice without an order by a coordinate for each value, an inactive one
    at its default), with Matern's kernel and a length for each hyperparameter. The
    settings with the greatest

    `log(expected improvement) + log(probability of being feasible)`

    come next. Failed and infeasible trials have no score: a second process learns where
    they lie, and the nearer such a trial is than one with a score, the smaller is the
    probability, so that a search leaves an edge at which its best trial lies. Trials
    that run, as those of a pack or of workers, count as if they had ended as expected.
    From the 31st trial on every second one comes from densities instead (TPE): it
    resembles the best tenth of the trials more than the others. That goes on to explore
    where noise is large, or neighbours share a score. The models are made of at most
    500 trials, the best ones and some of each rank below. A suggestion takes some 40 ms
    after 100 trials, and is a function of the seed and the trials.

    `engine="keras_tuner"` is KerasTuner's own process instead, which minimizes a lower
    confidence bound, takes a second or more, and counts failed trials as the worst.

    Args:
        hypermodel: See `RandomSearch`.
        objective: See `RandomSearch`.
        max_trials: See `RandomSearch`.
        num_initial_points: Trials before the first suggestion; by default two for each
            hyperparameter, from 4 to 10 (three for each with KerasTuner's engine).
        alpha: Of KerasTuner's engine, which another value than the default chooses:
            variance of the noise that the Gaussian process assumes.
        beta: Of KerasTuner's engine, likewise: weight of exploration against
            exploitation in the lower confidence bound `mean - beta * deviation` that a
            suggestion minimizes (of the score, or of its negative where larger is
            better).
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
        roles: See `RandomSearch`.
        engine: `"log_ei"`, as above, or `"keras_tuner"`; None is KerasTuner's where
            `alpha` or `beta` is not the default.
        **kwargs: See `RandomSearch`.

    Raises:
        TypeError: See `RandomSearch`.
        ValueError: See `RandomSearch`; or if `alpha` or `beta` is given to the engine
            that has none.

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
        Jones et al., "Efficient Global Optimization of Expensive Black-Box Functions",
        1998; Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011;
        Gelbart et al., "Bayesian Optimization with Unknown Constraints", 2014;
        Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian
        Optimization", 2023. KerasTuner's: Srinivas et al., "Gaussian Process
        Optimization in the Bandit Setting", 2010.
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
        roles: RolesLike | None = None,
        engine: Literal["log_ei", "keras_tuner"] | None = None,
        **kwargs: Unpack[TunerArguments],
    ):
        if engine is not None:
            _validation.check_choice("engine", engine, ENGINES)
        own = {
            "alpha": _validation.check_float("alpha", alpha, exclusive=True),
            "beta": _validation.check_float("beta", beta),
        }
        chooses = own != {"alpha": 1e-4, "beta": 2.6}
        if chooses and engine == "log_ei":
            raise ValueError(
                '`alpha` and `beta` must not be given with engine="log_ei", which '
                f"has neither. Received: alpha={alpha}, beta={beta}"
            )
        seed = _validation.check_seed("seed", seed)
        is_keras_tuners = engine == "keras_tuner" or chooses
        if is_keras_tuners and seed is not None and not 0 <= seed < 2**32:
            # Scikit-learn's Gaussian process takes no others.
            raise ValueError(
                "`seed` must be from 0 to 2**32 - 1 for KerasTuner's engine. "
                f"{_validation.received('seed', seed)}"
            )
        oracle_class = (
            BayesianOptimizationOracle if is_keras_tuners else ExpectedImprovementOracle
        )
        oracle = oracle_class(
            roles=roles,
            objective=objective,
            max_trials=max_trials,
            num_initial_points=num_initial_points,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **(own if is_keras_tuners else {}),
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
