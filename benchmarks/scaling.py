"""How many workers one searching process keeps busy, and how many a database does.

    python benchmarks/scaling.py [--workers N ...] [--seconds S] [--counts N ...]
        [--designs NAME ...] [--processes K ...]

The workers are simulated in the searching process, and sleep: what is measured is what
a trial costs it, and the storage. The first table has the trials a second of N workers
whose trials take S seconds, beside N / S, which is what they could do. The second has
the ceiling, by workers that take no time: the mean time from one trial's end to the
next one's over the last hundred before each count, and the number of workers of one
second a trial that this would keep busy (in a database up to 1,000 trials, which take
minutes). The third has K searching processes without an executor
that share a study in PostgreSQL, and run their trials themselves, which take no time;
it is left out where no server can be started.

Designs: `random` (`RandomSearch`, files), `journal` (`OptunaSearch` with `"qmc"`, a
journal file) and `postgresql` (the same with a server that is started for it).
"""

import argparse
import concurrent.futures
import contextlib
import heapq
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import keras_tuner
import optuna
import rich.console
import rich.table

from keras_tricks import tuners
from keras_tricks.tuners.results import records
from keras_tricks.tuners.workers import engine_task
from tests import postgresql

OBJECTIVE = keras_tuner.Objective("score", "min")
DESIGNS = ("random", "journal", "postgresql")
MOST_IN_A_DATABASE = 1000


class Untrained(keras_tuner.HyperModel):
    """Eight hyperparameters, an empty model, and no training."""

    def build(self, hp):
        for number in range(8):
            hp.Float(f"x{number}", 0.0, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return hp.get("x0")


class SimulatedWorkers(concurrent.futures.Executor):
    """Brings each task back after a time, as if a worker had run it.

    Args:
        number: Of workers.
        seconds: That each needs for a task.
    """

    def __init__(self, number, seconds):
        self.num_workers = number
        self.times = []
        self._seconds = seconds
        self._due = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._folder = tempfile.TemporaryDirectory()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, function, payload, task):
        future = concurrent.futures.Future()
        entry = (time.monotonic() + self._seconds, next(self._count), future, task)
        with self._changed:
            heapq.heappush(self._due, entry)
            self._changed.notify()
        return future

    def _run(self):
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    wait = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(wait)
                _, _, future, task = heapq.heappop(self._due)
            outcome = self._outcome(task)
            self.times.append(time.perf_counter())
            future.set_result(outcome)

    def _outcome(self, task):
        [state] = pickle.loads(task).trials
        score = state["hyperparameters"]["values"]["x0"]
        state = {**state, "status": "COMPLETED"}
        trial = keras_tuner.engine.trial.Trial.from_state(state)
        record = records.TrialRecord.of_trial(trial, OBJECTIVE)
        record.status, record.score = records.COMPLETED, score
        record.write(self._folder.name)
        content = Path(self._folder.name, records.RECORD_FILE).read_bytes()
        files = {records.RECORD_FILE: content}
        ended = engine_task.Ended(state, [({"score": score}, 0)], [], files)
        return pickle.dumps(engine_task.Outcome([ended]))


@contextlib.contextmanager
def storage_of(design, folder):
    """Gives the storage of a design; None is the project's folder."""
    if design == "random":
        yield None
    elif design == "journal":
        yield str(Path(folder) / "study.journal")
    else:
        with postgresql.server() as url:
            yield url


def tuner_of(design, storage, folder, count):
    arguments = {"max_trials": count, "seed": 0, "directory": folder}
    if design == "random":
        return tuners.RandomSearch(Untrained(), OBJECTIVE, **arguments)
    return tuners.OptunaSearch(
        Untrained(),
        OBJECTIVE,
        sampler="qmc",
        storage=storage,
        study_name="scaling",
        **arguments,
    )


def search(design, number, seconds, count):
    """Returns at which second each trial ended."""
    with (
        tempfile.TemporaryDirectory() as folder,
        storage_of(design, folder) as storage,
    ):
        tuner = tuner_of(design, storage, folder, count)
        workers = SimulatedWorkers(number, seconds)
        tuner.search(verbose=0, executor=workers)
        assert len(tuner.oracle.get_best_trials(count)) == count
    return workers.times


def busy_workers(options):
    table = rich.table.Table(
        "workers",
        *options.designs,
        title=f"Trials a second, of {options.seconds:g} s each (their share of what "
        "the workers could do)",
    )
    for number in options.workers:
        row = []
        for design in options.designs:
            times = search(design, number, options.seconds, 12 * number)
            # In between, where all workers have been given something.
            first, last = times[number], times[-number - 1]
            rate = (len(times) - 2 * number - 1) / (last - first)
            row.append(f"{rate:.1f} ({100 * rate * options.seconds / number:.0f} %)")
            print(number, design, row[-1], flush=True)
        table.add_row(str(number), *row)
    return table


def ceilings(options):
    table = rich.table.Table(
        "design",
        *(f"{count:,} trials" for count in options.counts),
        title="ms a trial -> trials a second: so many workers of 1 s are kept busy",
    )
    for design in options.designs:
        row = []
        for count in options.counts:
            if design == "postgresql" and count > MOST_IN_A_DATABASE:
                row.append("-")
                continue
            times = search(design, 8, 0.0, count)
            last = times[-min(count, 100) :]
            each = (last[-1] - last[0]) / (len(last) - 1)
            row.append(f"{1000 * each:.1f} -> {1 / each:.0f}")
            print(design, count, row[-1], flush=True)
        table.add_row(design, *row)
    return table


def independent_ones(options):
    table = rich.table.Table(
        "processes",
        "trials",
        "trials a second",
        "ms a trial and process",
        title="Processes that share a study in PostgreSQL; their trials take no time",
    )
    for number in options.processes:
        count = 100 * number
        with tempfile.TemporaryDirectory() as folder, postgresql.server() as url:
            optuna.create_study(study_name="begun", storage=url)  # Makes the tables.
            command = [sys.executable, __file__, "--one-of", url, str(count)]
            processes = [
                subprocess.Popen([*command, f"{folder}/{one}"], stdin=subprocess.PIPE)
                for one in range(number)
            ]
            study = optuna.create_study(study_name="counted", storage=url)
            while len(study.get_trials(deepcopy=False)) < number:
                time.sleep(0.1)
            began = time.perf_counter()
            for process in processes:
                process.communicate(b"\n")
            elapsed = time.perf_counter() - began
        rate = count / elapsed
        table.add_row(
            str(number), str(count), f"{rate:.1f}", f"{1000 * number / rate:.0f}"
        )
        print(number, f"{rate:.1f} trials a second", flush=True)
    return table


def one_of(url, count, folder):
    """A process that shares the study: tells that it is ready, and waits."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tuner = tuner_of("postgresql", url, folder, int(count))
    optuna.load_study(study_name="counted", storage=url).ask()
    sys.stdin.readline()
    tuner.search(verbose=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--one-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_of:
        one_of(*options.one_of)
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    reason = postgresql.reason_not_to_run()
    if reason is not None:
        print(f"Without PostgreSQL: {reason}")
        options.designs = [name for name in options.designs if name != "postgresql"]
    tables = [busy_workers(options), ceilings(options)]
    if reason is None:
        tables.append(independent_ones(options))
    for table in tables:
        console = rich.console.Console(width=100)
        console.print(table.title, highlight=False)
        table.title = None
        console.print(table)


if __name__ == "__main__":
    main()
