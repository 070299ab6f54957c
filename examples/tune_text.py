"""Finds the settings of a text classifier, and writes one file that takes strings.

Without --data it learns to tell from a docstring which package of Python's standard
library it stands in. FILE.tsv holds a label, a tab and a text in each line. The space
of one hypermodel is searched, the best model retrained on training and validation
data, measured on a test split that the search never saw, and joined to its vocabulary.
"""

import ast
import collections
import importlib.util
import pathlib

import command_line

# Those with many docstrings; which of them there are depends on how Python was built.
PACKAGES = (
    "asyncio",
    "concurrent",
    "ctypes",
    "email",
    "http",
    "importlib",
    "logging",
    "multiprocessing",
    "tkinter",
    "unittest",
    "urllib",
    "xml",
)
NUM_PACKAGES = 6
LEAST_WORDS = 4  # Shorter docstrings say little of where they stand.
LEAST_TEXTS = 5  # Of a class, so that each split has one.


def read_texts(options):
    """Adds `texts` to the options, the (label, text) pairs to learn from."""
    try:
        pairs = read_pairs(options.data) if options.data else docstrings_by_package()
        options.texts = with_enough_texts(pairs)
    except (OSError, ValueError) as error:
        raise ValueError(f"argument --data: {error}") from error


def read_pairs(path):
    pairs = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        label, tab, text = line.partition("\t")
        if line.strip() and not (tab and label.strip() and text.strip()):
            raise ValueError(
                f"each line must be a label, a tab and a text. "
                f"Received in line {number} of {path}: {line!r}"
            )
        if line.strip():
            pairs.append((label.strip(), text.strip()))
    return pairs


def docstrings_by_package():
    """Returns (package, docstring) pairs of the packages that have the most."""
    found = {package: docstrings(package) for package in PACKAGES}
    # What stands in two packages tells neither.
    times = collections.Counter(text for texts in found.values() for text in texts)
    largest = sorted(found, key=lambda package: -len(found[package]))[:NUM_PACKAGES]
    return [
        (package, text)
        for package in sorted(largest)
        for text in found[package]
        if times[text] == 1
    ]


