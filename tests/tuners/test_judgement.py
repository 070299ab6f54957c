"""What counts as a result, and what is refused before it costs time."""

import json

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_tricks.tuners import BayesianOptimization
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.trials import objectives
from tests.tuners import toys

FatalValueError = keras_tuner.errors.FatalValueError


class Corners(toys.Scored):
    """Eight points: 2 x 2 x 2, one of them behind a condition."""

    def build(self, hp):
        hp.Boolean("a")
        hp.Choice("b", ["x", "y"])
        hp.Int("c", 1, 2)
        return keras.Sequential()


@pytest.mark.parametrize("tuner_class", [RandomSearch, BayesianOptimization])
@pytest.mark.parametrize("seed", [0, 1])
def test_eight_points_are_exhausted_in_eight_trials(tuner_class, seed, tmp_path):
    hypermodel = Corners(float)
    tuner = tuner_class(hypermodel, max_trials=20, seed=seed, directory=tmp_path)
    tuner.search(verbose=0)
    table = tuner.leaderboard()
    assert hypermodel.fits == 8
    assert len(table[["a", "b", "c"]].drop_duplicates()) == 8


def compiled(**arguments):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    return model


@pytest.mark.parametrize(
    "metrics",
    [
        None,
        ["mae"],
        ["acc", "MeanSquaredError"],
        [keras.metrics.MeanAbsoluteError(name="q"), "accuracy"],
    ],
)
def test_what_fit_will_log_is_known_when_the_model_is_compiled(metrics):
    """Every name that it logs, and at most another name of the same metric."""
    model = compiled(metrics=metrics)
    known = objectives.compiled_names(model)
    logged = set(model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0).history)
    assert logged <= known
    assert len(known) <= 2 * len(logged)


class Own(keras.Model):
    def train_step(self, data):
        return {"mine": 1.0}


def test_what_a_training_step_of_its_own_logs_is_not_known():
    inputs = keras.Input((4,))
    model = Own(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    assert objectives.compiled_names(model) is None


def tuner_for(objective, directory, build=lambda hp: compiled(), **arguments):
    def built(hp):
        hp.Float("x", 0.0, 1.0)
        return build(hp)

    return RandomSearch(
        built, objective, max_trials=2, seed=0, directory=directory, **arguments
    )


DATA = {key: toys.toy_data()[key] for key in ("x", "y")}
ACCURACY = keras_tuner.Objective("accuracy", "max")


def test_an_objective_without_validation_data_is_refused_first(tmp_path):
    tuner = tuner_for("val_loss", tmp_path)
    with pytest.raises(ValueError, match="'val_loss' needs `validation_data`"):
        tuner.search(**DATA, verbose=0)
    assert not list(tmp_path.glob("*/trial_*"))
    tuner.search(**DATA, validation_split=0.5, verbose=0)
    assert len(tuner.leaderboard()) == 2


def test_an_objective_that_is_not_compiled_is_refused_before_training(tmp_path):
    epochs = []
    callback = keras.callbacks.History()
    tuner = tuner_for(ACCURACY, tmp_path)
    tuner.on_epoch_end = lambda *args, **kwargs: epochs.append(args)
    with pytest.raises(FatalValueError, match=r"fit logs: 'loss'\. Received") as caught:
        tuner.search(**DATA, verbose=0, callbacks=[callback])
    assert "objective='accuracy'" in str(caught.value)
    assert epochs == []
    assert tuner._ended_records() == []


def test_an_objective_that_is_never_logged_ends_the_first_epoch(tmp_path):
    """A training step of its own logs what only it knows."""

    def build(hp):
        inputs = keras.Input((4,))
        model = Own(inputs, keras.layers.Dense(1)(inputs))
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    tuner = tuner_for(ACCURACY, tmp_path, build)
    with pytest.raises(FatalValueError, match="fit logs: 'mine'"):
        tuner.search(**DATA, epochs=50, verbose=0)
    assert tuner._ended_records() == []
    (path,) = tmp_path.glob("*/trial_*/trial.json")
    assert json.loads(path.read_text())["status"] == "RUNNING"


def test_the_mended_objective_takes_the_same_folder(tmp_path):
    with pytest.raises(FatalValueError, match="fit logs"):
        tuner_for(ACCURACY, tmp_path).search(**DATA, verbose=0)
    tuner = tuner_for("loss", tmp_path)
    tuner.search(**DATA, verbose=0)
    assert len(tuner.leaderboard()) == 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("too much"),
        type("ArrayMemoryError", (MemoryError,), {})("an array of 8 TiB"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
    ],
)
def test_a_trial_without_memory_is_infeasible_and_tells_the_batch_size(error, tmp_path):
    tuner = RandomSearch(
        toys.Scored([error, 1.0].__getitem__),
        max_trials=2,
        max_retries_per_trial=2,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(batch_size=4096, verbose=0)
    assert tuner.leaderboard()["status"].tolist() == ["COMPLETED", "INFEASIBLE"]
    record = tuner._ended_records()[0]
    assert record.error.startswith("Out of memory with a batch size of 4096: ")
    assert type(error).__name__ in record.error


def test_the_errors_of_all_attempts_are_kept(tmp_path):
    errors = [ValueError("one"), KeyError("two"), ValueError("one"), 1.0]
    tuner = RandomSearch(
        toys.Scored(errors.__getitem__),
        max_trials=1,
        max_retries_per_trial=3,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    (record,) = tuner._ended_records()
    assert record.error is None
    assert record.earlier_errors == ["ValueError: one", "KeyError: 'two'"]
