"""KerasTuner's searches with what `TunerMixin` adds to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import TypeAlias

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners import oracles
from keras_tricks.tuners import seeds
from keras_tricks.tuners.tuner import TunerMixin

HyperModelLike: TypeAlias = (
    keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], keras.Model]
)
ObjectiveLike: TypeAlias = (
    str | keras_tuner.Objective | list[str | keras_tuner.Objective]
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners.arguments_by_name import TunerArguments


class RandomSearch(TunerMixin, keras_tuner.RandomSearch):
    """Random search: settings drawn independently, no two alike.

    A drop-in subclass of `keras_tuner.RandomSearch`, with these differences. Two
    searches with one `seed`, 0 included, give bit-equal scores on one machine, in one
    process or in two. A NaN or infinite score is never best. Every trial leaves its
    curves, seed, duration and size in a `record.json` before the next one begins;
    `leaderboard()` and `curves(trial_id)` read them. A progress bar replaces
    KerasTuner's printing. tensorboard is imported only for a TensorBoard callback:
    KerasTuner imports it in every trial without requiring it, and TensorFlow no longer
    brings it from 2.21 on, so that on a fresh install every trial of its own fails.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function from `hp` to a model. Its
            `fit` may compile the model.
        objective: The name of a metric, for instance `"val_accuracy"`, a
            `keras_tuner.Objective`, or a list of them, whose sum counts. Not needed
            where the hypermodel's `fit` returns one number to minimize.
        max_trials: Trials to run at most.
        seed: Seed of the settings and of every trial's training. None draws one.
        hyperparameters: A `keras_tuner.HyperParameters` that fixes or adds ranges.
        tune_new_entries: Whether to tune what is not in `hyperparameters`.
        allow_new_entries: Whether the hypermodel may ask for more than those.
        max_retries_per_trial: How often a trial that raised an error is tried again.
        max_consecutive_failed_trials: Failed trials in a row that stop the search.
        **kwargs: `executions_per_trial`, `directory`, `project_name`, `overwrite` and
            the other arguments of `keras_tuner.Tuner`, and `parameter_budget`: the
            largest number of trainable parameters per training sample (one half is a
            rule of thumb for small data). A trial whose model has more is infeasible;
            its model is neither built nor trained. None, the default, admits any. See
            `WithinBudget`. `keep_checkpoints` (3 by default) is how many of the best
            trials keep their weights. With `splits`, a scikit-learn splitter, a number
            of folds (shuffled by `seed`, stratified where `y` are classes) or a list of
            index pairs, a trial is trained once for each fold of the arrays `x`, `y`
            and `sample_weight`; all trials have the same folds. `groups` are the
            splitter's, and `preprocess` is a function from a fold's training examples
            to one that is applied to all of the fold's.
            With `reuse_programs` (True by default) trials whose models differ in
            numbers only share one compiled program; `packed_trials` is how many of
            them train in one step: None for one, a number, or `"auto"`, which measures
            what is faster. See `docs/packed-trials.md`; what a program cannot do, and
            why the log tells, is trained by `fit`.

    Raises:
        TypeError: If `seed` is neither an integer nor None.
        ValueError: If `hypermodel` is missing, or for what KerasTuner refuses.

    Example:

    >>> import tempfile
    >>> import keras, numpy as np
    >>> from keras_tricks.tuners import RandomSearch
    >>> def build(hp):
    ...     rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.SGD(rate), "mse")
    ...     return model
    >>> x = np.linspace(0, 1, 32, dtype="float32")[:, None]
    >>> tuner = RandomSearch(
    ...     build, "loss", max_trials=2, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(x, 2 * x, epochs=2, verbose=0)
    >>> tuner.leaderboard()[["rank", "best_epoch", "parameters", "status"]]
       rank  best_epoch  parameters     status
    0     1           2           2  COMPLETED
    1     2           2           2  COMPLETED

    Reference:
        Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", 2012.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_trials: int | None = 10,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Unpack[TunerArguments],
    ):
        self.seed = seed
        oracle = oracles.RandomSearchOracle(
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
        oracle = oracles.BayesianOptimizationOracle(
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
        TunerMixin.__init__(self, oracle, hypermodel, **kwargs)
