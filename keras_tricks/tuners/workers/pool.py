"""Worker processes on one machine: `search(..., workers=4)`.

The process that calls `search` keeps the oracle and is the only one to write its
state. It starts the workers, lends each a trial at a time (several to one that packs
trials), and takes the results back. A worker runs its trials as a search in one process
does, with the same seeds, and writes their records. What it prints goes to
`worker_<n>.log` in the project's folder.

- A worker that dies, or neither gives a sign nor uses the processor for
  `SILENT_SECONDS`, is replaced, and its trial is lent again: the same ID, settings and
  seeds. A trial that has cost `MAX_LEASES` workers their lives is given up as failed.
- A worker that reaches `max_consecutive_failed_trials` ends itself and leaves the
  others in peace.
- The workers end with the process that started them, however that ends.
- GPUs are dealt out in turn (`CUDA_VISIBLE_DEVICES`), and their memory is taken as it
  is needed, so that workers can share one. The searching process itself should not have
  used them before.
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
import signal
import subprocess
import sys
import time
from multiprocessing import connection as connections
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras
import keras_tuner

from keras_tricks.parameters.abstract_build import built_abstractly
from keras_tricks.tuners import _processes
from keras_tricks.tuners.compat.keras_settings import KerasSettings
from keras_tricks.tuners.compat.keras_tuner_hooks import ENDED
from keras_tricks.tuners.results import leaderboard
from keras_tricks.tuners.results import records
from keras_tricks.tuners.search_space.asked_for import AskedFor
from keras_tricks.tuners.storage import files
from keras_tricks.tuners.workers import worker_payload
from keras_tricks.tuners.workers import worker_process

if TYPE_CHECKING:
    from keras_tricks.tuners._typing import SearchingTuner

SILENT_SECONDS = 60.0
# A silent worker that uses the processor for this share of the time is at work.
WORKING_SHARE = 0.01
START_SECONDS = 180.0
END_SECONDS = 1.0
MAX_LEASES = 5
MAX_BROKEN_STARTS = 3
MAX_REPLACEMENTS = 2

# Watches from the first moment on: Keras takes seconds to be imported. Linux ends the
# worker itself (PR_SET_PDEATHSIG), also while a call of C code keeps all threads from
# running; elsewhere a thread looks.
_START = """\
import sys
if sys.path[0] == "":  # Of -c; the searching process may not have it.
    del sys.path[0]
import os, signal, threading, time
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[2]):
        os._exit(1)
