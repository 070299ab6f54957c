"""Trials per minute: KerasTuner's random search, shared programs, and packs of trials.

    python benchmarks/packed_trials.py [--rows NAME ...] [--trials N] [--stock-trials N]
                                       [--pack K] [--jit-compile] [--profile]
                                       [--sizes K ...] [--output FILE.png]

Each row is a search that three tuners run in turn, with the same number of trials, the
same epochs and the same data:

stock   `keras_tuner.RandomSearch`
reuse   `keras_tricks.tuners.RandomSearch`: one program for each structure
packed  the same with `packed_trials=K`: K trials in a step
auto    the same with `packed_trials="auto"`: the faster of the two, measured
fit     the same with `reuse_programs=False`, if `--ways` names it: trained by `fit`

The last four have the same trials. Kendall's tau tells how far their scores rank them
alike: of `packed` and `reuse` against the first of `fit` and `reuse` that has run.

All that a search does counts: building, tracing, training, files. `--profile` shows
what it goes into. The rows that begin with "own" are plain hypermodels, as anybody
writes them, whose every trial is built. With `--sizes` the first row is searched in
packs of each size instead, and trials per minute are drawn against it. The texts are
made up, as many and as long as TREC's questions.
"""

import argparse
import contextlib
import gc
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import numpy as np
import rich.console
import rich.table
import scipy.stats
import search_profile
import sklearn.datasets
import tensorflow as tf

from keras_tricks import hypermodels
from keras_tricks import tuners

VOCABULARY, LENGTH, NUM_TEXTS, NUM_VALIDATION = 9_000, 20, 5_452, 500


def digits(shape):
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x / 16).astype("float32")[order].reshape(-1, *shape)
    y = y.astype("int32")[order]
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def texts():
    """Returns questions in which some words speak for one of six classes."""
    generator = np.random.default_rng(0)
    number = NUM_TEXTS + NUM_VALIDATION
    y = generator.integers(0, 6, number).astype("int32")
    # Few words are frequent, as in a language.
    x = (generator.pareto(1.0, (number, LENGTH)) * 30).astype("int32") % VOCABULARY
    telling = generator.random((number, LENGTH)) < 0.15
    x = np.where(telling, 100 + 6 * (x % 50) + y[:, None], x)
    lengths = generator.integers(4, LENGTH + 1, number)
    x = np.where(np.arange(LENGTH) < lengths[:, None], np.maximum(x, 1), 0)
    x = x.astype("int32")
    return (x[:NUM_TEXTS], y[:NUM_TEXTS]), (x[NUM_TEXTS:], y[NUM_TEXTS:])


def fixed(**values):
    space = keras_tuner.HyperParameters()
    for name, value in values.items():
        if isinstance(value, list):
            space.Choice(name, value)
        else:
            space.Fixed(name, value)
    return space


