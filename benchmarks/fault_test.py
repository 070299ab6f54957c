"""A search whose processes are killed ends as one that nobody touched.

Four workers run 40 trials of a small network that Keras trains. Every few seconds a
random worker is killed, of those that have begun a training, and the searching process
once, which is then started again until the search is done. Printed: completed trials;
kills, of workers + of the searching process; trainings that were begun again, and those
of them whose trial had been completed; and the largest difference of a score from a
search in one process that nobody killed. What is completed is read by other means than
the package's: the trials' files, or Optuna's own reader.

With `--executor dask` or `--executor ray`, the workers are those of an engine on this
machine, which starts them again itself: killed is one, or the process in which it runs
its trials. With `--search optuna`, the trials are those of a study in a journal file,
or in a PostgreSQL server that is started for it. With `--independent`, four searching
processes without workers share the study, each is started again when it is killed, and
all are killed at once in the middle (kills: of one + of all). The sampler is "qmc",
which looks at no score; what one that does would suggest depends on the order in which
the trials end.

    python benchmarks/fault_test.py [--search random|optuna]
        [--storage journal|postgresql] [--independent] [--executor dask|ray]
        [--trials 40] [--workers 4] [--seconds 8]
"""

import argparse
import collections
import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from keras_tricks.tuners.workers.lending import MAX_LEASES  # noqa: E402 (needs the line above)
from tests import postgresql  # noqa: E402
from tests.tuners import fault_search  # noqa: E402
from tests.tuners import toys  # noqa: E402


