"""What all tuners of this package share."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import inspect
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner

from keras_tricks import parameters
from keras_tricks.tuners import budget
from keras_tricks.tuners import chief
from keras_tricks.tuners import confirmation
from keras_tricks.tuners import cross_validation
from keras_tricks.tuners import judgement
from keras_tricks.tuners import keras_tuner_hooks
from keras_tricks.tuners import progress
from keras_tricks.tuners import project
from keras_tricks.tuners import records
from keras_tricks.tuners import scores
from keras_tricks.tuners import seeds
from keras_tricks.tuners import store
from keras_tricks.tuners import tensorflow_hooks
from keras_tricks.tuners import workers as worker_processes

if TYPE_CHECKING:
    import pandas as pd


class TunerMixin(keras_tuner_hooks.TunerHooks):
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
        if keep_checkpoints is not None and not (
            type(keep_checkpoints) is int and keep_checkpoints >= 1
        ):
            raise ValueError(
                "`keep_checkpoints` must be an integer from 1 on, or None to keep "
                f"all. Received: keep_checkpoints={keep_checkpoints!r}"
            )
        if splits is not None:
            cross_validation.check_splits(splits)
        self.splits, self.groups, self.preprocess = splits, groups, preprocess
        self.parameter_budget = parameter_budget
        self.keep_checkpoints = keep_checkpoints
        oracle.keep_checkpoints = keep_checkpoints
        if isinstance(oracle, keras_tuner.oracles.HyperbandOracle):
            oracle.continues_trials = True
        # In a worker process KerasTuner puts a proxy in its place, without the seed.
        self._own_oracle = oracle
        self._trial: _RunningTrial | None = None
        self._progress = progress.SearchProgress("", oracle.objective.better_than, None)
        self._quiet_fit = False
        self._consecutive_failures = 0
        self._identity: project.Identity | None = None
        self._is_fresh = False
        self._objective_is_proven = False
        self._checked_names: judgement.FitArguments | None = None
        self._provenance: tuple[dict[str, str], str | None] = ({}, None)
        self._searched_with: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        if overwrite and not self.is_worker:
            # KerasTuner's deletes a project in which another process is searching,
            # and a worker's that of its chief.
            store.clear_project(Path(directory or ".") / _project_name(project_name))
        # Past the constructors of the public classes, which only make their oracles.
        keras_tuner.Tuner.__init__(
            self,
            oracle,
            hypermodel,
            directory=directory,
            project_name=project_name,
            **kwargs,
        )

    def search(self, *fit_args: Any, workers: int = 1, **fit_kwargs: Any) -> None:
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
                lines too, 0 shows nothing.

        Raises:
            ValueError: If `verbose` is none of those, if `workers` is no integer from
                1 on, if the tuner has a `parameter_budget` and the data are not the
                first argument, or if the objective is not among what `fit` logs.
            TypeError: If an argument cannot be sent to worker processes.
            ImportError: If a TensorBoard callback is passed without tensorboard.
            ProjectInUseError: If another process is searching in the same folder.
            StorageError: If the folder cannot be written, an `OSError`. What was saved
                before is intact.
            RuntimeError: If `max_consecutive_failed_trials` trials failed one after
                the other, or if the search ended without a single score. The message
                holds the errors of the trials. Trials that diverged do not count as
                failed ones.
        """
        verbose = fit_kwargs.get("verbose", "auto")
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(
                f'`verbose` must be "auto", 0, 1 or 2. Received: verbose={verbose!r}'
            )
        if type(workers) is not int or workers < 1:
            raise ValueError(
                f"`workers` must be an integer from 1 on. Received: workers={workers!r}"
            )
        if workers > 1 and "KERASTUNER_ORACLE_IP" in os.environ:
            raise ValueError(
                "`workers` must be 1 in a process of KerasTuner's chief and workers: "
                f"start more of those instead. Received: workers={workers}"
            )
        self._searched_with = fit_args, dict(fit_kwargs)
        if "verbose" in fit_kwargs:
            fit_kwargs["verbose"] = 2 if verbose == 2 else 0
        self._quiet_fit = verbose != 2
        if keras_tuner_hooks.has_tensorboard(fit_kwargs.get("callbacks") or ()):
            _require_tensorboard()
        self._check_objective(fit_args, fit_kwargs)

        hypermodel = self.hypermodel
        with contextlib.ExitStack() as stack:
            stack.enter_context(seeds.global_generators_restored())
            if not self.is_worker:
                stack.enter_context(store.ProjectLock(self.project_dir))
                self._begin_project()
            if self.parameter_budget is not None:
                self.hypermodel = budget.within_budget_of(
                    hypermodel, self.parameter_budget, fit_args, fit_kwargs
                )
            self._provenance = records.versions(), records.git_commit()
            self._progress = self._new_progress(verbose)
            self._progress.start()
            try:
                if workers == 1:
                    self.run_search(fit_args, fit_kwargs)
                else:
                    worker_processes.search(self, workers, fit_args, fit_kwargs)
            finally:
                self._progress.stop()
                self.hypermodel = hypermodel
                # An interrupted trial must not claim a model built after it.
                self._trial = None
            if not self.is_worker:
                self._own_oracle.drop_checkpoints()
        ended = self.ended_records()
        if ended and all(record.status != records.COMPLETED for record in ended):
            raise RuntimeError(
                f"None of the {len(ended)} trials has a score.\n"
                f"{records.errors_text(ended)}"
            )

    def run_search(self, fit_args: Any, fit_kwargs: Any) -> None:
        """Runs trials in this process, as long as the oracle has some."""
        self._consecutive_failures = 0
        if chief.is_chief():
            self.save()
            chief.serve(self._own_oracle)
            return
        with _old_objects_not_collected():
            super().search(*fit_args, **fit_kwargs)  # type: ignore[misc]

    def note(
        self,
        trial_id: str,
        *,
        why: str | None = None,
        outcome: str | None = None,
        next: str | None = None,
    ) -> None:
        """Keeps a note on a trial: in the leaderboard, and beside the records.

        Args:
            trial_id: The trial's ID; it need not have begun.
            why: The reason for the trial.
            outcome: What came of it.
            next: What follows from it. None leaves what was noted before; an empty
                text deletes it.

        Raises:
            TypeError: If a note is no text.
        """
        given = {"why": why, "outcome": outcome, "next": next}
        for name, text in given.items():
            if text is not None and not isinstance(text, str):
                raise TypeError(
                    f"`{name}` must be a text or None. Received: {name}={text!r}"
                )
        notes = records.read_notes(self.project_dir)
        note = notes.setdefault(str(trial_id), {})
        note.update((name, text) for name, text in given.items() if text is not None)
        store.write_json(Path(self.project_dir) / records.NOTES_FILE, notes)

    def load_model(self, trial: Any) -> keras.Model:
        """Returns the model of a trial with the weights of its best epoch.

        Raises:
            ValueError: If its weights were not kept.
        """
        if not self.checkpoint_file(trial.trial_id).exists():
            raise ValueError(
                f"The weights of trial {trial.trial_id} were not kept: only those of "
                "the best trials are. Received: keep_checkpoints="
                f"{self.keep_checkpoints} (None keeps all)"
            )
        return super().load_model(trial)  # type: ignore[misc]

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """Returns the models of the best trials, best first.

        Args:
            num_models: At most as many as `keep_checkpoints`.

        Raises:
            ValueError: If more are asked for than weights were kept.
        """
        best = self.oracle.get_best_trials(num_models)
        kept = self.keep_checkpoints
        if kept is not None and len(best) > kept:
            raise ValueError(
                f"`num_models` must be at most `keep_checkpoints`, {kept}: the weights "
                "of other trials are deleted when they end. "
                f"Received: num_models={num_models}"
            )
        return [self.load_model(trial) for trial in best]

    def leaderboard(self, path: str | Path | None = None) -> pd.DataFrame:
        """Returns the table of all trials that have ended, best first.

        Two searches with one seed give the same table, apart from `seconds`.

        Args:
            path: Where to write the table as CSV, too.

        Returns:
            A DataFrame with the columns `rank` (from 1; none without a score),
            `trial_id`, the score under the objective's name, `best_epoch` (from 1),
            `parameters` (trainable ones), `seconds`, `status`, then one column for
            each hyperparameter, empty where it is inactive. Trials whose score is NaN
            or infinite (`INFEASIBLE`) and trials that raised an error (`FAILED`) stand
            at the bottom. A hyperparameter whose name is one of those columns' is
            called `hp_` and its name. Where trials have several executions,
            `deviation` follows the score: the standard deviation over them. Notes
            follow `status`.
        """
        space = self.oracle.get_space().space
        table = records.leaderboard(
            self.ended_records(), self.oracle.objective, [hp.name for hp in space]
        )
        if path is not None:
            store.write_text(path, table.to_csv(index=False))
        return table

    def confirm(
        self,
        *fit_args: Any,
        top: int = 3,
        reruns: int = 5,
        baseline: float | None = None,
        **fit_kwargs: Any,
    ) -> confirmation.Confirmation:
        """Trains the best trials again, with seeds that the search did not use.

        The best score of a search is also the luckiest. Run twice, `confirm` trains
        nothing twice.

        Args:
            *fit_args: As of `search`; those of the last one if there are none.
            top: How many trials, >= 1.
            reruns: Trainings of each, >= 2.
            baseline: A score that the first should beat.
            **fit_kwargs: As `fit_args`.

        Returns:
            The scores, their means and deviations, and whether the first beats the
            second and the baseline beyond the spread (Welch's test at 95 %); `print`
            shows it.

        Raises:
            ValueError: If `top` or `reruns` is too small, or no trial has a score.
        """
        if not fit_args and not fit_kwargs and self._searched_with is not None:
            fit_args, fit_kwargs = self._searched_with
        return confirmation.confirm(
            self, fit_args, fit_kwargs, top=top, reruns=reruns, baseline=baseline
        )

    def curves(self, trial_id: str) -> list[dict[str, list[float]]]:
        """Returns the learning curves of a trial.

        Args:
            trial_id: As in the leaderboard.

        Returns:
            One dict for each execution, from the metric to a list of one value an
            epoch.

        Raises:
            ValueError: If no trial with that ID has ended.
        """
        ended = {record.trial_id: record for record in self.ended_records()}
        if trial_id not in ended:
            raise ValueError(
                f"`trial_id` must be one of {sorted(ended)}. "
                f"Received: trial_id={trial_id!r}"
            )
        return [execution.curves for execution in ended[trial_id].executions]

    def _check_objective(self, fit_args: Any, fit_kwargs: Any) -> None:
        """Refuses an objective that needs validation data where there are none."""
        self._checked_names = None
        if not self.logs_are_known() or not judgement.logs_are_keras_own(
            fit_args, fit_kwargs
        ):
            return
        self._checked_names = judgement.FitArguments(
            self.splits is not None or judgement.has_validation(fit_args, fit_kwargs),
            judgement.argument("validation_freq", fit_args, fit_kwargs) or 1,
        )
        names = judgement.objective_names(self.oracle.objective)
        if not self._checked_names.validated and names[0].startswith("val_"):
            raise ValueError(
                f"The objective {names[0]!r} needs `validation_data` or "
                "`validation_split`, of which `search` was given none."
            )

    def logs_are_known(self) -> bool:
        """Whether training is left to `fit`, in this class and in the hypermodel."""
        return type(self).run_trial in _KNOWN_RUN_TRIALS and judgement.trains_by_fit(
            self.hypermodel
        )

    def _refuse_objective(self, message: str | None) -> None:
        """Ends the search for good, if there is a message and no trial has a score."""
        if message is not None and not self._objective_is_proven:
            raise keras_tuner.errors.FatalValueError(message)

    def _begin_project(self) -> None:
        """Makes the folder this search's, when it is the only one to write there."""
        folder = Path(self.project_dir)
        oracle = self._own_oracle
        if not self._is_fresh and oracle.was_changed_on_disk():
            self.reload()
        if self._is_fresh:
            # Of another search, which has no trial that ended.
            store.remove_trials(folder, except_for=oracle.trials)
            self._is_fresh = False
        store.remove_temporary_files(folder)
        if self._identity is not None:
            now = project.Identity(
                self._identity.objective, oracle.seed, self._identity.space
            )
            now.write(folder)
        self._objective_is_proven = any(
            trial.status == "COMPLETED" for trial in oracle.trials.values()
        )

    # The methods below are called by KerasTuner.

    def on_space_populated(self) -> None:
        """Resumes the project in the folder, or refuses one of another search."""
        if self.is_worker:
            return
        oracle = self._own_oracle
        folder = Path(self.project_dir)
        now = project.Identity(
            project.objective_of(oracle.objective),
            oracle.given_seed,
            project.space_of(oracle.get_space()),
        )
        self._identity = now
        if not (folder / "oracle.json").exists() and not any(folder.glob("trial_*")):
            return
        saved = project.Identity.read(folder) or self._identity_in_trials(now)
        differences = saved.differences(now)
        if differences and oracle.has_results():
            raise project.refusal(folder, differences)
        self._is_fresh = bool(differences)
        if not differences:
            if saved.seed is not None:
                oracle.seed = saved.seed
            oracle.reload()
            self.reload_state()

    def _identity_in_trials(self, now: project.Identity) -> project.Identity:
        """Returns what the files of a project without `search.json` tell of it."""
        objective = seed = space = None
        for record in records.read_all(self.project_dir).values():
            if now.objective is not None and len(now.objective) == 1:
                objective = [[record.objective, record.direction]]
            seed = record.seed if seed is None else seed
        try:
            state = self._own_oracle.read_state()
            seed = state["seed"]
            saved = keras_tuner.HyperParameters.from_config(state["hyperparameters"])
            # What only trials ask for is not known before the first.
            space = {
                name: configs
                for name, configs in project.space_of(saved).items()
                if name in (now.space or {})
            }
        except (store.DamagedFileError, KeyError, TypeError, ValueError):
            pass  # `reload` tells it.
        return project.Identity(objective, seed, space)

    def on_trial_begin(self, trial: Any) -> None:
        """Seeds the trial and begins its record."""
        super().on_trial_begin(trial)  # type: ignore[misc]
        # Of an attempt that was killed or that failed; it would be kept or averaged.
        trial.metrics.metrics.clear()
        trial.message = None
        self._trial = _RunningTrial(trial.trial_id, self._own_oracle.seed)
        self._trial.earlier_errors = records.errors_of_attempts(
            self.get_trial_dir(trial.trial_id)  # type: ignore[attr-defined]
        )
        # For a `run_trial` that builds no model; the others are seeded at each build.
        keras.utils.set_random_seed(self._trial.seed_of(execution=0))

    def on_build_begin(self) -> None:
        """Seeds Keras, NumPy and Python for one execution of the trial."""
        if self._trial is not None:
            keras.utils.set_random_seed(self._trial.begin_execution())

    def on_build_end(self, model: keras.Model) -> None:
        """Keeps the model, to count its parameters once it has been trained."""
        if self._trial is None:
            return
        self._trial.model = model
        if self._checked_names is not None and not self._objective_is_proven:
            message = judgement.missing_objective(
                self.oracle.objective,
                judgement.compiled_names(model),
                self._checked_names.validated,
            )
            self._refuse_objective(message)

    def on_epoch_end(
        self, trial: Any, model: keras.Model, epoch: int, logs: Any = None
    ) -> None:
        """Keeps the epoch's metrics, also of a trial that fails later."""
        super().on_epoch_end(trial, model, epoch, logs)  # type: ignore[misc]
        if self._trial is None or not self._trial.executions:
            return
        self._trial.executions[-1].append_epoch(logs or {})
        fit_arguments = self._checked_names
        if fit_arguments is not None and fit_arguments.validation_freq == 1:
            self._refuse_objective(
                judgement.missing_objective(
                    self.oracle.objective, set(logs or {}), False
                )
            )

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the model of `trial` once for each execution."""
        callbacks = list(kwargs.pop("callbacks", None) or ())
        if self._quiet_fit:
            callbacks.append(progress.QuietFit())
        args, kwargs = _with_data(args, kwargs)
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(tensorflow_hooks.custom_gradients_forgotten())
                if self.is_worker:
                    stack.enter_context(
                        chief.signs_of_life(self.oracle, trial.trial_id)
                    )
                results = self._run_folds(
                    trial, args, {**kwargs, "callbacks": callbacks}
                )
        except budget.InfeasibleTrialError as error:
            if self._trial is not None:
                self._trial.infeasible = error
            raise
        except Exception as error:
            if store.is_full_disk(error):
                folder = self.get_trial_dir(trial.trial_id)  # type: ignore[attr-defined]
                raise store.storage_error(error, folder) from error
            if not judgement.is_out_of_memory(error):
                raise
            infeasible = budget.InfeasibleTrialError(
                judgement.out_of_memory_message(
                    error, trial.hyperparameters, args, kwargs
                )
            )
            if self._trial is not None:
                self._trial.infeasible = infeasible
            raise infeasible from error
        if self._trial is not None:
            for result in results if isinstance(results, list) else [results]:
                self._refuse_objective(
                    judgement.missing_in_result(self.oracle.objective, result)
                )
            self._trial.set_results(results, self.oracle.objective)
        return results

    def _run_folds(
        self, trial: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trains on all data, or once on each fold."""
        if self.splits is None:
            return super().run_trial(trial, *args, **kwargs)  # type: ignore[misc]
        results = []
        for fold_args, fold_kwargs in cross_validation.folds(
            self.splits, args, kwargs, self.groups, self.preprocess
        ):
            results += super().run_trial(  # type: ignore[misc]
                trial, *fold_args, **fold_kwargs
            )
        return results

    def on_trial_end(self, trial: Any) -> None:
        """Records the trial, ends it, and stops a search in which all goes wrong."""
        record = self._finished_record(trial)
        self._trial = None
        # Before KerasTuner calls the trial ended: killed in between, it is run again.
        record.write(self.get_trial_dir(trial.trial_id))  # type: ignore[attr-defined]
        super().on_trial_end(trial)  # type: ignore[misc]
        if self.oracle.get_trial(trial.trial_id).status == "INVALID":
            return  # It failed, and is going to be tried again.
        self.show(record)
        failed = record.status == records.FAILED
        self._consecutive_failures = self._consecutive_failures + 1 if failed else 0
        limit = self._own_oracle.max_consecutive_failed_trials
        if self._consecutive_failures == limit:
            failures = [r for r in self.ended_records() if r.status == records.FAILED]
            raise worker_processes.GaveUpError(
                f"{limit} trials failed one after the other, which is the limit "
                f"`max_consecutive_failed_trials`.\n{records.errors_text(failures)}"
            )

    def show(self, record: records.TrialRecord) -> None:
        """Shows a trial that has ended."""
        self._progress.trial_finished(record)
        self._objective_is_proven |= record.status == records.COMPLETED

    def _finished_record(self, trial: Any) -> records.TrialRecord:
        """Returns the record of a trial that ran; an infeasible one is marked."""
        objective = self.oracle.objective
        record = records.TrialRecord.of_trial(trial, objective)
        running = self._trial
        if running is not None:
            record.seed = running.search_seed
            record.seconds = running.seconds
            record.parameters = running.parameters
            record.executions = running.executions
            record.earlier_errors = running.earlier_errors
            record.versions, record.git_commit = self._provenance
            if running.infeasible is not None:
                record.status = records.INFEASIBLE
                record.error = str(running.infeasible)
                record.parameters = running.infeasible.parameters
        if trial.status != "COMPLETED":
            return record
        metrics = self.oracle.get_trial(trial.trial_id).metrics
        record.score = float(metrics.get_best_value(objective.name))
        record.score_deviation = records.deviation(record.executions)
        if scores.is_feasible(record.score):
            record.status = records.COMPLETED
            if running is not None and running.has_history:
                record.best_epoch = metrics.get_best_step(objective.name) + 1
        else:
            record.status = records.INFEASIBLE
            record.error = f"{objective.name} is {record.score}"
            # To KerasTuner it is failed: not retried, and not fed to any model.
            trial.status = "FAILED"
            trial.message = f"Infeasible: {record.error}"
        return record

    def _records(self) -> list[records.TrialRecord]:
        return self.ended_records()

    def ended_records(self) -> list[records.TrialRecord]:
        """Returns the records of all trials that have ended, in their order."""
        on_disk = records.read_all(Path(self.project_dir))
        # A worker's oracle is a proxy that knows no list of trials.
        trials = getattr(self.oracle, "trials", None)
        if trials is None:
            return list(on_disk.values())
        ended = (t for t in trials.values() if t.status in ("COMPLETED", "FAILED"))
        return [
            # A project of KerasTuner's own tuners, or a lost file, has no record.
            on_disk.get(trial.trial_id)
            or records.TrialRecord.of_trial(trial, self.oracle.objective)
            for trial in sorted(ended, key=lambda t: scores.order(t.trial_id))
        ]

    def _new_progress(self, verbose: int | str) -> progress.SearchProgress:
        objective = self.oracle.objective
        ended = self.ended_records()
        found = [r.score for r in ended if r.status == records.COMPLETED]
        best_of = max if objective.direction == "max" else min
        return progress.progress_class(verbose)(
            objective.name,
            objective.better_than,
            total=self.oracle.max_trials,
            finished=len(ended),
            best=best_of(found, default=None),  # type: ignore[type-var]
        )