def watch(parent):
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)
threading.Thread(target=watch, args=(int(sys.argv[2]),), daemon=True).start()
from keras_tricks.tuners.workers import worker_process
worker_process.main(int(sys.argv[1]))
"""


def search(
    tuner: SearchingTuner,
    count: int,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
) -> None:
    """Runs the trials that are left in `count` worker processes.

    Raises:
        TypeError: If the hypermodel or an argument cannot be sent to a process.
        RuntimeError: If the workers cannot be started, or all of them gave up.
    """
    pool = _Pool(tuner, count, worker_payload.payload(tuner, fit_args, fit_kwargs))
    pool.oracle.has_workers = True
    try:
        pool.run()
    finally:
        pool.oracle.has_workers = False
        pool.stop()


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


class _Pool:
    """The workers of one search."""

    def __init__(self, tuner: SearchingTuner, count: int, payload: bytes):
        self.tuner = tuner
        self.oracle = tuner.oracle
        self.count = count
        self.payload = payload
        self.folder = Path(tuner.project_dir)
        self.workers: list[_Worker] = []
        self.is_exhausted = False
        self.crash_count: dict[str, int] = {}
        self.crashes_without_progress = 0
        self.broken_starts = 0
        self.replacements = 0
        self.has_completed = False
        self.leases = 0
        # What only `fit` asks for is known after a trial.
        ended = any(t.status in ENDED for t in self.oracle.trials.values())
        self.must_learn_space = not ended and not tuner._logs_are_known()

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
        ours, theirs = connections.Pipe()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                os.fspath(path) or os.getcwd() for path in sys.path
            ),
            "KERAS_BACKEND": keras.config.backend(),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        gpus = _visible_gpus()
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        number = str(theirs.fileno())
        # As `multiprocessing` has it: -O, -X, -W and the like.
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        with files.opened_to_append(self.log(slot)) as log:
            process = subprocess.Popen(
                # Not by -m, which would import the module under two names.
                [sys.executable, *flags, "-c", _START, number, str(os.getpid())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        theirs.close()
        worker = _Worker(slot, process, ours, time.monotonic() + START_SECONDS)
        self.workers.append(worker)

    def log(self, slot: int) -> Path:
        return self.folder / f"worker_{slot}.log"

    def lend(self) -> None:
        """Gives each worker that waits a trial, as long as there are trials."""
        for worker in [w for w in self.workers if w.is_waiting]:
            if self.must_learn_space and any(w.trials for w in self.workers):
                return
            trial = self.leased(worker)
            if trial is None:
                return
            worker.is_waiting = False
            self.send(worker, ("answer", trial.get_state()))

    def leased(self, worker: _Worker) -> Any:
        """Returns a trial that the worker has from now on, or None if there is none."""
        self.leases += 1
        tuner_id = f"worker{self.leases}"
        trial = self.oracle.create_trial(tuner_id)
        self.oracle.tuner_ids.discard(tuner_id)
        self.is_exhausted = trial.status == "STOPPED"
        if trial.status != "RUNNING":
            return None
        self.learn_space(trial)
        worker.trials[trial.trial_id] = trial
        return trial

    def learn_space(self, trial: Any) -> None:
        """Adds what the model of a trial asks for, which the next trial shall have.

        A search in one process learns it when the trial ends.
        """
        hp, asked_for = trial.hyperparameters.copy(), AskedFor()
        hypermodel = self.tuner.hypermodel
        if hypermodel is None:
            return
        try:
            with (
                KerasSettings.kept(),
                asked_for.asked(hp),
                self.tuner._ranges_watched(hp),
            ):
                built_abstractly(lambda: hypermodel.build(hp))
        except Exception:
            return  # The trial itself will tell.
        trial.hyperparameters = hp
        self.oracle.update_space_early(trial, asked_for.names)

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
        # A trial whose worker died is run alone, lest it cost others their lives.
        dangerous = [*worker.trials, *filter(self.oracle.is_waiting, self.crash_count)]
        is_alone = self.must_learn_space or any(map(self.crash_count.get, dangerous))
        trial = None if is_alone else self.leased(worker)
        self.send(worker, ("answer", None if trial is None else trial.get_state()))

    def on_call(self, worker: _Worker, name: str, args: Any, kwargs: Any) -> None:
        try:
            answer = ("answer", getattr(self.oracle, name)(*args, **kwargs))
        except Exception as error:
            answer = ("error", worker_payload.transportable(error))
        self.send(worker, answer)

    def on_end(self, worker: _Worker, state: dict[str, Any], updates: Any) -> None:
        trial = keras_tuner.engine.trial.Trial.from_state(state)
        worker.trials.pop(trial.trial_id, None)
        self.oracle.trials[trial.trial_id].metrics.metrics.clear()
        for metrics, step in updates:
            self.oracle.update_trial(trial.trial_id, metrics, step=step)
        self.end(trial)
        status = self.oracle.trials[trial.trial_id].status
        self.send(worker, ("answer", status))

    def end(self, trial: Any) -> None:
        """Ends a trial as the oracle does, and shows it."""
        self.oracle.end_trial(trial)
        self.tuner.save()
        self.crashes_without_progress = 0
        self.is_exhausted = False
        status = self.oracle.trials[trial.trial_id].status
        if status not in ENDED:
            return
        self.must_learn_space = False
        record = records.TrialRecord.read(self.folder / f"trial_{trial.trial_id}")
        self.has_completed |= record.status == records.COMPLETED
        self.tuner._show(record)

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

    def lend_again(self, trial: Any, why: str) -> None:
        """Sends a trial, whose worker is gone, to another, or gives it up."""
        self.is_exhausted = False
        crashes = self.crash_count.get(trial.trial_id, 0) + 1
        self.crash_count[trial.trial_id] = crashes
        if crashes < MAX_LEASES:
            self.oracle.run_again(trial.trial_id)
            return
        trial.status = "FAILED"
        trial.message = (
            f"It cost {crashes} worker processes their lives; the last {why}"
        )
        record = records.TrialRecord.of_trial(trial, self.oracle.objective)
        record.seed = self.oracle.seed
        record.write(self.folder / f"trial_{trial.trial_id}")
        self.end(trial)

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
    if code == -signal.SIGKILL:
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


def _visible_gpus() -> list[str]:
    """Returns the GPUs of this process, as `CUDA_VISIBLE_DEVICES` names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        return [name for name in names if name not in ("", "-1")]
    if keras.config.backend() != "tensorflow":
        return [str(n) for n, _ in enumerate(keras.distribution.list_devices("gpu"))]
    import tensorflow as tf  # Already loaded, by Keras.

    return [str(n) for n, _ in enumerate(tf.config.list_physical_devices("GPU"))]


def _last_lines(path: Path, count: int = 15) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-count:])
