"""Quasi-random points: scipy's own, mapped through the hyperparameters' scales."""

import keras
import keras_tuner
import numpy as np
import pytest
from scipy.stats import qmc

from keras_tricks.tuners import QuasiRandomSearch
from keras_tricks.tuners import seeds
from tests.tuners import toys


def engine_class(sequence):
    return {"sobol": qmc.Sobol, "halton": qmc.Halton}[sequence]


def unit_cube(sequence, count, seed=7):
    """The sequence as scipy draws it, point by point."""
    generator = np.random.default_rng(seeds.derived_seed(seed, "sequence"))
    engine = engine_class(sequence)(64, scramble=True, seed=generator)
    return np.concatenate([engine.random(1) for _ in range(count)])


class Scales(keras_tuner.HyperModel):
    def build(self, hp):
        # Not in the order of their names, which is that of the coordinates.
        hp.Float("c", 1e-4, 1.0, sampling="log")
        hp.Int("b", 3, 7)
        hp.Choice("a", ["x", "y", "z"])
        hp.Fixed("aa", 5)
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        return 0.0


def points(tuner):
    trials = sorted(tuner.oracle.trials.values(), key=lambda t: int(t.trial_id))
    return [trial.hyperparameters.values for trial in trials]


def search(hypermodel, folder, **arguments):
    tuner = QuasiRandomSearch(hypermodel, seed=7, directory=folder, **arguments)
    tuner.search(verbose=0)
    return tuner


@pytest.mark.parametrize("sequence", ["sobol", "halton"])
def test_trial_i_has_scipys_point_i_on_the_spaces_scales(tmp_path, sequence):
    tuner = search(Scales(), tmp_path, max_trials=13, sequence=sequence)
    cube = unit_cube(sequence, 13)
    for values, (a, b, c) in zip(points(tuner), cube[:, :3], strict=True):
        assert values["a"] == "xyz"[int(3 * a)]
        assert values["b"] == 3 + int(5 * b)
        assert values["c"] == pytest.approx(10 ** (-4 + 4 * c), rel=1e-12)
        assert values["aa"] == 5


def test_the_first_points_leave_no_gap(tmp_path):
    """Of 16 points of Sobol's sequence each sixteenth of each range has one."""

    def build(hp):
        for name in "abc":
            hp.Float(name, 0.0, 16.0)
        return keras.Sequential()

    class Zero(QuasiRandomSearch):
        def run_trial(self, trial, **kwargs):
            return 0.0

    tuner = Zero(build, max_trials=16, seed=3, directory=tmp_path)
    tuner.search(verbose=0)
    for name in "abc":
        assert sorted(int(p[name]) for p in points(tuner)) == list(range(16))


def test_a_hyperparameter_that_appears_later_moves_no_other(tmp_path):
    """Its name is the first, but it takes the next coordinate."""

    class Growing(QuasiRandomSearch):
        def run_trial(self, trial, **kwargs):
            if int(trial.trial_id) >= 2:
                trial.hyperparameters.Float("a", 0.0, 1.0)
            return 0.0

    def build(hp):
        hp.Float("z", 0.0, 1.0)
        hp.Float("y", 0.0, 1.0)
        return keras.Sequential()

    tuner = Growing(build, max_trials=6, seed=7, directory=tmp_path)
    tuner.search(verbose=0)
    cube = unit_cube("sobol", 6)
    found = points(tuner)
    assert [p["y"] for p in found] == cube[:, 0].tolist()
    assert [p["z"] for p in found] == cube[:, 1].tolist()
    # Trial 2 had the default.
    assert [p.get("a") for p in found] == [None, None, 0.0, *cube[3:, 2].tolist()]


def test_an_inactive_hyperparameter_keeps_its_coordinate(tmp_path):
    class Conditional(Scales):
        def build(self, hp):
            hp.Choice("kind", ["one", "two"])
            with hp.conditional_scope("kind", ["two"]):
                hp.Float("a", 0.0, 1.0)
            hp.Float("z", 0.0, 1.0)
            return keras.Sequential()

    found = points(search(Conditional(), tmp_path, max_trials=8))
    cube = unit_cube("sobol", 8)  # a, kind, z
    assert [p["z"] for p in found] == cube[:, 2].tolist()
    for values, point in zip(found, cube, strict=True):
        assert values["kind"] == ("one" if point[1] < 0.5 else "two")
        assert values.get("a") == (None if point[1] < 0.5 else point[0])


def test_a_small_space_is_tried_in_the_sequences_order_until_none_is_left(tmp_path):
    class Small(Scales):
        def build(self, hp):
            hp.Choice("a", ["x", "y", "z"])
            hp.Boolean("b")
            return keras.Sequential()

    found = points(search(Small(), tmp_path, max_trials=50))
    expected = []
    for a, b in unit_cube("sobol", 500)[:, :2]:
        point = {"a": "xyz"[int(3 * a)], "b": bool(b >= 0.5)}
        if point not in expected:
            expected.append(point)
    assert len(found) == 6
    assert found == expected


def test_a_longer_search_begins_with_the_points_of_a_shorter_one(tmp_path):
    short = points(search(Scales(), tmp_path / "short", max_trials=5))
    long = points(search(Scales(), tmp_path / "long", max_trials=12))
    assert long[:5] == short


def test_an_unknown_sequence_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: sequence='grid'"):
        QuasiRandomSearch(toys.Scored(float), sequence="grid", directory=tmp_path)