class _RunningTrial:
    """What is known of a trial while it runs."""

    def __init__(self, trial_id: str, search_seed: int):
        self.trial_id = trial_id
        self.search_seed = search_seed
        self.executions: list[records.ExecutionRecord] = []
        self.model: keras.Model | None = None
        self.has_history = False
        self.infeasible: budget.InfeasibleTrialError | None = None
        self.earlier_errors: list[str] = []
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @property
    def parameters(self) -> int | None:
        if self.model is None or not self.model.built:
            return None
        return parameters.count_parameters(self.model)

    def seed_of(self, execution: int) -> int:
        return seeds.derived_seed(self.search_seed, self.trial_id, execution)

    def begin_execution(self) -> int:
        """Returns the seed of the next execution: each builds a model once."""
        seed = self.seed_of(len(self.executions))
        self.executions.append(records.ExecutionRecord(seed))
        return seed

    def set_results(self, results: Any, objective: Any) -> None:
        """Takes the executions' scores, and the curves where there are histories."""
        results = results if isinstance(results, list) else [results]
        # A single number for two executions, say, has no place among them.
        for execution, result in zip(self.executions, results, strict=False):
            execution.score = judgement.score_of(result, objective)
            if isinstance(result, keras.callbacks.History):
                execution.set_history(result.history)
                self.has_history = True


# Classes that train as `hypermodel.fit` does. One that overrides `run_trial` may log
# anything.
_KNOWN_RUN_TRIALS = {TunerMixin.run_trial}


def _project_name(project_name: str | None) -> str:
    return project_name or "untitled_project"


def _with_data(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls the functions that stand for data."""
    if args and _is_function(args[0]):
        args = (args[0](), *args[1:])
    for name in ("x", "validation_data"):
        if _is_function(kwargs.get(name)):
            kwargs = {**kwargs, name: kwargs[name]()}
    return args, kwargs


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, functools.partial)


@contextlib.contextmanager
def _old_objects_not_collected() -> Iterator[None]:
    """Keeps the garbage collector from objects that are there already.

    KerasTuner collects garbage in full twice a trial, through all of TensorFlow's
    objects: half of the time of a small trial.
    """
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
