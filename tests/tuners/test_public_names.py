"""What a tuner shows beside KerasTuner's own names: its results and its options."""

import keras_tuner
import pytest

from keras_tricks import tuners
from tests.tuners import toys

RESULTS = {
    "confirm",
    "curves",
    "leaderboard",
    "note",
    "pareto_front",
    "programs",
    "roles",
}
OPTIONS = {"options"}
# Beyond these, of each tuner.
FURTHER = {
    "BayesianOptimization": set(),
    "GridSearch": set(),
    "Hyperband": set(),
    "OptunaSearch": {"study"},
    "QuasiRandomSearch": set(),
    "RandomSearch": set(),
}


@pytest.mark.parametrize("name", FURTHER)
def test_internals_begin_with_an_underscore(name, tmp_path):
    own = getattr(tuners, name)(toys.Scored(float), directory=tmp_path / "own")
    base = keras_tuner.RandomSearch(toys.Scored(float), directory=tmp_path / "base")
    shown = {each for each in {*dir(own)} - {*dir(base)} if not each.startswith("_")}
    assert shown == RESULTS | OPTIONS | FURTHER[name]
