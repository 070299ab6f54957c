"""Roles: what is fixed stays fixed, what is asked is compared fairly."""

import collections

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks.analysis import compare
from keras_tricks.analysis import summarize
from keras_tricks.tuners import BayesianOptimization
from keras_tricks.tuners import CoarseToFine
from keras_tricks.tuners import GridSearch
from keras_tricks.tuners import Hyperband
from keras_tricks.tuners import OptunaSearch
from keras_tricks.tuners import QuasiRandomSearch
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.results.saved_search import SavedSearch

OBJECTIVE = keras_tuner.Objective("val_loss", "min")
ROLES = {
    "scientific": ["optimizer"],
    "nuisance": ["rate"],
    "fixed": {"dropout": 0.25, "momentum": 0.7},
}


class Space(keras_tuner.HyperModel):
    def build(self, hp):
        optimizer = hp.Choice("optimizer", ["adam", "sgd", "rmsprop"])
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        self.dropouts.append(hp.Float("dropout", 0.0, 0.5))
        with hp.conditional_scope("optimizer", ["sgd"]):
            if optimizer == "sgd":
                self.momenta.append(hp.Float("momentum", 0.0, 0.8))
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        return {"val_loss": hp.get("rate") + (hp.get("optimizer") == "sgd")}

    def __init__(self):
        super().__init__()
        self.dropouts, self.momenta = [], []


def searched(tuner_class, folder, roles=ROLES, **arguments):
    space = Space()
    tuner = tuner_class(
        space, objective=OBJECTIVE, seed=0, directory=folder, roles=roles, **arguments
    )
    # What exploring the space asked for had its default.
    space.dropouts.clear()
    space.momenta.clear()
    tuner.search(verbose=0)
    return space, tuner


@pytest.mark.parametrize(
    ("tuner_class", "arguments"),
    [
        (RandomSearch, {"max_trials": 9}),
        (QuasiRandomSearch, {"max_trials": 9}),
        (BayesianOptimization, {"max_trials": 9}),
        (GridSearch, {"max_trials": 40}),
        (OptunaSearch, {"max_trials": 9}),
        (Hyperband, {"max_epochs": 4}),
    ],
)
def test_what_is_fixed_is_so_in_every_trial(tuner_class, arguments, tmp_path):
    """Oracle: what the hypermodel itself was given."""
    space, tuner = searched(tuner_class, tmp_path, **arguments)
    assert set(space.dropouts) == {0.25}
    assert set(space.momenta) == {0.7}
    table = tuner.leaderboard()
    assert set(table["dropout"]) == {0.25}
    assert set(table.loc[table["optimizer"] == "sgd", "momentum"]) == {0.7}
    assert table["momentum"].isna().sum() == (table["optimizer"] != "sgd").sum()


def test_rounds_have_what_is_fixed(tmp_path):
    arguments = {"rounds": 2, "trials_per_round": 6}
    _, tuner = searched(CoarseToFine, tmp_path, **arguments)
    assert set(tuner.leaderboard()["dropout"]) == {0.25}


def test_what_is_fixed_opens_what_depends_on_it(tmp_path):
    """Its default has one layer."""

    class Deep(keras_tuner.HyperModel):
        def build(self, hp):
            for number in range(hp.Int("layers", 1, 4)):
                hp.Int(f"units_{number}", 8, 64)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            return {"val_loss": hp.get("units_2")}

    tuner = RandomSearch(
        Deep(),
        OBJECTIVE,
        max_trials=5,
        seed=0,
        directory=tmp_path,
        roles={"fixed": {"layers": 3}},
    )
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert names == {"layers", "units_0", "units_1", "units_2"}
    tuner.search(verbose=0)
    assert tuner.leaderboard()["units_2"].nunique() > 1


def test_workers_have_what_is_fixed(tmp_path):
    tuner = RandomSearch(
        Space(), OBJECTIVE, max_trials=6, seed=0, directory=tmp_path, roles=ROLES
    )
    tuner.search(verbose=0, workers=2)
    assert set(tuner.leaderboard()["dropout"]) == {0.25}


