"""Objectives whose direction KerasTuner does not know, but their name tells."""

import keras_tuner
import pytest

from keras_tricks import tuners
from tests.tuners import toys

TUNERS = {
    "RandomSearch": tuners.RandomSearch,
    "BayesianOptimization": tuners.BayesianOptimization,
    "Hyperband": tuners.Hyperband,
    "OptunaSearch": tuners.OptunaSearch,
}


def made(tuner, objective, folder):
    limit = {} if tuner == "Hyperband" else {"max_trials": 1}
    return TUNERS[tuner](toys.build, objective, directory=folder, **limit)


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize(
    ("objective", "direction"),
    [
        ("val_r2", "max"),
        ("val_rmse", "min"),
        ("val_macro_f1", "max"),
        ("val_mae", "min"),
    ],
)
def test_a_known_name_tells_the_direction(tuner, objective, direction, tmp_path):
    found = made(tuner, objective, tmp_path).oracle.objective
    assert (found.name, found.direction) == (objective, direction)


def test_each_of_several_has_its_own(tmp_path):
    found = made("RandomSearch", ["val_r2", "val_loss"], tmp_path).oracle.objective
    assert found.name_to_direction == {"val_r2": "max", "val_loss": "min"}


def test_what_was_said_is_not_corrected(tmp_path):
    said = keras_tuner.Objective("val_r2", "min")
    assert made("RandomSearch", said, tmp_path).oracle.objective.direction == "min"


def test_a_name_that_tells_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must tell its direction .*val_mine"):
        made("RandomSearch", "val_mine", tmp_path)
