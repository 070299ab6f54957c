"""A worker process: the trials that the searching process lends it."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
import traceback
from multiprocessing import connection as connections
from typing import Any

import keras_tuner

from keras_tricks.tuners.errors import TooManyFailuresError
from keras_tricks.tuners.oracles import base
from keras_tricks.tuners.trials.runner import TrialRunner
from keras_tricks.tuners.workers import worker_payload

HEARTBEAT_SECONDS = 1.0
# For how long it waits to be ended, once it has said its last word.
END_SECONDS = 10.0


class _Link:
    """A worker's connection to the process that started it."""

    def __init__(self, connection: Any):
        self._connection = connection
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.send(("hello",))
        for target in (self._read, self._beat):
            threading.Thread(target=target, daemon=True).start()

    def send(self, message: Any) -> None:
        with self._lock:
            self._connection.send(message)

    def receive(self) -> Any:
        return self._inbox.get()

    def ask(self, *message: Any) -> Any:
        """Returns the answer to a message."""
        self.send(message)
        kind, answer = self.receive()
        if kind == "error":
            raise worker_payload.received(answer)
        return answer

    def _read(self) -> None:
        try:
            self._inbox.put(self._connection.recv_bytes())
            while True:
                self._inbox.put(self._connection.recv())
        except (EOFError, OSError):
            # The search is over, or was killed: nothing of use can be done here.
            os._exit(1)

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            try:
                self.send(("alive",))
            except OSError:
                os._exit(1)


class LeasedOracle(base.OracleMixin, keras_tuner.Oracle):
    """A worker's oracle: asks the searching process, and writes nothing.

    Args:
        link: The connection to it.
        attributes: Further attributes of the searching process's oracle.
        **kwargs: Those of its constructor.
    """

    def __init__(self, link: _Link, attributes: dict[str, Any], **kwargs: Any):
        space = kwargs.pop("hyperparameters")
        # An empty space counts as none, which KerasTuner may refuse.
        allowed = {
            name: kwargs.pop(name) for name in ("allow_new_entries", "tune_new_entries")
        }
        super().__init__(**kwargs)
        self.hyperparameters = space
        self.__dict__.update(allowed, **attributes)
        self.link = link
        # Trial ID -> what was told of it, for each trial that is lent.
        self.updates: dict[str, list[tuple[dict[str, Any], int]]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("remote_methods", ()):
            return lambda *args, **kwargs: self.link.ask("call", name, args, kwargs)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def create_trial(self, tuner_id: str) -> Any:
        """Waits for a trial; for one more beside others it does not wait."""
        if self.updates:
            state = self.link.ask("more")
            if state is None:
                return keras_tuner.engine.trial.Trial(self.get_space(), status="IDLE")
        else:
            self.trials = {}
            state = self.link.ask("next")
        trial = keras_tuner.engine.trial.Trial.from_state(state)
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
        status = self.link.ask("end", trial.get_state(), updates)
        self.trials[trial.trial_id].status = status

    def completed_scores(self, trial_id: str) -> dict[str, float]:
        """Asks for them: this process knows its own trials only."""
        return self.link.ask("call", "completed_scores", (trial_id,), {})

    def update_space_early(self, trial: Any, asked_for: list[str] | None) -> None:
        """Does nothing: the searching process learned it when it lent the trial."""

    def save(self) -> None:
        """Does nothing: the searching process saves."""

    def _save_trial(self, trial: Any) -> None:
        pass


def _leased_tuner(spec: worker_payload.WorkerSpec, link: _Link) -> Any:
    tuner: Any = object.__new__(spec.tuner_class)
    vars(tuner).update(spec.attributes)
    oracle = LeasedOracle(link, spec.oracle_attributes, **spec.oracle_arguments)
    tuner.oracle = tuner._local_oracle = oracle
    tuner._is_leased = True
    tuner._runner = TrialRunner(tuner, oracle, tuner.options)
    tuner._runner.session = spec.session
    tuner.programs = None
    return tuner


def main(file_descriptor: int) -> None:
    """Runs trials until there are none left."""
    # Ctrl-C reaches all processes of a terminal; the searching one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = _Link(connections.Connection(file_descriptor))
    try:
        spec = worker_payload.spec_of(link.receive())
        _leased_tuner(spec, link)._run_search(spec.fit_args, spec.fit_kwargs)
    except TooManyFailuresError:
        traceback.print_exc()
        link.send(("gave_up",))
    except BaseException as error:
        traceback.print_exc()
        link.send(
            ("fatal", worker_payload.transportable(error), traceback.format_exc())
        )
    # Until the searching process has read that, and closes the connection.
    time.sleep(END_SECONDS)
