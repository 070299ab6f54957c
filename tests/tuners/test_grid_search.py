"""Each point of the grid once, in KerasTuner's order, also after a break."""

import keras
import keras_tuner
import pytest

from keras_tricks.tuners import GridSearch
from keras_tricks.tuners import points
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
