"""Trains what `search_quality.py` looks up: a small network on five data sets.

    python benchmarks/make_search_tables.py

Each of the data sets that scikit-learn brings along, 512 settings of the network from a
Sobol sequence, each with two seeds, packed by `keras_tricks.training.train`: some
minutes. It writes `search_tables.npz` beside itself: the settings as points of the unit
cube of `search_problems.table_space()`, and for each data set the least validation loss
of each setting and seed, infinite where the training diverged.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import numpy as np
import search_problems
import sklearn.datasets
from scipy.stats import qmc

from keras_tricks.hypermodels.layers import ScalarDropout
from keras_tricks.training import train
from keras_tricks.tuners.search_space.unit_cube import UnitCube

OUTPUT = Path(__file__).resolve().parent / "search_tables.npz"
SETTINGS, SEEDS, EPOCHS = 512, 2, 12


def main():
    cube = UnitCube(search_problems.table_space().space)
    sequence = qmc.Sobol(cube.dimensions, scramble=True, seed=0)
    rows = cube.snapped(sequence.random(SETTINGS))
    settings = [cube.decoded(row) for row in rows]
    losses = {}
    for name in search_problems.TABLES:
        begun = time.perf_counter()
        losses[name] = trained(name, settings).astype("float32")
        print(
            f"{name}: {time.perf_counter() - begun:.0f} s, "
            f"best {losses[name].mean(axis=1).min():.4f}, "
            f"{100 * np.isinf(losses[name]).mean():.0f} % diverged",
            flush=True,
        )
    np.savez_compressed(OUTPUT, rows=rows.astype("float32"), **losses)


def trained(name, settings):
    """Returns the least validation losses, an array (settings, seeds)."""
    data = getattr(sklearn.datasets, f"load_{name}")()
    x, y = data.data.astype("float32"), data.target
    is_regression = name == "diabetes"
    order = np.random.default_rng(0).permutation(len(x))[:900]
    x, y = x[order], y[order]
    half = len(x) // 2
    x = (x - x[:half].mean(axis=0)) / (x[:half].std(axis=0) + 1e-3)
    if is_regression:
        y = ((y - y[:half].mean()) / y[:half].std()).astype("float32")[:, None]
    else:
        y = y.astype("int32")
    outputs = 1 if is_regression else int(y.max()) + 1

    def arguments(setting):
        return {
            "optimizer": keras.optimizers.SGD(setting["rate"], setting["momentum"]),
            "loss": keras.losses.MeanSquaredError()
            if is_regression
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": [],
            "rate": setting["dropout"],
        }

    def network(setting):
        model = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                keras.layers.Dense(setting["units"], setting["activation"]),
                ScalarDropout(setting["dropout"]),
                keras.layers.Dense(outputs),
            ]
        )
        given = arguments(setting)
        del given["rate"]
        model.compile(**given)
        return model

    # Momentum 0 is another program, and none has it but by chance.
    results = train(
        [setting for setting in settings for _ in range(SEEDS)],
        network,
        x[:half],
        y[:half],
        validation_data=(x[half:], y[half:]),
        epochs=EPOCHS,
        batch_size=32,
        seeds=[*range(SEEDS)] * len(settings),
        packed=64,
        same_network=lambda setting: (setting["units"], setting["activation"]),
        compile_arguments=arguments,
    )
    reasons = {result.reason for result in results}
    assert reasons == {None}, reasons
    return np.array([result.score for result in results]).reshape(-1, SEEDS)


if __name__ == "__main__":
    main()
