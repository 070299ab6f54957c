"""A search whose trials an engine runs: `search(..., executor=client)`.

The process that calls `search` lends trials as `lending` says. A task is one trial, or
one pack, and what it needs of earlier ones; the data of the search go to each process
of the engine once. The outcome comes back with the trial's files, which are written
here. A task may run twice, since the engine may lose what it has: its outcome counts
once.

A trial calls nothing back while it runs. `stop_hopeless` compares with the trials that
had completed when it was submitted; a pruner cannot be asked.
"""

from __future__ import annotations

import concurrent.futures
import logging
import pickle
import queue
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from typing import Any

from keras_tricks import _validation
from keras_tricks._engine_call import CannotBeginError
from keras_tricks._engine_call import ChildDiedError
from keras_tricks.training.packs import pack_size
from keras_tricks.tuners.results import records
from keras_tricks.tuners.results import scores
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.workers import engine_task
from keras_tricks.tuners.workers import engines
from keras_tricks.tuners.workers import worker_payload
from keras_tricks.tuners.workers.lending import MAX_LEASES
from keras_tricks.tuners.workers.lending import Lender

if TYPE_CHECKING:
    from keras_tricks.tuners._typing import SearchingTuner

_LOG = logging.getLogger(__name__)

# How long it waits for an outcome before it looks again what the engine has.
_POLL_SECONDS = 0.5
# What a process raises that cannot run any task of the search.
_HOPELESS = (ImportError, AttributeError, TypeError, ValueError)
# What engines raise whose process has ended with a task. All else that they raise is
# no fault of the trial.
_DEATHS = (
    ChildDiedError.__name__,
    "KilledWorker",  # Dask
    "NodeDiedError",  # Ray
    "OutOfMemoryError",
    "WorkerCrashedError",
    "UncompletedJobError",  # submitit
)
# How long it waits at most until it submits again what could not begin.
_MOST_SECONDS_BETWEEN_TRIES = 2.0


def search(
    tuner: SearchingTuner,
    executor: Any,
    workers: int | None,
    gpus_per_trial: float | None,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
) -> None:
    """Runs the trials that are left by an executor.

    Raises:
        TypeError: If it is none, or if something cannot be sent to a process.
        ValueError: If it does not do what was asked for.
        RuntimeError: If it runs nothing, or breaks.
    """
    deadline = tuner._runner.session.deadline
    engine = engines.engine_of(executor, workers, gpus_per_trial, deadline.seconds_left)
    payload = worker_payload.payload(tuner, fit_args, fit_kwargs)
    _EngineSearch(tuner, engine, payload).search()