class Trials:
    """What is known of the trials from outside: their files, and the trainings' log.

    Trials are told apart by their learning rates.

    Args:
        folder: Of the log, and of the search unless it has a storage.
        storage: Of the Optuna study; None for a search without one.
    """

    def __init__(self, folder: Path, storage: str | None):
        self.folder = folder
        self.storage = storage
        self.log = folder / "fits.log"
        # Rate -> when the trial was first seen to be completed.
        self.seen: dict[str, float] = {}

    def completed(self) -> list[tuple[str, float]]:
        """Returns rate and score of each completed trial."""
        found = self._in_study() if self.storage else self._in_files()
        now = time.time()
        for rate, _ in found:
            self.seen.setdefault(rate, now)
        return found

    def begun(self) -> list[tuple[str, int, float]]:
        """Returns rate, process and time of each training that was begun."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        fields = [line.split() for line in lines if line.startswith("begin")]
        return [(rate, int(process), float(when)) for _, rate, process, when in fields]

    def victims(self, processes: list[int]) -> list[int]:
        """Returns those of the processes that have begun a training.

        A trial that has cost `MAX_LEASES` workers their lives is given up, so that one
        that was begun so often is spared.
        """
        begun = self.begun()
        times = collections.Counter(rate for rate, _, _ in begun)
        last = {process: rate for rate, process, _ in begun}
        return [
            process
            for process in processes
            if process in last and times[last[process]] < MAX_LEASES - 1
        ]

    def needless(self) -> int:
        """Returns how many trainings were begun of trials seen to be completed."""
        return sum(
            when > self.seen.get(rate, math.inf) for rate, _, when in self.begun()
        )

    def errors(self) -> list[str]:
        """Returns the messages of the trials that failed."""
        if not self.storage:
            trials = self._files()
            return [str(t["message"]) for t in trials if t["status"] == "FAILED"]
        attributes = [entry.user_attrs for entry in self._entries()]
        return [one["error"] for one in attributes if one.get("error")]

    def _in_files(self) -> list[tuple[str, float]]:
        return [
            (_text(trial["hyperparameters"]["values"]["rate"]), trial["score"])
            for trial in self._files()
            if trial["status"] == "COMPLETED"
        ]

    def _files(self) -> list[dict]:
        files = self.folder.glob("untitled_project/trial_*/trial.json")
        return [json.loads(path.read_text()) for path in files]

    def _in_study(self) -> list[tuple[str, float]]:
        return [
            (_text(entry.params["rate"]), entry.value)
            for entry in self._entries()
            if entry.state.name == "COMPLETE"
        ]

    def _entries(self) -> list:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = self.storage
        if "://" not in storage:
            backend = optuna.storages.journal.JournalFileBackend(storage)
            storage = optuna.storages.JournalStorage(backend)
        if not optuna.get_all_study_names(storage):
            return []
        study = optuna.load_study(storage=storage, study_name=fault_search.STUDY)
        return study.get_trials()


def _text(rate: float) -> str:
    return f"{rate:.17g}"


def alive(processes: set[int]) -> list[int]:
    """Returns those of the processes that have not ended."""
    found = []
    for pid in sorted(processes):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def start(folder: Path, workers: int, trials: Trials, options) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, fault_search.__file__]
    command += [str(folder), str(workers), str(options.trials)]
    command += ["--search", options.search, "--log", str(trials.log)]
    if trials.storage:
        command += ["--storage", trials.storage]
    if options.executor:
        command += ["--executor", options.executor]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def kill_workers(trials: Trials, options) -> tuple[int, int]:
    """Runs one search until it ends; returns the kills: of workers, and of itself."""
    generator = random.Random(0)
    of_workers = of_parent = 0
    while True:
        search = start(trials.folder, options.workers, trials, options)
        while search.poll() is None:
            time.sleep(generator.uniform(0.5, 1.5) * options.seconds)
            if len(trials.completed()) >= options.trials:
                continue  # It shall come to its end.
            trained = {process for _, process, _ in trials.begun()}
            victims = trials.victims(alive(trained))
            if not of_parent and len(trials.begun()) > options.trials // 2:
                search.kill()
                search.wait()
                of_parent += 1
            elif victims:
                victim = generator.choice(victims)
                if options.executor and generator.random() < 0.5:
                    victim = psutil.Process(victim).ppid()
                os.kill(victim, signal.SIGKILL)
                of_workers += 1
        if search.returncode == 0:
            return of_workers, of_parent


def kill_independent_ones(trials: Trials, options) -> tuple[int, int]:
    """Runs searches that share a study; returns the kills: of one, and of all."""
    generator = random.Random(0)
    of_one = of_all = 0

    def begin(slot: int) -> subprocess.Popen:
        return start(trials.folder / f"process_{slot}", 1, trials, options)

    processes = dict(enumerate(map(begin, range(options.workers))))
    while processes:
        time.sleep(generator.uniform(0.5, 1.5) * options.seconds)
        living = [one.pid for one in processes.values() if one.poll() is None]
        victims = trials.victims(living)
        if len(trials.completed()) >= options.trials:
            victims = []  # All shall come to their end.
        elif not of_all and len(trials.begun()) > options.trials // 2:
            victims, of_all = living, of_all + 1
        elif victims:
            victims = [generator.choice(victims)]
            of_one += 1
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        for slot, process in list(processes.items()):
            if process.pid in victims:
                process.wait()
            if process.poll() == 0:
                del processes[slot]
            elif process.poll() is not None:
                processes[slot] = begin(slot)
    return of_one, of_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--search", choices=("random", "optuna"), default="random")
    parser.add_argument(
        "--storage", choices=("journal", "postgresql"), default="journal"
    )
    parser.add_argument("--independent", action="store_true")
    parser.add_argument("--executor", choices=("dask", "ray"))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0, help="between kills")
    options = parser.parse_args()
    shared = options.search == "optuna"
    if not shared and (options.independent or options.storage == "postgresql"):
        parser.error("--independent and --storage need --search optuna")
    if options.executor and options.independent:
        parser.error("--executor needs one searching process")
    server = contextlib.nullcontext()
    if options.storage == "postgresql":
        reason = postgresql.reason_not_to_run()
        if reason is not None:
            parser.error(reason)
        server = postgresql.server()
    with tempfile.TemporaryDirectory() as folder, server as url:
        alone, killed = Path(folder, "alone"), Path(folder, "killed")
        for path in (alone, killed):
            path.mkdir()
        tuner = fault_search.tuner_in(alone, options.trials, search=options.search)
        tuner.search(**toys.toy_data(), verbose=0)
        journal = "study.journal"
        expected = Trials(alone, str(alone / journal) if shared else None).completed()
        trials = Trials(killed, (url or str(killed / journal)) if shared else None)
        run = kill_independent_ones if options.independent else kill_workers
        started = time.monotonic()
        kills = run(trials, options)
        elapsed = time.monotonic() - started
        found = trials.completed()
        errors = trials.errors()
        again, needless = len(trials.begun()) - len(found), trials.needless()

    difference = math.nan
    scores = dict(expected)
    if len(found) == options.trials and dict(found).keys() == scores.keys():
        difference = max(abs(score - scores[rate]) for rate, score in found)
    columns = ("completed", "kills", "begun again", "run twice", "difference", "s")
    print("".join(f"{column:>12}" for column in columns))
    cells = (len(found), "{} + {}".format(*kills), again, needless)
    cells = (*cells, f"{difference:.3g}", f"{elapsed:.0f}")
    print("".join(f"{cell:>12}" for cell in cells))
    if needless or difference != 0 or 0 in kills:
        print(*errors, sep="\n")
        raise SystemExit("Trials are missing, run twice or score differently.")


if __name__ == "__main__":
    main()
