"""A search in rounds, on functions whose best point is known."""

import itertools
from typing import ClassVar

import keras
import keras_tuner
import numpy as np
import pytest

from keras_tricks.tuners import CoarseToFine
from keras_tricks.tuners import RandomSearch
from keras_tricks.tuners.search_space import narrowing


class Function(keras_tuner.HyperModel):
    """`(log10(rate) + 2)**2 + 2 * (layers != 2)`; `idle` has no effect."""

    def __init__(self, noise=0.0, best=-2.0):
        super().__init__()
        self.noise, self.best, self.fits = noise, best, []

    def build(self, hp):
        hp.Float("rate", 1e-5, 1e-1, sampling="log")
        hp.Choice("layers", [1, 2, 3])
        hp.Float("idle", 0.0, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, *args, scale=1.0, **kwargs):
        self.fits.append(scale)
        noise = self.noise * np.random.normal()
        score = (np.log10(hp.get("rate")) - self.best) ** 2
        return scale * (score + 2 * (hp.get("layers") != 2)) + noise


def search(directory, hypermodel=None, fit=None, **arguments):
    arguments = {"rounds": 3, "trials_per_round": 24, "seed": 0, **arguments}
    found = CoarseToFine(hypermodel or Function(), directory=directory, **arguments)
    found.search(verbose=0, **(fit or {}))
    return found


@pytest.fixture(scope="module", name="searched")
def searched_fixture(tmp_path_factory):
    return search(
        tmp_path_factory.mktemp("searched"), Function(noise=1e-3), trials_per_round=40
    )


def decisions(one):
    return {decision.name: decision for decision in one.decisions}


def test_each_round_searches_a_range_within_the_one_before(searched):
    ranges = [
        next(hp for hp in one.tuner.oracle.get_space().space if hp.name == "rate")
        for one in searched.rounds_run
    ]
    assert len(ranges) >= 2
    for wide, narrow in itertools.pairwise(ranges):
        assert wide.min_value < narrow.min_value < 1e-2 < narrow.max_value
        assert narrow.max_value <= wide.max_value


def test_the_best_of_the_rounds_is_near_the_optimum(searched):
    [best] = searched.get_best_hyperparameters()
    assert abs(np.log10(best.get("rate")) + 2) < 0.2
    assert best.get("layers") == 2
    assert searched.leaderboard()["rate"][0] == best.get("rate")


def test_what_explains_nothing_is_fixed_at_the_best_value(searched):
    decision = decisions(searched.rounds_run[0])["idle"]
    assert decision.action == "fix"
    best = searched.rounds_run[0].tuner.leaderboard()["idle"][0]
    assert decision.entry["config"]["value"] == best
    assert f"is below {searched.importance_threshold:g}" in decision.reason


def test_the_report_says_what_is_done_and_why(searched):
    assert searched.report.startswith("Round 1\n")
    assert "narrow rate: from 1e-05 .. 0.1 to " in searched.report


def test_a_range_whose_edge_is_best_is_expanded(tmp_path):
    found = search(tmp_path, Function(best=0.0), rounds=2)
    decision = decisions(found.rounds_run[0])["rate"]
    assert decision.action == "expand"
    assert "is at the upper edge" in decision.reason
    # Half of the four decades of the range are added on the logarithmic scale.
    assert decision.entry["config"]["max_value"] == pytest.approx(10.0)


def test_limits_hold_an_expanding_range(tmp_path):
    found = search(tmp_path, Function(best=0.0), rounds=2, limits={"rate": (1e-5, 0.2)})
    assert decisions(found.rounds_run[0])["rate"].entry["config"]["max_value"] == 0.2


def test_it_stops_when_a_round_gains_less_than_the_spread_of_reruns(tmp_path):
    found = search(tmp_path, Function(noise=10.0), rounds=4, trials_per_round=6)
    assert len(found.rounds_run) < 4
    assert found.report.endswith("the search has settled.")


def test_an_interrupted_search_goes_on_where_it_was(tmp_path):
    whole = search(tmp_path / "whole", rounds=2, trials_per_round=8)
    search(tmp_path / "parts", rounds=1, trials_per_round=8)
    hypermodel = Function()
    resumed = search(tmp_path / "parts", hypermodel, rounds=2, trials_per_round=8)
    columns = ["rank", "round", "trial_id", "default_objective", "rate", "layers"]
    assert resumed.leaderboard()[columns].equals(whole.leaderboard()[columns])
    assert resumed.report == whole.report


def test_cheap_scores_that_rank_alike_are_trusted(tmp_path):
    found = search(tmp_path, rounds=2, trials_per_round=8, first_round={"scale": 0.1})
    assert found.rounds_run[0].is_cheap
    assert found.rounds_run[0].agreement == pytest.approx(1.0)
    assert found.rounds_run[0].decisions
    assert not found.leaderboard()["cheap"][0]


def test_cheap_scores_that_rank_the_other_way_are_not_trusted(tmp_path):
    found = search(tmp_path, rounds=2, trials_per_round=8, first_round={"scale": -1.0})
    assert found.rounds_run[0].agreement == pytest.approx(-1.0)
    assert not found.rounds_run[0].decisions
    assert "not trusted" in found.report


class Counting(keras_tuner.HyperModel):
    """The score is the share of the labels that are 1; keeps how many there are."""

    sizes: ClassVar[list[int]] = []

    def build(self, hp):
        hp.Float("rate", 0.0, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, x, y, **kwargs):
        assert len(x) == len(y)
        self.sizes.append(len(x))
        return float(np.mean(y)) + hp.get("rate")


