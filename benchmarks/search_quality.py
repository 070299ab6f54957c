"""Best score so far against trials: our tuners, KerasTuner's, and Optuna's samplers.

    python benchmarks/search_quality.py [--problems NAME ...] [--seeds N]
        [--slow-seeds N] [--trials N] [--only NAME ...] [--results FOLDER]
        [--output FILE.png]

Each way searches each problem of `search_problems` with the same seeds. The settings
with the best score so far are what a user would adopt; the tables show the median over
the seeds of what they are worth, with the quartiles, after so many trainings, and the
milliseconds that a trial takes beside its training, which takes none here. Trainings of
fewer epochs count as their share (`Hyperband`), and what a search trains again to see
the spread counts as well (`CoarseToFine`). The last column tells how many trials of a
hundred diverged.

The last tables compare the searches that fix no number of epochs: each one's rank by
its median, the mean over the problems, and its median regret on each problem. Those
that take a second or more for a suggestion have `--slow-seeds` seeds, which the table
says. What needs a package that is not installed is named and left out: `pip install
torch` for Optuna's Gaussian process, `google-vizier[jax]`, `HEBO`.

Searches that were run are kept in the folder of results, and are not run again.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import io
import itertools
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
from scipy.stats import rankdata

from keras_tricks import tuners

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MARKS = (10, 30, 60, 100)


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


def vizier(log: Log, trials: int) -> None:
    """Vizier's default: a Gaussian process with batches by pure exploration."""
    from vizier import algorithms
    from vizier import pyvizier as vz
    from vizier.algorithms.designers import VizierGPUCBPEBandit

    space = log.problem.space().space
    if any(hp.conditions for hp in space):
        raise Unsuited("its Gaussian process knows no conditions")
    problem = vz.ProblemStatement()
    goal = vz.ObjectiveMetricGoal.MINIMIZE
    problem.metric_information.append(vz.MetricInformation("score", goal=goal))
    root = problem.search_space.root
    for hp in space:
        if hasattr(hp, "min_value") and hp.step is None:
            is_log = hp.sampling == "log"
            scale = vz.ScaleType.LOG if is_log else vz.ScaleType.LINEAR
            is_whole = isinstance(hp.default, int)
            add = root.add_int_param if is_whole else root.add_float_param
            add(hp.name, hp.min_value, hp.max_value, scale_type=scale)
        else:
            root.add_categorical_param(hp.name, [repr(v) for v in hp.values])
    designer = VizierGPUCBPEBandit(problem, seed=log.seed)
    texts = {(hp.name, repr(v)): v for hp in space for v in getattr(hp, "values", ())}
    for number in range(trials):
        trial = designer.suggest(1)[0].to_trial(number + 1)
        values = {
            name: texts.get((name, value), value)
            for name, value in trial.parameters.as_dict().items()
        }
        score = log.train(values)
        if math.isfinite(score):
            trial.complete(vz.Measurement({"score": score}))
        else:
            trial.complete(vz.Measurement(), infeasibility_reason="It diverged.")
        done = algorithms.CompletedTrials([trial])
        designer.update(done, algorithms.ActiveTrials())


def hebo(log: Log, trials: int) -> None:
    """HEBO, which is told the worst score for a trial that diverged."""
    import pandas
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO

    space = log.problem.space().space
    if any(hp.conditions for hp in space):
        raise Unsuited("it knows no conditions")
    parts = []
    for hp in space:
        if hasattr(hp, "min_value") and hp.step is None:
            is_whole = isinstance(hp.default, int)
            kind = "int" if is_whole else "num"
            if hp.sampling == "log":
                kind = "pow_int" if is_whole else "pow"
            part = {"type": kind, "lb": hp.min_value, "ub": hp.max_value}
            if "pow" in kind:
                part["base"] = 10
        else:
            part = {"type": "cat", "categories": [repr(v) for v in hp.values]}
        parts.append({"name": hp.name, **part})
    np.random.seed(log.seed)  # HEBO draws from it.
    optimizer = HEBO(DesignSpace().parse(parts), scramble_seed=log.seed)
    texts = {(hp.name, repr(v)): v for hp in space for v in getattr(hp, "values", ())}
    worst = 1.0
    for _ in range(trials):
        asked = optimizer.suggest(1)
        values = {n: texts.get((n, v), v) for n, v in asked.iloc[0].to_dict().items()}
        score = log.train(values)
        worst = max(worst, score) if math.isfinite(score) else worst
        told = score if math.isfinite(score) else worst
        optimizer.observe(pandas.DataFrame(asked), np.array([[told]]))


class Unsuited(Exception):
    """A problem that a way cannot search."""


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
    "vizier": vizier,
    "hebo": hebo,
}
# What is ranked, and drawn: each fixes no number of epochs.
RANKED = (
    "RandomSearch",
    "QuasiRandomSearch",
    "BayesianOptimization",
    "BayesianOptimization engine=keras_tuner",
    "optuna TPESampler",
    "optuna GPSampler",
    "optuna CmaEsSampler",
    "vizier",
    "hebo",
)
# They take a second or more for a suggestion.
SLOW = (
    "BayesianOptimization engine=keras_tuner",
    "keras_tuner BayesianOptimization",
    "optuna GPSampler",
    "OptunaSearch gp",
    "vizier",
    "hebo",
)
NEEDS = {
    "optuna GPSampler": "torch",
    "OptunaSearch gp": "torch",
    "vizier": "vizier",
    "hebo": "hebo",
}
RANK_MARKS = (30, 100)
REFERENCE = "RandomSearch"
# Okabe and Ito's, told apart by the colour-blind.
COLOURS = (
    "0.6",
    "#56B4E9",
    "#0072B2",
    "#CC79A7",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#000000",
    "#F0E442",
)


