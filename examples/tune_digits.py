"""Finds the settings of a small classifier of handwritten digits.

Searches the space of `HyperMLP` on scikit-learn's bundled digits (1,797 images of
8 x 8 pixels), retrains the best model on training and validation data, and measures
it on a test split that the search never saw. Run it with --help for its options.
"""

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__,
        tuner=("random", "bayesian"),
        trials=20,
        epochs=20,
        seed=0,
        output="runs/tune_digits",
    )

import keras
import matplotlib
import numpy as np
import rich.console
import rich.table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_tricks.analysis import search_report
from keras_tricks.hypermodels import HyperMLP
from keras_tricks.parameters import check_parameter_budget
from keras_tricks.tuners import BayesianOptimization
from keras_tricks.tuners import RandomSearch

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import matplotlib.pyplot as plt

TUNERS = {"random": RandomSearch, "bayesian": BayesianOptimization}
SPLIT_SEED = 0


def main(options) -> None:
    output = options.output
    train, validation, test = load_splits()
    hypermodel = HyperMLP(input_shape=(64,), num_classes=10, epochs=options.epochs)

    tuner = TUNERS[options.tuner](
        hypermodel,
        objective="val_accuracy",
        max_trials=options.trials,
        seed=options.seed,
        directory=output,
        project_name="search",
        overwrite=True,
    )
    default_model = hypermodel.build(tuner.oracle.get_space())
    budget = check_parameter_budget(default_model, num_samples=len(train[0]))
    print(f"Default model: {budget}")

    tuner.search(*train, validation_data=validation)
    leaderboard = tuner.leaderboard()
    print_leaderboard(leaderboard)
    leaderboard.to_csv(output / "leaderboard.csv", index=False)

    [best] = tuner.get_best_hyperparameters(1)
    print("Best settings:")
    for name, value in best.values.items():
        print(f"  {name} = {format(value, '.4g') if type(value) is float else value}")

    keras.utils.set_random_seed(options.seed)
    model = hypermodel.build(best)
    everything = [np.concatenate(pair) for pair in zip(train, validation, strict=True)]
    hypermodel.fit(best, model, *everything, verbose=0)
    _, accuracy = model.evaluate(*test, verbose=0)
    print(
        f"Test accuracy, retrained on train + validation: {accuracy:.4f} "
        f"({len(test[0])} images that the search never saw)"
    )

    plot_learning_curves(tuner, leaderboard, output / "learning_curves.png")
    schedule = model.optimizer.inner_optimizer.get_config()["learning_rate"]
    schedule = keras.saving.deserialize_keras_object(schedule)
    plot_schedule(schedule, hypermodel.total_steps, output / "schedule.png")
    search_report(tuner, output / "report.html")
    written = ("leaderboard.csv", "learning_curves.png", "schedule.png", "report.html")
    for name in written:
        print(f"Wrote {output / name}")


def load_splits():
    """Returns (images, labels) of train, validation and test, 60 : 20 : 20."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    images, test_images, labels, test_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=SPLIT_SEED
    )
    train_images, val_images, train_labels, val_labels = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=SPLIT_SEED
    )
    return (
        (train_images, train_labels),
        (val_images, val_labels),
        (test_images, test_labels),
    )


# Short headings, so that the table fits a terminal of 80 columns.
SHOWN = {
    "rank": "rank",
    "trial_id": "trial",
    "val_accuracy": "accuracy",
    "layers": "layers",
    "units": "units",
    "dropout": "dropout",
    "optimizer": "optimizer",
    "learning_rate": "rate",
    "warmup_fraction": "warmup",
    "decay_power": "power",
    "global_clipnorm": "clip",
}


def print_leaderboard(leaderboard):
    table = rich.table.Table(box=None, padding=(0, 1, 0, 0))
    for heading in SHOWN.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in leaderboard[list(SHOWN)].itertuples(index=False):
        table.add_row(
            *(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row)
        )
    print("Leaderboard (accuracy on the validation split):")
    rich.console.Console().print(table)


def plot_learning_curves(tuner, leaderboard, path):
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for index, trial in enumerate(leaderboard.head(3).itertuples(index=False)):
        [curves] = tuner.curves(trial.trial_id)
        epochs = range(1, len(curves["loss"]) + 1)
        color = f"C{index}"
        label = f"{trial.rank}. trial {trial.trial_id}"
        axes.plot(epochs, curves["loss"], "--", color=color, label=f"{label}, train")
        axes.plot(epochs, curves["val_loss"], color=color, label=f"{label}, validation")
    axes.set(
        title="The three best trials",
        xlabel="epoch",
        ylabel="cross-entropy loss (nats)",
        yscale="log",
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_schedule(schedule, total_steps, path):
    steps = np.arange(total_steps + 1)
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.plot(steps, keras.ops.convert_to_numpy(schedule(steps)))
    axes.axvline(
        schedule.warmup_steps, color="gray", linestyle=":", label="end of warmup"
    )
    axes.set(
        title="Learning rate of the best settings",
        xlabel="step (optimizer updates)",
        ylabel="learning rate",
        ylim=(0, None),
        xlim=(0, total_steps),
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(OPTIONS)
