"""Worker processes on one machine: `search(..., workers=4)`.

The process that calls `search` starts the workers, lends each a trial at a time
(several to one that packs trials), as `lending` says, and takes the results back. A
worker writes the records of its trials. What it prints goes to `worker_<n>.log` in the
project's folder.

- A worker that dies, or neither gives a sign nor uses the processor for
  `SILENT_SECONDS`, is replaced, and its trial is lent again.
- A worker that reaches `max_consecutive_failed_trials` ends itself and leaves the
  others in peace.
- The workers end with the process that started them, however that ends.
- GPUs are dealt out (`CUDA_VISIBLE_DEVICES`; see `gpus`), and their memory is taken as
  it is needed, so that workers can share one. The searching process itself should not
  have used them before.
- Threads are not dealt out: each worker has as many as the searching process would
  have, since the last bits of a convolution depend on their number. Fewer, for both,
  are had by `tf.config.threading.set_intra_op_parallelism_threads` before the search.

Settings do not depend on the number of workers where the algorithm does not look at
scores (`RandomSearch`, for instance), as long as `fit` asks for all its
hyperparameters in the first trial, which then runs alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from multiprocessing import connection as connections
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from keras_tricks import _child_process
from keras_tricks.tuners import _processes
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import records
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.workers import gpus
from keras_tricks.tuners.workers import worker_payload
from keras_tricks.tuners.workers import worker_process
from keras_tricks.tuners.workers.lending import MAX_LEASES
from keras_tricks.tuners.workers.lending import Lender

if TYPE_CHECKING:
    from keras_tricks.tuners._typing import SearchingTuner

SILENT_SECONDS = 60.0
# A silent worker that uses the processor for this share of the time is at work.
WORKING_SHARE = 0.01
START_SECONDS = 180.0
END_SECONDS = 1.0
MAX_BROKEN_STARTS = 3
MAX_REPLACEMENTS = 2


def search(
    tuner: SearchingTuner,
    count: int,
    gpus_per_trial: float | None,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
) -> None:
    """Runs the trials that are left in `count` worker processes.

    Raises:
        TypeError: If the hypermodel or an argument cannot be sent to a process.
        ValueError: If there are fewer GPUs than the workers need.
        RuntimeError: If the workers cannot be started, or all of them gave up.
    """
    payload = worker_payload.payload(tuner, fit_args, fit_kwargs)
    _Pool(tuner, count, payload, gpus_per_trial).search()


@dataclasses.dataclass(eq=False)
class _Worker:
    """A process, as the searching process sees it."""

    slot: int
    process: subprocess.Popen[bytes]
    connection: Any
    silent_after: float
    processor_seconds: float = 0.0
    trials: dict[str, Any] = dataclasses.field(default_factory=dict)
    is_waiting: bool = False
    has_begun: bool = False

    def extend(self, seconds: float) -> None:
        """Takes its silence for what it is for so many seconds more."""
        self.silent_after = time.monotonic() + seconds
        self.processor_seconds = _processes.processor_seconds(self.process.pid) or 0.0

    def is_working(self) -> bool:
        """Whether it used the processor since `extend`, and gave no sign."""
        now = _processes.processor_seconds(self.process.pid) or 0.0
        return now - self.processor_seconds > WORKING_SHARE * SILENT_SECONDS


class _Pool(Lender):
    """The workers of one search."""

    def __init__(
        self,
        tuner: SearchingTuner,
        count: int,
        payload: bytes,
        gpus_per_trial: float | None,
    ):
        super().__init__(tuner)
        self.count = count
        self.payload = payload
        self.gpus = gpus.dealt(gpus.visible(), count, gpus_per_trial)
        self.workers: list[_Worker] = []
        self.broken_starts = 0
        self.replacements = 0

    def run(self) -> None:
        for slot in range(self.count):
            self.start(slot)
        while True:
            self.lend()
            if self.is_exhausted and not any(w.trials for w in self.workers):
                return
            if not self.workers:
                failed = [
                    record
                    for record in self.tuner._ended_records()
                    if record.status == records.FAILED
                ]
                raise RuntimeError(
                    f"All {self.count} workers ended, each after its limit "
                    "`max_consecutive_failed_trials`.\n"
                    f"{leaderboard.errors_text(failed)}"
                )
            self.listen()

    def start(self, slot: int) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                os.fspath(path) or os.getcwd() for path in sys.path
            ),
            **worker_payload.environment(),
        }
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot]
        with files.opened_to_append(self.log(slot)) as log:
            process, ours = _child_process.started(
                worker_process.__name__, environment=environment, log=log
            )
        worker = _Worker(slot, process, ours, time.monotonic() + START_SECONDS)
        self.workers.append(worker)

    def log(self, slot: int) -> Path:
        return self.folder / f"worker_{slot}.log"

    def lend(self) -> None:
        """Gives each worker that waits a trial, as long as there are trials."""
        for worker in [w for w in self.workers if w.is_waiting]:
            if self.must_learn_space and any(w.trials for w in self.workers):
                return
            trial = self.next_trial()
            if trial is None:
                return
            worker.trials[trial.trial_id] = trial
            worker.is_waiting = False
            self.send(worker, ("answer", trial.get_state()))

    def send(self, worker: _Worker, message: Any) -> None:
        # One that is gone is found when it is listened to.
        with contextlib.suppress(OSError):
            worker.connection.send(message)

    def listen(self) -> None:
        """Waits for messages, and looks after the workers that send none."""
        by_connection = {worker.connection: worker for worker in self.workers}
        for ready in connections.wait(
            list(by_connection), timeout=worker_process.HEARTBEAT_SECONDS
        ):
            worker = by_connection[ready]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self.replace(worker, None)
                continue
            worker.extend(SILENT_SECONDS)
            getattr(self, f"on_{message[0]}")(worker, *message[1:])
        for worker in list(self.workers):
            if time.monotonic() <= worker.silent_after:
                continue
            if worker.is_working():
                worker.extend(SILENT_SECONDS)
            else:
                self.replace(
                    worker,
                    "was ended, since it neither gave a sign nor used the processor "
                    f"for {SILENT_SECONDS:g} s",
                )

    def on_hello(self, worker: _Worker) -> None:
        worker.extend(START_SECONDS)
        with contextlib.suppress(OSError):
            worker.connection.send_bytes(self.payload)

    def on_alive(self, worker: _Worker) -> None:
        pass

    def on_next(self, worker: _Worker) -> None:
        worker.is_waiting = worker.has_begun = True

    def on_more(self, worker: _Worker) -> None:
        """Lends one more trial to a worker that has some, if there is one now."""
        waiting = filter(self.oracle.is_waiting, self.crash_count)
        is_alone = self.must_learn_space or self.are_dangerous(
            [*worker.trials, *waiting]
        )
        trial = None if is_alone else self.next_trial()
        if trial is not None:
            worker.trials[trial.trial_id] = trial
        self.send(worker, ("answer", None if trial is None else trial.get_state()))

    def on_call(self, worker: _Worker, name: str, args: Any, kwargs: Any) -> None:
        try:
            answer = ("answer", getattr(self.oracle, name)(*args, **kwargs))
        except Exception as error:
            answer = ("error", worker_payload.transportable(error))
        self.send(worker, answer)

    def on_end(self, worker: _Worker, state: dict[str, Any], updates: Any) -> None:
        worker.trials.pop(state["trial_id"], None)
        self.send(worker, ("answer", self.take_back(state, updates)))

    def on_back(self, worker: _Worker, trial_id: str) -> None:
        worker.trials.pop(trial_id, None)
        self.oracle.run_again(trial_id)
        self.send(worker, ("answer", None))

    def on_gave_up(self, worker: _Worker) -> None:
        self.remove(worker)
        if self.has_completed and self.replacements < MAX_REPLACEMENTS:
            self.replacements += 1
            self.start(worker.slot)

    def on_fatal(self, worker: _Worker, pickled: Any, text: str) -> None:
        raise worker_payload.received(pickled) from RuntimeError(
            f"In a worker process:\n{text}"
        )

    def replace(self, worker: _Worker, why: str | None) -> None:
        """Starts another worker for one that died or is silent.

        Args:
            worker: The worker.
            why: Why it is to be ended; None if it has ended itself.
        """
        has_ended = self.remove(worker)
        code = worker.process.returncode
        if why is None:
            why = _end_of(code) if has_ended else "closed its connection, and was ended"
        self.crashes_without_progress += 1
        if not worker.has_begun and code >= 0:
            self.broken_starts += 1
        if (
            self.broken_starts >= MAX_BROKEN_STARTS
            or self.crashes_without_progress >= 10 + MAX_LEASES * self.count
        ):
            raise RuntimeError(
                f"The worker processes do not live: the last {why}. "
                f"Its last words, from {self.log(worker.slot)}:\n"
                f"{_last_lines(self.log(worker.slot))}"
            )
        for trial in worker.trials.values():
            self.lend_again(trial, why)
        self.start(worker.slot)

    def remove(self, worker: _Worker) -> bool:
        """Returns whether the process ended by itself."""
        self.workers.remove(worker)
        worker.connection.close()
        return _end(worker.process, END_SECONDS)

    def stop(self) -> None:
        """Ends all workers."""
        for worker in self.workers:
            # A worker ends itself when it finds the connection closed.
            worker.connection.close()
        deadline = time.monotonic() + END_SECONDS
        for worker in self.workers:
            _end(worker.process, max(0.0, deadline - time.monotonic()))
        self.workers = []


def _end_of(code: int) -> str:
    """Returns how a process ended that nobody here has ended."""
    if code == -9:  # Windows has no name for it.
        return "was killed (SIGKILL): perhaps the machine had no memory left"
    if code < 0:
        return f"was ended by signal {-code}"
    return f"ended with status {code}"


def _end(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Waits for a process that is about to end, and ends it if it does not."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def _last_lines(path: Path, count: int = 15) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-count:])
