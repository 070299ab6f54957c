"""Trains a network on digits 0 to 4, and fine-tunes it on a few images of 5 to 9.

Nothing is downloaded: the images are scikit-learn's bundled digits, of 8 x 8 pixels.
Ways to use what the network has learned are compared with training the same network
from scratch, on the same few images, for as many updates, and on all other images of
these digits. What comes out depends on which images the few are: hence several seeds,
each with a backbone and images of its own.
"""

import statistics

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__,
        examples=3,
        pretraining_epochs=20,
        epochs=20,
        seeds=5,
        output="runs/fine_tune",
    )

import keras
import keras_tuner
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from keras_tricks.hypermodels import HyperFineTune

# Hyperparameters that are not left at their defaults.
WAYS = {
    "from scratch": {},
    "fine-tuned": {},
    "fine-tuned, rates by layer": {"layer_decay": 0.8},
    "fine-tuned, lower half frozen": {"frozen_stages": 2},
    "only the head": {"frozen_stages": 4},
}


def main(options) -> None:
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    known, new = labels < 5, labels >= 5
    accuracies: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        backbone = pretrained(images[known], labels[known], options.pretraining_epochs)
        few = a_few_of_each(labels, options.examples, seed)
        train = images[few], labels[few] - 5
        test = images[new & ~few], labels[new & ~few] - 5
        for way, settings in WAYS.items():
            keras.utils.set_random_seed(seed)
            start = build_backbone() if way == "from scratch" else backbone
            model = fine_tuned(start, settings, train, options.epochs)
            _, accuracy = model.evaluate(*test, verbose=0)
            accuracies[way].append(accuracy)
            if way == "fine-tuned":
                model.save(options.output / "fine_tuned.keras")

    print(
        f"Digits 5 to 9, {options.examples} images of each, {options.epochs} epochs. "
        f"Accuracy on the other {len(test[1])}, {options.seeds} seeds:"
    )
    for way, found in accuracies.items():
        listed = " ".join(f"{accuracy:.3f}" for accuracy in found)
        print(f"  {way:30} {statistics.fmean(found):.3f}  ({listed})")
    print(f"Wrote {options.output / 'fine_tuned.keras'}, the last seed's")


def build_backbone():
    x = inputs = keras.Input((8, 8, 1))
    for filters, strides in ((16, 1), (32, 2), (32, 1), (64, 2)):
        x = layers.Conv2D(
            filters, 3, strides, padding="same", kernel_initializer="he_normal"
        )(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    return keras.Model(inputs, x)


def pretrained(images, labels, epochs):
    """Returns a backbone that has learned to tell the digits 0 to 4 apart."""
    hypermodel = HyperFineTune(build_backbone(), 5, kind="image", epochs=epochs)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, images, labels, verbose=0)
    return model.get_layer("backbone")


def a_few_of_each(labels, count, seed):
    """Returns which images are chosen: `count` of each digit from 5 to 9."""
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for digit in range(5, 10):
        chosen[generator.choice(np.flatnonzero(labels == digit), count, False)] = True
    return chosen


def fine_tuned(backbone, settings, train, epochs):
    hypermodel = HyperFineTune(backbone, 5, kind="image", epochs=epochs, batch_size=5)
    hp = keras_tuner.HyperParameters()
    for name, value in settings.items():
        hp.Fixed(name, value)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, *train, verbose=0)
    return model


if __name__ == "__main__":
    main(OPTIONS)
