"""Searches a convolutional network for images, and shows what the best one confuses.

The images are scikit-learn's bundled digits, 1,797 of 8 x 8 pixels. The best of
`HyperCNN`'s settings is trained once more, on all images but the test split, and its
mistakes on that split are drawn.
"""

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__, trials=5, epochs=20, seed=0, output="runs/tune_images"
    )

import keras
import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_tricks.hypermodels import HyperCNN
from keras_tricks.tuners import RandomSearch

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import matplotlib.pyplot as plt


def main(options) -> None:
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    rest, test = split(images, labels, 0.2)
    train, validation = split(*rest, 0.25)

    hypermodel = HyperCNN(images.shape[1:], num_classes=10, epochs=options.epochs)
    tuner = RandomSearch(
        hypermodel,
        objective="val_accuracy",
        max_trials=options.trials,
        seed=options.seed,
        directory=options.output,
        project_name="search",
        overwrite=True,
    )
    tuner.search(*train, validation_data=validation)

    [best] = tuner.get_best_hyperparameters(1)
    keras.utils.set_random_seed(options.seed)
    model = hypermodel.build(best)
    print(
        f"Best: {best['blocks']} blocks, {best['filters']} filters in the first, "
        f"{model.count_params():,} parameters"
    )
    hypermodel.fit(best, model, *rest, verbose=0)
    predicted = model.predict(test[0], verbose=0).argmax(axis=-1)
    accuracy = np.mean(predicted == test[1])
    print(f"Test accuracy: {accuracy:.4f} of {len(predicted)} images")
    path = options.output / "confusion.png"
    plot_confusion(test[1], predicted, path)
    print(f"Wrote {path}")


def split(images, labels, held_out):
    """Returns (images, labels) twice: of the larger part, and of the one held out."""
    images, others, labels, their_labels = train_test_split(
        images, labels, test_size=held_out, stratify=labels, random_state=0
    )
    return (images, labels), (others, their_labels)


def plot_confusion(labels, predicted, path):
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predicted), 1)
    figure, axes = plt.subplots(figsize=(6, 6), layout="constrained")
    axes.imshow(counts, cmap="Blues")
    for row, column in np.argwhere(counts):
        color = "white" if row == column else "firebrick"
        axes.text(
            column, row, counts[row, column], ha="center", va="center", color=color
        )
    axes.set(
        title="Digits that the search never saw",
        xlabel="predicted",
        ylabel="true",
        xticks=range(10),
        yticks=range(10),
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(OPTIONS)
