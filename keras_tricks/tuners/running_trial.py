"""What is known of a trial while it runs."""

from __future__ import annotations

import time
from typing import Any

import keras

from keras_tricks import parameters
from keras_tricks.tuners import budget
from keras_tricks.tuners import judgement
from keras_tricks.tuners import records
from keras_tricks.tuners import seeds


class RunningTrial:
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
