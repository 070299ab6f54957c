"""Forecasts the next day of a series, beside forecasts that need no training.

The series is generated, not measured: the demand for electricity, every three hours, of
a town that sleeps at night, works five days of seven, and has weather that changes
slowly. The settings of `HyperRNN` are searched over folds that go forward in time. The
best forecast is measured on the last weeks, which the search never saw, beside the
naive forecast (the last value) and seasonal ones (the day before, the week before).
"""

import command_line

# Options are read before TensorFlow loads, so that a bad one is told at once.
if __name__ == "__main__":
    OPTIONS = command_line.parse(
        __doc__, trials=6, epochs=10, seed=0, output="runs/forecast"
    )

import keras
import keras_tuner
import matplotlib
import numpy as np
import rich.console
import rich.table
from sklearn.model_selection import TimeSeriesSplit

from keras_tricks.hypermodels import HyperRNN
from keras_tricks.tuners import RandomSearch

matplotlib.use("Agg")  # Draws to files, so that no screen is needed.
import matplotlib.pyplot as plt

DAY = 8  # Steps of three hours.
DAYS, TEST_DAYS = 238, 42
WINDOW, HORIZON = 2 * DAY, DAY  # What a forecast is made from, and how far it reaches.
# With as many windows between, no step is in two parts.
GAP = WINDOW + HORIZON - 1
DEMAND = 0  # Its place among the features.


def main(options) -> None:
    x, y = windows(*generated_series())
    num_test = TEST_DAYS * DAY
    test = x[-num_test:], y[-num_test:]
    train = x[: -num_test - GAP], y[: -num_test - GAP]
    print(f"{len(train[0])} windows to learn from, {num_test} to be measured on")

    hypermodel = HyperRNN(
        WINDOW,
        num_features=x.shape[2],
        task="regression",
        num_outputs=HORIZON,
        epochs=options.epochs,
    )
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Fixed("bidirectional", False)  # Twice as quick.
    tuner = RandomSearch(
        hypermodel,
        objective="val_loss",
        max_trials=options.trials,
        seed=options.seed,
        hyperparameters=hyperparameters,
        splits=TimeSeriesSplit(2, gap=GAP, test_size=num_test),
        preprocess=standardization,
        directory=options.output,
        project_name="search",
        overwrite=True,
    )
    tuner.search(*train)
    tuner.leaderboard().to_csv(options.output / "leaderboard.csv", index=False)
    [best] = tuner.get_best_hyperparameters(1)
    print("Best settings:")
    for name, value in best.values.items():
        print(f"  {name} = {format(value, '.4g') if type(value) is float else value}")

    keras.utils.set_random_seed(options.seed)
    standardized = standardization(train[0])
    model = hypermodel.build(best)
    hypermodel.fit(best, model, standardized(train[0]), train[1], verbose=0)
    forecasts = {
        "HyperRNN": model.predict(standardized(test[0]), verbose=0),
        "the day before": test[0][:, -DAY:, DEMAND],
        "the week before": y[-num_test - 7 * DAY : -7 * DAY],
        "the last value": np.repeat(test[0][:, -1:, DEMAND], HORIZON, axis=1),
    }
    print_errors(forecasts, test[1])
    plot(forecasts, test[1], options.output / "forecast.png")
    for name in ("leaderboard.csv", "forecast.png"):
        print(f"Wrote {options.output / name}")


def generated_series():
    """Returns the features of each step, and the demand in megawatts."""
    random = np.random.default_rng(0)
    steps = np.arange(DAYS * DAY)
    phase = 2 * np.pi * steps / DAY
    is_weekend = steps // DAY % 7 >= 5
    weather = np.zeros(len(steps))
    for step in steps[1:]:
        weather[step] = 0.97 * weather[step - 1] + 1.5 * random.normal()
    daily = 12 * np.sin(phase - 2) + 5 * np.sin(2 * phase)
    demand = 100 + daily * np.where(is_weekend, 0.5, 1.0) - 12 * is_weekend
    demand = demand + weather + random.normal(scale=1.5, size=len(steps))
    # The calendar is known ahead: a step tells whether it is a weekend a day later.
    tomorrow = (steps // DAY + 1) % 7 >= 5
    features = np.stack([demand, np.sin(phase), np.cos(phase), tomorrow], axis=1)
    return features.astype("float32"), demand.astype("float32")


def windows(features, demand):
    """Returns all windows, and the steps that follow each: arrays with rows."""
    # The targets of the window that begins at step 0, at step 1, and so on.
    targets = np.lib.stride_tricks.sliding_window_view(demand[WINDOW:], HORIZON)
    [(x, y)] = keras.utils.timeseries_dataset_from_array(
        features, targets, sequence_length=WINDOW, batch_size=len(targets)
    )
    return x.numpy(), y.numpy()


def standardization(x):
    """Returns what standardizes windows by the mean and deviation of these."""
    mean, deviation = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
    return lambda windows: (windows - mean) / deviation


def print_errors(forecasts, truth):
    table = rich.table.Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("forecast", "RMSE in MW", "MAE in MW", "first step", "last step"):
        table.add_column(heading, justify="left" if heading == "forecast" else "right")
    for name, forecast in forecasts.items():
        error = forecast - truth
        first, *_, last = np.sqrt(np.mean(error**2, axis=0))
        numbers = np.sqrt(np.mean(error**2)), np.abs(error).mean(), first, last
        table.add_row(name, *(f"{number:.2f}" for number in numbers))
    print("Errors on the last weeks (the last two columns: RMSE of that step):")
    rich.console.Console().print(table)


def plot(forecasts, truth, path):
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    days = range(0, 7 * DAY, HORIZON)  # One forecast a day, each where the last ends.
    for name, values in {"demand": truth, **forecasts}.items():
        line = np.concatenate([values[day] for day in days])
        axes.plot(line, label=name, color="black" if name == "demand" else None)
    axes.set(
        title="A week of the test, forecast day by day",
        xlabel="step of three hours",
        ylabel="demand (MW)",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(OPTIONS)