def test_a_subset_keeps_the_shares_of_the_classes(tmp_path):
    Counting.sizes = []
    found = CoarseToFine(
        Counting(), rounds=1, trials_per_round=3, seed=0, subset=0.1, directory=tmp_path
    )
    y = np.repeat([0, 1], [160, 40])
    found.search(np.arange(200.0), y, verbose=0)
    assert Counting.sizes[:3] == [20, 20, 20]
    assert set(Counting.sizes[3:]) == {200}
    scores = found.rounds_run[0].tuner.leaderboard()
    np.testing.assert_allclose(scores["default_objective"] - scores["rate"], 0.2)


def test_a_subset_of_what_is_no_array_is_refused(tmp_path):
    found = CoarseToFine(Counting(), subset=0.1, directory=tmp_path)
    with pytest.raises(TypeError, match="`subset` needs arrays `x` and `y`"):
        found.search([1, 2], [0, 1], verbose=0)


@pytest.mark.parametrize(
    "wrong",
    [{"rounds": 0}, {"quantile": 0}, {"quantile": 1.5}, {"reruns": 1}, {"subset": 2}],
    ids=str,
)
def test_bad_arguments_are_refused(tmp_path, wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        CoarseToFine(Function(), directory=tmp_path, **wrong)


def space_of(**ranges):
    hp = keras_tuner.HyperParameters()
    for name, declare in ranges.items():
        declare(hp, name)
    return hp.space


def test_a_choice_keeps_the_values_of_the_best_trials():
    [hp] = space_of(a=lambda hp, name: hp.Choice(name, ["x", "y", "z"]))
    decision = narrowing.decide(hp, [{"a": "z"}, {"a": "y"}], None, 0.01)
    assert (decision.action, decision.entry["config"]["values"]) == (
        "narrow",
        ["y", "z"],
    )
    decision = narrowing.decide(hp, [{"a": "z"}, {"a": "z"}], None, 0.01)
    assert (decision.action, decision.entry["config"]["value"]) == ("fix", "z")


def test_steps_stay_on_their_grid():
    [hp] = space_of(a=lambda hp, name: hp.Int(name, 16, 512, step=2, sampling="log"))
    decision = narrowing.decide(hp, [{"a": 64}, {"a": 128}], None, 0.01)
    config = decision.entry["config"]
    assert (config["min_value"], config["max_value"]) == (32, 256)
    [hp] = space_of(a=lambda hp, name: hp.Float(name, 0.0, 0.7, step=0.1))
    config = narrowing.decide(hp, [{"a": 0.3}, {"a": 0.4}], None, 0.01).entry["config"]
    assert (config["min_value"], config["max_value"]) == pytest.approx((0.2, 0.5))


def test_shares_stay_shares_and_counts_stay_positive():
    [hp] = space_of(a=lambda hp, name: hp.Float(name, 0.0, 0.7))
    config = narrowing.decide(hp, [{"a": 0.7}, {"a": 0.6}], None, 0.01).entry["config"]
    assert config["max_value"] == 0.99
    [hp] = space_of(a=lambda hp, name: hp.Int(name, 1, 4))
    config = narrowing.decide(hp, [{"a": 1}, {"a": 2}], None, 0.01).entry["config"]
    assert config["min_value"] == 1


def test_the_importance_is_high_only_of_what_matters():
    space = space_of(
        a=lambda hp, name: hp.Float(name, 0.0, 1.0),
        b=lambda hp, name: hp.Float(name, 0.0, 1.0),
    )
    drawn = np.random.default_rng(0).uniform(size=(40, 2))
    settings = [{"a": a, "b": b} for a, b in drawn]
    found = narrowing.importances(space, settings, [a for a, _ in drawn], seed=0)
    assert found["a"].mean > 0.5
    assert found["b"].upper < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trialsperround": 3}, "did you mean `trials_per_round`"),
        ({"executions_per_trail": 2}, "did you mean `executions_per_trial`"),
        ({"max_trials": 3}, "the number of trials is `trials_per_round`"),
        ({"max_epochs": 3}, "one of `RandomSearch` that"),
    ],
)
def test_what_no_round_can_be_given_is_refused(tmp_path, arguments, message):
    [(name, value)] = arguments.items()
    with pytest.raises(TypeError, match=f"{message}.*Received: {name}={value}"):
        CoarseToFine(Function(), directory=tmp_path, **arguments)


def test_the_rounds_are_given_what_their_tuner_takes(tmp_path):
    class Own(RandomSearch):
        def __init__(self, *args, extra=0, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra = extra

    found = search(
        tmp_path,
        tuner=Own,
        rounds=1,
        trials_per_round=2,
        extra=7,
        executions_per_trial=2,
        keep_checkpoints=1,
    )
    tuner = found.rounds_run[0].tuner
    assert (tuner.extra, tuner.executions_per_trial) == (7, 2)
    assert tuner.options.keep_checkpoints == 1


def test_the_tuner_of_a_round_confirms_and_annotates_its_trials(tmp_path):
    """`CoarseToFine` itself has no `confirm` and no `note`."""
    found = search(tmp_path, rounds=1, trials_per_round=2)
    tuner = found.rounds_run[-1].tuner
    tuner.note("0", why="first")
    assert tuner.leaderboard().set_index("trial_id").loc["0", "why"] == "first"
    assert len(tuner.confirm(top=1, reruns=2).reruns[0].scores) == 2