class _EngineSearch(Lender):
    """The trials of one search that an engine has."""

    def __init__(self, tuner: SearchingTuner, engine: engines.Engine, payload: bytes):
        super().__init__(tuner)
        self.engine = engine
        self.runner = tuner._runner
        self.runner.session.consecutive_failures = 0
        # How many tasks were lost since one came back, and when others are submitted.
        self.losses = 0
        self.resumes_at = 0.0
        self.has_answered = False
        # What was told once.
        self.told: set[str] = set()
        # Future -> its trials, those that the oracle gave.
        self.submitted: dict[Any, list[Any]] = {}
        self.done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        engine.publish(payload)

    def run(self) -> None:
        while True:
            self.submit()
            if self.runner.session.deadline.is_over:
                self.withdraw()
            if self.is_exhausted and not self.submitted:
                return
            for future in self.wait():
                self.take(future)

    # Lending.

    def submit(self) -> None:
        """Gives the engine as many tasks as it has processes for.

        Where it loses what it is given, it gets more only after a while, and in the
        end only when a process that has something has shown that it can run it.
        """
        if time.monotonic() < self.resumes_at:
            return
        while len(self.submitted) < self.engine.num_workers():
            if self.submitted and self.losses >= self.most_losses:
                return
            if self.must_learn_space and self.submitted:
                return
            trials = self.next_trials()
            if not trials:
                return
            try:
                future = self.engine.submit(self.task_of(trials))
            except engines.NoWorkersError:
                self.give_back(trials)
                return
            self.submitted[future] = trials
            if hasattr(future, "add_done_callback"):
                future.add_done_callback(self.done.put)

    def withdraw(self) -> None:
        """Takes back what waits in the engine: the next search runs its trials."""
        for future in list(self.submitted):
            if self.engine.withdraw(future):
                del self.submitted[future]

    def next_trials(self) -> list[Any]:
        """Returns the trials of the next task: one, or a pack."""
        packed = self.tuner.options.packed_trials or 1
        size = pack_size.AUTO_SIZE if packed == "auto" else packed
        trials: list[Any] = []
        while len(trials) < size:
            trial = self.next_trial()
            if trial is None:
                break
            trials.append(trial)
            waiting = filter(self.oracle.is_waiting, self.crash_count)
            if self.must_learn_space or self.are_dangerous([trial.trial_id, *waiting]):
                break
        return trials

    def task_of(self, trials: list[Any]) -> engine_task.Task:
        oracle, session = self.oracle, self.runner.session
        completed = {}
        if session.added_callbacks.stop_hopeless:
            completed = {
                trial.trial_id: oracle.completed_scores(trial.trial_id)
                for trial in trials
            }
        best = None
        if oracle.keep_checkpoints is not None and not oracle.continues_trials:
            sign = scores.sign(oracle.objective.direction)
            best = [sign * trial.score for trial in oracle.best_with_weights()]
        return engine_task.Task(
            [trial.get_state() for trial in trials],
            self.files_for(trials),
            completed,
            best,
            oracle.assumed_answers,
            time.time() + session.deadline.seconds_left,
        )

    def files_for(self, trials: list[Any]) -> dict[str, bytes]:
        """Returns what trials need of earlier ones, and of their earlier attempts."""
        found = {}
        for trial in trials:
            paths = [self.folder / f"trial_{trial.trial_id}" / records.RECORD_FILE]
            before = trial.hyperparameters.values.get("tuner/trial_id")
            if before is not None:
                paths += (self.folder / f"trial_{before}").glob("*")
            for path in paths:
                if path.is_file() and not path.is_symlink():
                    name = path.relative_to(self.folder).as_posix()
                    found[name] = path.read_bytes()
        return found

    # Taking back.

    def wait(self) -> list[Any]:
        """Returns futures that are done, perhaps none for now."""
        polled = [f for f in self.submitted if not hasattr(f, "add_done_callback")]
        done = [future for future in polled if future.done()]
        try:
            done.append(self.done.get(timeout=0 if done else _POLL_SECONDS))
            while True:
                done.append(self.done.get_nowait())
        except queue.Empty:
            return done

    def take(self, future: Any) -> None:
        """Takes an outcome back, or lends again what an engine has lost."""
        trials = self.submitted.pop(future, None)
        if trials is None:
            return
        try:
            answer = future.result()
            if not answer and self.runner.session.deadline.is_over:
                return
            if not answer:
                raise CannotBeginError("the engine has withdrawn the task")
        except concurrent.futures.BrokenExecutor as error:
            raise RuntimeError(
                f"The executor is broken ({type(error).__name__}: {error}): a process "
                "of it has died. What has ended is kept; call `search` again with a "
                "new executor. `search(..., workers=)`, Dask and Ray replace a process "
                "that dies."
            ) from error
        except _HOPELESS as error:
            if self.has_answered:
                # Others can.
                self.on_lost(trials, error)
                return
            raise RuntimeError(
                "A process of the executor cannot begin a trial "
                f"({type(error).__name__}: {error}). It needs this version of "
                "keras_tricks."
            ) from error
        except Exception as error:
            self.on_lost(trials, error)
            return
        if not isinstance(answer, bytes):
            raise TypeError(
                "A future of `executor` must have what the submitted function returns. "
                f"Received: {_validation.shown(answer)}"
            )
        self.losses, self.has_answered = 0, True
        outcome: engine_task.Outcome = pickle.loads(answer)
        for ended in outcome.ended:
            self.take_ended(ended)
        if outcome.error is not None:
            raise worker_payload.received(outcome.error) from RuntimeError(
                f"In a process of the executor:\n{outcome.traceback}"
            )

    def take_ended(self, ended: engine_task.Ended) -> None:
        trial_id = ended.state["trial_id"]
        folder = self.folder / f"trial_{trial_id}"
        for name, content in ended.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(
                    "A process of the executor sent a file outside of its trial: "
                    f"{name}"
                )
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(folder / path, content)
        for name, args in ended.calls:
            getattr(self.oracle, name)(*args)
        self.take_back(ended.state, ended.updates)

    def on_ended(self, record: records.TrialRecord) -> None:
        self.runner.count_failure(record, self.tuner._ended_records)
        here, _ = self.runner.session.provenance
        others = [
            f"{name} {version} (here {here.get(name)})"
            for name, version in record.versions.items()
            if version != here.get(name)
        ]
        if others:
            self.tell_once(
                "Trials run with other versions than those of this process: "
                f"{', '.join(others)}. Scores may differ from a search in one process."
            )

    def tell_once(self, message: str) -> None:
        if message not in self.told:
            self.told.add(message)
            _LOG.warning(message)

    @property
    def most_losses(self) -> int:
        """How many tasks may be lost, one after the other."""
        return 10 + MAX_LEASES * max(1, self.engine.num_workers())

    def on_lost(self, trials: list[Any], error: BaseException) -> None:
        """Submits trials again that the engine has lost."""
        self.losses += 1
        name = f"{type(error).__name__}: {error}"
        if self.losses >= self.most_losses and not self.submitted:
            self.give_back(trials)
            raise RuntimeError(
                "The executor loses all that it is given: the last task was lost "
                f"({name})."
            ) from error
        # Some engines hand over the text of an error alone.
        if any(death in f"{type(error).__name__} {error}" for death in _DEATHS):
            for trial in trials:
                self.lend_again(trial, f"was lost ({name})")
            return
        self.tell_once(
            f"A process of the executor cannot begin a trial ({name}): it is submitted "
            "again."
        )
        self.give_back(trials)
        wait = min(0.05 * 2**self.losses, _MOST_SECONDS_BETWEEN_TRIES)
        self.resumes_at = time.monotonic() + wait

    def give_back(self, trials: list[Any]) -> None:
        """Leaves trials that have not begun to whoever is given them next."""
        self.is_exhausted = False
        for trial in trials:
            self.oracle.run_again(trial.trial_id)

    def stop(self) -> None:
        """Ends what the engine still has."""
        self.engine.close()
        self.engine.cancel(self.submitted)
        self.submitted = {}