def docstrings(package):
    """Returns the package's docstrings in the order of its files, none imported."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    texts = []
    for folder in map(pathlib.Path, folders):
        for path in sorted(folder.rglob("*.py")):
            if {"test", "tests"} & set(path.relative_to(folder).parts):
                continue
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(
                    node,
                    ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
                ):
                    words = (ast.get_docstring(node) or "").split()
                    if len(words) >= LEAST_WORDS:
                        texts.append(" ".join(words))
    return list(dict.fromkeys(texts))


def with_enough_texts(pairs):
    counts = collections.Counter(label for label, _ in pairs)
    rare = [label for label in counts if counts[label] < LEAST_TEXTS]
    if len(counts) < 2 or rare:
        raise ValueError(
            f"there must be two labels or more with {LEAST_TEXTS} texts each. "
            f"Received: {dict(counts)}"
        )
    return pairs


# Options and texts are read first: TensorFlow takes seconds to load and prints notices,
# in which a message about a bad value would be lost.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__,
        data=None,
        model=("cnn", "rcnn", "transformer"),
        trials=10,
        epochs=8,
        seed=0,
        output="runs/tune_text",
        check=read_texts,
    )

# ruff: noqa: E402
import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from sklearn.model_selection import train_test_split

from keras_tricks import hypermodels
from keras_tricks.hypermodels import RawTextClassifier
from keras_tricks.tuners import RandomSearch

MODELS = {
    "cnn": "HyperTextCNN",
    "rcnn": "HyperTextRCNN",
    "transformer": "HyperTextTransformer",
}
SPLIT_SEED = 0
VOCABULARY_SIZE = 20_000
# Nine texts of ten are seen whole, if that takes no more words than the second number.
SHARE_OF_WHOLE_TEXTS = 0.9
SHORTEST, LONGEST = 8, 100


def main(options) -> None:
    labels, texts = zip(*options.texts, strict=True)
    classes = sorted(set(labels))
    train, validation, test = split(
        np.array(texts, dtype=object), np.searchsorted(classes, labels)
    )
    print(f"{len(texts)} texts of {len(classes)} classes: {', '.join(classes)}")

    # Strings become ids here, outside of the model: a GPU does nothing with them.
    vectorizer = fitted_vectorizer(train[0])
    train, validation, test_ids = (
        (vectorizer(tf.constant(texts, "string")).numpy(), numbers)
        for texts, numbers in (train, validation, test)
    )
    hypermodel = getattr(hypermodels, MODELS[options.model])(
        vectorizer.vocabulary_size(),
        train[0].shape[1],
        len(classes),
        epochs=options.epochs,
    )

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
    leaderboard = tuner.leaderboard()
    print_leaderboard(leaderboard)
    leaderboard.to_csv(options.output / "leaderboard.csv", index=False)

    [best] = tuner.get_best_hyperparameters(1)
    print("Best settings:")
    for name, value in best.values.items():
        print(f"  {name} = {format(value, '.4g') if type(value) is float else value}")

    keras.utils.set_random_seed(options.seed)
    model = hypermodel.build(best)
    everything = [np.concatenate(pair) for pair in zip(train, validation, strict=True)]
    hypermodel.fit(best, model, *everything, verbose=0)
    _, accuracy = model.evaluate(*test_ids, verbose=0)
    most_frequent = np.bincount(test[1]).max() / len(test[1])
    print(
        f"Test accuracy, retrained on train + validation: {accuracy:.4f} "
        f"({len(test[1])} texts that the search never saw; "
        f"{most_frequent:.4f} by naming the most frequent class)"
    )

    path = options.output / "classifier.keras"
    RawTextClassifier(vectorizer, model, labels=classes).save(path)
    classify_two(path, *test, classes)
    for name in ("leaderboard.csv", path.name):
        print(f"Wrote {options.output / name}")


def split(texts, numbers):
    """Returns (texts, class numbers) of train, validation and test, 60 : 20 : 20."""
    texts, test_texts, numbers, test_numbers = train_test_split(
        texts, numbers, test_size=0.2, stratify=numbers, random_state=SPLIT_SEED
    )
    train_texts, val_texts, train_numbers, val_numbers = train_test_split(
        texts, numbers, test_size=0.25, stratify=numbers, random_state=SPLIT_SEED
    )
    return (
        (train_texts, train_numbers),
        (val_texts, val_numbers),
        (test_texts, test_numbers),
    )


def fitted_vectorizer(texts):
    """Returns the layer from strings to ids; its vocabulary is that of `texts`."""
    words = [len(text.split()) for text in texts]
    length = int(np.quantile(words, SHARE_OF_WHOLE_TEXTS))
    vectorizer = keras.layers.TextVectorization(
        max_tokens=VOCABULARY_SIZE,
        output_sequence_length=min(max(length, SHORTEST), LONGEST),
    )
    vectorizer.adapt(texts.tolist())
    return vectorizer


# Short headings, so that the table fits a terminal of 80 columns. A model has some.
SHOWN = {
    "rank": "rank",
    "trial_id": "trial",
    "val_accuracy": "accuracy",
    "embedding_units": "embed",
    "filter_widths": "widths",
    "filters": "filters",
    "context_units": "context",
    "layers": "layers",
    "units": "units",
    "dropout": "dropout",
    "optimizer": "optimizer",
    "learning_rate": "rate",
    "global_clipnorm": "clip",
}


def print_leaderboard(leaderboard):
    shown = [name for name in SHOWN if name in leaderboard]
    table = rich.table.Table(box=None, padding=(0, 1, 0, 0))
    for name in shown:
        table.add_column(SHOWN[name], justify="right", no_wrap=True)
    for row in leaderboard[shown].itertuples(index=False):
        table.add_row(
            *(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row)
        )
    print("Leaderboard (accuracy on the validation split):")
    rich.console.Console().print(table)


def classify_two(path, texts, numbers, classes):
    """Loads the file anew and gives it one text of each of two classes."""
    model = keras.models.load_model(path)
    chosen = [np.flatnonzero(numbers == number)[0] for number in (0, 1)]
    print("Two texts of the test split, as the loaded file classifies them:")
    for index, label in zip(chosen, model.classify(list(texts[chosen])), strict=True):
        text = texts[index] if len(texts[index]) < 60 else f"{texts[index][:57]}..."
        print(f"  {label} (is {classes[numbers[index]]}): {text}")


if __name__ == "__main__":
    main(OPTIONS)
