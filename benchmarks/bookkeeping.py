"""What a search costs beside its training, at 100, 1,000 and 10,000 finished trials.

    python benchmarks/bookkeeping.py [--counts N ...] [--stock-count N]

The trials train nothing: their `fit` returns a number. The first table has the median
time from one trial's `fit` to the next one's, over the last hundred trials before each
count, in this package and in KerasTuner. The second has the seconds of what comes once:
constructing the tuner anew on the folder, the first trial after that, and
`leaderboard()`.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import keras_tuner
import rich.console
import rich.table

from keras_tricks import tuners

TUNERS = {
    "RandomSearch": tuners.RandomSearch,
    "QuasiRandomSearch": tuners.QuasiRandomSearch,
    "KerasTuner's RandomSearch": keras_tuner.RandomSearch,
}
STOCK = "KerasTuner's RandomSearch"


class Untrained(keras_tuner.HyperModel):
    """Eight hyperparameters, an empty model, and the times at which trials ran."""

    def __init__(self):
        super().__init__()
        self.times = []

    def build(self, hp):
        for number in range(6):
            hp.Float(f"x{number}", 0.0, 1.0)
        hp.Choice("optimizer", ["sgd", "adam"])
        hp.Int("units", 1, 1000)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        self.times.append(time.perf_counter())
        return hp.get("x0")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--stock-count", type=int, default=1000)
    arguments = parser.parse_args()
    counts = sorted(arguments.counts)

    each = rich.table.Table("ms a trial at", *(f"{count:,}" for count in counts))
    once = rich.table.Table(
        "seconds at", *(f"{count:,}" for count in counts), title="Once"
    )
    for name in TUNERS:
        most = arguments.stock_count if name == STOCK else counts[-1]
        found = [shown(name, count) for count in counts if count <= most]
        row = [f"{1000 * one['trial']:.1f}" for one in found]
        each.add_row(name, *row, *["-"] * (len(counts) - len(row)))
        for what in ("constructing", "first trial", "leaderboard"):
            row = [f"{one[what]:.2f}" for one in found if what in one]
            if row:
                row += ["-"] * (len(counts) - len(row))
                once.add_row(f"{name}: {what}", *row)
    console = rich.console.Console()
    console.print(each)
    console.print(once)


def shown(name, count):
    """Measures and prints: a run takes minutes, and may be cut short."""
    found = measured(name, count)
    print(name, count, {what: round(s, 4) for what, s in found.items()}, flush=True)
    return found


def measured(name, count):
    """Returns seconds: of one trial at the end, and of what follows the search."""
    with tempfile.TemporaryDirectory() as folder:
        hypermodel = Untrained()

        def tuner(max_trials):
            made = TUNERS[name](
                hypermodel,
                keras_tuner.Objective("score", "min"),
                max_trials=max_trials,
                seed=0,
                directory=folder,
                project_name="bookkeeping",
            )
            if name == STOCK:
                # It imports tensorboard for every trial, which TensorFlow lacks.
                made._configure_tensorboard_dir = lambda *args: None
            return made

        tuner(count).search(verbose=0)
        last = hypermodel.times[-min(count, 100) :]
        found = {
            "trial": statistics.median(
                after - before for before, after in itertools.pairwise(last)
            )
        }
        begun = time.perf_counter()
        again = tuner(count + 1)
        found["constructing"] = time.perf_counter() - begun
        begun = time.perf_counter()
        again.search(verbose=0)
        found["first trial"] = hypermodel.times[-1] - begun
        if name != STOCK:
            begun = time.perf_counter()
            assert len(again.leaderboard()) == count + 1
            found["leaderboard"] = time.perf_counter() - begun
        return found


if __name__ == "__main__":
    main()
