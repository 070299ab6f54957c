"""Runs with every schedule, saved during the warmup; for several processes."""

import hashlib
from pathlib import Path

import keras
import numpy as np

from tests.schedules import families

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
BATCH_ROWS = 2
FIRST = slice(0, 6)  # 3 of the 4 updates of the warmup
SECOND = slice(6, 40)


def train(model, rows):
    # Without compiling: it would take most of the time, and is tested elsewhere.
    model.run_eagerly = True
    model.fit(X[rows], Y[rows], batch_size=BATCH_ROWS, shuffle=False, verbose=0)


def end_of(model):
    """Trains on a model that was saved, and returns a digest of its weights' bits."""
    train(model, SECOND)
    bits = b"".join(np.asarray(weights).tobytes() for weights in model.get_weights())
    return hashlib.sha256(bits).hexdigest()


def path_of(label, folder):
    return Path(folder) / f"{label}.keras"


def paths(folder):
    return [path_of(label, folder) for label, _ in families.BUILDERS]


def save_and_go_on(folder):
    """Saves a run with each schedule and goes on; returns the end for each label."""
    ends = {}
    for label, build in families.BUILDERS:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(build()), "mse")
        train(model, FIRST)
        model.save(path_of(label, folder))
        ends[label] = end_of(model)
    return ends
