"""What to do before a long training: find its rate and batch, on a part of the data.

On scikit-learn's bundled digits, 1,797 images of 8 x 8 pixels: a range test suggests a
learning rate, a probe a batch size; a search on a fifth of the images orders settings,
which is held against a search on all of them; the best is trained with curves that are
drawn after every epoch.
"""

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__, trials=12, epochs=20, seed=0, output="runs/first_steps"
    )

import keras
import matplotlib
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_tricks.analysis import rank_agreement
from keras_tricks.callbacks import LiveCurves
from keras_tricks.callbacks import StopHopeless
from keras_tricks.data import stratified_subset
from keras_tricks.diagnosis import diagnose
from keras_tricks.diagnosis import trivial_score
from keras_tricks.probes import learning_rate_range_test
from keras_tricks.probes import probe_batch_sizes
from keras_tricks.tuners import QuasiRandomSearch

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.

LOSS = "sparse_categorical_crossentropy"
SHARE = 0.2
BATCH_SIZES = [16, 32, 64, 128, 256, 512, 1024]


def classifier(units=64, rate=1e-3):
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((64,)), *layers])
    model.compile(keras.optimizers.Adam(rate), LOSS, metrics=["accuracy"])
    return model


def main(options) -> None:
    train, validation = load_splits()

    print("1. Which learning rate to begin with?")
    rates = learning_rate_range_test(classifier, *train, seeds=[0, 1, 2])
    print(rates)
    path = options.output / "rates.png"
    rates.plot().figure.savefig(path)
    print(f"Wrote {path}")

    print("\n2. Which batch size?")
    sizes = probe_batch_sizes(classifier, *train, sizes=BATCH_SIZES)
    print(sizes)
    # An epoch of few updates learns little, however fast it is.
    largest = min(sizes.recommended, len(train[0]) // 20)
    batch_size = max(size for size in BATCH_SIZES if size <= largest)
    updates = -(-len(train[0]) // batch_size)
    print(f"{batch_size} of {len(train[0]):,} images make {updates} updates an epoch.")

    print(f"\n3. Do {SHARE:.0%} of the images order settings as all do?")
    part = stratified_subset(*train, SHARE, seed=options.seed)
    around = rates.suggestion or 1e-3
    searches = {
        "part": searched("part", part, validation, around, batch_size, options),
        "all": searched("all", train, validation, around, batch_size, options),
    }
    if options.trials >= 5:
        print(rank_agreement(searches["part"], searches["all"]))
    else:
        print("Five trials, at least, are needed to tell.")

    epochs = 3 * options.epochs
    print(f"\n4. The best, for {epochs} epochs, with curves after each of them.")
    [best] = searches["all"].get_best_hyperparameters(1)
    keras.utils.set_random_seed(options.seed)
    model = classifier(best["units"], best["rate"])
    path = options.output / "live_curves.png"
    history = model.fit(
        *train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=validation,
        verbose=0,
        callbacks=[
            LiveCurves(path, title=f"{best['units']} units, rate {best['rate']:.2g}"),
            StopHopeless(trivial=trivial_score(validation[1], LOSS)),
        ],
    )
    print(f"Wrote {path}")
    print(diagnose(history))


def searched(name, data, validation, around, batch_size, options):
    """Returns a tuner that has searched around a rate, on some of the images."""

    def build(hp):
        return classifier(
            hp.Int("units", 8, 128, sampling="log"),
            hp.Float("rate", around / 30, around * 3, sampling="log"),
        )

    tuner = QuasiRandomSearch(
        build,
        "val_loss",
        max_trials=options.trials,
        seed=options.seed,
        directory=options.output,
        project_name=name,
        overwrite=True,
    )
    tuner.search(
        *data,
        batch_size=batch_size,
        epochs=options.epochs,
        validation_data=validation,
        verbose=0,
    )
    table = tuner.leaderboard().head(3)
    print(f"On {len(data[0]):,} images:")
    columns = ["rank", "val_loss", "units", "rate", "seconds"]
    print(table[columns].to_string(index=False, float_format="{:.3g}".format))
    return tuner


def load_splits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    images, others, labels, their_labels = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=0
    )
    return (images, labels), (others, their_labels)


if __name__ == "__main__":
    main(OPTIONS)
