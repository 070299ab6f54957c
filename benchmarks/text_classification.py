"""Accuracy of the text hypermodels with default settings, beside the papers' numbers.

    python benchmarks/text_classification.py DIR [--models cnn rcnn transformer]
                                             [--data mr trec] [--folds N] [--seeds N]
                                             [--examples N ...]

DIR holds `mr.tsv` (Pang and Lee's 10,662 sentences of film reviews, 2 classes), and
`trec_train.tsv` and `trec_test.tsv` (5,452 and 500 questions, 6 classes): a label, a
tab and a text a line. Any other `NAME.tsv`, or `NAME_train.tsv` with `NAME_test.tsv`,
is tried by `--data NAME`.

The protocol is Kim's (2014, table 2, "CNN-rand"): embeddings start at random; without
a test split, accuracy is the mean over ten folds; a tenth of the training data, drawn
at random, decides when to stop. The vocabulary is that of the training data. Settings
are the hypermodels' defaults. `--folds 2` runs the first two of the ten folds only;
`--examples 600 1200` trains on so many examples, drawn at random, rather than on all.
"""

import argparse
import itertools
import os
import re
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import numpy as np
import rich.console
import rich.table

from keras_tricks import hypermodels

MODELS = {
    "cnn": "HyperTextCNN",
    "rcnn": "HyperTextRCNN",
    "transformer": "HyperTextTransformer",
}
# Kim 2014, table 2: CNN-rand. Lai et al. 2015 have neither of these data, and we know
# of no figure for an encoder that is trained from nothing.
PUBLISHED = {("cnn", "mr"): 76.1, ("cnn", "trec"): 91.2}
FOLDS = 10
VALIDATION_SHARE = 0.1
PADDING, UNKNOWN = 0, 1


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Returns labels and tokenized texts."""
    # Not `splitlines`: the reviews hold characters that it takes for the end of a line.
    lines = path.read_text(encoding="utf-8").split("\n")
    pairs = [line.split("\t", 1) for line in lines if line.strip()]
    return [label for label, _ in pairs], [tokens_of(text) for _, text in pairs]


def tokens_of(text: str) -> list[str]:
    """Words in lower case, their contracted endings, and punctuation."""
    return re.findall(r"n't|'\w+|\w+?(?=n't)|\w+|[^\w\s]", text.lower())


def splits(folder: Path, name: str, folds: int, seed: int):
    """Yields (training, test) pairs of (labels, texts)."""
    if (folder / f"{name}_train.tsv").exists():
        yield read(folder / f"{name}_train.tsv"), read(folder / f"{name}_test.tsv")
        return
    labels, texts = read(folder / f"{name}.tsv")
    # All seeds share the folds, so that seeds differ in training alone.
    fold_of = np.random.default_rng(0).integers(FOLDS, size=len(labels))
    for fold in range(folds):
        parts = [], []
        for part, chosen in zip(parts, (fold_of != fold, fold_of == fold), strict=True):
            part.append([labels[i] for i in np.flatnonzero(chosen)])
            part.append([texts[i] for i in np.flatnonzero(chosen)])
        yield tuple(parts[0]), tuple(parts[1])


def as_arrays(training, test):
    """Returns ((x, y), (x, y)), the vocabulary's size and the number of classes."""
    labels, texts = training
    classes = sorted(set(labels))
    words = dict.fromkeys(word for text in texts for word in text)
    ids = {word: number for number, word in enumerate(words, start=UNKNOWN + 1)}
    length = max(len(text) for text in texts)

    def arrays(labels, texts):
        x = np.full((len(texts), length), PADDING, "int32")
        for row, text in zip(x, texts, strict=True):
            found = [ids.get(word, UNKNOWN) for word in text[:length]]
            row[: len(found)] = found
        return x, np.asarray([classes.index(label) for label in labels])

    return arrays(*training), arrays(*test), len(ids) + 2, len(classes)


def accuracy(
    model_name: str, training, test, seed: int, examples: int | None, options
) -> float:
    (x, y), on_test, vocabulary_size, num_classes = as_arrays(training, test)
    order = np.random.default_rng(seed).permutation(len(x))
    validation, rest = np.split(order, [int(VALIDATION_SHARE * len(x))])
    rest = rest[:examples]
    hypermodel = getattr(hypermodels, MODELS[model_name])(
        vocabulary_size, x.shape[1], num_classes, patience=options.patience
    )
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    arguments = {} if options.epochs is None else {"epochs": options.epochs}
    hypermodel.fit(
        hp,
        model,
        x[rest],
        y[rest],
        validation_data=(x[validation], y[validation]),
        verbose=2 if options.verbose else 0,
        **arguments,
    )
    return 100 * model.evaluate(*on_test, verbose=0)[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--data", nargs="+", default=["mr", "trec"])
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--examples", type=int, nargs="+", default=[None])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()

    table = rich.table.Table(title="Test accuracy in percent, default settings")
    columns = "data model examples seeds runs mean deviation paper s"
    for column in columns.split():
        table.add_column(column, justify="right" if column != "data" else "left")
    for name, model_name, examples in itertools.product(
        options.data, options.models, options.examples
    ):
        started = time.perf_counter()
        of_seed: list[float] = []
        runs = 0
        for seed in range(options.seeds):
            accuracies = [
                accuracy(model_name, training, test, seed, examples, options)
                for training, test in splits(options.folder, name, options.folds, seed)
            ]
            runs += len(accuracies)
            of_seed.append(statistics.fmean(accuracies))
            print(
                f"{name} {MODELS[model_name]} {examples or 'all'} examples, seed "
                f"{seed}: {of_seed[-1]:.2f}",
                flush=True,
            )
        published = PUBLISHED.get((model_name, name))
        table.add_row(
            name,
            MODELS[model_name],
            str(examples or "all"),
            str(options.seeds),
            str(runs),
            f"{statistics.fmean(of_seed):.2f}",
            f"{statistics.stdev(of_seed):.2f}" if len(of_seed) > 1 else "",
            "" if published is None else f"{published:.1f}",
            f"{(time.perf_counter() - started) / runs:.0f} a run",
        )
    rich.console.Console(width=100).print(table)


if __name__ == "__main__":
    main()
