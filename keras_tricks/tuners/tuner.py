"""What all tuners of this package share."""

from __future__ import annotations

import contextlib
import gc
import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner

from keras_tricks import parameters
from keras_tricks.tuners import budget
from keras_tricks.tuners import keras_tuner_hooks
from keras_tricks.tuners import oracles
from keras_tricks.tuners import progress
from keras_tricks.tuners import records
from keras_tricks.tuners import seeds

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
        self.parameter_budget = parameter_budget
        # In a worker process KerasTuner puts a proxy in its place, without the seed.
        self._own_oracle = oracle
        self._trial: _RunningTrial | None = None
        self._progress = progress.SearchProgress("", oracle.objective.better_than, None)
        self._quiet_fit = False
        self._consecutive_failures = 0
        # Past the constructors of the public classes, which only make their oracles.
        keras_tuner.Tuner.__init__(self, oracle, hypermodel, **kwargs)

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs the trials that are left, each saved before the next begins.

        Args:
            *fit_args: What `model.fit` (or `HyperModel.fit`) is given.
            **fit_kwargs: The same. `verbose` is the search's: `"auto"` or 1 (the
                default) shows the progress and keeps `fit` silent, 2 shows `fit`'s
                lines too, 0 shows nothing.

        Raises:
            ValueError: If `verbose` is none of those, or if the tuner has a
                `parameter_budget` and the data are not the first argument.
            ImportError: If a TensorBoard callback is passed without tensorboard.
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
        if "verbose" in fit_kwargs:
            fit_kwargs["verbose"] = 2 if verbose == 2 else 0
        self._quiet_fit = verbose != 2
        if keras_tuner_hooks.has_tensorboard(fit_kwargs.get("callbacks") or ()):
            _require_tensorboard()

        hypermodel = self.hypermodel
        if self.parameter_budget is not None:
            self.hypermodel = budget.within_budget_of(
                hypermodel, self.parameter_budget, fit_args, fit_kwargs
            )
        self._consecutive_failures = 0
        self._progress = self._new_progress(verbose)
        with seeds.global_generators_restored(), _old_objects_not_collected():
            self._progress.start()
            try:
                super().search(*fit_args, **fit_kwargs)  # type: ignore[misc]
            finally:
                self._progress.stop()
                self.hypermodel = hypermodel
                # An interrupted trial must not claim a model built after it.
                self._trial = None
        ended = self._records()
        if ended and all(record.status != records.COMPLETED for record in ended):
            raise RuntimeError(
                f"None of the {len(ended)} trials has a score.\n{_errors(ended)}"
            )

    def leaderboard(self) -> pd.DataFrame:
        """Returns the table of all trials that have ended, best first.

        Two searches with one seed give the same table, apart from `seconds`.

        Returns:
            A DataFrame with the columns `rank` (from 1; none without a score),
            `trial_id`, the score under the objective's name, `best_epoch` (from 1),
            `parameters` (trainable ones), `seconds`, `status`, then one column for
            each hyperparameter, empty where it is inactive. Trials whose score is NaN
            or infinite (`INFEASIBLE`) and trials that raised an error (`FAILED`) stand
            at the bottom. A hyperparameter whose name is one of those columns' is
            called `hp_` and its name.
        """
        space = self.oracle.get_space().space
        return records.leaderboard(
            self._records(), self.oracle.objective, [hp.name for hp in space]
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
        ended = {record.trial_id: record for record in self._records()}
        if trial_id not in ended:
            raise ValueError(
                f"`trial_id` must be one of {sorted(ended)}. "
                f"Received: trial_id={trial_id!r}"
            )
        return [execution.curves for execution in ended[trial_id].executions]

    # The methods below are called by KerasTuner.

    def on_trial_begin(self, trial: Any) -> None:
        """Seeds the trial and begins its record."""
        super().on_trial_begin(trial)  # type: ignore[misc]
        # Of an attempt that was killed or that failed; it would be kept or averaged.
        trial.metrics.metrics.clear()
        self._trial = _RunningTrial(trial.trial_id, self._own_oracle.seed)
        # For a `run_trial` that builds no model; the others are seeded at each build.
        keras.utils.set_random_seed(self._trial.seed_of(execution=0))

    def on_build_begin(self) -> None:
        """Seeds Keras, NumPy and Python for one execution of the trial."""
        if self._trial is not None:
            keras.utils.set_random_seed(self._trial.begin_execution())

    def on_build_end(self, model: keras.Model) -> None:
        """Keeps the model, to count its parameters once it has been trained."""
        if self._trial is not None:
            self._trial.model = model

    def on_epoch_end(
        self, trial: Any, model: keras.Model, epoch: int, logs: Any = None
    ) -> None:
        """Keeps the epoch's metrics, also of a trial that fails later."""
        super().on_epoch_end(trial, model, epoch, logs)  # type: ignore[misc]
        if self._trial is not None and self._trial.executions:
            self._trial.executions[-1].append_epoch(logs or {})

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the model of `trial` once for each execution."""
        callbacks = list(kwargs.pop("callbacks", None) or ())
        if self._quiet_fit:
            callbacks.append(progress.QuietFit())
        try:
            results = super().run_trial(  # type: ignore[misc]
                trial, *args, callbacks=callbacks, **kwargs
            )
        except budget.InfeasibleTrialError as error:
            if self._trial is not None:
                self._trial.infeasible = error
            raise
        if self._trial is not None:
            self._trial.set_results(results)
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
        self._progress.trial_finished(record)
        failed = record.status == records.FAILED
        self._consecutive_failures = self._consecutive_failures + 1 if failed else 0
        limit = self._own_oracle.max_consecutive_failed_trials
        if self._consecutive_failures == limit:
            failures = [r for r in self._records() if r.status == records.FAILED]
            raise RuntimeError(
                f"{limit} trials failed one after the other, which is the limit "
                f"`max_consecutive_failed_trials`.\n{_errors(failures)}"
            )

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
            if running.infeasible is not None:
                record.status = records.INFEASIBLE
                record.error = str(running.infeasible)
                record.parameters = running.infeasible.parameters
        if trial.status != "COMPLETED":
            return record
        metrics = self.oracle.get_trial(trial.trial_id).metrics
        record.score = float(metrics.get_best_value(objective.name))
        if oracles.is_feasible(record.score):
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
            for trial in sorted(ended, key=lambda t: oracles.order(t.trial_id))
        ]

    def _new_progress(self, verbose: int | str) -> progress.SearchProgress:
        objective = self.oracle.objective
        ended = self._records()
        scores = [r.score for r in ended if r.status == records.COMPLETED]
        best_of = max if objective.direction == "max" else min
        return progress.progress_class(verbose)(
            objective.name,
            objective.better_than,
            total=self.oracle.max_trials,
            finished=len(ended),
            best=best_of(scores, default=None),  # type: ignore[type-var]
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

    def set_results(self, results: Any) -> None:
        """Takes the curves from the histories, where there are any."""
        results = results if isinstance(results, list) else [results]
        # A single number for two executions, say, has no place among them.
        for execution, result in zip(self.executions, results, strict=False):
            if isinstance(result, keras.callbacks.History):
                execution.set_history(result.history)
                self.has_history = True


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


def _errors(ended: list[records.TrialRecord]) -> str:
    """Returns one line for each distinct error, with the trials that had it."""
    trials_of: dict[str, list[str]] = {}
    for record in ended:
        trials_of.setdefault(record.error or "no message", []).append(record.trial_id)
    return "\n".join(
        f"trial {', '.join(trial_ids)}: {error}"
        for error, trial_ids in trials_of.items()
    )
