"""Test scores of `HyperTable` beside boosted trees and linear models, on small tables.

    python benchmarks/tables.py [--trials N] [--seeds N] [--epochs N]
                                [--tables NAME ...]

Three tables come with scikit-learn: diabetes (442 rows, a regression), wine (178, three
classes) and breast cancer (569, two classes). Three are made here, with noise: `smooth`
is a smooth function of six numbers, `steps` a sum of steps at thresholds of them, as
trees have it, and `categories` a product of hidden traits of two columns of 60 names
each, with numbers, a flag and gaps beside them.

Each method is tried at its defaults, and with as many settings drawn at random as any
other (`--trials`). All settings are judged on the same fifth of the training rows; a
quarter of the table is for the test. Trees and linear models are trained again on all
training rows with their best settings. A network is the best trial's, at its best
epoch: it never sees that fifth, and stops in time.
The score is R2 for regressions and else accuracy, both in percent; the mean over seeds,
each with a split of its own, and their standard deviation. Seconds are of one split, on
a machine that may do other work besides.
"""

import argparse
import collections
import functools
import os
import statistics
import tempfile
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Threads of OpenMP wait for each other where a machine has other work besides.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import keras_tuner
import numpy as np
import pandas as pd
import rich.console
import rich.table
import scipy.stats
from sklearn import compose
from sklearn import datasets
from sklearn import ensemble
from sklearn import impute
from sklearn import linear_model
from sklearn import metrics
from sklearn import model_selection
from sklearn import pipeline
from sklearn import preprocessing

from keras_tricks.hypermodels import HyperTable
from keras_tricks.tuners import RandomSearch

# The tables: from nothing to (frame, targets, number of classes or None).


def bundled(load, num_classes):
    def table():
        data = load(as_frame=True)
        return data.data, data.target.to_numpy(), num_classes

    return table


def numbers(random, rows):
    return pd.DataFrame(random.normal(size=(rows, 6)), columns=list("abcdef"))


def smooth():
    random = np.random.default_rng(0)
    x = numbers(random, 2000)
    y = np.sin(2 * x.a) + x.b * x.c + np.exp(-(x.d**2)) + 0.5 * x.e
    return x, y.to_numpy() + 0.3 * random.normal(size=len(x)), None


def steps():
    random = np.random.default_rng(1)
    x = numbers(random, 2000)
    y = sum(
        height * ((x[one] > at) & (x[other] > 0))
        for one, other, at, height in [
            *(("a", "b", -0.5, 2.0), ("b", "c", 0.3, -1.5), ("c", "a", 0.9, 3.0)),
            *(("d", "e", 0.0, 1.0), ("e", "d", -1.0, -2.0), ("f", "a", 1.2, 2.5)),
        ]
    )
    return x, y.to_numpy() + 0.3 * random.normal(size=len(x)), None


def categories():
    random = np.random.default_rng(2)
    rows, names = 3000, 60
    who, where = random.integers(names, size=(2, rows))
    traits = random.normal(size=(2, names, 2))
    x = pd.DataFrame(
        {
            "who": [f"person {number}" for number in who],
            "where": [f"place {number}" for number in where],
            "age": random.normal(40, 10, rows),
            "is_new": random.random(rows) < 0.3,
        }
    )
    y = (traits[0, who] * traits[1, where]).sum(axis=1) + 0.05 * (x.age - 40) * x.is_new
    x.loc[random.random(rows) < 0.1, "age"] = np.nan
    return x, y.to_numpy() + 0.3 * random.normal(size=rows), None


TABLES = {
    "diabetes": bundled(datasets.load_diabetes, None),
    "wine": bundled(datasets.load_wine, 3),
    "breast cancer": bundled(datasets.load_breast_cancer, 2),
    "smooth": smooth,
    "steps": steps,
    "categories": categories,
}


def percent(y, predicted, num_classes):
    score = metrics.r2_score if num_classes is None else metrics.accuracy_score
    return 100 * score(y, predicted)


# The methods: from the training rows, some of them for validation, to `predict`.


def boosting(x, num_classes, seed):
    """Returns a model and the space of its settings; categories are split as such."""
    names = columns_of_text(x)
    encoder = preprocessing.OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan
    )
    kind = ensemble.HistGradientBoostingClassifier
    if num_classes is None:
        kind = ensemble.HistGradientBoostingRegressor
    model = kind(categorical_features=list(range(len(names))), random_state=seed)
    return with_columns(model, (encoder, names), "passthrough"), {
        "model__learning_rate": scipy.stats.loguniform(0.01, 0.3),
        "model__max_leaf_nodes": scipy.stats.randint(4, 64),
        "model__min_samples_leaf": scipy.stats.randint(2, 50),
        "model__l2_regularization": scipy.stats.loguniform(1e-3, 10),
        "model__max_iter": scipy.stats.randint(50, 400),
    }


