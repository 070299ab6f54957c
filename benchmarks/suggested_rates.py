"""Whose suggested learning rate trains best: range tests of ours and those in use.

    python benchmarks/suggested_rates.py [--epochs N] [--seeds N] [--problems NAME ...]

Five small problems on data that come with scikit-learn. Each way to find a rate is
given the model and the data once for each seed; the rate that it suggests then trains
the model for N epochs at a constant rate. "Loss" is the best validation loss, divided
by the best that any rate of a grid of half decades reaches, the mean over seeds: 1 is
as good as the grid. "None" is how often no rate was suggested, "steps" are updates that
finding it took, "seconds" all of it, with the start of `fit`. The ways:

- `learning_rate_range_test`, "exponential", of one seed and of three, and "decades";
- keras-lr-finder's way: from 1e-4 to 1 over what `fit` logs after each batch, which is
  the mean of the epoch so far; the steepest fall of a moving difference over 20 steps;
- Lightning's rule: 100 steps from 1e-8 to 1, exponential averages, the steepest fall;
- fastai's rule ("valley"): 100 steps from 1e-7 to 10, exponential averages, two thirds
  down the longest valley;
- one `fit` of three epochs for each decade from 1e-5 to 1, and the lowest loss.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import numpy as np
import rich.console
import rich.table
from sklearn import datasets

from keras_tricks.probes import learning_rate_range_test
from keras_tricks.training import train

BATCH_SIZE = 32
GRID = [10.0 ** (power / 2) for power in range(-10, 2)]


# The problems: data and a function from a rate to a compiled model.


def digits():
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def split(x, y):
    order = np.random.default_rng(0).permutation(len(x))
    training, validation = np.split(order, [int(0.75 * len(x))])
    return (x[training], y[training]), (x[validation], y[validation])


def digits_mlp():
    def build(rate):
        return compiled(
            [keras.Input((64,)), dense(64, "relu"), dense(10, "softmax")],
            keras.optimizers.Adam(rate),
            "sparse_categorical_crossentropy",
        )

    return split(*digits()), build


def digits_cnn():
    def build(rate):
        layers = [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            dense(10, "softmax"),
        ]
        optimizer = keras.optimizers.SGD(rate, 0.9)
        return compiled(layers, optimizer, "sparse_categorical_crossentropy")

    x, y = digits()
    return split(x.reshape(-1, 8, 8, 1), y), build


def digits_lstm():
    def build(rate):
        layers = [keras.Input((8, 8)), keras.layers.LSTM(32), dense(10, "softmax")]
        optimizer = keras.optimizers.RMSprop(rate)
        return compiled(layers, optimizer, "sparse_categorical_crossentropy")

    x, y = digits()
    return split(x.reshape(-1, 8, 8), y), build


def digits_autoencoder():
    def build(rate):
        layers = [keras.Input((64,)), dense(32, "relu"), dense(64, "sigmoid")]
        return compiled(layers, keras.optimizers.Adam(rate), "mse")

    x, _ = digits()
    return split(x, x), build


def diabetes():
    def build(rate):
        layers = [keras.Input((10,)), dense(32, "relu"), dense(1)]
        return compiled(layers, keras.optimizers.SGD(rate, 0.9), "mse")

    x, y = datasets.load_diabetes(return_X_y=True)
    x, y = (x / x.std(axis=0)), (y - y.mean()) / y.std()
    return split(x.astype("float32"), y[:, None].astype("float32")), build


def dense(units, activation=None):
    return keras.layers.Dense(units, activation=activation)


def compiled(layers, optimizer, loss):
    model = keras.Sequential(layers)
    model.compile(optimizer, loss)
    return model


PROBLEMS = {
    "digits, MLP, Adam": digits_mlp,
    "digits, CNN, momentum": digits_cnn,
    "digits, LSTM, RMSprop": digits_lstm,
    "digits, autoencoder, Adam": digits_autoencoder,
    "diabetes, MLP, momentum": diabetes,
}


# The ways: each returns a rate, or None, and how many updates it took.


def ours(build, x, y, seed, **arguments):
    seeds = arguments.pop("seeds", [seed])
    found = learning_rate_range_test(
        lambda: build(1e-3), x, y, seeds=seeds, batch_size=BATCH_SIZE, **arguments
    )
    return found.suggestion, sum(len(run.rates) for run in found.runs)


def by_range_test(build, x, y, seed):
    return ours(build, x, y, seed)


def by_three_range_tests(build, x, y, seed):
    return ours(build, x, y, seed, seeds=[3 * seed, 3 * seed + 1, 3 * seed + 2])


def by_decades(build, x, y, seed):
    rate, _ = ours(build, x, y, seed, mode="decades")
    return rate, 100 * 9


class Ramp(keras.callbacks.Callback):
    """Raises the rate after each batch, as the callbacks in use do."""

    def __init__(self, start, end, steps, stops):
        super().__init__()
        self.factor = (end / start) ** (1 / (steps - 1))
        self.rate, self.steps, self.stops = start, steps, stops
        self.rates, self.means, self.losses = [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.rate

    def on_train_batch_end(self, batch, logs=None):
        mean = float(logs["loss"])
        # What `fit` logs is the mean of the epoch so far.
        before = self.means[-1] * batch if batch else 0.0
        self.rates.append(self.rate)
        self.means.append(mean)
        self.losses.append(mean * (batch + 1) - before)
        self.rate *= self.factor
        if len(self.rates) >= self.steps or self.stops(self):
            self.model.stop_training = True


def ramp(build, x, y, seed, start, end, stops, steps=100):
    keras.utils.set_random_seed(seed)
    model = build(start)
    callback = Ramp(start, end, steps, stops)
    epochs = -(-steps // -(-len(x) // BATCH_SIZE))
    model.fit(
        x, y, batch_size=BATCH_SIZE, epochs=epochs, verbose=0, callbacks=[callback]
    )
    return callback


def averages(losses, beta=0.98):
    smooth, mean = [], 0.0
    for step, loss in enumerate(losses, start=1):
        mean = beta * mean + (1 - beta) * loss
        smooth.append(mean / (1 - beta**step))
    return np.array(smooth)


def above_four_times_the_best(run):
    smooth = averages(run.losses)
    return len(smooth) > 1 and not smooth[-1] <= 4 * smooth.min()


def by_keras_lr_finder(build, x, y, seed):
    def stops(run):
        mean = run.means[-1]
        return len(run.means) > 5 and not mean <= 4 * min(run.means)

    run = ramp(build, x, y, seed, 1e-4, 1.0, stops)
    window, means = 20, np.array(run.means)
    falls = np.zeros(len(means))
    falls[window:] = (means[window:] - means[:-window]) / window
    kept = slice(10, len(means) - 5)
    if not len(means[kept]):
        return None, len(means)
    return run.rates[kept][int(np.nanargmin(falls[kept]))], len(means)


def by_lightning(build, x, y, seed):
    run = ramp(build, x, y, seed, 1e-8, 1.0, above_four_times_the_best)
    losses, rates = averages(run.losses)[10:-1], run.rates[10:-1]
    is_finite = np.isfinite(losses)
    if is_finite.sum() < 2:
        return None, len(run.rates)
    steepest = int(np.gradient(losses[is_finite]).argmin())
    return np.array(rates)[is_finite][steepest], len(run.rates)


def by_fastai(build, x, y, seed):
    run = ramp(build, x, y, seed, 1e-7, 10.0, above_four_times_the_best)
    losses, rates = averages(run.losses)[10:-5], run.rates[10:-5]
    losses = losses[np.isfinite(losses)]
    if not len(losses):
        return None, len(run.rates)
    lengths, start, end = [1] * len(losses), 0, 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
            if lengths[end] < lengths[i]:
                end = i
                start = end - lengths[end]
    third = (end - start) / 3
    return rates[start + int(third) + int(third / 2)], len(run.rates)


def by_one_fit_per_rate(build, x, y, seed):
    ends, steps = {}, 0
    for power in range(-5, 1):
        keras.utils.set_random_seed(seed)
        history = build(10.0**power).fit(
            x, y, batch_size=BATCH_SIZE, epochs=3, verbose=0
        )
        ends[10.0**power] = history.history["loss"][-1]
        steps += 3 * -(-len(x) // BATCH_SIZE)
    return min(ends, key=lambda rate: np.nan_to_num(ends[rate], nan=np.inf)), steps


WAYS = {
    "range test": by_range_test,
    "range test, 3 seeds": by_three_range_tests,
    "decades": by_decades,
    "keras-lr-finder's way": by_keras_lr_finder,
    "Lightning's rule": by_lightning,
    "fastai's rule": by_fastai,
    "one fit per decade": by_one_fit_per_rate,
}


def best_losses(rates, build, training, validation, options):
    """Returns the best validation loss of each rate, the mean over seeds."""
    settings = [rate for rate in rates for _ in range(options.seeds)]
    seeds = [100 + seed for _ in rates for seed in range(options.seeds)]
    trained = train(
        settings,
        build,
        *training,
        validation_data=validation,
        epochs=options.epochs,
        batch_size=BATCH_SIZE,
        seeds=seeds,
    )
    losses = [np.nanmin([*each.curves["val_loss"], np.inf]) for each in trained]
    return np.reshape(losses, (len(rates), options.seeds)).mean(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS)
    options = parser.parse_args()

    console = rich.console.Console()
    of_way = {way: [] for way in WAYS}
    for name in options.problems or PROBLEMS:
        (training, validation), build = PROBLEMS[name]()
        found = {}
        for way, find in WAYS.items():
            for seed in range(options.seeds):
                started = time.perf_counter()
                rate, steps = find(build, *training, seed)
                seconds = time.perf_counter() - started
                found[way, seed] = rate, steps, seconds
        rates = sorted({rate for rate, _, _ in found.values() if rate is not None})
        losses = best_losses([*GRID, *rates], build, training, validation, options)
        of_rate = dict(zip([*GRID, *rates], losses, strict=True))
        best_rate = min(GRID, key=of_rate.__getitem__)
        table = rich.table.Table(
            title=f"{name}: best of the grid {of_rate[best_rate]:.4g} at "
            f"{best_rate:.2g}"
        )
        for column in ("way", "rates", "loss", "none", "steps", "seconds"):
            table.add_column(column, justify="left" if column == "way" else "right")
        for way in WAYS:
            rows = [found[way, seed] for seed in range(options.seeds)]
            ratios = [
                of_rate[rate] / of_rate[best_rate]
                for rate, _, _ in rows
                if rate is not None
            ]
            steps, seconds = (statistics.mean(row[i] for row in rows) for i in (1, 2))
            of_way[way].append((ratios, steps, seconds))
            shown = [row[0] for row in rows if row[0] is not None]
            table.add_row(
                way,
                f"{min(shown):.1e} - {max(shown):.1e}" if shown else "none",
                f"{statistics.mean(ratios):.2f}" if ratios else "",
                f"{len(rows) - len(ratios)}",
                f"{steps:.0f}",
                f"{seconds:.1f}",
            )
        console.print(table)

    table = rich.table.Table(title="All problems")
    columns = ("way", "median loss", "worst loss", "none", "steps", "seconds")
    for column in columns:
        table.add_column(column, justify="left" if column == "way" else "right")
    for way, found in of_way.items():
        means = [statistics.mean(ratios) for ratios, _, _ in found if ratios]
        table.add_row(
            way,
            f"{statistics.median(means):.2f}",
            f"{max(means):.2f}",
            f"{sum(options.seeds - len(ratios) for ratios, _, _ in found)}",
            f"{statistics.mean(steps for _, steps, _ in found):.0f}",
            f"{statistics.mean(seconds for _, _, seconds in found):.1f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