def compiled(hp, model):
    model.compile(
        keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def own_mlp(hp):
    layers = keras.layers
    hidden = layers.Dense(64, "relu"), layers.Dense(64, "relu")
    output = layers.Dense(10, "softmax")
    return compiled(hp, keras.Sequential([keras.Input((64,)), *hidden, output]))


def own_mlp_of_structures(hp):
    layers = [keras.Input((64,))]
    for _ in range(hp.Int("layers", 1, 2)):
        layers.append(keras.layers.Dense(hp.Choice("units", [16, 32, 64, 128]), "relu"))
    layers.append(keras.layers.Dense(10, "softmax"))
    return compiled(hp, keras.Sequential(layers))


def own_text_cnn(hp):
    inputs = keras.Input((LENGTH,), dtype="int32")
    words = keras.layers.Embedding(VOCABULARY, 64)(inputs)
    pooled = [
        keras.layers.GlobalMaxPooling1D()(
            keras.layers.Conv1D(32, width, activation="relu")(words)
        )
        for width in (3, 4, 5)
    ]
    features = keras.layers.Dropout(0.5)(keras.layers.Concatenate()(pooled))
    outputs = keras.layers.Dense(6, activation="softmax")(features)
    return compiled(hp, keras.Model(inputs, outputs))


def own_mlp_of_halves(hp):
    upper, lower = keras.Input((32,)), keras.Input((32,))
    x = keras.layers.Concatenate()([upper, lower])
    for _ in range(2):
        x = keras.layers.Dense(64, "relu")(x)
    outputs = keras.layers.Dense(10, "softmax")(x)
    return compiled(hp, keras.Model([upper, lower], outputs))


def halves():
    (x, y), (other_x, other_y) = digits((64,))
    return ((x[:, :32], x[:, 32:]), y), ((other_x[:, :32], other_x[:, 32:]), other_y)


# Name -> (hypermodel, data, what is fixed, epochs, batch size, trials)
ROWS = {
    "mlp": (
        lambda **k: hypermodels.HyperMLP((64,), 10, **k),
        lambda: digits((64,)),
        {"layers": 1, "units": 64, "optimizer": "adam"},
        (5, 64, 256),
    ),
    "mlp, 8 structures": (
        lambda **k: hypermodels.HyperMLP((64,), 10, **k),
        lambda: digits((64,)),
        {"layers": [1, 2], "units": [16, 32, 64, 128], "optimizer": "adam"},
        (5, 64, 64),
    ),
    "text cnn": (
        lambda **k: hypermodels.HyperTextCNN(VOCABULARY, LENGTH, 6, **k),
        texts,
        {
            "embedding_units": 64,
            "filter_widths": "3 4 5",
            "filters": 32,
            "optimizer": "adam",
        },
        (1, 128, 32),
    ),
    "cnn": (
        lambda **k: hypermodels.HyperCNN((8, 8, 1), 10, **k),
        lambda: digits((8, 8, 1)),
        {
            "blocks": 2,
            "convolutions": 1,
            "filters": 16,
            "kernel_size": 3,
            "optimizer": "adam",
        },
        (3, 64, 32),
    ),
    "text transformer": (
        lambda **k: hypermodels.HyperTextTransformer(VOCABULARY, LENGTH, 6, **k),
        texts,
        {"embedding_units": 64, "layers": 1, "heads": 2, "optimizer": "adam"},
        (1, 128, 32),
    ),
    "own mlp": (own_mlp, lambda: digits((64,)), None, (3, 64, 64)),
    "own mlp, 8 structures": (
        own_mlp_of_structures,
        lambda: digits((64,)),
        None,
        (3, 64, 64),
    ),
    "own text cnn": (own_text_cnn, texts, None, (1, 128, 32)),
    "own mlp, two inputs": (own_mlp_of_halves, halves, None, (3, 64, 64)),
}


def fit_arguments(row, x, folder):
    """Returns what `search` is given by name, beside the data."""
    _, _, space, (epochs, batch_size, _) = ROWS[row]
    if space is not None:
        return {}  # Our hypermodels know it.
    arguments = {"epochs": epochs, "batch_size": batch_size}
    if row == "own mlp, two inputs":
        path = os.path.join(folder, "last.weights.h5")
        arguments |= {
            "sample_weight": np.linspace(0.5, 1.5, len(x[0])).astype("float32"),
            "callbacks": [
                keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
            ],
        }
    return arguments


def search(way, row, trials, pack, jit_compile, profile=None):
    """Returns the seconds of a search, and the score of each of its trials."""
    make, data, space, (epochs, batch_size, _) = ROWS[row]
    (x, y), validation = data()
    keras.utils.clear_session()
    gc.collect()
    hypermodel, hyperparameters = make, None
    if space is not None:
        hypermodel = make(
            epochs=epochs, batch_size=batch_size, jit_compile=jit_compile or "auto"
        )
        hyperparameters = fixed(**space)
    package = keras_tuner if way == "stock" else tuners
    more = {
        "packed": {"packed_trials": pack},
        "auto": {"packed_trials": "auto"},
        "fit": {"reuse_programs": False},
    }
    with tempfile.TemporaryDirectory() as folder:
        tuner = package.RandomSearch(
            hypermodel,
            "val_accuracy",
            max_trials=trials,
            seed=1,
            hyperparameters=hyperparameters,
            directory=folder,
            **more.get(way, {}),
        )
        if way == "stock":
            # It imports tensorboard for every trial, which TensorFlow does not bring.
            tuner._configure_tensorboard_dir = lambda *args: None
        arguments = fit_arguments(row, x, folder)
        with contextlib.nullcontext() if profile is None else profile.timed():
            began = time.perf_counter()
            tuner.search(x, y, validation_data=validation, verbose=0, **arguments)
            seconds = time.perf_counter() - began
        ended = tuner.oracle.get_best_trials(trials)
        return seconds, {trial.trial_id: trial.score for trial in ended}


def compare(rows, options):
    table = rich.table.Table(
        title=f"Trials per minute, packs of {options.pack}"
        f"{', jit_compile=True' if options.jit_compile else ''}; {versions()}"
    )
    parts = rich.table.Table(title="Where the time goes, in seconds")
    for column in ("search", "way", *search_profile.PARTS, "rest"):
        parts.add_column(column)
    measured = ("trials", "s", "trials/min", "stock = 1", "best", "tau")
    for column in ("search", "way", *measured):
        table.add_column(column, justify="right" if column in measured else "left")
    for row in rows:
        trials = options.trials or ROWS[row][3][2]
        found = {}
        for way in options.ways:
            profile = search_profile.Profile() if options.profile else None
            number = options.stock_trials if way == "stock" else None
            found[way] = search(
                way, row, number or trials, options.pack, options.jit_compile, profile
            )
            print(f"{row}, {way}: {found[way][0]:.1f} s", flush=True)
            if profile is not None and way != "stock":
                parts.add_row(row, way, *profile.shares())
        for way, (seconds, scores) in found.items():
            rate, ratio = 60 * len(scores) / seconds, float("nan")
            if "stock" in found:
                ratio = rate * found["stock"][0] / (60 * len(found["stock"][1]))
            reference = found.get("fit") or found.get("reuse")
            table.add_row(
                row,
                way,
                str(len(scores)),
                f"{seconds:.1f}",
                f"{rate:.0f}",
                f"{ratio:.1f}",
                f"{max(scores.values()):.4f}",
                "" if way == "stock" or not reference else tau(scores, reference[1]),
            )
        table.add_section()
    rich.console.Console(width=110).print(table)
    if options.profile:
        rich.console.Console(width=130).print(parts)


def tau(scores, others):
    """Returns Kendall's tau of two rankings of the same trials, as text."""
    both = sorted(scores.keys() & others.keys())
    ranks = [[found[trial_id] for trial_id in both] for found in (scores, others)]
    return f"{scipy.stats.kendalltau(*ranks).statistic:.3f}"


def against_size(row, options):
    """Searches in packs of several sizes; prints and draws trials per minute."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    trials = options.trials or max(options.sizes)
    rates = []
    table = rich.table.Table(title=f"{row}, {trials} trials; {versions()}")
    for column in ("trials in a step", "s", "trials/min"):
        table.add_column(column, justify="right")
    for size in options.sizes:
        seconds, _ = search("packed", row, trials, size, options.jit_compile)
        rates.append(60 * trials / seconds)
        table.add_row(str(size), f"{seconds:.1f}", f"{rates[-1]:.0f}")
        print(f"{size}: {seconds:.1f} s", flush=True)
    rich.console.Console(width=110).print(table)
    enough = next(
        size
        for size, rate in zip(options.sizes, rates, strict=True)
        if rate >= 0.9 * max(rates)
    )
    print(f"Packs of {enough} reach nine tenths of the highest rate.")
    _, axes = plt.subplots(figsize=(7, 4.5))
    axes.plot(options.sizes, rates, "o-")
    axes.axvline(enough, color="0.6", linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(options.sizes, [str(size) for size in options.sizes])
    axes.set_ylim(0)
    axes.set_xlabel("trials in a step")
    axes.set_ylabel("trials per minute")
    axes.set_title(f"{row}, {trials} trials; nine tenths of the highest at {enough}")
    axes.grid(alpha=0.3)
    plt.savefig(options.output, dpi=120, bbox_inches="tight")
    print(f"Wrote {options.output}")


def versions():
    gpus = tf.config.list_physical_devices("GPU")
    where = f"{len(gpus)} GPU" if gpus else f"{os.cpu_count()} cores"
    return (
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, KerasTuner "
        f"{keras_tuner.__version__}, {where}, {platform.machine()}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=["stock", "reuse", "packed", "auto", "fit"],
        default=["stock", "reuse", "packed", "auto"],
    )
    parser.add_argument(
        "--trials", type=int, help="of each search; by default the row's"
    )
    parser.add_argument(
        "--stock-trials",
        type=int,
        help="of KerasTuner's own search, each of whose trials takes as long",
    )
    parser.add_argument("--pack", type=int, default=32)
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--jit-compile", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("packed_trials.png"))
    options = parser.parse_args()
    # Loads what TensorFlow and KerasTuner load once.
    search("stock", options.rows[0], 1, 1, options.jit_compile)
    if options.sizes:
        against_size(options.rows[0], options)
    else:
        compare(options.rows, options)


if __name__ == "__main__":
    main()
