"""Search by Optuna's samplers and pruners, on one machine or on many."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner

from keras_tricks import _validation
from keras_tricks.tuners._typing import HyperModelLike
from keras_tricks.tuners._typing import ObjectiveLike
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.trials.overrides import follows_logs
from keras_tricks.tuners.tuner import TunerMixin

if TYPE_CHECKING:
    import optuna
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import FitArguments
    from keras_tricks.tuners._typing import InitialSettings
    from keras_tricks.tuners._typing import Packed
    from keras_tricks.tuners._typing import RolesLike
    from keras_tricks.tuners._typing import TunerArguments
    from keras_tricks.tuners.optuna.samplers import Pruner
    from keras_tricks.tuners.optuna.samplers import Sampler
    from keras_tricks.tuners.trials.cross_validation import Preprocess


class OptunaSearch(TunerMixin, keras_tuner.Tuner):
    """Search on an Optuna study, which any number of processes may share.

    Needs Optuna, the extra `optuna`. What it shares with the other tuners is told
    at `RandomSearch`.

    **Where the study is.** Without `storage` it is a file in the project's folder.
    With one, every process that is started with the same `storage` and `study_name`
    takes part in the search, each with a folder of its own; there is no chief.
    `max_trials` counts the trials of all. Each process waits until the last trial has
    ended, knows all results, and has the weights of its own trials. The trial of a
    process that died is run again with the same settings: at once, if the process was
    on the same machine, and otherwise when it gave no sign of life for
    `lease_seconds`. What the study says counts, whatever else is in the folders.
    optuna-dashboard shows it; each entry is one attempt at a trial, with its ID and
    settings among the user attributes.

    **Seeds.** The sampler is seeded for each trial from the seed of the search and the
    trial's ID, so that a resumed search is the one that was not interrupted. With
    several processes, what `"tpe"`, `"gp"` and `"cmaes"` suggest depends on the
    results that are there when they are asked; `"qmc"` and random samplers do not look
    at them.

    **Pruning.** After each epoch of its first execution, the study's pruner is told
    the objective. A pruned trial ends with that epoch. It is complete, with the best
    score that it had so far; in the leaderboard's records its `error` says that it was
    pruned, and Optuna lists it as pruned.

    **Several objectives.** For a list of objectives the study has a direction for each,
    and the sampler looks for trials that no other beats in all of them:
    `pareto_front()` returns these. The leaderboard and `get_best_models` go by the sum.

    Infinite and NaN scores are told as failed, never as values; to the sampler, trials
    without a score count as those with the worst one so far, so that it learns where
    not to go. Settings that a trial
    has had are not tried again: random ones take their place, and the search ends when
    a small space has none left.

    Args:
        hypermodel: See `RandomSearch`.
        objective: See `RandomSearch`.
        max_trials: Trials to run at most, in all processes together.
        sampler: `"tpe"`, `"gp"` (needs torch), `"cmaes"` (needs cmaes), `"qmc"` (the
            points of `QuasiRandomSearch`), `"nsga2"` (with a population of 20), or an
            Optuna sampler. For a list of objectives `"gp"` and `"cmaes"` are refused.
        pruner: None, `"median"`, `"hyperband"`, or an Optuna pruner. None for a list of
            objectives.
        storage: None for a file in the project's folder; the path of such a file, on a
            disk that all processes see; the URL of a database, for instance
            `"postgresql://user@host/name"`; or an Optuna storage. A path is a file in
            Optuna's journal format.
        study_name: The study's name in the storage. The project's name by default.
        seed: See `RandomSearch`. None takes that of the study, or draws one.
        hyperparameters: See `RandomSearch`.
        tune_new_entries: See `RandomSearch`.
        allow_new_entries: See `RandomSearch`.
        max_retries_per_trial: See `RandomSearch`.
        max_consecutive_failed_trials: See `RandomSearch`.
        lease_seconds: After so many seconds without a sign of life, a trial of another
            machine is run again. Signs are given four times as often.
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
        ImportError: If Optuna, or what it needs for the sampler, is not installed.
        TypeError: See `RandomSearch`.
        ValueError: If `sampler`, `pruner` or `lease_seconds` is not as above, or does
            not suit several objectives, if the study has another objective or seed, or
            if `overwrite` would delete a study that others may share. See also
            `RandomSearch`.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import OptunaSearch
    >>> class Parabola(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Float("x", -1.0, 1.0)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         return hp.get("x") ** 2
    >>> tuner = OptunaSearch(
    ...     Parabola(), max_trials=20, seed=0, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> bool(tuner.leaderboard()["default_objective"][0] < 0.01)
    True
    >>> len(tuner.study.trials)
    20

    Reference:
        Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization
        Framework", KDD 2019.
    """

    def __init__(
        self,
        hypermodel: HyperModelLike | None = None,
        objective: ObjectiveLike | None = None,
        max_trials: int | None = 10,
        sampler: Sampler | optuna.samplers.BaseSampler = "tpe",
        pruner: Pruner | optuna.pruners.BasePruner | None = None,
        storage: str | os.PathLike[str] | optuna.storages.BaseStorage | None = None,
        study_name: str | None = None,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        lease_seconds: float = 60.0,
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
        # Here, so that the package can be imported without Optuna.
        from keras_tricks.tuners.optuna.oracle import OptunaOracle

        lease_seconds = _validation.check_float(
            "lease_seconds", lease_seconds, exclusive=True
        )
        if storage is not None and kwargs.get("overwrite"):
            raise ValueError(
                "overwrite=True would delete a study that other processes may share. "
                "Pass another `study_name`, or delete the study with "
                "optuna.delete_study. Received: overwrite=True, storage="
                f"{storage!r}"
            )
        oracle = OptunaOracle(
            roles=roles,
            objective=objective,
            max_trials=max_trials,
            sampler=sampler,
            pruner=pruner,
            storage=storage,
            study_name=study_name,
            lease_seconds=lease_seconds,
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
        if self.oracle is oracle:  # In a worker process it is another's.
            oracle.connect(Path(self.project_dir))

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        return self.oracle.study

    def search(
        self,
        *fit_args: Any,
        workers: int | None = None,
        executor: Any = None,
        gpus_per_trial: float | None = None,
        initial_settings: InitialSettings | None = None,
        max_seconds: float | None = None,
        stop_hopeless: bool = False,
        live_curves: bool = False,
        report: str | os.PathLike[str] | None = None,
        **fit_kwargs: Unpack[FitArguments],
    ) -> None:
        """Runs trials until the study has `max_trials`: see `RandomSearch`.

        Settings that `study.enqueue_trial` was given come first, too.

        Raises:
            ValueError: If there are a pruner and an `executor`, whose trials cannot
                ask it.
        """
        if executor is not None and self._local_oracle.can_prune:
            raise ValueError(
                "`pruner` must be None where an `executor` runs the trials, since they "
                "cannot ask it: give `workers`, or start this script on each machine "
                "with a `storage` that all of them reach. "
                f"{_validation.received('pruner', self._local_oracle.pruner, True)}"
            )
        try:
            super().search(
                *fit_args,
                workers=workers,
                executor=executor,
                gpus_per_trial=gpus_per_trial,
                initial_settings=initial_settings,
                max_seconds=max_seconds,
                stop_hopeless=stop_hopeless,
                live_curves=live_curves,
                report=report,
                **fit_kwargs,
            )
        finally:
            if self.oracle is self._local_oracle:
                self._local_oracle.release()

    @follows_logs
    def on_epoch_end(
        self, trial: Any, model: keras.Model, epoch: int, logs: Any = None
    ) -> None:
        """Asks the pruner whether the trial shall go on."""
        super().on_epoch_end(trial, model, epoch, logs)
        objective = self.oracle.objective
        if logs and objective.has_value(logs):
            score = float(objective.get_value(logs))
            if self.oracle.report(trial.trial_id, epoch, score):
                model.stop_training = True

    def on_trial_end(self, trial: Any) -> None:
        """Notes if the trial was pruned, and ends it."""
        epochs = self.oracle.pruned_after(trial.trial_id)
        if epochs is not None and trial.status == "COMPLETED":
            trial.message = f"Pruned after epoch {epochs}"
        super().on_trial_end(trial)
