"""What `StopHopeless` would have ended, beside pruners: wrongly, and how many epochs.

    python benchmarks/hopeless.py [--record DIR]

The curves are those of 500 trials with all their epochs, 300 of an MLP on digits and
200 of a text CNN on questions, in `benchmarks/learning_curves.npz`; with
`--record` they are made anew, by packed trials. DIR holds `trec_train.tsv`: a label, a
tab and a text a line.

The trials are replayed in their order. `StopHopeless` has the trivial predictor's loss,
and as its baseline a quantile of the best losses of those that ended before; the
pruners are Optuna's, told each epoch's validation loss. "Wrong" is the share of the
later best tenth that was ended before its best epoch, "saved" that of all epochs.
"""

import argparse
import os
import sys
import tempfile
import types
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import rich.console
import rich.table

CURVES = Path(__file__).with_name("learning_curves.npz")
DIGITS_EPOCHS, TEXT_EPOCHS = 40, 20
NO_BASELINE = 10  # Trials before a quantile of theirs is a baseline.


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    if arguments.record is not None:
        record(arguments.record)
    table = rich.table.Table("ended by", "trials", "wrong", "saved", "ended")
    with np.load(CURVES) as saved:
        problems = {
            name: [saved[f"{name}_{what}"] for what in ("loss", "val_loss", "trivial")]
            for name in ("digits", "questions")
        }
    for name, (losses, values, trivial) in problems.items():
        for way, ends in ways(losses, values, trivial):
            wrong, share = judged(values, ends)
            ended = np.mean(ends < values.shape[1])
            table.add_row(
                f"{name}: {way}",
                str(len(values)),
                f"{wrong:.1%}",
                f"{share:.1%}",
                f"{ended:.0%}",
            )
        table.add_section()
    rich.console.Console().print(table)


def judged(values, ends):
    """Returns the share of the best tenth that was ended wrongly, and epochs saved."""
    found = np.where(np.isfinite(values), values, np.inf)
    best = found.min(axis=1)
    top = np.argsort(best, kind="stable")[: len(values) // 10]
    wrong = [ends[n] <= found[n].argmin() for n in top]
    return np.mean(wrong), 1.0 - ends.sum() / values.size


def ways(losses, values, trivial):
    """Yields the name of a way, and after how many epochs it ends each trial."""
    for quantile in (0.1, 0.25, 0.5):
        yield (
            f"StopHopeless, best {quantile:.0%}",
            hopeless(losses, values, trivial, quantile),
        )
    yield "StopHopeless without a baseline", hopeless(losses, values, trivial, None)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruners = optuna.pruners
    yield "Optuna's MedianPruner", pruned(values, pruners.MedianPruner())
    yield (
        "Optuna's HyperbandPruner",
        pruned(values, pruners.HyperbandPruner(max_resource=values.shape[1])),
    )


def hopeless(losses, values, trivial, quantile):
    """Replays the trials with the callback."""
    from keras_tricks.callbacks import StopHopeless

    ends, scores = [], []
    for curve, val_curve in zip(losses, values, strict=True):
        baseline = None
        if quantile is not None and len(scores) >= NO_BASELINE:
            baseline = float(np.quantile(scores, quantile))
        callback = StopHopeless(trivial=float(trivial), baseline=baseline)
        callback.set_params({"epochs": len(curve)})
        callback.set_model(types.SimpleNamespace(stop_training=False))
        callback.on_train_begin()
        for epoch, (loss, val_loss) in enumerate(zip(curve, val_curve, strict=True)):
            callback.on_epoch_end(epoch, {"loss": loss, "val_loss": val_loss})
            if callback.model.stop_training:
                break
        ends.append(epoch + 1)
        seen = val_curve[: epoch + 1]
        if np.isfinite(seen).any():
            scores.append(float(np.nanmin(np.where(np.isfinite(seen), seen, np.nan))))
    return np.array(ends)


def pruned(values, pruner):
    """Replays the trials with a pruner."""
    import optuna

    # By the study's name Hyperband deals trials to its brackets.
    study = optuna.create_study(study_name="replayed", pruner=pruner)
    ends = []
    for curve in values:
        trial, last = study.ask(), len(curve)
        for epoch, value in enumerate(curve):
            trial.report(float(value), epoch)
            if not np.isfinite(value) or trial.should_prune():
                last = epoch + 1
                break
        seen = curve[:last]
        if last < len(curve):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, float(np.where(np.isfinite(seen), seen, 1e9).min()))
        ends.append(last)
    return np.array(ends)


