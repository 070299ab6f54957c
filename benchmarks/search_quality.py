"""Best score so far against trials: our tuners, KerasTuner's, and Optuna's samplers.

    python benchmarks/search_quality.py [--problems function digits] [--seeds N]
        [--trials N] [--only NAME ...] [--results FOLDER] [--output FILE.png]

Each way searches each problem of `search_problems` with the same seeds. The settings
with the best score so far are what a user would adopt; the tables show the median over
the seeds of what they are worth, with the quartiles, after so many trainings, and the
milliseconds that a trial takes beside its training, which takes none here. Trainings of
fewer epochs count as their share (`Hyperband`), and what a search trains again to see
the spread counts as well (`CoarseToFine`). The last column tells how many trials of a
hundred diverged.

Searches that were run are kept in the folder of results, and are not run again.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import math
import os
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import matplotlib
import numpy as np
import optuna
import rich.console
import rich.table
import search_problems

from keras_tricks import tuners

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MARKS = (10, 20, 30, 40, 60)


@dataclasses.dataclass
class Log:
    """What one search has tried, in order.

    Attributes:
        problem: One of `search_problems`.
        seed: Of the search.
        tried: For each trial its score, what its settings are worth, and the share of a
            whole training that it took.
    """

    problem: Any
    seed: int
    tried: list[tuple[float, float, float]] = dataclasses.field(default_factory=list)

    def train(self, values: dict[str, Any]) -> float:
        """Returns the score of settings, from the epoch on that they came to before."""
        epochs = values.get("tuner/epochs", self.problem.max_epochs)
        before = values.get("tuner/initial_epoch", 0)
        number = len(self.tried)
        if "tuner/epochs" in values:  # A promoted trial goes on with its own curve.
            own = {k: v for k, v in values.items() if not k.startswith("tuner/")}
            number = zlib.crc32(repr(sorted(own.items())).encode())
        score = self.problem.told(values, self.seed + number, epochs)
        share = (epochs - before) / self.problem.max_epochs
        self.tried.append((score, self.problem.worth(values), share))
        return score

    def worth_after(self, trainings: int) -> list[float]:
        """Returns what the best so far is worth after 1, 2, ... whole trainings."""
        found = []
        spent = best = 0.0
        best, worth = math.inf, math.inf
        waiting = iter(self.tried)
        entry = next(waiting, None)
        for count in range(1, trainings + 1):
            while entry is not None and spent + entry[2] <= count + 1e-9:
                spent += entry[2]
                if entry[0] < best:
                    best, worth = entry[:2]
                entry = next(waiting, None)
            found.append(worth)
        return found


Way = Callable[[Log, int], None]


def of_tuner(tuner_class: type, **arguments: Any) -> Way:
    """Returns a way to search by a tuner that asks the problem instead of Keras."""
    # KerasTuner's own draw setting n from their seed + n, so that searches with
    # neighbouring seeds would share most of their settings.
    spacing = 1000 if tuner_class.__module__.startswith("keras_tuner.") else 1

    class Asking(tuner_class):
        log: Log

        def run_trial(self, trial, *args, **kwargs):
            return self.log.train(trial.hyperparameters.values)

    def search(log: Log, trials: int) -> None:
        given = {"max_trials": trials, **arguments}
        if issubclass(tuner_class, keras_tuner.Hyperband):
            # All brackets together take eight whole trainings at most.
            del given["max_trials"]
            given["max_epochs"] = log.problem.max_epochs
            given["hyperband_iterations"] = trials // 7 + 1
        with tempfile.TemporaryDirectory() as folder:
            tuner = Asking(
                hyperparameters=log.problem.space(),
                seed=spacing * log.seed,
                directory=folder,
                **given,
            )
            tuner.log = log
            tuner.search(verbose=0)

    return search


class Hypermodel(keras_tuner.HyperModel):
    """The problem for a search that makes tuners of its own."""

    def __init__(self, log: Log):
        super().__init__()
        self.log = log

    def build(self, hp):
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return self.log.train(hp.values)


def coarse_to_fine(log: Log, trials: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tuners.CoarseToFine(
            Hypermodel(log),
            rounds=2,
            # Each round ends with three trainings that show the spread.
            trials_per_round=trials // 2 - 3,
            limits=log.problem.limits,
            hyperparameters=log.problem.space(),
            seed=log.seed,
            directory=folder,
        ).search(verbose=0)


def of_optuna(make_sampler: Callable[[int], Any]) -> Way:
    """Returns a way to search by a sampler of Optuna's, without Keras."""

    def search(log: Log, trials: int) -> None:
        def objective(trial):
            score = log.train(log.problem.suggest(trial))
            # It refuses infinity, and fails the trial, as ours are failed.
            return score if math.isfinite(score) else math.nan

        study = optuna.create_study(sampler=make_sampler(log.seed))
        study.optimize(objective, n_trials=trials)

    return search


