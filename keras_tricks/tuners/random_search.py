"""Random search: KerasTuner's, with what all tuners of this package share."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import keras_tuner

from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners._typing import ObjectiveLike
from keras_tricks.tuners.oracles.random import RandomSearchOracle
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners._typing import RolesLike
    from keras_tricks.tuners._typing import TunerArguments
    from keras_tricks.tuners.trials.cross_validation import Preprocess


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
        hyperparameters: A `keras_tuner.HyperParameters` that fixes or adds ranges. It
            stays as it is.
        tune_new_entries: Whether to tune what is not in `hyperparameters`.
        allow_new_entries: Whether the hypermodel may ask for more than those.
        max_retries_per_trial: How often a trial that raised an error is tried again.
        max_consecutive_failed_trials: Failed trials in a row that stop the search.
        parameter_budget: The largest number of trainable parameters per training
            sample (one half is a rule of thumb for small data). A trial whose model
            has more is infeasible; its model is neither built nor trained. Of several
            training folds the smallest counts. None admits any. See `WithinBudget`.
        keep_checkpoints: How many of the best trials keep their weights; None keeps
            those of all.
        packed_trials: How many trials of one structure train in one step: None for
            one, a number, or `"auto"`, which takes what is faster. See
            `docs/packed-trials.md`.
        reuse_programs: Whether trials whose models differ in numbers only share one
            compiled program. What a program cannot do is trained by `fit`, and the
            log tells why.
        splits: A scikit-learn splitter, a number of folds (shuffled by `seed`,
            stratified where `y` are classes) or a list of index pairs: a trial is
            trained once for each fold of the arrays `x`, `y` and `sample_weight`, and
            all trials have the same folds. None trains on all data.
        groups: The splitter's groups, one for each example. Needs `splits`.
        preprocess: A function from a fold's training examples to one that is applied
            to all of the fold's. Needs `splits`.
        roles: What hyperparameters are to this search, in the words of the tuning
            playbook: names under `"scientific"` (the question) and `"nuisance"` (tuned
            so that the comparison is fair), values by name under `"fixed"`. What is
            fixed has that value in all trials. `keras_tricks.analysis.compare` and
            `search_report` compare the scientific ones.
        **kwargs: `executions_per_trial`, `directory`, `project_name`, `overwrite` and
            the other arguments of `keras_tuner.Tuner`. A trial whose model has more
            trainable parameters than `max_model_size` is infeasible; those of a model
            that its first batch builds are counted by the shape of the data.

    Raises:
        TypeError: If `seed` is neither an integer nor None.
        ValueError: If `hypermodel` is missing, if `groups` or `preprocess` is given
            without `splits`, or for what KerasTuner refuses.

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
        oracle = RandomSearchOracle(
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
