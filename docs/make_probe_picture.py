"""Draws the picture of docs/before-training.md, with the package's own `plot`.

python docs/make_probe_picture.py [--output FOLDER]
"""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import keras
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from keras_tricks.probes import learning_rate_range_test


def classifier():
    """The network of the guide."""
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss)
    return model


def main():
    """Draws a ramp and the decades side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, default="docs/images")
    folder = parser.parse_args().output
    x, y = load_digits(return_X_y=True)
    x = x.astype("float32") / 16
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for mode, ax in zip(("exponential", "decades"), axes, strict=True):
        found = learning_rate_range_test(classifier, x, y, mode=mode)
        print(found)
        found.plot(ax).set_title(f'mode="{mode}"')
    figure.savefig(folder / "range_test.png", dpi=110)


if __name__ == "__main__":
    main()
