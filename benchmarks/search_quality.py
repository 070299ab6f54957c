"""Best score so far against trials: our tuners, KerasTuner's, and Optuna's samplers.

    python benchmarks/search_quality.py [--seeds N] [--trials N] [--only NAME ...]
                                        [--output FILE.png]

The function stands for the validation loss of a network: it is least at a rate near
3e-3 that depends on the width, has one hyperparameter that does nothing, and diverges
(is infinite) where the rate is too high, in a fifth of the space. Its least value is
0. Each way searches it with the same seeds; the table shows the median over the seeds
of the best score after some trials, with the quartiles, and the seconds a trial.
"""

import argparse
import contextlib
import io
import math
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import matplotlib
import numpy as np
import optuna
import rich.console
import rich.table

from keras_tricks import tuners

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RATE, WIDTH, DROPOUT, IDLE = (1e-5, 1.0), (16, 512), (0.0, 0.7), (0.0, 1.0)
MARKS = (10, 20, 30)


def loss(rate: float, width: int, dropout: float) -> float:
    """Returns the score; infinite where training would diverge."""
    if rate > 0.1:
        return math.inf
    best = -2.5 - 0.3 * math.log2(width / 128) / 2
    valley = 0.3 * (math.log10(rate) - best) ** 2
    return valley + 0.02 * math.log2(width / 256) ** 2 + (dropout - 0.3) ** 2


class Function(keras_tuner.HyperModel):
    """The function as a hypermodel, whose trials take no time."""

    def build(self, hp):
        hp.Float("rate", *RATE, sampling="log")
        hp.Int("width", *WIDTH, step=2, sampling="log")
        hp.Float("dropout", *DROPOUT)
        hp.Float("idle", *IDLE)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return loss(hp.get("rate"), hp.get("width"), hp.get("dropout"))


def searched(tuner_class, **arguments):
    """Returns a function from (seed, trials) to the scores of a tuner."""

    def scores(seed: int, trials: int) -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            tuner = tuner_class(
                Function(), max_trials=trials, seed=seed, directory=folder, **arguments
            )
            # KerasTuner's own import tensorboard for every trial.
            tuner._configure_tensorboard_dir = lambda *args: None
            tuner.search(verbose=0)
            found = tuner.oracle.trials
            return [_score(found[name].score) for name in sorted(found, key=int)]

    return scores


def of_optuna(make_sampler):
    """Returns the same for a sampler of Optuna's, without Keras."""

    def scores(seed: int, trials: int) -> list[float]:
        def objective(trial):
            value = loss(
                trial.suggest_float("rate", *RATE, log=True),
                2 ** trial.suggest_int("log2_width", 4, 9),
                trial.suggest_float("dropout", *DROPOUT),
            )
            trial.suggest_float("idle", *IDLE)
            return value if math.isfinite(value) else None

        study = optuna.create_study(sampler=make_sampler(seed))
        study.optimize(objective, n_trials=trials, catch=(TypeError,))
        return [_score(trial.value) for trial in study.trials]

    return scores


def _score(value: float | None) -> float:
    return math.inf if value is None or not math.isfinite(value) else value


WAYS = {
    "RandomSearch": searched(tuners.RandomSearch),
    "QuasiRandomSearch": searched(tuners.QuasiRandomSearch),
    "BayesianOptimization": searched(tuners.BayesianOptimization),
    "OptunaSearch, tpe": searched(tuners.OptunaSearch, sampler="tpe"),
    "keras_tuner.RandomSearch": searched(keras_tuner.RandomSearch),
    "keras_tuner.BayesianOptimization": searched(keras_tuner.BayesianOptimization),
    "optuna TPESampler": of_optuna(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "optuna RandomSampler": of_optuna(
        lambda seed: optuna.samplers.RandomSampler(seed=seed)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--output", type=Path, default=Path("search_quality.png"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")

    marks = [mark for mark in MARKS if mark <= options.trials]
    table = rich.table.Table(
        title=f"Best score so far, {options.seeds} seeds: median (quartiles)"
    )
    table.add_column("search")
    for mark in marks:
        table.add_column(f"{mark} trials", justify="right")
    table.add_column("ms a trial", justify="right")
    _, axes = plt.subplots(figsize=(9, 6))
    for name in options.only:
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            scores = [WAYS[name](s, options.trials) for s in range(options.seeds)]
        seconds = time.perf_counter() - began
        # A search that has exhausted its ideas stays where it is.
        rows = [s + [math.inf] * (options.trials - len(s)) for s in scores]
        best = np.minimum.accumulate(np.array(rows), axis=1)
        cells = []
        for mark in marks:
            low, middle, high = np.quantile(best[:, mark - 1], (0.25, 0.5, 0.75))
            cells.append(f"{middle:.4f} ({low:.4f}, {high:.4f})")
        each = 1000 * seconds / (options.seeds * options.trials)
        table.add_row(name, *cells, f"{each:.0f}")
        medians = [statistics.median(column) for column in best.T]
        style = "-" if "." not in name and not name.startswith("optuna") else "--"
        axes.plot(range(1, options.trials + 1), medians, style, label=name)
    rich.console.Console(width=110).print(table)
    axes.set_yscale("log")
    axes.set_xlabel("trials")
    axes.set_ylabel("best score so far, median over seeds")
    axes.set_title(
        f"A function that diverges in a fifth of its space, {options.seeds} seeds"
    )
    axes.legend()
    axes.grid(alpha=0.3)
    plt.savefig(options.output, dpi=120, bbox_inches="tight")
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
