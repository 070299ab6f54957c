"""The context of a trial that runs: what is known of it so far."""

from __future__ import annotations

import time
from typing import Any

import keras

from keras_tricks import parameters
from keras_tricks.tuners import errors
from keras_tricks.tuners import seeds
from keras_tricks.tuners.results import records
from keras_tricks.tuners.search_space.asked_for import AskedFor
from keras_tricks.tuners.trials import objectives


class RunningTrial:
    """One attempt at a trial.

    Attributes:
        trial_id: The trial.
        search_seed: The seed of the search.
        seed_name: What the trial's seeds are derived from, beside that.
        executions: Its trainings, as far as they have begun.
        execution: Which of them goes on now.
        has_history: Whether the scores come from histories.
        infeasible: Why the trial is of no use, if it is.
        earlier_errors: Of attempts before.
        results: Of a training by a shared program, one for each execution.
        failure: The error that ended such a training.
        asked_for: The hyperparameters that it depends on.
        stopped_by: What ended a training before its last epoch, if the search did.
        callbacks_were_called: Whether the callbacks that the search added saw it train.
        several_ranges: Those that it asked for with another range than the search's.
    """

    def __init__(self, trial_id: str, search_seed: int, seed_name: str):
        self.trial_id = trial_id
        self.seed_name = seed_name
        self.search_seed = search_seed
        self.executions: list[records.ExecutionRecord] = []
        self.execution = -1
        self.has_history = False
        self.infeasible: errors.InfeasibleTrialError | None = None
        self.earlier_errors: list[str] = []
        self.results: list[keras.callbacks.History] | None = None
        self.failure: Exception | None = None
        self.asked_for = AskedFor()
        self.several_ranges: set[str] = set()
        self.stopped_by: str | None = None
        self.callbacks_were_called = False
        self._parameters: int | None = None
        self._model: keras.Model | None = None
        self._seconds = 0.0
        self._since: float | None = time.perf_counter()

    @property
    def seconds(self) -> float:
        """For how long the clock has run."""
        if self._since is None:
            return self._seconds
        return self._seconds + time.perf_counter() - self._since

    def stop_clock(self) -> None:
        """Called when other trials come in between."""
        self._seconds, self._since = self.seconds, None

    def start_clock(self) -> None:
        """Called when this trial goes on."""
        self._since = time.perf_counter()

    def add_seconds(self, seconds: float) -> None:
        """Adds this trial's share of what several took together."""
        self._seconds += seconds

    @property
    def parameters(self) -> int | None:
        """Trainable parameters of the model, if they are known."""
        if self._model is not None and self._model.built:
            return parameters.count_parameters(self._model)
        return self._parameters

    def set_model(self, model: keras.Model) -> None:
        """Has the parameters counted in `model`, once they are asked for."""
        self._model = model

    def set_parameters(self, number: int) -> None:
        """Tells how many parameters there are."""
        self._model, self._parameters = None, number

    def seed_of(self, execution: int) -> int:
        """Returns what Keras is seeded with just before a model is built."""
        return seeds.derived_seed(self.search_seed, self.seed_name, execution)

    def begin_execution(self) -> int:
        """Returns the seed of the next execution: each builds a model once."""
        self.execution = len(self.executions)
        seed = self.seed_of(self.execution)
        self.executions.append(records.ExecutionRecord(seed))
        return seed

    def append_epoch(self, logs: dict[str, Any]) -> None:
        """Keeps an epoch of the execution that goes on now."""
        if self.executions:
            self.executions[self.execution].append_epoch(logs)

    def set_results(self, results: Any, objective: Any) -> None:
        """Takes the executions' scores, and the curves where there are histories."""
        results = results if isinstance(results, list) else [results]
        # A single number for two executions, say, has no place among them.
        for execution, result in zip(self.executions, results, strict=False):
            execution.score = objectives.score_of(result, objective)
            if isinstance(result, keras.callbacks.History):
                execution.set_history(result.history)
                self.has_history = True
