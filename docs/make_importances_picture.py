"""Draws the picture of docs/after-a-search.md, with the package's own `plot`.

python docs/make_importances_picture.py [--output FOLDER]
"""

import argparse
import pathlib
import tempfile

import matplotlib

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import keras
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from keras_tricks.analysis import compare
from keras_tricks.analysis import importances
from keras_tricks.tuners import QuasiRandomSearch


def build(hp):
    """A network with four settings."""
    activation = hp.Choice("activation", ["relu", "tanh"])
    layers = [
        keras.layers.Dense(hp.Int("units", 16, 128, step=16), activation),
        keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5)),
        keras.layers.Dense(10, "softmax"),
    ]
    model = keras.Sequential([keras.Input((64,)), *layers])
    rate = hp.Float("rate", 1e-4, 0.1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def main():
    """Draws the shares of a search on digits, and the rates compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, default="docs/images")
    folder = parser.parse_args().output
    x, y = load_digits(return_X_y=True)
    x = x.astype("float32") / 16
    with tempfile.TemporaryDirectory() as directory:
        tuner = QuasiRandomSearch(
            build, "val_loss", max_trials=96, seed=0, directory=directory
        )
        tuner.search(x, y, validation_split=0.25, epochs=10, verbose=0)
        found, rates = importances(tuner, scores="ranks"), compare(tuner, "rate")
    print(found)
    print(rates)
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    found.plot(axes[0]).set_title("importances(tuner, scores='ranks').plot()")
    rates.plot(axes[1]).set_title('compare(tuner, "rate").plot()')
    figure.savefig(folder / "importances.png", dpi=110)


if __name__ == "__main__":
    main()
