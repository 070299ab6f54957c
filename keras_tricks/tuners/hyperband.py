"""Hyperband: many trials for few epochs, the best of them for more."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners._typing import ObjectiveLike
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.oracles.hyperband import HyperbandOracle
from keras_tricks.tuners.oracles.hyperband import place_name
from keras_tricks.tuners.oracles.hyperband import place_of
from keras_tricks.tuners.oracles.hyperband import schedule
from keras_tricks.tuners.results import records
from keras_tricks.tuners.trials import overrides
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import HyperbandArguments
    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners._typing import RolesLike
    from keras_tricks.tuners.trials.cross_validation import Preprocess


class Hyperband(TunerMixin, keras_tuner_hooks.HyperbandHooks):
    """Hyperband: brackets of trials whose best are trained on, for more epochs.

    A drop-in subclass of `keras_tuner.Hyperband`; what it adds is told at
    `RandomSearch`. Each bracket begins with random trials of few epochs and promotes
    the best of them, rung by rung; a promoted trial goes on from the weights of the
    best epoch of the trial below it. See `hyperband.schedule` for the sizes: those of
    the paper, which are up to one trial a rung smaller than KerasTuner's. With `splits`
    a promoted trial is trained anew instead, on each fold from epoch 0 to the rung's
    last: the weights below have seen the examples that the other folds are scored on.

    A rung begins when all trials of the one below have ended, and settings and seeds
    belong to a trial's place in its rung, so that a resumed or repeated search promotes
    the same trials. With `search(..., workers=)` the brackets run side by side: trials
    get their numbers in another order, and have the same settings and scores. Failed
    and infeasible trials are not promoted; the bracket goes on without them.

    Args:
        hypermodel: See `RandomSearch`. Its `fit` must pass `epochs` and
            `initial_epoch` on to the model's.
        objective: See `RandomSearch`.
        max_epochs: Epochs of the trials that come through all rungs (R in the paper).
            It takes the place of the `epochs` given to `search`.
        factor: One trial in `factor` is promoted (eta in the paper).
        hyperband_iterations: How often all brackets are run. None or 0 goes on for
            ever, or up to `max_trials`.
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
        **kwargs: See `RandomSearch`, and `max_trials`: trials of all rungs to run at
            most. None, the default, runs all brackets.

    Raises:
        TypeError: See `RandomSearch`.
        ValueError: If `max_epochs` is no integer from 1 on, or `factor` none from 2
            on. See also `RandomSearch`.

    Example:

    >>> import tempfile
    >>> import keras, numpy as np
    >>> from keras_tricks.tuners import Hyperband
    >>> def build(hp):
    ...     rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.SGD(rate), "mse")
    ...     return model
    >>> x = np.linspace(0, 1, 32, dtype="float32")[:, None]
    >>> tuner = Hyperband(
    ...     build, "loss", max_epochs=3, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(x, 2 * x, verbose=0)
    >>> [len(tuner.curves(str(n))[0]["loss"]) for n in range(6)]
    [1, 1, 1, 2, 3, 3]

    Reference:
        Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
        Optimization", JMLR 18, 2018, Algorithm 1.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int | None = 1,
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
        **kwargs: Unpack[HyperbandArguments],
    ):
        max_epochs = _validation.check_int("max_epochs", max_epochs, minimum=1)
        factor = _validation.check_int("factor", factor, minimum=2)
        max_trials = kwargs.pop("max_trials", None)
        oracle = HyperbandOracle(
            roles=roles,
            objective=objective,
            max_epochs=max_epochs,
            factor=factor,
            hyperband_iterations=hyperband_iterations,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        if max_trials is None and hyperband_iterations:
            brackets = schedule(max_epochs, factor)
            in_one = sum(rung.trials for rungs in brackets for rung in rungs)
            # Known beforehand, so that the search can tell the time that is left.
            max_trials = hyperband_iterations * in_one
        oracle.max_trials = max_trials
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

    def load_model(self, trial: Any) -> keras.Model:
        """Returns the model of a trial; see `Results.load_model`.

        Its own weights are those that count, also where those that it began with were
        not kept.
        """
        alone = copy.copy(trial)
        alone.hyperparameters = trial.hyperparameters.copy()
        alone.hyperparameters.values.pop("tuner/trial_id", None)
        return super().load_model(alone)

    @property
    def _continues(self) -> bool:
        """Whether promoted trials go on: a fold's would know the other folds' data."""
        return self.options.splits is None

    def _rerun_call(self, record: records.TrialRecord, call: FitCall) -> FitCall:
        """Returns what `fit` is given to repeat a trial: all epochs up to its rung's.

        Raises:
            ValueError: If `trial.json`, which holds them, was lost.
        """
        values = self.oracle.get_trial(record.trial_id).hyperparameters.values
        if "tuner/epochs" not in values:
            raise ValueError(
                f"Trial {record.trial_id} cannot be trained again: how many epochs it "
                "had is not known, since its `trial.json` was lost."
            )
        return call.replace(epochs=values["tuner/epochs"], initial_epoch=0)

    def _seed_name(self, trial: Any) -> str:
        """Returns the place of a trial, by which it is seeded."""
        place = place_of(trial)
        return super()._seed_name(trial) if place is None else place_name(place)

    def _fit_arguments_of(
        self, trial: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns what `fit` is given: the rung's epochs for those of `search`."""
        values = trial.hyperparameters.values
        call, rest = overrides.fit_call(self.hypermodel, fit_args, fit_kwargs)
        if "tuner/epochs" in values:
            first = values["tuner/initial_epoch"] if self._continues else 0
            call = call.replace(epochs=values["tuner/epochs"], initial_epoch=first)
        return (*call.args, *rest), call.kwargs
