"""From first settings to an adopted winner: the tuning playbook's loop on digits.

Round 1 explores a wide space around the first settings. What it teaches decides the
space of round 2: a range is extended where the best crowd at its edge, what does not
matter is fixed, and the optimizers are compared at their best settings. The winner is
adopted only if it beats the first settings beyond chance, and meets a test split then.
The images are scikit-learn's bundled digits, 1,797 of 8 x 8 pixels.
"""

import command_line


def check(options):
    if options.trials < 16:
        raise ValueError(
            "--trials must be 16 or more, since fewer tell nothing. "
            f"Received: {options.trials}"
        )


# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__,
        check=check,
        trials=48,
        epochs=10,
        seeds=3,
        seed=0,
        output="runs/playbook",
    )

# ruff: noqa: E402
import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_tricks.analysis import boundaries
from keras_tricks.analysis import compare
from keras_tricks.analysis import importances
from keras_tricks.analysis import saturation
from keras_tricks.analysis import search_report
from keras_tricks.tuners import QuasiRandomSearch

FIRST = {"optimizer": "sgd", "rate": 1e-3, "units": 32, "dropout": 0.0}
# The scientific question; what else is searched is a nuisance to it.
QUESTION = "optimizer"


class Space:
    """What a round searches: a range, a list of choices, or one value, by name."""

    def __init__(self, **entries):
        self.entries = entries

    def __str__(self):
        parts = []
        for name, entry in self.entries.items():
            if isinstance(entry, tuple):
                entry = f"{entry[0]:.2g} to {entry[1]:.2g}"
            parts.append(f"{name}: {entry}")
        return ", ".join(parts)

    def of(self, hp, name):
        entry, default = self.entries[name], FIRST[name]
        if isinstance(entry, list):
            default = default if default in entry else entry[0]
            return hp.Choice(name, entry, default=default)
        if not isinstance(entry, tuple):
            return hp.Fixed(name, entry)
        sampling = "log" if name == "rate" else "linear"
        default = min(max(default, entry[0]), entry[1])
        return hp.Float(name, *entry, default=default, sampling=sampling)

    def build(self, hp):
        layers = [
            keras.Input((64,)),
            keras.layers.Dense(self.of(hp, "units"), "relu"),
            keras.layers.Dropout(self.of(hp, "dropout")),
            keras.layers.Dense(10, "softmax"),
        ]
        model = keras.Sequential(layers)
        rate = self.of(hp, "rate")
        optimizer = keras.optimizers.Adam(rate)
        if self.of(hp, "optimizer") == "sgd":
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        loss = "sparse_categorical_crossentropy"
        model.compile(optimizer, loss, metrics=["accuracy"])
        return model


def main(options) -> None:
    train, validation, test = load_splits()
    wide = Space(
        optimizer=["sgd", "adam"],
        rate=(1e-4, 3e-3),
        units=[16, 32, 64],
        dropout=(0.0, 0.5),
    )

    print(f"Round 1 explores {wide}.")
    first = searched("round_1", wide, train, validation, options, ["default"])
    baseline = score_of_first_settings(first)
    print(f"The first settings have a val_loss of {baseline:.4f}.")
    next_space = learned(first, wide)

    print(f"\nRound 2 searches {next_space}.")
    second = searched("round_2", next_space, train, validation, options, None)
    learned(second, next_space)
    print(saturation(second))

    print("\nRound 3 trains the two best again, under other seeds.")
    found = second.confirm(top=2, reruns=options.seeds, baseline=baseline)
    print(found)
    is_adopted = found.beats_baseline
    second.note(
        best_trial(second),
        why="The best of two rounds.",
        outcome="Adopted." if is_adopted else "Not adopted.",
    )
    settings = second.get_best_hyperparameters(1)[0].values if is_adopted else FIRST
    print(f"\n{'Adopted' if is_adopted else 'The first settings stay'}: {settings}")
    path = options.output / "leaderboard.csv"
    second.leaderboard(path)
    print(f"Wrote {path}")
    path = search_report([first, second], options.output / "report.html")
    print(f"Wrote {path}")
    if is_adopted:
        [model] = second.get_best_models(1)
        accuracy = model.evaluate(*test, verbose=0)[1]
        print(f"Accuracy on the test split: {accuracy:.4f}")


def searched(name, space, train, validation, options, initial_settings):
    tuner = QuasiRandomSearch(
        space.build,
        "val_loss",
        max_trials=options.trials,
        seed=options.seed,
        directory=options.output,
        project_name=name,
        packed_trials="auto",
        overwrite=True,
        roles={"scientific": [QUESTION]},
    )
    tuner.search(
        *train,
        epochs=options.epochs,
        validation_data=validation,
        verbose=0,
        initial_settings=initial_settings,
        stop_hopeless=True,
    )
    return tuner


def learned(tuner, space):
    """Prints what a round teaches, and returns the space of the next."""
    matter = importances(tuner, scores="ranks")
    edges = boundaries(tuner)
    print(matter, edges, sep="\n")
    if isinstance(space.entries[QUESTION], list):
        print(compare(tuner, QUESTION))

    best = tuner.get_best_hyperparameters(1)[0].values
    entries = dict(space.entries)
    # The question stays open until it is answered.
    idle = matter.table.loc[~matter.table["matters"], "hyperparameter"]
    if matter.reason is None:
        for name in set(idle) - {QUESTION}:
            entries[name] = best[name]
    for row in edges.table.itertuples(index=False):
        if row.edge is not None and isinstance(entries[row.hyperparameter], tuple):
            entries[row.hyperparameter] = (row.low, row.high)
    return Space(**entries)


def score_of_first_settings(tuner):
    table = tuner.leaderboard()
    [score] = table.loc[table["source"] == "initial_settings", "val_loss"]
    return float(score)


def best_trial(tuner):
    return tuner.leaderboard()["trial_id"][0]


def load_splits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    order = np.arange(len(images))
    rest, test = train_test_split(order, test_size=0.2, stratify=labels, random_state=0)
    train, validation = train_test_split(
        rest, test_size=0.25, stratify=labels[rest], random_state=0
    )
    return [(images[rows], labels[rows]) for rows in (train, validation, test)]


if __name__ == "__main__":
    main(OPTIONS)
