"""Each point of the grid once, in KerasTuner's order, also after a break."""

import keras
import keras_tuner
import pytest

from keras_tricks.tuners import GridSearch
from keras_tricks.tuners.search_space import points
from tests import sampling
from tests.tuners import toys


class Conditional(keras_tuner.HyperModel):
    """Five points: two activations of a shallow model, three widths of a deep one."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.stop_after = stop_after
        self.fits = 0

    def build(self, hp):
        hp.Choice("kind", ["shallow", "deep"], default="deep")
        with hp.conditional_scope("kind", ["shallow"]):
            hp.Boolean("relu")
        with hp.conditional_scope("kind", ["deep"]):
            hp.Int("width", 10, 30, step=10, default=20)
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        if self.fits == self.stop_after:
            raise KeyboardInterrupt
        self.fits += 1
        return float(self.fits)


# By hand: defaults first, the last hyperparameter fastest.
POINTS = [
    {"kind": "deep", "width": 20},
    {"kind": "deep", "width": 10},
    {"kind": "deep", "width": 30},
    {"kind": "shallow", "relu": False},
    {"kind": "shallow", "relu": True},
]


def tried(tuner):
    trials = sorted(tuner.oracle.trials.values(), key=lambda t: int(t.trial_id))
    return [trial.hyperparameters.values for trial in trials]


def test_each_point_of_a_conditional_space_is_tried_once(tmp_path):
    tuner = GridSearch(Conditional(), seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    assert tried(tuner) == POINTS


@pytest.mark.parametrize("stop_after", range(5))
def test_a_resumed_search_goes_on_at_the_next_point(tmp_path, stop_after):
    """KerasTuner's ends at once: its place in the grid is not saved."""
    tuner = GridSearch(Conditional(stop_after), seed=0, directory=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(verbose=0)
    resumed = GridSearch(Conditional(), seed=0, directory=tmp_path)
    resumed.search(verbose=0)
    assert tried(resumed) == POINTS
    assert resumed.hypermodel.fits == 5 - stop_after


def test_the_order_is_kerastuners(tmp_path):
    """Ranges with and without steps, of any scale: 11 * 3 * 2 points."""

    def build(hp):
        hp.Float("rate", 1e-4, 1.0, sampling="log")
        hp.Int("units", 2, 8, step=2, sampling="log", default=4)
        hp.Boolean("bias", default=True)
        return keras.Sequential()

    class Stock(keras_tuner.GridSearch):
        def run_trial(self, trial, **kwargs):
            return 0.0

    class Ours(GridSearch):
        def run_trial(self, trial, **kwargs):
            return 0.0

    found = []
    for tuner_class in (Stock, Ours):
        tuner = tuner_class(build, directory=tmp_path / tuner_class.__name__)
        tuner.search(verbose=0)
        found.append(tried(tuner))
    stock, ours = found
    assert len(stock) == 66
    assert ours == stock


def test_a_hyperparameter_that_a_trial_adds_joins_the_grid(tmp_path):
    class Adding(GridSearch):
        def run_trial(self, trial, **kwargs):
            hp = trial.hyperparameters
            return float(hp.Choice("a", [1, 2]) + hp.Choice("b", [10, 20]))

    tuner = Adding(seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    table = tuner.leaderboard()
    assert sorted(table["default_objective"]) == [11.0, 12.0, 21.0, 22.0]


def test_a_failed_point_is_not_tried_again(tmp_path):
    tuner = GridSearch(
        toys.Scored([1.0, ValueError("no"), 2.0].__getitem__),
        max_trials=3,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    points = [tuple(values.values()) for values in tried(tuner)]
    assert len(set(points)) == 3


def test_whole_numbers_of_a_logarithmic_step_are_ints():
    """KerasTuner gives floats, which no layer takes as its units."""
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 16, 64, step=2, sampling="log")
    for choices in (points.grid_choices, points.all_choices):
        found = choices(hp.space[0])
        assert found == [16, 32, 64]
        assert {type(value) for value in found} == {int}


def layers(hp, fit=False):
    """KerasTuner's guide: a loop whose names appear as its number grows."""
    units = [hp.Int(f"units_{i}", 32, 96, step=32) for i in range(hp.Int("n", 1, 3))]
    return sum(u * 100**i for i, u in enumerate(units))


def branches(hp, fit=False):
    """Without a conditional scope."""
    if hp.Choice("kind", ["a", "b"]) == "a":
        return hp.Choice("x", [1, 2, 3])
    return hp.Choice("y", [4, 5, 6])


def in_fit(hp, fit=False):
    """A name that only `fit` asks for, of some settings."""
    units = hp.Choice("units", [10, 20])
    return units + (hp.Choice("batch", [1, 2, 3]) if fit and units == 10 else 0)


def by_name(hp, fit=False):
    """`hp.get` and `hp.values`."""
    kind = hp.Choice("kind", ["a", "b"])
    hp.Choice("x", [1, 2])
    hp.Choice("y", [10, 20])
    return hp.get("x") if kind == "a" else 5 + hp.values["y"]


def as_a_whole(hp, fit=False):
    hp.Choice("kind", ["a", "b"])
    hp.Choice("x", [1, 2])
    return len({**hp.values}["kind"]) + hash(tuple(sorted(hp.values.items()))) % 97


def of_a_copy(hp, fit=False):
    hp.Choice("kind", ["a", "b"])
    hp.Choice("x", [1, 2])
    own = hp.copy()
    return own.get("x") + (own.get("kind") == "a")


# What asks for hyperparameters, and how many different results it has.
ASKED = [
    (layers, 3 + 9 + 27),
    (branches, 3 + 3),
    (in_fit, 3 + 1),
    # Declaring a hyperparameter returns its value.
    (by_name, 8),
    (as_a_whole, 4),
    (of_a_copy, 4),
]


class Asking(keras_tuner.HyperModel):
    def __init__(self, ask):
        super().__init__()
        self.ask = ask
        self.results = []

    def build(self, hp):
        self.ask(hp)
        return keras.Sequential()

    def fit(self, hp, model, *args, **kwargs):
        self.results.append(self.ask(hp, fit=True))
        return float(self.results[-1])


@pytest.mark.parametrize(("ask", "number"), ASKED, ids=lambda case: str(case)[:15])
def test_points_that_differ_in_what_nobody_asks_for_are_one(tmp_path, ask, number):
    tuner = GridSearch(Asking(ask), seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    assert len(tuner.hypermodel.results) == number
    again = GridSearch(Asking(ask), seed=0, directory=tmp_path)
    again.search(verbose=0)
    assert again.hypermodel.results == []


def networks(hp):
    """The loop, of models that train."""
    model = keras.Sequential([keras.Input((4,))])
    for number in range(hp.Int("n", 1, 2)):
        units = hp.Int(f"units_{number}", 1, 2)
        model.add(keras.layers.Dense(units))
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("packed_trials", "workers"),
    sampling.only([(4, 1)], [(None, 1), (4, 1), (None, 2)]),
)
def test_each_network_is_trained_once(tmp_path, packed_trials, workers):
    """Also where a running trial may become the point that is asked for."""
    tuner = GridSearch(
        networks, "loss", seed=0, directory=tmp_path, packed_trials=packed_trials
    )
    data = {**toys.toy_data(), "epochs": 1, "batch_size": 64}
    tuner.search(**data, verbose=0, workers=workers)
    found = [
        tuple(r.settings[f"units_{i}"] for i in range(r.settings["n"]))
        for r in tuner._ended_records()
    ]
    assert len(found) == len(set(found)) == 2 + 4


def test_what_failed_before_it_asked_is_no_other_point(tmp_path):
    class Flaky(Asking):
        def build(self, hp):
            hp.Choice("x", [1, 2, 3])
            if self.is_broken:
                raise ValueError("no network")
            hp.Choice("y", [1, 2])
            return keras.Sequential()

        is_broken = False

    hypermodel = Flaky(lambda hp, fit: hp.get("x") + 10 * hp.get("y"))
    tuner = GridSearch(hypermodel, seed=0, directory=tmp_path)
    hypermodel.is_broken = True
    with pytest.raises(RuntimeError, match="no network"):
        tuner.search(verbose=0)
    hypermodel.is_broken = False
    tuner.search(verbose=0)
    # Three failed, of the grid's first.
    assert len(hypermodel.results) == 6 - 3
