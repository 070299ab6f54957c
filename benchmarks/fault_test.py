"""A search whose processes are killed ends as one that nobody touched.

Four workers run 40 trials. Every few seconds a random worker is killed, and the
searching process once, which is then started again until the search is done. Printed:
kills, trials, trials that were run again after they had finished, and the largest
difference of a score from a search in one process.

    python benchmarks/fault_test.py [--trials 40] [--workers 4] [--seconds 8]
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.tuners import fault_search  # noqa: E402 (needs the line above)
from tests.tuners import toys  # noqa: E402


def children_of(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def finished_rates(folder):
    """Returns the learning rates, which tell trials apart, of those on disk."""
    tuner = fault_search.tuner_in(folder, 1)
    return {
        f"{trial.hyperparameters['rate']:.17g}"
        for trial in tuner.oracle.trials.values()
        if trial.status == "COMPLETED"
    }


def begun(log):
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[1] for line in lines if line.startswith("begin")]


def killed_search(folder, trials, workers, seconds):
    """Runs the search until it ends; returns kills and trials run needlessly."""
    generator = random.Random(0)
    log = folder / "fits.log"
    kills, needless, parent_is_due = 0, 0, True
    while True:
        done, before = finished_rates(folder), len(begun(log))
        arguments = folder, workers, trials
        search = subprocess.Popen(
            [sys.executable, fault_search.__file__, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        while search.poll() is None:
            time.sleep(generator.uniform(0.5, 1.5) * seconds)
            children = children_of(search.pid)
            if parent_is_due and len(begun(log)) > trials // 2:
                search.send_signal(signal.SIGKILL)
                search.wait()
                kills, parent_is_due = kills + 1, False
            elif children:
                os.kill(generator.choice(children), signal.SIGKILL)
                kills += 1
        needless += sum(rate in done for rate in begun(log)[before:])
        if search.returncode == 0:
            return kills, needless


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0, help="between kills")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name in ("serial", "killed"):
            (folder / name).mkdir()
        serial = fault_search.tuner_in(folder / "serial", options.trials)
        serial.search(**toys.toy_data(), verbose=0)
        started = time.monotonic()
        kills, needless = killed_search(
            folder / "killed", options.trials, options.workers, options.seconds
        )
        elapsed = time.monotonic() - started
        killed = fault_search.tuner_in(folder / "killed", options.trials)
        tables = [
            tuner.leaderboard().set_index("trial_id").sort_index()
            for tuner in (serial, killed)
        ]
        difference = (tables[0]["val_loss"] - tables[1]["val_loss"]).abs().max()
        print(f"{'trials':>8}{'kills':>8}{'run twice':>12}{'difference':>12}{'s':>8}")
        print(
            f"{len(tables[1]):8}{kills:8}{needless:12}{difference:12.3g}{elapsed:8.0f}"
        )
        failed = (tables[1]["status"] != "COMPLETED").sum()
        if failed or needless or difference or len(tables[1]) != options.trials:
            raise SystemExit(f"{failed} trials failed, or the searches differ")


if __name__ == "__main__":
    main()
