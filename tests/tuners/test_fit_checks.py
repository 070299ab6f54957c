"""Arguments of `fit` by which every trial would fail: refused before the first one."""

import keras
import numpy as np
import pytest

from keras_tricks import tuners
from tests.tuners import toys

WRONG = {
    "epochs": [None, float("nan"), "abc", [1], 0, -1, 2.5, 10**400, True],
    "batch_size": [0, -1, "a", float("nan"), 2.5, 10**400],
    "validation_split": [float("inf"), 1.0, -0.1, True, "0.5", 10**400],
    "initial_epoch": ["a", -1, None, 5],
    "steps_per_epoch": ["a", -1, 0],
    "validation_steps": ["a", 0],
    "validation_batch_size": [0, "a"],
    "validation_freq": [0, "a", None],
    "callbacks": [5, "a", [None], keras.callbacks.History],
    "class_weight": ["a", [1.0, 2.0]],
}


@pytest.mark.parametrize("name", WRONG)
def test_they_are_refused_by_name(name, tmp_path):
    tuner = tuners.RandomSearch(
        toys.build, "val_loss", max_trials=2, directory=tmp_path
    )
    data = {**toys.toy_data(), "verbose": 0}
    for value in WRONG[name]:
        with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
            tuner.search(**{**data, name: value})
    assert not tuner.oracle.trials


def test_what_fit_takes_is_taken(tmp_path):
    """NumPy's numbers, None where that is a default, one callback alone."""
    tuner = tuners.RandomSearch(
        toys.build, "val_loss", max_trials=1, directory=tmp_path
    )
    given = {
        "epochs": np.int64(3),
        "initial_epoch": 1,
        "batch_size": None,
        "validation_split": None,
        "steps_per_epoch": None,
        "validation_freq": 1,
        "callbacks": keras.callbacks.TerminateOnNaN(),
        "class_weight": {0: 1.0, 1: 2.0},
    }
    tuner.search(**{**toys.toy_data(), **given}, verbose=0)
    [curves] = tuner.curves(tuner.leaderboard()["trial_id"][0])
    assert len(curves["loss"]) == 2


@pytest.mark.parametrize("name", ["optimizer", "distribution_strategy"])
@pytest.mark.parametrize(
    "wrong", [5, [], object(), True], ids=["a number", "a list", "an object", "a bool"]
)
def test_tuners_refuse_what_no_trial_could_use(name, wrong, tmp_path):
    with pytest.raises(TypeError, match=f"`{name}` must be"):
        tuners.RandomSearch(toys.build, "val_loss", directory=tmp_path, **{name: wrong})


@pytest.mark.parametrize("wrong", [-1, 0, True, None, 10**400, "a", 1.5])
def test_best_settings_of_no_number_of_trials(wrong, tmp_path):
    tuner = tuners.RandomSearch(toys.build, "val_loss", directory=tmp_path)
    with pytest.raises((TypeError, ValueError), match="`num_trials` must be"):
        tuner.get_best_hyperparameters(wrong)
