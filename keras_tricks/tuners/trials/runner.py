"""The run of a trial: its seeds, its checks, its training, its record."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import keras
import keras_tuner

from keras_tricks import parameters
from keras_tricks._fit_call import FitCall
from keras_tricks.tuners import errors
from keras_tricks.tuners import seeds
from keras_tricks.tuners._typing import FitArguments
from keras_tricks.tuners._typing import TrialTuner
from keras_tricks.tuners.compat import keras_hooks
from keras_tricks.tuners.compat import tensorflow_hooks
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import progress
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.search_space import initial
from keras_tricks.tuners.storage import checkpoints
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.trials import budget
from keras_tricks.tuners.trials import cross_validation
from keras_tricks.tuners.trials import objectives
from keras_tricks.tuners.trials import out_of_memory
from keras_tricks.tuners.trials import overrides
from keras_tricks.tuners.trials.added_callbacks import AddedCallbacks
from keras_tricks.tuners.trials.context import RunningTrial
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.trials.session import SearchSession

# What `search` takes beside the arguments of `fit`.
OWN_ARGUMENTS = (
    "workers",
    "executor",
    "gpus_per_trial",
    "initial_settings",
    "max_seconds",
    "stop_hopeless",
    "live_curves",
    "report",
)


class TrialRunner:
    """What a tuner does for each trial, between KerasTuner's calls.

    Args:
        tuner: The tuner, which trains by KerasTuner's `run_trial`.
        oracle: Its oracle; in a worker of KerasTuner's chief that of this process.
        options: Its options.

    Attributes:
        session: The search that runs, or that ran last.
        trial: The trial that runs now, None between two trials.
        added_callbacks: Those that the search adds to its trials', None between two
            searches.
    """

    def __init__(self, tuner: TrialTuner, oracle: Any, options: TunerOptions):
        self._tuner = tuner
        self._oracle = oracle
        self._options = options
        self.session = SearchSession.idle(oracle.objective, options.splits)
        self.trial: RunningTrial | None = None
        self.added_callbacks: AddedCallbacks | None = None

    def callbacks_added_to(
        self, running: RunningTrial | None
    ) -> list[keras.callbacks.Callback]:
        """Returns what the search adds to the callbacks of one training of a trial."""
        added = self.added_callbacks
        return [] if added is None else added.of(running)

    # Its begin, and the building of models.

    def begin(self, trial: Any, seed_name: str, *, builds_first: bool) -> None:
        """Begins the trial's record.

        Args:
            trial: KerasTuner's trial.
            seed_name: What its seeds are derived from, beside the search's.
            builds_first: Whether nothing is drawn before a model is built.
        """
        # Of an attempt that was killed or that failed; it would be kept or averaged.
        trial.metrics.metrics.clear()
        trial.message = None
        running = RunningTrial(trial.trial_id, self._oracle.seed, seed_name)
        running.earlier_errors = records.errors_of_attempts(
            self._tuner.get_trial_dir(trial.trial_id)
        )
        self.trial = running
        if not builds_first:
            running.asked_for.forget()
            keras.utils.set_random_seed(running.seed_of(execution=0))

    def apply_keras_settings(self) -> None:
        """Puts in force what the script has set in Keras when the search began."""
        if self.session.keras_settings is not None:
            self.session.keras_settings.apply()

    def begin_build(self) -> None:
        """Seeds Keras, NumPy and Python for one execution of the trial."""
        self.apply_keras_settings()
        if self.trial is not None:
            seeds.set_random_seed(self.trial.begin_execution())

    def end_build(self, model: keras.Model, hp: keras_tuner.HyperParameters) -> None:
        """Checks the model of the trial, and takes it to count its parameters."""
        if self.trial is None:
            return
        self._refuse_arguments(model)
        self.trial.set_model(model)
        self._refuse_size(model, hp)
        is_alone = self._tuner.distribution_strategy is None
        if is_alone and keras.config.backend() == "tensorflow":
            from keras_tricks.tuners.trials import shuffling  # It needs TensorFlow.

            shuffling.use_common_order(model, self._oracle.seed)
        fit_arguments = self.session.fit_arguments
        if fit_arguments is not None and not self.session.objective_is_proven:
            self._refuse_objective(
                objectives.missing_objective(
                    self._tuner.oracle.objective,
                    objectives.compiled_names(model),
                    fit_arguments.validated,
                )
            )

    def _refuse_arguments(self, model: keras.Model) -> None:
        """Ends a search that gives `fit` an argument that Keras's does not have."""
        unknown = self.session.unknown_arguments
        is_keras_own = type(model).fit is keras.Model.fit and "fit" not in vars(model)
        if not unknown or not is_keras_own:
            return
        name, shown = next(iter(unknown.items()))
        known = [*FitArguments.__annotations__, *OWN_ARGUMENTS]
        near = difflib.get_close_matches(name, known, n=1)
        own = ", ".join(f"`{each}`" for each in OWN_ARGUMENTS)
        hint = f"; did you mean `{near[0]}`?" if near else "."
        raise keras_tuner.errors.FatalTypeError(
            "`search` must be given arguments of `keras.Model.fit`, or its own, "
            f"{own}{hint} Received: {name}={shown}"
        )

    def _refuse_size(self, model: keras.Model, hp: keras_tuner.HyperParameters) -> None:
        """Ends a trial whose model is larger than `max_model_size`."""
        largest = self._tuner.max_model_size
        if largest is None or isinstance(model, budget.OverBudget):
            return
        if keras_hooks.is_built(model):
            size = parameters.count_parameters(model)
        elif self.session.input_shape is None:
            raise keras_tuner.errors.FatalValueError(
                "`max_model_size` needs models whose size is known before they are "
                "trained: begin them with `keras.Input`, or give `search` arrays or a "
                f"dataset. Received: max_model_size={largest} and the model {model!r}"
            )
        else:
            # The model itself is to be built by its first batch.
            with seeds.global_generators_restored():
                size = budget.size_of(
                    lambda: self._tuner.hypermodel.build(hp), self.session.input_shape
                )
        if size > largest:
            raise errors.InfeasibleTrialError(
                f"The model has {size:,} trainable parameters, more than "
                f"`max_model_size`, {largest:,}",
                size,
            )

    def _refuse_objective(self, message: str | None) -> None:
        """Ends the search for good, if there is a message and no trial has a score."""
        if message is not None and not self.session.objective_is_proven:
            raise keras_tuner.errors.FatalValueError(message)

    # The hyperparameters that it asks for.

    def asked(
        self, hp: keras_tuner.HyperParameters
    ) -> contextlib.AbstractContextManager[Any]:
        """Takes down what of `hp` is looked at inside of a `with` block."""
        if self.trial is None:
            return contextlib.nullcontext()
        return self.trial.asked_for.asked(hp)

    def note_second_range(self, name: str) -> bool:
        """Keeps that a name was asked for with two ranges; returns if that is news."""
        if self.trial is not None:
            self.trial.several_ranges.add(name)
        is_news = name not in self.session.several_ranges
        self.session.several_ranges.add(name)
        return is_news

    def check_initial_value(
        self, hp: keras_tuner.HyperParameters, asked: Any, is_known: bool
    ) -> None:
        """Ends a trial whose initial settings have what a hyperparameter cannot be.

        Before a trial asks for a name, nobody knows its range.

        Args:
            hp: The trial's hyperparameters.
            asked: The one whose value is wanted.
            is_known: Whether it is among these.

        Raises:
            FailedTrialError: If its value lies outside of its range.
        """
        settings = self.session.initial_settings
        if not is_known or any(asked.name in one for one in settings):
            initial.check_asked(hp, asked, settings)

    # Its training.

    def run(
        self,
        trial: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        train: Callable[..., Any],
        kept_alive: contextlib.AbstractContextManager[None],
    ) -> Any:
        """Trains the model of `trial` once for each execution, unless that was done.

        Args:
            trial: KerasTuner's trial.
            args: What `fit` is given.
            kwargs: What `fit` is given by name.
            train: KerasTuner's `run_trial`.
            kept_alive: A context in which a trial that is lent stays lent.

        Returns:
            What KerasTuner's `run_trial` returns.
        """
        running = self.trial
        try:
            if running is not None and running.failure is not None:
                raise running.failure
            if running is not None and running.results is not None:
                results: Any = running.results
            else:
                with kept_alive:
                    results = self._fitted(trial, args, kwargs, train)
                if self.added_callbacks is not None and running is not None:
                    self.added_callbacks.check_heard(running)
        except errors.InfeasibleTrialError as error:
            if running is not None:
                running.infeasible = error
            raise
        except Exception as error:
            if files.is_full_disk(error):
                folder = self._tuner.get_trial_dir(trial.trial_id)
                raise files.storage_error(error, folder) from error
            if not out_of_memory.is_out_of_memory(error):
                raise
            call, _ = overrides.fit_call(self._tuner.hypermodel, args, kwargs)
            infeasible = errors.InfeasibleTrialError(
                out_of_memory.out_of_memory_message(error, trial.hyperparameters, call)
            )
            if running is not None:
                running.infeasible = infeasible
            raise infeasible from error
        if running is not None:
            for result in results if isinstance(results, list) else [results]:
                self._refuse_objective(
                    objectives.missing_in_result(self._tuner.oracle.objective, result)
                )
            running.set_results(results, self._tuner.oracle.objective)
        return results

    def _fitted(
        self,
        trial: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        train: Callable[..., Any],
    ) -> Any:
        """Trains by `fit`, alone: on all data, or once on each fold."""
        call, rest = overrides.fit_call(self._tuner.hypermodel, args, kwargs)
        callbacks = [*call.callbacks, *self.callbacks_added_to(self.trial)]
        if not self.session.shows_fit:
            callbacks.append(progress.QuietFit())
        if self.session.deadline.is_set:
            callbacks.append(progress.StopTraining(self._is_cut_off))
        # By their name, to which KerasTuner adds its own.
        call = call.replace(callbacks=callbacks)
        if self.trial is not None:
            # For data that are made now, and for a `fit` that draws before a model is
            # built; each build seeds again.
            keras.utils.set_random_seed(self.trial.seed_of(execution=0))
        args, kwargs = with_data((*call.args, *rest), call.kwargs)
        with tensorflow_hooks.custom_gradients_forgotten():
            if self.session.splits is None:
                return train(trial, *args, **kwargs)
            results = []
            for fold_args, fold_kwargs in cross_validation.folds(
                self.session.splits,
                args,
                kwargs,
                self._options.groups,
                self._options.preprocess,
            ):
                results += train(trial, *fold_args, **fold_kwargs)
            return results

    def _is_cut_off(self, is_last_epoch: bool) -> bool:
        return self.session.cuts_off(self.trial, is_last_epoch=is_last_epoch)

    def end_epoch(self, logs: dict[str, Any]) -> None:
        """Keeps the epoch's metrics, also of a trial that fails later."""
        if self.trial is None or not self.trial.executions:
            return
        self.trial.append_epoch(logs)
        fit_arguments = self.session.fit_arguments
        if fit_arguments is not None and fit_arguments.validated_each_epoch:
            self._refuse_objective(
                objectives.missing_objective(
                    self._tuner.oracle.objective, set(logs), False
                )
            )

    # Its end.

    def finish(self, trial: Any) -> records.TrialRecord:
        """Writes the trial's record, and returns it.

        An infeasible trial counts as failed to KerasTuner: it is not run again, and no
        model of scores sees it.
        """
        record = self._record_of(trial)
        self.trial = None
        path = self._tuner._checkpoint_file(trial.trial_id)
        record.weights = checkpoints.digest_of(path)
        record.write(self._tuner.get_trial_dir(trial.trial_id))
        return record

    def _record_of(self, trial: Any) -> records.TrialRecord:
        objective = self._tuner.oracle.objective
        record = records.TrialRecord.of_trial(trial, objective)
        running = self.trial
        if running is not None:
            record.seed = running.search_seed
            record.seconds = running.seconds
            record.parameters = running.parameters
            record.executions = running.executions
            record.earlier_errors = running.earlier_errors
            record.asked_for = running.asked_for.names
            record.several_ranges = sorted(running.several_ranges)
            record.stopped_by = running.stopped_by
            space = trial.hyperparameters.space
            if initial.is_of_any(trial, space, self.session.initial_settings):
                record.source = records.INITIAL
            record.versions, record.git_commit = self.session.provenance
            if running.infeasible is not None:
                record.status = records.INFEASIBLE
                record.error = str(running.infeasible)
                record.parameters = running.infeasible.parameters
        if trial.status != "COMPLETED":
            return record
        metrics = self._tuner.oracle.get_trial(trial.trial_id).metrics
        record.score = float(metrics.get_best_value(objective.name))
        record.objectives = records.values_of(metrics, objective)
        record.score_deviation = records.deviation(record.executions)
        if scores.is_feasible(record.score):
            record.status = records.COMPLETED
            if running is not None and running.has_history:
                record.best_epoch = metrics.get_best_step(objective.name) + 1
        else:
            record.status = records.INFEASIBLE
            record.error = f"{objective.name} is {record.score}"
            trial.status = "FAILED"
            trial.message = f"Infeasible: {record.error}"
        return record

    def show(self, record: records.TrialRecord) -> None:
        """Shows a trial that has ended."""
        self.session.progress.trial_finished(record)
        if self.session.report is not None:
            self.session.report.trial_finished()
        self.session.objective_is_proven |= record.status == records.COMPLETED

    def count_failure(
        self,
        record: records.TrialRecord,
        ended: Callable[[], Iterable[records.TrialRecord]],
    ) -> None:
        """Stops a search in which all goes wrong.

        Args:
            record: Of the trial that has ended.
            ended: Returns the records of all that have.

        Raises:
            TooManyFailuresError: If `max_consecutive_failed_trials` failed in a row.
        """
        failed = record.status == records.FAILED
        failures = self.session.consecutive_failures + 1 if failed else 0
        self.session.consecutive_failures = failures
        limit = self._oracle.max_consecutive_failed_trials
        if failures == limit:
            raise errors.TooManyFailuresError(
                f"{limit} trials failed one after the other, which is the limit "
                "`max_consecutive_failed_trials`.\n"
                + leaderboard.errors_text(
                    [each for each in ended() if each.status == records.FAILED]
                )
            )


def has_data_functions(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether functions stand for data among what `search` is given."""
    return bool(_data_functions(FitCall(tuple(args[:2]), kwargs)))


def _data_functions(call: FitCall) -> list[str]:
    """Returns the names of the arguments that are functions which return data."""
    return [name for name in ("x", "validation_data") if _is_function(call[name])]


def with_data(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Calls the functions that stand for data, if there are any."""
    call, rest = FitCall(tuple(args[:2]), dict(kwargs)), args[2:]
    call = call.replace(**{name: call[name]() for name in _data_functions(call)})
    return (*call.args, *rest), call.kwargs


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, functools.partial)
