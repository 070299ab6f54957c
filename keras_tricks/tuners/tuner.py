"""The base of all tuners of this package."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import os
import secrets
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks._fit_call import FitCall
from keras_tricks.tuners import seeds
from keras_tricks.tuners.compat import keras_tuner_hooks
from keras_tricks.tuners.compat.keras_settings import KerasSettings
from keras_tricks.tuners.deadline import Deadline
from keras_tricks.tuners.oracles.fixed import fixed
from keras_tricks.tuners.oracles.random import RandomSearchOracle
from keras_tricks.tuners.project import Project
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import progress
from keras_tricks.tuners.results import provenance
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.results.live_report import LiveReport
from keras_tricks.tuners.results.reruns import Reruns
from keras_tricks.tuners.results.reruns import scores_of
from keras_tricks.tuners.results.tuner_methods import Results
from keras_tricks.tuners.search_space import initial
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.storage import fingerprints
from keras_tricks.tuners.storage import identity
from keras_tricks.tuners.storage import project_lock
from keras_tricks.tuners.trials import added_callbacks
from keras_tricks.tuners.trials import budget
from keras_tricks.tuners.trials import cross_validation
from keras_tricks.tuners.trials import fit_checks
from keras_tricks.tuners.trials import objectives
from keras_tricks.tuners.trials import overrides
from keras_tricks.tuners.trials.options import TunerOptions
from keras_tricks.tuners.trials.runner import TrialRunner
from keras_tricks.tuners.trials.runner import with_data
from keras_tricks.tuners.trials.session import SearchSession
from keras_tricks.tuners.workers import lease_server
from keras_tricks.tuners.workers.placement import Placement

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from keras_tricks.tuners._typing import FitArguments
    from keras_tricks.tuners._typing import InitialSettings


class TunerMixin(Results):
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
    optimizer: Any
    loss: Any
    metrics: Any
    max_model_size: int | None
    distribution_strategy: Any

    def __init__(
        self,
        oracle: Any,
        hypermodel: Any = None,
        options: TunerOptions | None = None,
        *,
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
        for name in ("executions_per_trial", "max_model_size"):
            if kwargs.get(name) is not None:
                kwargs[name] = _validation.check_int(name, kwargs[name], minimum=1)
        strategy = kwargs.get("distribution_strategy")
        if strategy is not None and not hasattr(strategy, "scope"):
            raise TypeError(
                "`distribution_strategy` must be a `tf.distribute.Strategy` or None. "
                f"{_validation.received('distribution_strategy', strategy, True)}"
            )
        optimizer = kwargs.get("optimizer")
        if not isinstance(optimizer, str | keras.optimizers.Optimizer | None):
            raise TypeError(
                "`optimizer` must be a Keras optimizer, its name or None. "
                f"{_validation.received('optimizer', optimizer, True)}"
            )
        if kwargs.get("tuner_id") is not None:
            _validation.check_text("tuner_id", kwargs["tuner_id"])
        if hypermodel is not None:
            budget.check_hypermodel(hypermodel)
        overwrite = _validation.check_flag("overwrite", overwrite)
        if project_name is not None:
            _validation.check_text("project_name", project_name)
        files.checked_directory(directory)
        self.options = options = options or TunerOptions()
        oracle.keep_checkpoints = options.keep_checkpoints
        if isinstance(oracle, keras_tuner.oracles.HyperbandOracle):
            oracle.continues_trials = True
        # In a worker process KerasTuner puts a proxy in its place, without the seed.
        self._local_oracle = oracle
        self._roles = oracle.roles
        self._runner = TrialRunner(self, oracle, options)
        # Wherever the process goes meanwhile.
        place = Path(directory or ".").absolute()
        folder = place / (project_name or "untitled_project")
        self._project = Project(
            folder,
            identity.arguments_of(
                oracle,
                {
                    "executions_per_trial": 1,
                    **dict.fromkeys(("optimizer", "loss", "metrics")),
                    **kwargs,
                    "splits": options.splits,
                    "groups": options.groups,
                    "preprocess": options.preprocess,
                },
            ),
        )
        self.programs: Any = None
        self._searched_with: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        if overwrite and not self._in_worker:
            # KerasTuner's deletes a project in which another process is searching,
            # and a worker's that of its chief.
            self._project.clear()
        # KerasTuner makes it, too, and has TensorFlow's errors.
        files.made_folder(folder)
        # Past the constructors of the public classes, which only make their oracles.
        with keras_tuner_hooks.lenient_output(folder):
            keras_tuner.Tuner.__init__(
                self,
                oracle,
                hypermodel,
                # It tells of the folder as it was given.
                directory=directory,
                project_name=project_name,
                **kwargs,
            )
        self.directory = str(place)
        oracle.set_folder(self.directory, self.project_name)

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
        """Runs the trials that are left, each saved before the next begins.

        Args:
            *fit_args: What `model.fit` (or `HyperModel.fit`) is given. A function
                without arguments in the place of `x` or `validation_data` is called
                in each trial and returns the data.
            workers: How many processes of this machine run trials at a time. 1, or
                None, runs them in this one. More are started and ended here; see
                `keras_tricks.tuners.workers.pool` for what they share. With an
                `executor`, how many trials it is given at a time; None asks it.
            executor: What runs the trials: a `dask.distributed.Client`, a
                `keras_tricks.tuners.RayExecutor`, or anything else with the `submit` of
                `concurrent.futures.Executor` whose tasks run in processes, here or
                elsewhere. See the guide on many machines.
            gpus_per_trial: How many GPUs each of the `workers` sees, or which share of
                one: of 0.5, two share one. None deals out one to each in turn. With an
                executor, how many it is asked for.
            initial_settings: Known settings, which are the first trials: dictionaries
                from names to values, `HyperParameters`, or `"default"`. What one does
                not name has its default. They count among `max_trials`; those that a
                trial has had are not run again. `TrialRecord.source` tells them.
            max_seconds: After so long no trial begins, and those that run end with
                their epoch: their scores are those of the epochs so far, and
                `TrialRecord.stopped_by` says so. The next `search` goes on.
            stop_hopeless: Whether trials end that lead nowhere, by a
                `keras_tricks.callbacks.StopHopeless` on the objective: its baseline is
                the median score of the trials that completed before, from ten on, and
                its `trivial` that of the labels, where these are arrays and the
                objective is a metric that `trivial_score` knows. A trial's score is
                then that of its epochs so far, and `TrialRecord.stopped_by` says why.
                Trainings of up to six epochs are too short to be ended, and a
                hypermodel's own `fit` has to hand its callbacks on: both are warnings.
            live_curves: Whether `live_curves.png` in the project's folder, and a
                notebook, show the curves of the trial that is running, and behind them
                those of the best so far. It needs matplotlib.
            report: Path of a page that shows what the search has taught so far, as
                `keras_tricks.analysis.search_report` does: it is written anew while
                trials end, at most once a minute, and when the search ends, by a
                process of its own, and reloads itself meanwhile. It shows the trials in
                the project's folder, and needs plotly.
            **fit_kwargs: Further arguments of `fit`. `verbose` is the search's: 1, or
                `"auto"`, the default, shows the progress and keeps `fit` silent, 2
                shows `fit`'s lines too and shares no programs, 0 shows nothing.

        Raises:
            ValueError: If `verbose` is none of those, if `workers` is no integer from
                1 on, if the tuner has a `parameter_budget` and the data are not the
                first argument, if the objective is not among what `fit` logs, or if
                `stop_hopeless` is to go by more than one.
            TypeError: If an argument cannot be sent to worker processes, is one of the
                tuner itself, or, where Keras's `fit` trains, is none of its arguments.
            ImportError: If a TensorBoard callback is passed without tensorboard, or
                `live_curves` without matplotlib, or `report` without plotly.
            FileNotFoundError: If the folder of `report` is not there.
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
        self._check_misplaced(call)
        verbose = call["verbose"]
        if np.ndim(verbose) or verbose not in ("auto", 0, 1, 2):
            raise ValueError(
                '`verbose` must be "auto", 0, 1 or 2. '
                f"{_validation.received('verbose', verbose)}"
            )
        placement = Placement.checked(workers, executor, gpus_per_trial)
        if executor is not None and live_curves:
            raise ValueError(
                "`live_curves` needs trials on this machine, and `executor` may run "
                "them elsewhere. Received: live_curves=True"
            )
        if self._logs_are_known():
            fit_checks.check(call)
        if call.is_given("verbose"):
            call = call.replace(verbose=2 if verbose == 2 else 0)
        deadline = Deadline.after(max_seconds)
        session = SearchSession.idle(self.oracle.objective, None)
        session.initial_settings = initial.checked(initial_settings)
        initial.check_values(self.oracle.get_space().space, session.initial_settings)
        self._local_oracle.roles.check_names(self.oracle.get_space().space)
        session.deadline = deadline
        session.added_callbacks = added_callbacks.Wanted.of(
            stop_hopeless, live_curves, self.oracle.objective, call
        )
        session.shows_fit = verbose == 2
        if report is not None and not self._in_worker:
            session.report = (
                report
                if isinstance(report, LiveReport)
                else LiveReport(Path(self.project_dir), report)
            )
        if keras_tuner_hooks.has_tensorboard(keras.tree.flatten(call.callbacks)):
            _require_tensorboard()
        session.fit_arguments = self._checked_fit_arguments(call)
        fit_args, given = (*call.args, *rest), call.kwargs
        # Each trial, whoever runs it, has the same.
        session.splits = self._folds_of(call, self._local_oracle.seed)
        if self._logs_are_known():
            session.unknown_arguments = {
                name: _validation.shown(call.kwargs[name]) for name in call.unknown()
            }
        self._runner.session, hypermodel = session, self.hypermodel
        limit, smallest = self.options.parameter_budget, None
        if limit is not None or self.max_model_size is not None:
            smallest = self._training_call(call)
        if smallest is not None and self.max_model_size is not None:
            session.input_shape = budget.known_input_shape(smallest["x"])
        with contextlib.ExitStack() as stack:
            stack.enter_context(seeds.global_generators_restored())
            if not self._in_worker:
                stack.enter_context(project_lock.ProjectLock(self.project_dir))
                self._begin_project(session)
                self._local_oracle.check_initial_settings(session.initial_settings)
            if smallest is not None and limit is not None:
                self.hypermodel = budget.within_budget_of(hypermodel, limit, smallest)
            session.provenance = provenance.versions(), provenance.git_commit()
            oracle = self._local_oracle
            oracle.initial_settings = session.initial_settings
            oracle.deadline = session.deadline
            session.progress = self._new_progress(verbose)
            session.progress.start()
            try:
                if placement.is_here:
                    self._run_search(fit_args, given)
                else:
                    placement.search(self, fit_args, given)
            finally:
                session.progress.stop()
                if session.report is not None:
                    session.report.finish(waits=sys.exc_info()[0] is None)
                self.hypermodel = hypermodel
                # An interrupted trial must not claim a model built after it.
                self._runner.trial = None
                oracle.initial_settings, oracle.deadline = [], Deadline()
                if not self._in_worker:
                    oracle.run_again_what_was_interrupted()
            if not self._in_worker:
                oracle.drop_checkpoints()
                oracle.save_now()
                unknown = oracle.roles.unknown_names(
                    oracle.get_space().space, oracle.trials.values()
                )
                if unknown:
                    warnings.warn(
                        "`roles` names what no trial has asked for: "
                        f"{', '.join(map(repr, unknown))}",
                        stacklevel=2,
                    )
        ended = self._ended_records()
        if ended and all(record.status != records.COMPLETED for record in ended):
            raise RuntimeError(
                f"None of the {len(ended)} trials has a score.\n"
                f"{leaderboard.errors_text(ended)}"
            )

    @property
    def roles(self) -> dict[str, Any]:
        """What hyperparameters are to this search; see the argument `roles`."""
        return self._roles.as_dict()

    def _begin_project(self, session: SearchSession) -> None:
        """Makes the folder this search's, once no other one is going on there."""
        oracle = self._local_oracle
        if self._project.was_changed(oracle):
            self.reload()
        self._project.begin(oracle)
        session.objective_is_proven = any(
            trial.status == "COMPLETED" for trial in oracle.trials.values()
        )

    def _on_space_populated(self) -> None:
        """Resumes the project in the folder, or refuses one of another search."""
        if self._in_worker:
            return
        oracle = self._local_oracle
        oracle.roles.fix(oracle.hyperparameters)
        if self._project.resume(
            oracle, identity.kind_of(self), space_was_drawn=self._space_was_drawn
        ):
            oracle.reload()
            self._project.remember_ranges(oracle)
            self._reload_state()

    def _ended_records(self) -> list[records.TrialRecord]:
        """Returns the records of all trials that have ended, in their order."""
        return self._project.ended_records(self.oracle)

    def _run_search(self, fit_args: Any, fit_kwargs: Any) -> None:
        """Runs trials in this process, as long as the oracle has some."""
        session = self._runner.session
        session.consecutive_failures = 0
        if lease_server.is_chief():
            self.save()
            lease_server.serve(self._local_oracle)
            return
        with contextlib.ExitStack() as stack:
            stack.enter_context(session.old_objects)
            session.keras_settings = KerasSettings.now()
            stack.callback(session.keras_settings.apply)
            stack.enter_context(self._callbacks_added(session.added_callbacks))
            if self.options.reuse_programs and keras.config.backend() == "tensorflow":
                from keras_tricks.tuners.packing import (
                    scheduler,  # It needs TensorFlow.
                )

                scheduler.search(self, fit_args, fit_kwargs)
            else:
                super().search(*fit_args, **fit_kwargs)

    @contextlib.contextmanager
    def _callbacks_added(self, wanted: added_callbacks.Wanted) -> Iterator[None]:
        """Adds callbacks to those of the trials that run inside of a `with` block."""
        self._runner.added_callbacks = added = added_callbacks.AddedCallbacks(
            wanted,
            self.oracle.objective,
            Path(self.project_dir),
            lambda running: self._completed_scores(running.trial_id),
            has_rungs=self._local_oracle.continues_trials,
        )
        try:
            yield
        finally:
            self._runner.added_callbacks = None
            added.finish()

    def _completed_scores(self, trial_id: str) -> dict[str, float]:
        """Returns the scores of the completed trials that compare with a trial."""
        oracle = self._local_oracle
        if self._is_leased or not self._in_worker:
            return oracle.completed_scores(trial_id)
        if oracle.continues_trials:
            return {}  # Their epochs differ, and the chief does not tell them.
        ended = self._ended_records()
        return {
            r.trial_id: r.known_score for r in ended if r.status == records.COMPLETED
        }

    # What KerasTuner calls for each trial.

    def on_trial_begin(self, trial: Any) -> None:
        """Begins the trial's record."""
        super().on_trial_begin(trial)
        if self._in_worker and self._local_oracle.given_seed is None:
            # One was drawn for this process; the search's is its chief's.
            saved = identity.Identity.read(Path(self.project_dir))
            if saved is not None and saved.seed is not None:
                self._local_oracle.seed = saved.seed
        self._runner.begin(
            trial, self._seed_name(trial), builds_first=self._uses_our_run_trial
        )

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the model of `trial` once for each execution, unless that was done."""
        train, kept_alive = super().run_trial, self._kept_alive(trial.trial_id)
        return self._runner.run(trial, args, kwargs, train, kept_alive)

    @overrides.follows_logs
    def on_epoch_end(
        self, trial: Any, model: keras.Model, epoch: int, logs: Any = None
    ) -> None:
        """Keeps the epoch's metrics."""
        super().on_epoch_end(trial, model, epoch, logs)
        self._runner.end_epoch(logs or {})

    def on_trial_end(self, trial: Any) -> None:
        """Records the trial, ends it, and stops a search in which all goes wrong."""
        # Before KerasTuner calls the trial ended: killed in between, it is run again.
        record = self._runner.finish(trial)
        super().on_trial_end(trial)
        self._runner.session.old_objects.add_what_lasts()
        if self.oracle.get_trial(trial.trial_id).status == "INVALID":
            return  # It failed, and is going to be tried again.
        self._show(record)
        self._runner.count_failure(record, self._ended_records)

    def _show(self, record: records.TrialRecord) -> None:
        """Shows a trial that has ended, here or in a worker process."""
        self._runner.show(record)

    def _seed_name(self, trial: Any) -> str:
        """Returns what a trial's seeds are derived from, beside the search's."""
        return trial.trial_id

    def _fit_arguments_of(
        self, trial: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns what `fit` is given in a trial, of what `search` was given."""
        return fit_args, dict(fit_kwargs)

    @property
    def _is_in_trial(self) -> bool:
        return self._runner.trial is not None

    def _apply_keras_settings(self) -> None:
        self._runner.apply_keras_settings()

    def _on_load_begin(self) -> None:
        self._runner.session.keras_settings = KerasSettings.now()

    def _on_build_begin(self) -> None:
        self._runner.begin_build()

    def _on_build_end(
        self, model: keras.Model, hp: keras_tuner.HyperParameters
    ) -> None:
        self._check_compiled(model)
        self._runner.end_build(model, hp)

    def _check_compiled(self, model: keras.Model) -> None:
        """Refuses a model that Keras's `fit` would refuse in each trial."""
        if (
            isinstance(model, budget.OverBudget)
            or model.compiled
            or not self._is_in_trial
            or not self._logs_are_known()
            or not self._fits_as_keras_tuner_does
            or type(model).fit is not keras.Model.fit
        ):
            return
        raise keras_tuner.errors.FatalValueError(
            "`build` must return a compiled model, since Keras's `fit` trains it. A "
            "hypermodel of keras_tricks compiles in its own `fit`, when it knows how "
            "many updates there will be: pass the hypermodel in place of its `build`, "
            "have your `fit` call its `fit`, or give it `total_steps` (and a "
            "regression `target_scale`). Received: a model that is not compiled"
        )

    def _asked(
        self, hp: keras_tuner.HyperParameters
    ) -> contextlib.AbstractContextManager[Any]:
        return self._runner.asked(hp)

    def _on_asked(
        self, hp: keras_tuner.HyperParameters, known: Any, asked: Any
    ) -> None:
        """Refuses another range than that of a resumed search; warns of a second one.

        KerasTuner passes over the second range of a name. Nor does it look at a value
        that a trial was given before its name was known.
        """
        self._runner.check_initial_value(hp, known or asked, known is not None)
        if known is None or self._has_given_range(asked.name):
            return
        difference = self._project.range_difference(known, asked)
        if difference is not None and self._runner.note_second_range(asked.name):
            warnings.warn(
                f"{difference.replace('saved', 'first')}: it is asked for with two "
                "ranges, of which the first stays in force. Give one of them another "
                "name, or ask for it inside of `hp.conditional_scope`.",
                # Whoever called `hp.Int`, which called `_retrieve`.
                stacklevel=4,
            )

    @property
    def _uses_our_run_trial(self) -> bool:
        """Whether no subclass has its own way to run a trial."""
        return type(self).run_trial is TunerMixin.run_trial

    def _trains_in_the_known_way(self) -> bool:
        """Whether no subclass has a part in training that needs the model."""
        return (
            self._uses_our_run_trial
            and overrides.needs_no_model(type(self))
            and self._fits_as_keras_tuner_does
        )

    # What `search` was given.

    def _kept_alive(self, trial_id: str) -> contextlib.AbstractContextManager[None]:
        """Shows KerasTuner's chief, if there is one, that a trial is running here."""
        if self._in_worker:
            return lease_server.signs_of_life(self.oracle, trial_id)
        return contextlib.nullcontext()

    def _search_call(
        self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> tuple[FitCall, tuple[Any, ...]]:
        """Returns what `search` was given; see `overrides.fit_call`.

        Names that a subclass's `run_trial` has for its arguments are not known either.
        """
        if self._uses_our_run_trial:
            return overrides.fit_call(self.hypermodel, fit_args, fit_kwargs)
        return FitCall(tuple(fit_args[:2]), dict(fit_kwargs)), tuple(fit_args[2:])

    def _check_misplaced(self, call: FitCall) -> None:
        """Refuses what belongs to the tuner where Keras's `fit` would get it."""
        if not self._uses_our_run_trial or not overrides.hands_on_to_keras(
            self.hypermodel
        ):
            return
        options = {field.name for field in dataclasses.fields(TunerOptions)}
        own = {*inspect.signature(type(self).__init__).parameters, *options}
        misplaced = [name for name in call.unknown() if name in own]
        if misplaced:
            raise TypeError(
                f"`{misplaced[0]}` is an argument of {type(self).__name__}, not of "
                f"`search`: {type(self).__name__}(..., {misplaced[0]}=...). Received: "
                f"search(..., {misplaced[0]}="
                f"{_validation.shown(call.kwargs[misplaced[0]])})"
            )

    def _folds_of(self, call: FitCall, seed: int) -> list[cross_validation.Fold] | None:
        """Returns the folds of the data of a search, if it has any."""
        if self.options.splits is None:
            return None
        data = FitCall(*with_data(call.args, call.kwargs))
        return cross_validation.check(
            self.options.splits, data, self.options.groups, seed
        )

    def _training_call(self, call: FitCall) -> FitCall:
        """Returns the call of `fit` that trains on the fewest examples: a fold's."""
        splits, call = (
            self._runner.session.splits,
            FitCall(*with_data(call.args, call.kwargs)),
        )
        if splits is None:
            return call
        smallest = min(splits, key=lambda fold: len(fold[0]))
        [(args, kwargs)] = cross_validation.folds(
            [smallest],
            call.args,
            call.kwargs,
            self.options.groups,
            self.options.preprocess,
        )
        return FitCall(tuple(args[:2]), kwargs)

    def _checked_fit_arguments(self, call: FitCall) -> objectives.FitArguments | None:
        """Returns what the logs of `fit` depend on, where nobody else adds to them.

        Raises:
            ValueError: If the objective needs validation data and there are none.
        """
        if not self._logs_are_known() or not overrides.logs_are_keras_own(call):
            return None
        frequency = call["validation_freq"]
        arguments = objectives.FitArguments(
            self.options.splits is not None or call.has_validation,
            isinstance(frequency, int) and frequency == 1,
        )
        names = objectives.objective_names(self.oracle.objective)
        validated = [name for name in names if name.startswith("val_")]
        if validated and not arguments.validated_each_epoch:
            raise ValueError(
                f"The objective {validated[0]!r} needs a validation after each epoch. "
                f"{_validation.received('validation_freq', frequency)}"
            )
        if not arguments.validated and names[0].startswith("val_"):
            raise ValueError(
                f"The objective {names[0]!r} needs `validation_data` or "
                "`validation_split`, of which `search` was given none."
            )
        return arguments

    def _logs_are_known(self) -> bool:
        """Whether training is left to `fit`, in this class and in the hypermodel."""
        return self._uses_our_run_trial and overrides.trains_by_fit(self.hypermodel)

    def _rerun_call(self, record: records.TrialRecord, call: FitCall) -> FitCall:
        """Returns what `fit` is given to repeat a trial, of what `search` was given."""
        return call

    def _rerun(
        self,
        record: records.TrialRecord,
        reruns: int,
        *,
        name: str,
        fit_args: tuple[Any, ...] = (),
        fit_kwargs: dict[str, Any] | None = None,
    ) -> Reruns:
        """Trains a trial again, each time with a seed that the search has not used.

        The trainings are trials of a search of their own, in a folder within the
        project, so that what was run already is not run again: with the same arguments
        of `fit`, as far as these can be compared.

        Args:
            record: The trial.
            reruns: How many trainings, >= 1.
            name: Of the folder, in part; the same name means the same seeds.
            fit_args: What `search` was given.
            fit_kwargs: What `search` was given by name.

        Raises:
            RuntimeError: If a training ends with an error. None of them is kept.
        """
        call, rest = overrides.fit_call(self.hypermodel, fit_args, fit_kwargs or {})
        call = self._rerun_call(record, call.replace(verbose=0))
        given = fingerprints.digest([call.args, rest, call.kwargs])
        seed = self.oracle.seed
        options = dataclasses.replace(
            self.options,
            keep_checkpoints=1,
            # The folds are those of the search, so that scores can be compared.
            splits=self._folds_of(call, seed),
        )
        oracle = RandomSearchOracle(
            objective=self.oracle.objective,
            max_trials=1,
            seed=seeds.derived_seed(seed, "reruns", name),
            hyperparameters=fixed(self.oracle.get_space(), record.settings),
            tune_new_entries=False,
        )
        with keras_tuner_hooks.silent_reload():
            executions = _RerunSearch(
                oracle,
                self.hypermodel,
                options,
                optimizer=self.optimizer,
                loss=self.loss,
                metrics=self.metrics,
                distribution_strategy=self.distribution_strategy,
                executions_per_trial=reruns,
                directory=Path(self.project_dir) / "reruns",
                # Of a token nobody comes back to.
                project_name=f"{name}_{reruns}_{given or secrets.token_hex(6)}",
            )
        # What was compiled for the search serves its best settings, too.
        executions.programs = self.programs
        try:
            executions.search(*call.args, *rest, **call.kwargs)
        except RuntimeError:
            if not executions._ended_records():
                raise
        # The one trial of that search.
        [again] = executions._ended_records()
        if again.status == records.FAILED:
            executions._project.clear()
            raise RuntimeError(
                f"Trial {record.trial_id} could not be trained again: {again.error}"
            )
        # That all of them diverged is a result.
        is_scored = again.status == records.COMPLETED
        found = scores_of(again, reruns) if is_scored else []
        return Reruns(record.settings, tuple(found), failed=reruns - len(found))

    def _new_progress(self, verbose: int | str) -> progress.SearchProgress:
        objective = self.oracle.objective
        ended = self._ended_records()
        scored = [r for r in ended if r.status == records.COMPLETED]
        best = scores.best_first(scored, objective.direction)[:1]
        return progress.progress_class(verbose)(
            objective.name,
            objective.better_than,
            total=self.oracle.max_trials,
            finished=len(ended),
            best=best[0].known_score if best else None,
        )


class _RerunSearch(TunerMixin, keras_tuner.RandomSearch):
    """Trains given settings again; see `TunerMixin._rerun`."""


def _require_tensorboard() -> None:
    try:
        importlib.import_module("tensorboard.plugins.hparams.api")
    except ImportError as error:
        raise ImportError(
            "A TensorBoard callback needs the package tensorboard, which TensorFlow "
            "does not bring: python -m pip install tensorboard"
        ) from error