def searched(name: str, problem: Any, seeds: int, trials: int, folder: Path) -> dict:
    """Returns the curve of each seed, and what the searches took."""
    file = f"{problem.name}, {name}, {seeds} x {trials}.json"
    path = folder / file.replace(":", "")
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
    title = f"{problem.name}: {problem.label}; median (quartiles) of the searches"
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


def rank_tables(
    problems: list[Any], found: dict[str, dict], trials: int
) -> list[rich.table.Table]:
    """Returns the mean ranks, and the regret on each problem."""
    names = [n for n in RANKED if any(n in found[p.name] for p in problems)]
    marks = [mark for mark in RANK_MARKS if mark <= trials]
    regrets = {
        (problem.name, name, mark): float(
            np.median(
                [curve[mark - 1] for curve in found[problem.name][name]["curves"]]
            )
            - getattr(problem, "best", 0.0)
        )
        for problem in problems
        for name in names
        if name in found[problem.name]
        for mark in marks
    }
    ranks: dict[tuple[str, int], list[float]] = {}
    for problem, mark in itertools.product(problems, marks):
        there = [name for name in names if name in found[problem.name]]
        of_all = rankdata([regrets[problem.name, name, mark] for name in there])
        for name, rank in zip(there, of_all, strict=True):
            ranks.setdefault((name, mark), []).append(float(rank))
    mean = rich.table.Table(title=f"Mean rank of {len(names)} over the problems")
    mean.add_column("search")
    for mark in marks:
        mean.add_column(f"{mark} trainings", justify="right")
        mean.add_column("worse than random", justify="right")
    mean.add_column("seeds", justify="right")
    mean.add_column("problems", justify="right")
    for name in names:
        there = [p.name for p in problems if name in found[p.name]]
        cells = []
        for mark in marks:
            cells.append(f"{np.mean(ranks[name, mark]):.2f}")
            lost = sum(
                regrets[p, name, mark] > regrets[p, REFERENCE, mark] for p in there
            )
            cells.append(str(lost))
        seeds = sorted({len(found[p][name]["curves"]) for p in there})
        cells += ["-".join(map(str, seeds)), str(len(there))]
        mean.add_row(name, *cells)
    result = [mean]
    for mark in marks:
        each = rich.table.Table(title=f"Median regret after {mark} trainings")
        each.add_column("problem")
        for name in names:
            each.add_column(name, justify="right")
        for problem in problems:
            each.add_row(
                problem.name,
                *(
                    f"{regrets[problem.name, name, mark]:.4f}"
                    if name in found[problem.name]
                    else "-"
                    for name in names
                ),
            )
        result.append(each)
    return result


def picture(problems: list[Any], found: dict[str, dict], output: Path) -> None:
    """Draws the median regret on each problem, a panel each."""
    columns = min(4, len(problems))
    rows = -(-len(problems) // columns)
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(4 * columns, 3.3 * rows + 0.8),
        squeeze=False,
        layout="constrained",
    )
    for axes in panels.flat[len(problems) :]:
        axes.set_axis_off()
    for axes, problem in zip(panels.flat, problems, strict=False):
        top = 0.0
        for name, colour in zip(RANKED, COLOURS, strict=True):
            if name not in found[problem.name]:
                continue
            curves = np.array(found[problem.name][name]["curves"])
            curve = np.median(curves, axis=0) - getattr(problem, "best", 0.0)
            curve = np.maximum(curve, 1e-5)
            top = max(top, curve[min(3, len(curve) - 1)])
            axes.plot(range(1, len(curve) + 1), curve, color=colour, lw=2, label=name)
        axes.set_yscale("log")
        # The first few trainings say nothing.
        axes.set_ylim(top=top)
        axes.set_title(problem.name)
        axes.grid(alpha=0.3)
    for axes in panels[-1]:
        axes.set_xlabel("trainings")
    for row in panels:
        row[0].set_ylabel("regret")
    known = dict(zip(*panels.flat[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=4)
    figure.suptitle("Regret of the best settings so far, median over the seeds")
    figure.savefig(output, dpi=100)
    print(f"Wrote {output}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = search_problems.PROBLEMS
    parser.add_argument("--problems", nargs="+", choices=every, default=list(every))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--slow-seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(RANKED))
    parser.add_argument("--results", type=Path, default=Path("search_quality"))
    parser.add_argument("--output", type=Path, default=Path("search_quality.png"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    options.results.mkdir(parents=True, exist_ok=True)

    missing = {
        name: package
        for name, package in NEEDS.items()
        if importlib.util.find_spec(package) is None
    }
    for name in options.only:
        if name in missing:
            print(f"{name}: left out, {missing[name]} is not installed")
    chosen = [every[name](options.results) for name in options.problems]
    marks = [mark for mark in MARKS if mark <= options.trials]
    found: dict[str, dict] = {}
    for problem in chosen:
        found[problem.name] = {}
        for name in options.only:
            if name in missing or ("Hyperband" in name and problem.max_epochs == 1):
                continue
            print(f"{problem.name}: {name}", flush=True)
            seeds = options.slow_seeds if name in SLOW else options.seeds
            try:
                found[problem.name][name] = searched(
                    name, problem, seeds, options.trials, options.results
                )
            except Unsuited as error:
                print(f"{problem.name}: {name} left out, {error}")
    console = rich.console.Console(width=170)
    for problem in chosen:
        console.print(table(problem, found[problem.name], marks))
        if hasattr(problem, "best"):
            print(f"The best settings of all are worth {problem.best:.4f}.")
    if REFERENCE in options.only:
        for each in rank_tables(chosen, found, options.trials):
            console.print(each)
        picture(chosen, found, options.output)


if __name__ == "__main__":
    main()
