"""Finds the settings of a network for a table, and writes one file that takes tables.

Searches the space of `HyperTable` on scikit-learn's bundled diabetes table (442 rows
of ten numbers; how far the disease goes on in a year), and measures the best model on
rows that the search never saw, beside ridge regression and boosted trees at their
defaults.
"""

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__, trials=16, epochs=40, seed=0, output="runs/tune_regression"
    )

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.metrics import r2_score
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

from keras_tricks.hypermodels import HyperTable
from keras_tricks.tuners import RandomSearch

SPLIT_SEED = 0


def main(options) -> None:
    # A frame in the units of the clinic, with a column of two kinds of people.
    data = load_diabetes(as_frame=True, scaled=False)
    table, target = data.data.replace({"sex": {1: "A", 2: "B"}}), data.target
    rows, test = train_test_split(table.index, test_size=0.2, random_state=SPLIT_SEED)
    train, validation = train_test_split(rows, test_size=0.25, random_state=SPLIT_SEED)

    hypermodel = HyperTable(table.loc[rows], task="regression", epochs=options.epochs)
    print(
        "Columns:",
        ", ".join(f"{each.name} ({each.kind})" for each in hypermodel.columns),
    )
    tuner = RandomSearch(
        hypermodel,
        objective="val_rmse",
        max_trials=options.trials,
        seed=options.seed,
        directory=options.output,
        project_name="search",
        overwrite=True,
    )
    tuner.search(
        table.loc[train],
        target[train],
        validation_data=(table.loc[validation], target[validation]),
    )
    tuner.leaderboard().to_csv(options.output / "leaderboard.csv", index=False)

    [best] = tuner.get_best_hyperparameters(1)
    print("Best settings:")
    for name, value in best.values.items():
        print(f"  {name} = {format(value, '.4g') if type(value) is float else value}")

    # The weights of its best epoch: the last one has learned these few rows by heart.
    [model] = tuner.get_best_models(1)
    hypermodel.predictor(model).save(options.output / "predictor.keras")

    # What is written is what is measured.
    predictor = keras.models.load_model(options.output / "predictor.keras")
    predicted = {"HyperTable": predictor.predict(table.loc[test], verbose=0).ravel()}
    numbers = table.assign(sex=table["sex"] == "A").astype(float)
    for name, other in (
        ("Ridge", Ridge()),
        ("boosted trees", HistGradientBoostingRegressor(random_state=options.seed)),
    ):
        other.fit(numbers.loc[rows], target[rows])
        predicted[name] = other.predict(numbers.loc[test])
    predicted["mean"] = np.full(len(test), target[rows].mean())
    print(f"On {len(test)} rows that the search never saw:")
    print(scores(target[test], predicted).to_string(float_format="{:.3g}".format))
    for name in ("leaderboard.csv", "predictor.keras"):
        print(f"Wrote {options.output / name}")


def scores(target, predicted):
    measures = {
        "RMSE": root_mean_squared_error,
        "MAE": mean_absolute_error,
        "R2": r2_score,
    }
    return pd.DataFrame(
        {
            measure: {name: function(target, y) for name, y in predicted.items()}
            for measure, function in measures.items()
        }
    )


if __name__ == "__main__":
    main(OPTIONS)
