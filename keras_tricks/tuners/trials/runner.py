"""The run of a trial: its seeds, its executions, its record, its end."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner

from keras_tricks import parameters
from keras_tricks._fit_call import FitCall
from keras_tricks.tuners import errors
from keras_tricks.tuners import seeds
from keras_tricks.tuners._typing import FitArguments
from keras_tricks.tuners.compat import keras_hooks
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.compat import tensorflow_hooks
from keras_tricks.tuners.results import progress
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.trials import budget
from keras_tricks.tuners.trials import cross_validation
from keras_tricks.tuners.trials import objectives
from keras_tricks.tuners.trials import out_of_memory
from keras_tricks.tuners.trials import overrides
from keras_tricks.tuners.trials.context import RunningTrial
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.trials.session import SearchSession


def follows_logs(method: Any) -> Any:
    """Marks an `on_epoch_end` that, of the model, uses `stop_training` only.

    A tuner whose own is not marked trains each trial by `fit`.
    """
    method.follows_logs = True
    return method


class OneTrial(keras_tuner_hooks.TunerHooks):
    """The part of `TunerMixin` that KerasTuner calls for each trial."""

    _local_oracle: Any
    options: TunerOptions
    _session: SearchSession
    _ended_records: Any
    # Given its ID, a context in which a trial lent by another process stays lent.
    _kept_alive: Callable[[str], contextlib.AbstractContextManager[None]]
    _running_trial: RunningTrial | None

    def _seed_name(self, trial: Any) -> str:
        """Returns what a trial's seeds are derived from, beside the search's."""
        return trial.trial_id

    def on_trial_begin(self, trial: Any) -> None:
        """Begins the trial's record."""
        super().on_trial_begin(trial)  # type: ignore[misc]
        # Of an attempt that was killed or that failed; it would be kept or averaged.
        trial.metrics.metrics.clear()
        trial.message = None
        running = RunningTrial(
            trial.trial_id, self._local_oracle.seed, self._seed_name(trial)
        )
        running.earlier_errors = records.errors_of_attempts(
            self.get_trial_dir(trial.trial_id)  # type: ignore[attr-defined]
        )
        self._running_trial = running
        if type(self).run_trial is not OneTrial.run_trial:
            running.asked_for.forget()
            # It may draw before it builds a model, or build none.
            keras.utils.set_random_seed(running.seed_of(execution=0))

    def _on_build_begin(self) -> None:
        """Seeds Keras, NumPy and Python for one execution of the trial."""
        if self._session.keras_settings is not None:
            self._session.keras_settings.apply()
        if self._running_trial is not None:
            keras.utils.set_random_seed(self._running_trial.begin_execution())

    def _on_build_end(
        self, model: keras.Model, hp: keras_tuner.HyperParameters
    ) -> None:
        """Keeps the model, to count its parameters once it has been trained."""
        if self._running_trial is None:
            return
        self._refuse_arguments(model)
        self._running_trial.set_model(model)
        self._refuse_size(model, hp)
        is_alone = self.distribution_strategy is None
        if is_alone and keras.config.backend() == "tensorflow":
            from keras_tricks.tuners.trials import shuffling  # It needs TensorFlow.

            shuffling.use_common_order(model, self._local_oracle.seed)
        if (
            self._session.fit_arguments is not None
            and not self._session.objective_is_proven
        ):
            message = objectives.missing_objective(
                self.oracle.objective,
                objectives.compiled_names(model),
                self._session.fit_arguments.validated,
            )
            self._refuse_objective(message)

    def _refuse_size(self, model: keras.Model, hp: keras_tuner.HyperParameters) -> None:
        """Ends a trial whose model is larger than `max_model_size`."""
        largest = self.max_model_size  # type: ignore[attr-defined]
        if largest is None or isinstance(model, budget.OverBudget):
            return
        if keras_hooks.is_built(model):
            size = parameters.count_parameters(model)
        elif self._session.input_shape is None:
            raise keras_tuner.errors.FatalValueError(
                "`max_model_size` needs models whose size is known before they are "
                "trained: begin them with `keras.Input`, or give `search` arrays or a "
                f"dataset. Received: max_model_size={largest} and the model {model!r}"
            )
        else:
            # The model itself is to be built by its first batch.
            with seeds.global_generators_restored():
                size = budget.size_of(
                    lambda: self.hypermodel.build(hp), self._session.input_shape
                )
        if size > largest:
            raise errors.InfeasibleTrialError(
                f"The model has {size:,} trainable parameters, more than "
                f"`max_model_size`, {largest:,}",
                size,
            )

    def _refuse_arguments(self, model: keras.Model) -> None:
        """Ends a search that gives `fit` an argument that Keras's does not have."""
        unknown = self._session.unknown_arguments
        is_keras_own = type(model).fit is keras.Model.fit and "fit" not in vars(model)
        if not unknown or not is_keras_own:
            return
        name, shown = next(iter(unknown.items()))
        known = [*FitArguments.__annotations__, "workers"]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else "."
        raise keras_tuner.errors.FatalTypeError(
            "`search` must be given arguments of `keras.Model.fit`, or `workers`"
            f"{hint} Received: {name}={shown}"
        )

    @follows_logs
    def on_epoch_end(
        self, trial: Any, model: keras.Model, epoch: int, logs: Any = None
    ) -> None:
        """Keeps the epoch's metrics, also of a trial that fails later."""
        super().on_epoch_end(trial, model, epoch, logs)  # type: ignore[misc]
        if self._running_trial is None or not self._running_trial.executions:
            return
        self._running_trial.append_epoch(logs or {})
        fit_arguments = self._session.fit_arguments
        if fit_arguments is not None and fit_arguments.validated_each_epoch:
            self._refuse_objective(
                objectives.missing_objective(
                    self.oracle.objective, set(logs or {}), False
                )
            )

    def _asked(self, hp: keras_tuner.HyperParameters) -> Any:
        """Takes down what of `hp` is looked at inside of a `with` block."""
        if self._running_trial is None:
            return contextlib.nullcontext()
        return self._running_trial.asked_for.asked(hp)

    def _trains_in_the_known_way(self) -> bool:
        """Whether no subclass has a part in training that needs the model."""
        own = type(self)
        unchanged = all(
            getattr(own, name) is getattr(keras_tuner.Tuner, name)
            for name in ("on_batch_begin", "on_batch_end", "on_epoch_begin")
        )
        return (
            unchanged
            and own.run_trial is OneTrial.run_trial
            and getattr(own.on_epoch_end, "follows_logs", False)
            and self._fits_as_keras_tuner_does
        )

    def _fit_arguments_of(
        self, trial: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns what `fit` is given in a trial, of what `search` was given."""
        return fit_args, dict(fit_kwargs)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the model of `trial` once for each execution, unless that was done."""
        running = self._running_trial
        try:
            if running is not None and running.failure is not None:
                raise running.failure
            if running is not None and running.results is not None:
                results: Any = running.results
            else:
                results = self._fitted(trial, args, kwargs)
        except errors.InfeasibleTrialError as error:
            if running is not None:
                running.infeasible = error
            raise
        except Exception as error:
            if files.is_full_disk(error):
                folder = self.get_trial_dir(trial.trial_id)  # type: ignore[attr-defined]
                raise files.storage_error(error, folder) from error
            if not out_of_memory.is_out_of_memory(error):
                raise
            infeasible = errors.InfeasibleTrialError(
                out_of_memory.out_of_memory_message(
                    error, trial.hyperparameters, self._fit_call(args, kwargs)[0]
                )
            )
            if running is not None:
                running.infeasible = infeasible
            raise infeasible from error
        if running is not None:
            for result in results if isinstance(results, list) else [results]:
                self._refuse_objective(
                    objectives.missing_in_result(self.oracle.objective, result)
                )
            running.set_results(results, self.oracle.objective)
        return results

    def _fitted(self, trial: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trains by `fit`, alone."""
        call, rest = self._fit_call(args, kwargs)
        callbacks = call.callbacks
        if not self._session.shows_fit:
            callbacks.append(progress.QuietFit())
        # By their name, to which KerasTuner adds its own.
        call = call.replace(callbacks=callbacks)
        if self._running_trial is not None:
            # For data that are made now, and for a `fit` that draws before a model is
            # built; each build seeds again.
            keras.utils.set_random_seed(self._running_trial.seed_of(execution=0))
        args, kwargs = with_data((*call.args, *rest), call.kwargs)
        with contextlib.ExitStack() as stack:
            stack.enter_context(tensorflow_hooks.custom_gradients_forgotten())
            stack.enter_context(self._kept_alive(trial.trial_id))
            return self._run_folds(trial, args, kwargs)

    def _fit_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[FitCall, tuple[Any, ...]]:
        """Returns what `fit` is given; see `overrides.fit_call`."""
        return overrides.fit_call(
            self.hypermodel,
            args,
            kwargs,
        )

    def _run_folds(
        self, trial: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trains on all data, or once on each fold."""
        if self._session.splits is None:
            return super().run_trial(trial, *args, **kwargs)  # type: ignore[misc]
        results = []
        for fold_args, fold_kwargs in cross_validation.folds(
            self._session.splits,
            args,
            kwargs,
            self.options.groups,
            self.options.preprocess,
        ):
            results += super().run_trial(  # type: ignore[misc]
                trial, *fold_args, **fold_kwargs
            )
        return results

    def on_trial_end(self, trial: Any) -> None:
        """Records the trial, ends it, and stops a search in which all goes wrong."""
        record = self._finished_record(trial)
        self._running_trial = None
        # Before KerasTuner calls the trial ended: killed in between, it is run again.
        record.write(self.get_trial_dir(trial.trial_id))  # type: ignore[attr-defined]
        super().on_trial_end(trial)  # type: ignore[misc]
        if self.oracle.get_trial(trial.trial_id).status == "INVALID":
            return  # It failed, and is going to be tried again.
        self._show(record)
        failed = record.status == records.FAILED
        self._session.consecutive_failures = (
            self._session.consecutive_failures + 1 if failed else 0
        )
        limit = self._local_oracle.max_consecutive_failed_trials
        if self._session.consecutive_failures == limit:
            failures = [r for r in self._ended_records() if r.status == records.FAILED]
            raise errors.TooManyFailuresError(
                f"{limit} trials failed one after the other, which is the limit "
                f"`max_consecutive_failed_trials`.\n{records.errors_text(failures)}"
            )

    def _refuse_objective(self, message: str | None) -> None:
        """Ends the search for good, if there is a message and no trial has a score."""
        if message is not None and not self._session.objective_is_proven:
            raise keras_tuner.errors.FatalValueError(message)

    def _show(self, record: records.TrialRecord) -> None:
        """Shows a trial that has ended."""
        self._session.progress.trial_finished(record)
        self._session.objective_is_proven |= record.status == records.COMPLETED

    def _finished_record(self, trial: Any) -> records.TrialRecord:
        """Returns the record of a trial that ran; an infeasible one is marked."""
        objective = self.oracle.objective
        record = records.TrialRecord.of_trial(trial, objective)
        running = self._running_trial
        if running is not None:
            record.seed = running.search_seed
            record.seconds = running.seconds
            record.parameters = running.parameters
            record.executions = running.executions
            record.earlier_errors = running.earlier_errors
            record.asked_for = running.asked_for.names
            record.several_ranges = sorted(running.several_ranges)
            record.versions, record.git_commit = self._session.provenance
            if running.infeasible is not None:
                record.status = records.INFEASIBLE
                record.error = str(running.infeasible)
                record.parameters = running.infeasible.parameters
        if trial.status != "COMPLETED":
            return record
        metrics = self.oracle.get_trial(trial.trial_id).metrics
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
            # To KerasTuner it is failed: not retried, and not fed to any model.
            trial.status = "FAILED"
            trial.message = f"Infeasible: {record.error}"
        return record


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