SAMPLERS = optuna.samplers
WAYS: dict[str, Way] = {
    "RandomSearch": of_tuner(tuners.RandomSearch),
    "QuasiRandomSearch": of_tuner(tuners.QuasiRandomSearch),
    "BayesianOptimization": of_tuner(tuners.BayesianOptimization),
    "BayesianOptimization engine=keras_tuner": of_tuner(
        tuners.BayesianOptimization, engine="keras_tuner"
    ),
    "Hyperband": of_tuner(tuners.Hyperband),
    "CoarseToFine": coarse_to_fine,
    "OptunaSearch tpe": of_tuner(tuners.OptunaSearch, sampler="tpe"),
    "OptunaSearch gp": of_tuner(tuners.OptunaSearch, sampler="gp"),
    "OptunaSearch cmaes": of_tuner(tuners.OptunaSearch, sampler="cmaes"),
    "keras_tuner RandomSearch": of_tuner(keras_tuner.RandomSearch),
    "keras_tuner BayesianOptimization": of_tuner(keras_tuner.BayesianOptimization),
    "keras_tuner Hyperband": of_tuner(keras_tuner.Hyperband),
    "optuna RandomSampler": of_optuna(lambda seed: SAMPLERS.RandomSampler(seed=seed)),
    "optuna QMCSampler": of_optuna(
        lambda seed: SAMPLERS.QMCSampler(seed=seed, scramble=True)
    ),
    "optuna TPESampler": of_optuna(lambda seed: SAMPLERS.TPESampler(seed=seed)),
    "optuna GPSampler": of_optuna(lambda seed: SAMPLERS.GPSampler(seed=seed)),
    "optuna CmaEsSampler": of_optuna(lambda seed: SAMPLERS.CmaEsSampler(seed=seed)),
}
# The panels of the picture. Each shows random search, too.
FAMILIES = {
    "no model": ("RandomSearch", "QuasiRandomSearch", "RandomSampler", "QMCSampler"),
    "Gaussian process": (
        "BayesianOptimization",
        "engine=keras_tuner",
        "gp",
        "GPSampler",
    ),
    "TPE, CMA-ES": ("tpe", "cmaes", "TPESampler", "CmaEsSampler"),
    "rungs, rounds": ("Hyperband", "CoarseToFine"),
}
REFERENCE = "RandomSearch"
# Okabe and Ito's, told apart by the colour-blind.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def searched(name: str, problem: Any, seeds: int, trials: int, folder: Path) -> dict:
    """Returns the curve of each seed, and what the searches took."""
    path = folder / f"{problem.name}, {name}, {seeds} x {trials}.json"
    if not path.exists():
        logs = [Log(problem, seed) for seed in range(seeds)]
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            for log in logs:
                WAYS[name](log, trials)
        seconds = time.perf_counter() - began
        scores = [score for log in logs for score, _, _ in log.tried]
        diverged = sum(not math.isfinite(score) for score in scores)
        content = {
            "curves": [log.worth_after(trials) for log in logs],
            "ms": 1000 * seconds / len(scores),
            "diverged": 100 * diverged / len(scores),
        }
        path.write_text(json.dumps(content))
    return json.loads(path.read_text())


