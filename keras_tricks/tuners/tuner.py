"""What all tuners of this package share."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.tuners import budget
from keras_tricks.tuners import chief
from keras_tricks.tuners import cross_validation
from keras_tricks.tuners import judgement
from keras_tricks.tuners import keras_tuner_hooks
from keras_tricks.tuners import progress
from keras_tricks.tuners import project
from keras_tricks.tuners import project_lock
from keras_tricks.tuners import records
from keras_tricks.tuners import seeds
from keras_tricks.tuners import store
from keras_tricks.tuners import workers as worker_processes
from keras_tricks.tuners.keras_settings import KerasSettings
from keras_tricks.tuners.one_trial import OneTrial
from keras_tricks.tuners.one_trial import with_data
from keras_tricks.tuners.results import Results
from keras_tricks.tuners.resuming import Resuming
from keras_tricks.tuners.running_trial import RunningTrial

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners.arguments_by_name import FitArguments
    from keras_tricks.tuners.arguments_by_name import Packed


class TunerMixin(Results, Resuming, OneTrial):
    """Repeatable trials, records of them, and progress, for a KerasTuner tuner.

    Stands before KerasTuner's class in the bases. Whoever overrides `on_trial_begin`,
    `on_trial_end`, `on_epoch_end` or `run_trial` in a subclass calls `super()`'s, or
    goes without the seed, the record, the curves or the executions' own seeds.

    A trial's result is a function of (search seed, trial ID, execution). What the
    trial does not draw from Keras, TensorFlow, NumPy or Python is its own affair: the
    order of a `tf.data.Dataset` that was shuffled before the search goes on from one
    trial to the next. Pass arrays, or a dataset without `shuffle`.
    """

    oracle: Any
    hypermodel: Any
    project_dir: str

    def __init__(
        self,
        oracle: Any,
        hypermodel: Any = None,
        *,
        parameter_budget: float | None = None,
        keep_checkpoints: int | None = 3,
        packed_trials: Packed = None,
        reuse_programs: bool = True,
        splits: Any = None,
        groups: Any = None,
        preprocess: cross_validation.Preprocess | None = None,
        directory: str | Path | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        **kwargs: Any,
    ):
        if hypermodel is None and type(self).run_trial is TunerMixin.run_trial:
            raise ValueError(
                "`hypermodel` must be given unless a subclass overrides `run_trial`. "
                "Received: hypermodel=None"
            )
        if parameter_budget is not None:
            parameter_budget = budget.checked_limit(
                "parameter_budget", parameter_budget
            )
        if keep_checkpoints is not None:
            keep_checkpoints = _validation.check_int(
                "keep_checkpoints", keep_checkpoints, minimum=1
            )
        if kwargs.get("executions_per_trial") is not None:
            kwargs["executions_per_trial"] = _validation.check_int(
                "executions_per_trial", kwargs["executions_per_trial"], minimum=1
            )
        if splits is not None:
            cross_validation.check_splits(splits, groups)
        if kwargs.get("max_model_size") is not None:
            kwargs["max_model_size"] = _validation.check_int(
                "max_model_size", kwargs["max_model_size"], minimum=1
            )
        if kwargs.get("tuner_id") is not None:
            _validation.check_text("tuner_id", kwargs["tuner_id"])
        if hypermodel is not None:
            budget.check_hypermodel(hypermodel)
        if preprocess is not None:
            _validation.check_function("preprocess", preprocess)
        overwrite = _validation.check_flag("overwrite", overwrite)
        if project_name is not None:
            _validation.check_text("project_name", project_name)
        store.checked_directory(directory)
        self.reuse_programs = _validation.check_flag("reuse_programs", reuse_programs)
        self.packed_trials = _checked_packed(packed_trials, reuse_programs)
        self.splits, self.groups, self.preprocess = splits, groups, preprocess
        self.parameter_budget = parameter_budget
        self.keep_checkpoints = keep_checkpoints
        oracle.keep_checkpoints = keep_checkpoints
        if isinstance(oracle, keras_tuner.oracles.HyperbandOracle):
            oracle.continues_trials = True
        self._arguments = project.arguments_of(
            oracle,
            {
                "executions_per_trial": 1,
                **dict.fromkeys(("optimizer", "loss", "metrics")),
                **kwargs,
                "splits": splits,
                "groups": groups,
                "preprocess": preprocess,
            },
        )
        # In a worker process KerasTuner puts a proxy in its place, without the seed.
        self._own_oracle = oracle
        self._running_trial: RunningTrial | None = None
        self._keras_settings: KerasSettings | None = None
        self.programs: Any = None
        self._progress = progress.SearchProgress("", oracle.objective.better_than, None)
        self._shows_fit = False
        self._consecutive_failures = 0
        self._identity: project.Identity | None = None
        self._is_fresh = False
        self._objective_is_proven = False
        self._checked_names: judgement.FitArguments | None = None
        self._provenance: tuple[dict[str, str], str | None] = ({}, None)
        self._searched_with: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        if overwrite and not self._in_worker:
            # KerasTuner's deletes a project in which another process is searching,
            # and a worker's that of its chief.
            project_lock.clear_project(
                Path(directory or ".") / (project_name or "untitled_project")
            )
        # Past the constructors of the public classes, which only make their oracles.
        keras_tuner.Tuner.__init__(
            self,
            oracle,
            hypermodel,
            directory=directory,
            project_name=project_name,
            **kwargs,
        )

    def search(
        self, *fit_args: Any, workers: int = 1, **fit_kwargs: Unpack[FitArguments]
    ) -> None:
        """Runs the trials that are left, each saved before the next begins.

        Args:
            *fit_args: What `model.fit` (or `HyperModel.fit`) is given. A function
                without arguments in the place of `x` or `validation_data` is called
                in each trial and returns the data.
            workers: How many processes of this machine run trials at a time. 1, the
                default, runs them in this one. More are started and ended here; see
                `keras_tricks.tuners.workers` for what they share.
            **fit_kwargs: The same. `verbose` is the search's: `"auto"` or 1 (the
                default) shows the progress and keeps `fit` silent, 2 shows `fit`'s
                lines too and shares no programs, 0 shows nothing.

        Raises:
            ValueError: If `verbose` is none of those, if `workers` is no integer from
                1 on, if the tuner has a `parameter_budget` and the data are not the
                first argument, or if the objective is not among what `fit` logs.
            TypeError: If an argument cannot be sent to worker processes.
            ImportError: If a TensorBoard callback is passed without tensorboard.
            ProjectInUseError: If another process is searching in the same folder.
            StorageError: If the folder cannot be written, an `OSError`. What was saved
                before is intact.
            TooManyFailuresError: If `max_consecutive_failed_trials` trials failed one
                after the other, a `RuntimeError`.
            RuntimeError: If the search ended without a single score. The message
                holds the errors of the trials. Trials that diverged do not count as
                failed ones.
        """
        given: dict[str, Any] = {**fit_kwargs}
        self._searched_with = fit_args, given
        call, rest = self._search_call(fit_args, given)
        verbose = call["verbose"]
        if np.ndim(verbose) or verbose not in ("auto", 0, 1, 2):
            raise ValueError(
                '`verbose` must be "auto", 0, 1 or 2. '
                f"{_validation.received('verbose', verbose)}"
            )
        workers = _validation.check_int("workers", workers, minimum=1)
        if workers > 1 and "KERASTUNER_ORACLE_IP" in os.environ:
            raise ValueError(
                "`workers` must be 1 in a process of KerasTuner's chief and workers: "
                f"start more of those instead. Received: workers={workers}"
            )
        if call.is_given("verbose"):
            call = call.replace(verbose=2 if verbose == 2 else 0)
        self._shows_fit = verbose == 2
        if keras_tuner_hooks.has_tensorboard(keras.tree.flatten(call.callbacks)):
            _require_tensorboard()
        self._check_objective(call)
        fit_args, given = (*call.args, *rest), call.kwargs
        hypermodel, splits = self.hypermodel, self.splits
        folds = None
        if splits is not None:
            data = FitCall(*with_data(call.args, call.kwargs))
            folds = cross_validation.check(
                splits, data, self.groups, self._own_oracle.seed
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(seeds.global_generators_restored())
            if not self._in_worker:
                stack.enter_context(project_lock.ProjectLock(self.project_dir))
                self._begin_project()
            if self.parameter_budget is not None:
                self.hypermodel = budget.within_budget_of(
                    hypermodel, self.parameter_budget, call
                )
            self._provenance = records.versions(), records.git_commit()
            self._progress = self._new_progress(verbose)
            self._progress.start()
            # Each trial, whoever runs it, has the same.
            self.splits = folds
            try:
                if workers == 1:
                    self._run_search(fit_args, given)
                else:
                    worker_processes.search(self, workers, fit_args, given)
            finally:
                self._progress.stop()
                self.hypermodel, self.splits = hypermodel, splits
                # An interrupted trial must not claim a model built after it.
                self._running_trial = None
                if not self._in_worker:
                    self._own_oracle.run_again_what_was_interrupted()
            if not self._in_worker:
                self._own_oracle.drop_checkpoints()
        ended = self._ended_records()
        if ended and all(record.status != records.COMPLETED for record in ended):
            raise RuntimeError(
                f"None of the {len(ended)} trials has a score.\n"
                f"{records.errors_text(ended)}"
            )

    def _run_search(self, fit_args: Any, fit_kwargs: Any) -> None:
        """Runs trials in this process, as long as the oracle has some."""
        self._consecutive_failures = 0
        if chief.is_chief():
            self.save()
            chief.serve(self._own_oracle)
            return
        with contextlib.ExitStack() as stack:
            stack.enter_context(_old_objects_not_collected())
            self._keras_settings = KerasSettings.now()
            stack.callback(self._keras_settings.apply)
            if self.reuse_programs and keras.config.backend() == "tensorflow":
                from keras_tricks.tuners import shared_programs  # It needs TensorFlow.

                shared_programs.search(self, fit_args, fit_kwargs)
            else:
                super().search(*fit_args, **fit_kwargs)  # type: ignore[misc]

    def _search_call(
        self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> tuple[FitCall, tuple[Any, ...]]:
        """Returns what `search` was given; see `judgement.fit_call`.

        Names that a subclass's `run_trial` has for its arguments are not known either.
        """
        if type(self).run_trial in _KNOWN_RUN_TRIALS:
            return self._fit_call(fit_args, fit_kwargs)
        return FitCall(tuple(fit_args[:2]), dict(fit_kwargs)), tuple(fit_args[2:])

    def _check_objective(self, call: FitCall) -> None:
        """Refuses an objective that needs validation data where there are none."""
        self._checked_names = None
        if not self._logs_are_known() or not judgement.logs_are_keras_own(call):
            return
        frequency = call["validation_freq"]
        self._checked_names = judgement.FitArguments(
            self.splits is not None or call.has_validation,
            isinstance(frequency, int) and frequency == 1,
        )
        names = judgement.objective_names(self.oracle.objective)
        validated = [name for name in names if name.startswith("val_")]
        if validated and not self._checked_names.validated_each_epoch:
            raise ValueError(
                f"The objective {validated[0]!r} needs a validation after each epoch. "
                f"{_validation.received('validation_freq', frequency)}"
            )
        if not self._checked_names.validated and names[0].startswith("val_"):
            raise ValueError(
                f"The objective {names[0]!r} needs `validation_data` or "
                "`validation_split`, of which `search` was given none."
            )

    def _logs_are_known(self) -> bool:
        """Whether training is left to `fit`, in this class and in the hypermodel."""
        return type(self).run_trial in _KNOWN_RUN_TRIALS and judgement.trains_by_fit(
            self.hypermodel
        )

    def _new_progress(self, verbose: int | str) -> progress.SearchProgress:
        objective = self.oracle.objective
        ended = self._ended_records()
        found = [r.score for r in ended if r.status == records.COMPLETED]
        best_of = max if objective.direction == "max" else min
        return progress.progress_class(verbose)(
            objective.name,
            objective.better_than,
            total=self.oracle.max_trials,
            finished=len(ended),
            best=best_of(found, default=None),  # type: ignore[type-var]
        )


# Classes that train as `hypermodel.fit` does. One that overrides `run_trial` may log
# anything.
_KNOWN_RUN_TRIALS = {TunerMixin.run_trial}


def _checked_packed(packed_trials: Any, reuse_programs: bool) -> int | str | None:
    if packed_trials is None:
        return None
    if not isinstance(packed_trials, str) or packed_trials != "auto":
        packed_trials = _validation.check_int("packed_trials", packed_trials, minimum=1)
    if not reuse_programs:
        raise ValueError(
            "`packed_trials` needs `reuse_programs=True`: a pack is trained by one "
            f"program. {_validation.received('packed_trials', packed_trials)}, "
            "reuse_programs=False"
        )
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "`packed_trials` needs Keras's TensorFlow backend. Received: packed_trials="
            f"{packed_trials!r} with the backend {keras.config.backend()!r}"
        )
    return packed_trials


@contextlib.contextmanager
def _old_objects_not_collected() -> Iterator[None]:
    """Keeps the garbage collector from objects that are there already.

    KerasTuner collects garbage in full twice a trial, through all of TensorFlow's
    objects: half of the time of a small trial. Who keeps objects from it already goes
    on to do so: they cannot be told from others when these are given back.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _require_tensorboard() -> None:
    try:
        importlib.import_module("tensorboard.plugins.hparams.api")
    except ImportError as error:
        raise ImportError(
            "A TensorBoard callback needs the package tensorboard, which TensorFlow "
            "does not bring: python -m pip install tensorboard"
        ) from error
