"""Trials per minute of a search: stock Keras, one compiled program, packs of trials.

    python benchmarks/packed_trials.py [--trials N] [--stock-trials N] [--pack K]
                                       [--epochs N] [--batch-size N] [--units N]
                                       [--repeats N] [--jit-compile]

The model is `HyperMLP` on scikit-learn's digits; learning rate, warmup, decay, clip
limit and dropout are drawn at random, the structure is the same. Each way trains the
same settings with the same seeds, epochs and batches, in turn:

stock   what `keras_tuner.RandomSearch` does for a trial: build, compile, `fit`,
        `clear_session`
reuse   `keras_tricks.training.train`, one trial after the other
packed  the same, K trials in a step

All times include building, tracing and compiling. The stock way is given fewer trials,
as its time for each is always the same; its best scores are those of these trials.
"""

import argparse
import gc
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import numpy as np
import rich.console
import rich.table
import sklearn.datasets

from keras_tricks.hypermodels import HyperMLP
from keras_tricks.hypermodels.losses import hyper_loss
from keras_tricks.training import train
from keras_tricks.training.data_order import epoch_order

NUM_TRAINING = 1437
SCALARS = (
    "learning_rate",
    "warmup_fraction",
    "decay_power",
    "global_clipnorm",
    "dropout",
)


def data():
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x / 16).astype("float32")[order], y.astype("int32")[order]
    return (x[:NUM_TRAINING], y[:NUM_TRAINING]), (x[NUM_TRAINING:], y[NUM_TRAINING:])


def drawn_settings(hypermodel, number: int, units: int) -> list:
    """Returns hyperparameters whose scalars are drawn and whose structure is fixed."""
    space = keras_tuner.HyperParameters()
    space.Fixed("units", units)
    hypermodel.build(space)
    generator = np.random.default_rng(1)
    settings = []
    for _ in range(number):
        setting = space.copy()
        for scalar in space.space:
            if scalar.name in SCALARS:
                value = scalar.prob_to_value(generator.random())
                setting.values[scalar.name] = value
        settings.append(setting)
    return settings


def stock(hypermodel, settings, training, validation, args):
    scores = []
    for seed, setting in enumerate(settings):
        keras.utils.clear_session()
        gc.collect()
        keras.utils.set_random_seed(seed)
        model = hypermodel.build(setting)
        order = epoch_order(0, 0, NUM_TRAINING)
        history = model.fit(
            training[0][order],
            training[1][order],
            batch_size=args.batch_size,
            epochs=args.epochs,
            validation_data=validation,
            verbose=0,
        ).history
        scores.append(min(history["val_loss"]))
    return scores


def ours(packed):
    def search(hypermodel, settings, training, validation, args):
        def compile_arguments(setting):
            return {
                "optimizer": hypermodel.optimizer(setting, hypermodel.total_steps),
                "loss": hyper_loss(setting),
                "metrics": ["accuracy"],
                "rate": setting.get("dropout"),
            }

        results = train(
            settings,
            hypermodel.build,
            *training,
            validation_data=validation,
            epochs=args.epochs,
            batch_size=args.batch_size,
            seeds=range(len(settings)),
            packed=packed and args.pack,
            jit_compile=bool(packed) and args.jit_compile,
            same_network=lambda setting: "mlp",
            compile_arguments=compile_arguments,
        )
        return [result.score for result in results]

    return search


WAYS = {"stock": stock, "reuse": ours(None), "packed": ours(True)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--stock-trials", type=int, default=4)
    parser.add_argument("--pack", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--jit-compile", action="store_true")
    args = parser.parse_args()
    training, validation = data()
    steps = args.epochs * -(-NUM_TRAINING // args.batch_size)
    hypermodel = HyperMLP((64,), 10, total_steps=steps)
    settings = drawn_settings(hypermodel, args.trials, args.units)
    # Loads what TensorFlow loads once.
    stock(hypermodel, settings[:1], training, validation, args)
    seconds: dict[str, list] = {way: [] for way in WAYS}
    processor: dict[str, list] = {way: [] for way in WAYS}
    scores = {}
    for _ in range(args.repeats):
        for way, search in WAYS.items():
            mine = settings[: args.stock_trials] if way == "stock" else settings
            keras.utils.clear_session()
            gc.collect()
            began, cpu = time.perf_counter(), time.process_time()
            scores[way] = search(hypermodel, mine, training, validation, args)
            seconds[way].append((time.perf_counter() - began) / len(mine))
            processor[way].append((time.process_time() - cpu) / len(mine))
    table = rich.table.Table(
        title=f"HyperMLP on digits, {args.epochs} epochs of batches of "
        f"{args.batch_size}, {args.units} units, packs of {args.pack}"
    )
    for column in (
        "way",
        "trials",
        "trials/min",
        "stock = 1",
        "ms a trial",
        "ms of processor",
        "best of the first",
        "best",
    ):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way in WAYS:
        first = scores[way][: args.stock_trials]
        table.add_row(
            way,
            str(len(scores[way])),
            f"{60 / min(seconds[way]):.0f}",
            f"{min(seconds['stock']) / min(seconds[way]):.1f}",
            f"{1e3 * min(seconds[way]):.1f}",
            f"{1e3 * min(processor[way]):.1f}",
            f"{min(first):.4f}",
            f"{min(scores[way]):.4f}",
        )
    rich.console.Console(width=110).print(table)


if __name__ == "__main__":
    main()