def table(problem: Any, found: dict[str, dict], marks: list[int]) -> rich.table.Table:
    seeds = len(next(iter(found.values()))["curves"])
    title = f"{problem.name}: {problem.label}; median (quartiles) of {seeds} searches"
    result = rich.table.Table(title=title)
    result.add_column("search")
    for mark in marks:
        result.add_column(f"{mark} trainings", justify="right")
    result.add_column("ms a trial", justify="right")
    result.add_column("diverged", justify="right")
    for name, one in found.items():
        cells = []
        for mark in marks:
            at_mark = [curve[mark - 1] for curve in one["curves"]]
            low, middle, high = np.quantile(at_mark, (0.25, 0.5, 0.75))
            cells.append(f"{middle:.4f} ({low:.4f}, {high:.4f})")
        result.add_row(name, *cells, f"{one['ms']:.0f}", f"{one['diverged']:.0f} %")
    return result


def family_of(name: str) -> str:
    return next(f for f, ends in FAMILIES.items() if name.split()[-1] in ends)


def draw(axes: Any, problem: Any, found: dict[str, dict], family: str) -> None:
    names = [name for name in found if family_of(name) == family]
    # Of all ways, so that a colour means the same in each row.
    kinds = list(dict.fromkeys(_kind(n) for n in WAYS if family_of(n) == family))
    if REFERENCE in found and REFERENCE not in names:
        axes.plot(*_median(found[REFERENCE]), color="0.6", lw=3, label=REFERENCE)
    for name in names:
        colour = COLOURS[kinds.index(_kind(name)) % len(COLOURS)]
        style = {"keras_tuner": "--", "optuna": ":"}.get(name.split()[0], "-")
        axes.plot(*_median(found[name]), style, color=colour, lw=2, label=name)
    axes.set_title(f"{problem.name}: {family}")
    axes.grid(alpha=0.3)


def _kind(name: str) -> str:
    """The same algorithm of another library has the same colour."""
    same = {"RandomSampler": "RandomSearch", "QMCSampler": "QuasiRandomSearch"}
    same |= {"TPESampler": "tpe", "CmaEsSampler": "cmaes", "GPSampler": "gp"}
    return same.get(name.split()[-1], name.split()[-1])


def _median(one: dict) -> tuple[range, np.ndarray]:
    curve = np.median(one["curves"], axis=0)
    return range(1, len(curve) + 1), curve


def picture(problems: list[Any], found: dict[str, dict], output: Path) -> None:
    figure, panels = plt.subplots(
        len(problems),
        len(FAMILIES),
        figsize=(4.2 * len(FAMILIES), 4.2 * len(problems)),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for row, problem in zip(panels, problems, strict=True):
        for axes, family in zip(row, FAMILIES, strict=True):
            draw(axes, problem, found[problem.name], family)
        # What random search has after a few trainings is the top.
        top = np.median(found[problem.name][REFERENCE]["curves"], axis=0)[3]
        if hasattr(problem, "best"):
            row[0].set_ylim(0.98 * problem.best, top)
        else:
            row[0].set_yscale("log")
            row[0].set_ylim(top=top)
        row[0].set_ylabel(problem.label)
    for axes in panels[-1]:
        axes.set_xlabel("trainings")
        # Below, where it hides no line; the last problem has every way.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.suptitle("Worth of the best settings so far, median over the seeds")
    figure.savefig(output, dpi=110)
    print(f"Wrote {output}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    problems = ("function", "digits")
    parser.add_argument("--problems", nargs="+", choices=problems, default=problems)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--results", type=Path, default=Path("search_quality"))
    parser.add_argument("--output", type=Path, default=Path("search_quality.png"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    options.results.mkdir(parents=True, exist_ok=True)

    chosen = []
    if "function" in options.problems:
        chosen.append(search_problems.Function())
    if "digits" in options.problems:
        chosen.append(search_problems.Digits(options.results / "digits.npz"))
    marks = [mark for mark in MARKS if mark <= options.trials]
    found: dict[str, dict] = {}
    for problem in chosen:
        found[problem.name] = {}
        for name in options.only:
            if "Hyperband" in name and problem.max_epochs == 1:
                continue
            print(f"{problem.name}: {name}", flush=True)
            found[problem.name][name] = searched(
                name, problem, options.seeds, options.trials, options.results
            )
    for problem in chosen:
        rich.console.Console(width=130).print(
            table(problem, found[problem.name], marks)
        )
        if hasattr(problem, "best"):
            print(f"The best settings of all are worth {problem.best:.4f}.")
    if REFERENCE in options.only:
        picture(chosen, found, options.output)


if __name__ == "__main__":
    main()