def linear(x, num_classes, seed):
    """Returns ridge or logistic regression; gaps are medians, categories one-hot."""
    encoder = preprocessing.OneHotEncoder(handle_unknown="ignore")
    scaled = pipeline.make_pipeline(
        impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler()
    )
    model, name = linear_model.LogisticRegression(max_iter=1000), "C"
    if num_classes is None:
        model, name = linear_model.Ridge(), "alpha"
    model = with_columns(model, (encoder, columns_of_text(x)), scaled)
    return model, {f"model__{name}": scipy.stats.loguniform(1e-3, 1e3)}


def with_columns(model, texts, rest):
    columns = compose.make_column_transformer(texts, remainder=rest, sparse_threshold=0)
    return pipeline.Pipeline([("columns", columns), ("model", model)])


def columns_of_text(x):
    return [name for name in x.columns if not pd.api.types.is_numeric_dtype(x[name])]


def scikit_learn(method, x, y, validation, num_classes, trials, seed):
    model, space = method(x, num_classes, seed)
    if trials:
        model = model_selection.RandomizedSearchCV(
            model,
            space,
            n_iter=trials,
            cv=[(np.flatnonzero(~validation), np.flatnonzero(validation))],
            random_state=seed,
        )
    return model.fit(x, y).predict


def networks(epochs, x, y, validation, num_classes, trials, seed):
    task = "regression" if num_classes is None else "classification"
    hypermodel = HyperTable(x, num_classes, task=task, epochs=epochs)
    if trials:
        with tempfile.TemporaryDirectory() as folder:
            model = best_model(hypermodel, x, y, validation, trials, seed, folder)
    else:
        keras.utils.set_random_seed(seed)
        hp = keras_tuner.HyperParameters()
        model = hypermodel.build(hp)
        hypermodel.fit(hp, model, x, y, verbose=0)
    predictor = hypermodel.predictor(model)
    if num_classes is None:
        return lambda x: predictor.predict(x, verbose=0)[:, 0]
    return predictor.classify


def best_model(hypermodel, x, y, validation, trials, seed, folder):
    objective = keras_tuner.Objective("val_accuracy", "max")
    if hypermodel.task == "regression":
        objective = keras_tuner.Objective("val_rmse", "min")
    tuner = RandomSearch(
        hypermodel, objective, max_trials=trials, seed=seed, directory=folder
    )
    tuner.search(
        x[~validation],
        y[~validation],
        validation_data=(x[validation], y[validation]),
        verbose=0,
    )
    return tuner.get_best_models(1)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=[*TABLES])
    options = parser.parse_args()
    # The solver of a logistic regression may stop early for settings that lose anyway.
    warnings.filterwarnings("ignore", module="sklearn")

    kinds = {
        "HyperTable": functools.partial(networks, options.epochs),
        "boosting": functools.partial(scikit_learn, boosting),
        "linear": functools.partial(scikit_learn, linear),
    }
    methods = {
        f"{name}, {f'{trials} settings' if trials else 'defaults'}": (kind, trials)
        for trials in dict.fromkeys((0, options.trials))
        for name, kind in kinds.items()
    }

    table = rich.table.Table(title="Test scores in percent (seconds a split)")
    table.add_column("method")
    found = collections.defaultdict(list)
    for name in options.tables:
        table.add_column(name, justify="right")
        x, y, num_classes = TABLES[name]()
        for seed in range(options.seeds):
            train, test = model_selection.train_test_split(
                np.arange(len(x)),
                test_size=0.25,
                random_state=seed,
                stratify=None if num_classes is None else y,
            )
            validation = np.random.default_rng(seed).permutation(len(train)) % 5 == 0
            for method, (fit, trials) in methods.items():
                started = time.perf_counter()
                predict = fit(
                    x.iloc[train], y[train], validation, num_classes, trials, seed
                )
                seconds = time.perf_counter() - started
                score = percent(y[test], predict(x.iloc[test]), num_classes)
                found[method, name].append((score, seconds))
                print(f"{name} seed {seed} {method}: {score:.1f} {seconds:.1f} s")
    for method in methods:
        table.add_row(method, *(cell(found[method, name]) for name in options.tables))
    rich.console.Console(width=120).print(table)


def cell(runs) -> str:
    scores, seconds = zip(*runs, strict=True)
    spread = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.1f}{spread} ({statistics.fmean(seconds):.0f})"


if __name__ == "__main__":
    main()
