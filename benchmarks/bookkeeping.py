"""What a search costs beside its training, at 100, 1,000 and 10,000 finished trials.

    python benchmarks/bookkeeping.py [--counts N ...] [--stock-count N]
        [--only NAME ...]

The trials train nothing: their `fit` returns a number. The first table has the mean
time from one trial's `fit` to the next one's, over the last hundred trials before each
count, of this package's tuners and of KerasTuner's. The second has the seconds of what
comes once: constructing the tuner anew on the folder, the first trial after that, and
`leaderboard()`.

Bookkeeping, and no model: `BayesianOptimization` takes random points in place of those
of the Gaussian process (its densities stay), and `OptunaSearch` draws from the sequence
`"qmc"`. The rows of `"tpe"`, and of KerasTuner's Bayesian search, have their models'
time in them. `"tpe"` ends at 1,000 trials, and KerasTuner, most of whose time is the
garbage collection before each model, at `--stock-count`.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import keras_tuner
import numpy as np
import optuna
import rich.console
import rich.table

from keras_tricks import tuners
from keras_tricks.tuners.oracles import bayesian

STOCK = "KerasTuner's "
TPE = "OptunaSearch tpe"
TUNERS = {
    "RandomSearch": tuners.RandomSearch,
    STOCK + "RandomSearch": keras_tuner.RandomSearch,
    "QuasiRandomSearch": tuners.QuasiRandomSearch,
    "GridSearch": tuners.GridSearch,
    STOCK + "GridSearch": keras_tuner.GridSearch,
    "Hyperband": tuners.Hyperband,
    STOCK + "Hyperband": keras_tuner.Hyperband,
    "BayesianOptimization": tuners.BayesianOptimization,
    STOCK + "BayesianOptimization": keras_tuner.BayesianOptimization,
    "OptunaSearch qmc": tuners.OptunaSearch,
    TPE: tuners.OptunaSearch,
}
# Trials of one iteration of Hyperband's brackets.
MAX_EPOCHS, IN_ONE = 9, 22


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
        return hp.get("x0") + hp.get("units")


class NoModel:
    """Takes the place of the Gaussian process: random points."""

    def __init__(self, cube, *rest):
        pass

    def log_feasible(self, rows):
        return np.zeros(len(rows))

    @staticmethod
    def suggestions(surrogate, cube, tried, generator):
        while True:
            row = generator.random((1, cube.dimensions))
            yield cube.decoded(cube.snapped(row)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--stock-count", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=TUNERS, default=list(TUNERS))
    arguments = parser.parse_args()
    counts = sorted(arguments.counts)
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    each = rich.table.Table("ms a trial at", *(f"{count:,}" for count in counts))
    once = rich.table.Table(
        "seconds at", *(f"{count:,}" for count in counts), title="Once"
    )
    for name in arguments.only:
        most = {TPE: 1000}.get(name, counts[-1])
        if name.startswith(STOCK):
            most = arguments.stock_count
        found = [shown(name, count) for count in counts if count <= most]
        row = [f"{1000 * one['trial']:.1f}" for one in found]
        each.add_row(name, *row, *["-"] * (len(counts) - len(row)))
        for what in ("constructing", "first trial", "leaderboard"):
            row = [f"{one[what]:.2f}" for one in found if what in one]
            if row:
                row += ["-"] * (len(counts) - len(row))
                once.add_row(f"{name}: {what}", *row)
    console = rich.console.Console(width=100)
    console.print(each)
    console.print(once)


def shown(name, count):
    """Measures and prints: a run takes minutes, and may be cut short."""
    with (
        mock.patch.multiple(
            bayesian.expected_improvement,
            Surrogate=NoModel,
            suggestions=NoModel.suggestions,
            fitted_parameters=lambda *arguments: np.zeros(0),
        ),
        tempfile.TemporaryDirectory() as folder,
    ):
        found = measured(name, count, folder)
    print(name, count, {what: round(s, 4) for what, s in found.items()}, flush=True)
    return found


def made(name, hypermodel, folder, count):
    """Returns a tuner of so many trials; Hyperband's are whole iterations."""
    arguments = {
        "objective": keras_tuner.Objective("score", "min"),
        "seed": 0,
        "directory": folder,
        "project_name": "bookkeeping",
    }
    if "Hyperband" in name:
        arguments["max_epochs"] = MAX_EPOCHS
        arguments["hyperband_iterations"] = -(-count // IN_ONE)
    else:
        arguments["max_trials"] = count
    if "Optuna" in name:
        arguments["sampler"] = name.split()[-1]
    tuner = TUNERS[name](hypermodel, **arguments)
    # A promoted trial would load weights, of which there are none.
    tuner._load_weights_of = lambda *args: None
    if name.startswith(STOCK):
        # It imports tensorboard for every trial, which TensorFlow lacks.
        tuner._configure_tensorboard_dir = lambda *args: None
        tuner._build_hypermodel = hypermodel.build
    return tuner


def measured(name, count, folder):
    """Returns seconds: of one trial at the end, and of what follows the search."""
    hypermodel = Untrained()
    made(name, hypermodel, folder, count).search(verbose=0)
    before = len(hypermodel.times)
    last = hypermodel.times[-min(count, 100) :]
    found = {
        "trial": statistics.mean(
            after - before for before, after in itertools.pairwise(last)
        )
    }
    begun = time.perf_counter()
    # Iterations of Hyperband may have fewer trials than is counted on.
    more = 2 * IN_ONE if "Hyperband" in name else 1
    again = made(name, hypermodel, folder, before + more)
    found["constructing"] = time.perf_counter() - begun
    begun = time.perf_counter()
    again.search(verbose=0)
    if len(hypermodel.times) > before:  # KerasTuner's Hyperband does not go on.
        found["first trial"] = hypermodel.times[before] - begun
    if not name.startswith(STOCK):
        begun = time.perf_counter()
        assert len(again.leaderboard()) > before
        found["leaderboard"] = time.perf_counter() - begun
    return found


if __name__ == "__main__":
    main()