@pytest.mark.parametrize("max_trials", [9, 30, 31])
def test_each_value_has_as_many_trials_and_fills_the_rest_evenly(tmp_path, max_trials):
    _, tuner = searched(QuasiRandomSearch, tmp_path, max_trials=max_trials)
    table = tuner.leaderboard()
    counts = collections.Counter(table["optimizer"])
    assert max(counts.values()) - min(counts.values()) <= 1
    for _, rows in table.groupby("optimizer"):
        places = np.sort((np.log10(rows["rate"].to_numpy(float)) + 4) / 3)
        # No gap of more than a few times the mean one, as random points have them.
        assert np.diff([0.0, *places, 1.0]).max() < 3 / len(places)


def test_two_scientific_hyperparameters_are_crossed(tmp_path):
    class Two(Space):
        def build(self, hp):
            hp.Boolean("norm")
            return super().build(hp)

    tuner = QuasiRandomSearch(
        Two(),
        OBJECTIVE,
        max_trials=24,
        seed=0,
        directory=tmp_path,
        roles={"scientific": ["optimizer", "norm"]},
    )
    tuner.search(verbose=0)
    table = tuner.leaderboard()
    assert set(table.groupby(["optimizer", "norm"]).size()) == {4}


def test_a_small_space_is_searched_to_its_end(tmp_path):
    class Small(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Choice("optimizer", ["adam", "sgd"])
            hp.Int("layers", 1, 3)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            return {"val_loss": hp.get("layers")}

    tuner = QuasiRandomSearch(
        Small(),
        OBJECTIVE,
        max_trials=20,
        seed=0,
        directory=tmp_path,
        roles={"scientific": ["optimizer"]},
    )
    tuner.search(verbose=0)
    table = tuner.leaderboard()
    assert len(table) == 6
    assert len(table[["optimizer", "layers"]].drop_duplicates()) == 6


def test_the_record_keeps_them_and_the_analysis_asks_them(tmp_path):
    _, tuner = searched(QuasiRandomSearch, tmp_path, max_trials=30)
    assert SavedSearch.read(tuner.project_dir).roles == ROLES == tuner.roles
    assert compare(tuner).hyperparameter == "optimizer"
    assert compare(tuner.project_dir).hyperparameter == "optimizer"
    assert list(summarize(tuner).comparisons) == ["optimizer"]


def test_a_search_goes_on_with_other_words_but_not_with_other_values(tmp_path):
    searched(RandomSearch, tmp_path, max_trials=3)
    other = {**ROLES, "scientific": ["rate"], "nuisance": ["optimizer"]}
    _, tuner = searched(RandomSearch, tmp_path, roles=other, max_trials=5)
    assert len(tuner.leaderboard()) == 5
    assert SavedSearch.read(tuner.project_dir).roles["scientific"] == ["rate"]
    with pytest.raises(ValueError, match="hyperparameter 'dropout'"):
        searched(RandomSearch, tmp_path, roles={"fixed": {"dropout": 0.1}})


@pytest.mark.parametrize(
    ("roles", "error", "words"),
    [
        ([], TypeError, "must be a dictionary"),
        ({"scientific": "rate"}, TypeError, "lists of names"),
        ({"sientific": ["rate"]}, ValueError, "lists of names"),
        ({"scientific": [1]}, ValueError, "lists of names"),
        ({"fixed": ["rate"]}, TypeError, "values by name"),
        ({"fixed": {"rate": None}}, ValueError, "None for 'rate'"),
        ({"scientific": ["rate"], "fixed": {"rate": 1.0}}, ValueError, "'rate' more"),
    ],
)
def test_wrong_roles_are_refused(tmp_path, roles, error, words):
    with pytest.raises(error, match=words):
        RandomSearch(Space(), OBJECTIVE, directory=tmp_path, roles=roles)
    assert not [*tmp_path.iterdir()]


def test_a_misspelled_name_is_refused_before_the_first_trial(tmp_path):
    roles = {"scientific": ["optimiser"]}
    with pytest.raises(ValueError, match="did you mean 'optimizer'"):
        searched(RandomSearch, tmp_path, roles=roles)


def test_a_name_that_nobody_asked_for_is_told(tmp_path):
    with pytest.warns(UserWarning, match="no trial has asked for: 'batch'"):
        searched(RandomSearch, tmp_path, roles={"nuisance": ["batch"]}, max_trials=2)


LATE = {"fixed": {"momentum": 0.5}}


class Late(keras_tuner.HyperModel):
    """Asks for the momentum in some trials only, and in no scope."""

    def __init__(self):
        super().__init__()
        self.momenta = []

    def build(self, hp):
        if hp.Choice("optimizer", ["adam", "sgd"]) == "sgd":
            self.momenta.append(hp.Float("momentum", 0.0, 0.9))
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        return {"val_loss": 1.0}


@pytest.mark.parametrize(
    "tuner_class", [RandomSearch, QuasiRandomSearch, BayesianOptimization, OptunaSearch]
)
@pytest.mark.parametrize("tunes", [True, False])
def test_what_only_trials_ask_for_is_fixed(tuner_class, tunes, tmp_path):
    space = Late()
    known = None if tunes else keras_tuner.HyperParameters()
    if known is not None:
        known.Choice("optimizer", ["adam", "sgd"])
    tuner = tuner_class(
        space,
        objective=OBJECTIVE,
        max_trials=6,
        seed=0,
        directory=tmp_path,
        roles=LATE,
        hyperparameters=known,
        tune_new_entries=tunes,
        max_retries_per_trial=0,
    )
    tuner.search(verbose=0)
    assert set(space.momenta) == {0.5}


def test_workers_have_what_only_trials_ask_for(tmp_path):
    tuner = RandomSearch(
        Late(), OBJECTIVE, max_trials=6, seed=0, directory=tmp_path, roles=LATE
    )
    tuner.search(verbose=0, workers=2)
    table = tuner.leaderboard()
    assert set(table.loc[table["optimizer"] == "sgd", "momentum"]) == {0.5}


@pytest.mark.parametrize(
    "fixed",
    [
        {"optimizer": "rmsprop2"},
        {"optimizer": 1},
        {"rate": 2.0},
        {"rate": "0.01"},
        {"rate": float("nan")},
        {"dropout": True},
    ],
)
def test_a_value_out_of_its_range_is_refused(tmp_path, fixed):
    with pytest.raises(ValueError, match="`roles` must fix"):
        searched(RandomSearch, tmp_path, roles={"fixed": fixed})


def test_a_whole_number_is_a_float_where_one_is_asked_for(tmp_path):
    space, tuner = searched(
        RandomSearch,
        tmp_path,
        roles={"fixed": {"dropout": 0, "rate": np.float32(0.01)}},
        max_trials=2,
    )
    assert {type(value) for value in space.dropouts} == {float}
    assert tuner.leaderboard()["rate"][0] == pytest.approx(0.01)


def test_further_layers_may_have_roles(tmp_path):
    class Deep(keras_tuner.HyperModel):
        def build(self, hp):
            for number in range(hp.Int("layers", 1, 3)):
                hp.Int(f"units_{number}", 8, 64)
            return keras.Sequential()

        def fit(self, hp, model, *args, **kwargs):
            return {"val_loss": hp.get("layers")}

    tuner = RandomSearch(
        Deep(),
        OBJECTIVE,
        max_trials=6,
        seed=0,
        directory=tmp_path,
        roles={"fixed": {"units_2": 32}},
    )
    tuner.search(verbose=0)
    table = tuner.leaderboard()
    assert set(table.loc[table["layers"] == 3, "units_2"]) == {32}
