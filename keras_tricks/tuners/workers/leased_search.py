"""The search as a worker sees it: trials that are lent, and nothing that is saved."""

from __future__ import annotations

from typing import Any
from typing import Protocol

import keras_tuner

from keras_tricks.tuners.oracles import base
from keras_tricks.tuners.trials.runner import TrialRunner
from keras_tricks.tuners.workers import worker_payload


class Line(Protocol):
    """The way to whoever lends trials."""

    def ask(self, *message: Any) -> Any:
        """Returns the answer to a message.

        Messages:
            ("next",): The state of the next trial, once there is one.
            ("more",): That of one more beside those that run here; None if there is
                none now.
            ("end", state, updates): A trial has ended; the answer is its status.
            ("back", trial_id): A trial is left for want of time.
            ("call", name, args, kwargs): What a method of the oracle returns.
        """


class LeasedOracle(base.OracleMixin, keras_tuner.Oracle):
    """A worker's oracle: asks whoever lends it trials, and writes nothing.

    Args:
        line: The way to them.
        attributes: Further attributes of the searching process's oracle.
        **kwargs: Those of its constructor.
    """

    def __init__(self, line: Line, attributes: dict[str, Any], **kwargs: Any):
        space = kwargs.pop("hyperparameters")
        # An empty space counts as none, which KerasTuner may refuse.
        allowed = {
            name: kwargs.pop(name) for name in ("allow_new_entries", "tune_new_entries")
        }
        super().__init__(**kwargs)
        self.hyperparameters = space
        self.__dict__.update(allowed, **attributes)
        self.line = line
        # Trial ID -> what was told of it, for each trial that is lent.
        self.updates: dict[str, list[tuple[dict[str, Any], int]]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("remote_methods", ()):
            return lambda *args, **kwargs: self.line.ask("call", name, args, kwargs)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def create_trial(self, tuner_id: str) -> Any:
        """Waits for a trial; for one more beside others it does not wait."""
        if self.updates:
            state = self.line.ask("more")
            if state is None:
                return keras_tuner.engine.trial.Trial(self.get_space(), status="IDLE")
        else:
            self.trials = {}
            state = self.line.ask("next")
        trial = keras_tuner.engine.trial.Trial.from_state(state)
        if trial.status != "STOPPED":
            self.trials[trial.trial_id] = trial
            self.updates[trial.trial_id] = []
        return trial

    def update_trial(
        self, trial_id: str, metrics: dict[str, Any], step: int = 0
    ) -> Any:
        trial = super().update_trial(trial_id, metrics, step=step)
        self.updates[trial_id].append((dict(metrics), step))
        return trial

    def end_trial(self, trial: Any) -> None:
        updates = self.updates.pop(trial.trial_id)
        status = self.line.ask("end", trial.get_state(), updates)
        self.trials[trial.trial_id].status = status

    def give_back(self, trial: Any) -> None:
        if self.updates.pop(trial.trial_id, None) is not None:
            self.line.ask("back", trial.trial_id)

    def completed_scores(self, trial_id: str) -> dict[str, float]:
        """Asks for them: this process knows its own trials only."""
        return self.line.ask("call", "completed_scores", (trial_id,), {})

    def update_space_early(self, trial: Any, asked_for: list[str] | None) -> None:
        """Does nothing: the searching process learned it when it lent the trial."""

    def save(self) -> None:
        """Does nothing: the searching process saves."""

    def _save_trial(self, trial: Any) -> None:
        pass


def leased_tuner(spec: worker_payload.WorkerSpec, line: Line) -> Any:
    """Returns the tuner of a search, which runs the trials that it is lent."""
    tuner: Any = object.__new__(spec.tuner_class)
    vars(tuner).update(spec.attributes)
    oracle = LeasedOracle(line, spec.oracle_attributes, **spec.oracle_arguments)
    tuner.oracle = tuner._local_oracle = oracle
    tuner._is_leased = True
    tuner._runner = TrialRunner(tuner, oracle, tuner.options)
    tuner._runner.session = spec.session
    tuner.programs = None
    return tuner