def record(folder):
    """Trains the trials and writes their curves."""
    from keras_tricks import diagnosis
    from keras_tricks import tuners

    found = {}
    for name, build, data, epochs, trials in (digits(), questions(folder)):
        x, val_x, y, val_y = data
        with tempfile.TemporaryDirectory() as directory:
            tuner = tuners.RandomSearch(
                build,
                "val_loss",
                max_trials=trials,
                seed=0,
                directory=directory,
                packed_trials="auto",
                keep_checkpoints=1,
            )
            tuner.search(x, y, validation_data=(val_x, val_y), epochs=epochs)
            records = tuner._ended_records()
        for metric in ("loss", "val_loss"):
            # A trial that diverges ends; what it has not seen is NaN.
            curves = np.full((trials, epochs), np.nan, np.float32)
            for row, one in zip(curves, records, strict=True):
                seen = one.executions[0].curves[metric]
                row[: len(seen)] = seen
            found[f"{name}_{metric}"] = curves
        found[f"{name}_trivial"] = diagnosis.trivial_score(
            val_y, "sparse_categorical_crossentropy"
        )
    np.savez_compressed(CURVES, **found)


def digits():
    """An MLP: its size, optimizer, rate and what it does against overfitting."""
    import keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    def build(hp):
        units, layers = hp.Choice("units", [8, 64, 256]), hp.Int("layers", 1, 3)
        dropout = hp.Float("dropout", 0.0, 0.6)
        hidden = []
        for _ in range(layers):
            hidden += [
                keras.layers.Dense(units, "relu"),
                keras.layers.Dropout(dropout),
            ]
        return compiled(
            hp, [keras.Input((64,)), *hidden, keras.layers.Dense(10, "softmax")]
        )

    x, y = load_digits(return_X_y=True)
    data = train_test_split(
        (x / 16).astype("float32"), y, test_size=0.3, random_state=0
    )
    return "digits", build, data, DIGITS_EPOCHS, 300


def questions(folder):
    """A text CNN on the first 2,000 questions of TREC."""
    import keras
    from sklearn.model_selection import train_test_split

    from benchmarks import text_classification

    labels, texts = text_classification.read(folder / "trec_train.tsv")
    labels, texts = labels[:2000], texts[:2000]
    words = sorted({token for tokens in texts for token in tokens})
    numbers = {word: number + 1 for number, word in enumerate(words)}
    rows = np.zeros((len(texts), 16), "int32")
    for row, tokens in zip(rows, texts, strict=True):
        found = [numbers[token] for token in tokens[:16]]
        row[: len(found)] = found
    classes = np.unique(labels, return_inverse=True)[1]

    def build(hp):
        filters = hp.Choice("filters", [8, 64])
        layers = [
            keras.Input((16,), dtype="int32"),
            keras.layers.Embedding(len(words) + 1, 32),
            keras.layers.Conv1D(filters, 3, activation="relu"),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dropout(hp.Float("dropout", 0.0, 0.6)),
            keras.layers.Dense(6, "softmax"),
        ]
        return compiled(hp, layers)

    data = train_test_split(rows, classes, test_size=0.3, random_state=0)
    return "questions", build, data, TEXT_EPOCHS, 200


def compiled(hp, layers):
    import keras

    from keras_tricks.schedules import WarmupPolynomialDecay

    model = keras.Sequential(layers)
    rate = hp.Float("rate", 1e-5, 3.0, sampling="log")
    if hp.Boolean("decays"):
        rate = WarmupPolynomialDecay(rate, 1600, 80, join="shift")
    kind = hp.Choice("optimizer", ["sgd", "adam"])
    optimizer = (
        keras.optimizers.Adam(rate)
        if kind == "adam"
        else keras.optimizers.SGD(rate, 0.9)
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


if __name__ == "__main__":
    main()
