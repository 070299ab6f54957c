"""Searches with a list of objectives: each has its column, and a Pareto front."""

import keras
import keras_tuner
import numpy as np
import optuna
import pytest

from keras_tricks import tuners
from keras_tricks.tuners.optuna import samplers
from tests.tuners import toys

OBJECTIVES = ["val_loss", keras_tuner.Objective("val_accuracy", "max")]


def test_each_objective_has_a_column_of_its_value_at_the_best_epoch(tmp_path):
    tuner = tuners.RandomSearch(
        toys.build, OBJECTIVES, max_trials=4, seed=0, directory=tmp_path
    )
    tuner.search(**{**toys.toy_data(), "epochs": 3}, verbose=0)
    table = tuner.leaderboard()
    assert table.columns[2:6].tolist() == [
        *("multi_objective", "val_loss", "val_accuracy", "best_epoch")
    ]
    for row in table.itertuples():
        (curves,) = tuner.curves(row.trial_id)
        sums = np.subtract(curves["val_loss"], curves["val_accuracy"])
        best = int(np.argmin(sums))
        assert row.best_epoch == best + 1
        assert row.multi_objective == pytest.approx(sums[best], 1e-6)
        assert row.val_loss == pytest.approx(curves["val_loss"][best], 1e-6)
        assert row.val_accuracy == pytest.approx(curves["val_accuracy"][best], 1e-6)


class TwoCosts(keras_tuner.HyperModel):
    """Schaffer's problem: x^2 and (x - 2)^2; where y and z are 0, 0 to 2 is the front.

    The second is told as a gain.
    """

    def build(self, hp):
        for name in "xyz":
            hp.Float(name, -10.0, 10.0)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        x, more = hp.get("x"), hp.get("y") ** 2 + hp.get("z") ** 2
        if x < -9:
            raise ValueError("too far")
        return with_sum(x**2 + more, -((x - 2) ** 2) - more)


def with_sum(first, second):
    """What KerasTuner asks of a `fit` that returns a dict: the sum, too."""
    return {"first": first, "second": second, "multi_objective": first - second}


COSTS = [keras_tuner.Objective("first", "min"), keras_tuner.Objective("second", "max")]


def two_costs(folder, tuner_class=tuners.OptunaSearch, max_trials=60, **arguments):
    tuner = tuner_class(
        TwoCosts(),
        COSTS,
        max_trials=max_trials,
        seed=0,
        max_consecutive_failed_trials=20,
        directory=folder,
        **arguments,
    )
    tuner.search(verbose=0)
    return tuner


def test_the_front_is_what_no_trial_beats(tmp_path):
    """Of each pair of trials, by hand."""
    tuner = two_costs(tmp_path, tuners.RandomSearch, max_trials=30)
    table = tuner.leaderboard()
    table = table[table["status"] == "COMPLETED"]
    expected = set()
    for one in table.itertuples():
        beaten = False
        for other in table.itertuples():
            is_as_good = other.first <= one.first and other.second >= one.second
            is_better = other.first < one.first or other.second > one.second
            beaten |= is_as_good and is_better
        if not beaten:
            expected.add(one.trial_id)
    front = tuner.pareto_front()
    assert set(front["trial_id"]) == expected
    assert front["rank"].is_monotonic_increasing
    assert 0 < len(front) < len(table)


def test_equal_trials_do_not_beat_each_other(tmp_path):
    class Constant(TwoCosts):
        def fit(self, hp, model, **kwargs):
            return with_sum(1.0, 1.0)

    tuner = tuners.RandomSearch(
        Constant(), COSTS, max_trials=3, seed=0, directory=tmp_path
    )
    tuner.search(verbose=0)
    assert len(tuner.pareto_front()) == 3


def test_a_front_of_one_objective_is_refused(tmp_path):
    tuner = tuners.RandomSearch(toys.Scored(float), max_trials=1, directory=tmp_path)
    with pytest.raises(ValueError, match="`objective` must be a list"):
        tuner.pareto_front()


@pytest.mark.parametrize(
    "sampler",
    [*samplers.OF_SEVERAL, optuna.samplers.NSGAIISampler(population_size=10)],
    ids=lambda sampler: sampler if isinstance(sampler, str) else "own",
)
def test_optuna_searches_all_objectives(tmp_path, sampler):
    tuner = two_costs(tmp_path, sampler=sampler)
    directions = [direction.name for direction in tuner.study.directions]
    assert directions == ["MINIMIZE", "MAXIMIZE"]
    ours = set(tuner.pareto_front()["trial_id"])
    assert ours == {one.user_attrs["trial_id"] for one in tuner.study.best_trials}
    failed = tuner.leaderboard()["status"] == "FAILED"
    assert failed.sum() == sum(
        one.state == optuna.trial.TrialState.FAIL for one in tuner.study.trials
    )
    copied = tuners.to_optuna_study(tuner)
    assert {one.user_attrs["trial_id"] for one in copied.best_trials} == ours


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_of_several_objectives_come_closer_to_the_front(tmp_path, sampler):
    """The second half of the trials lies nearer to it than the first, half random."""
    tuner = two_costs(tmp_path, max_trials=120, sampler=sampler)
    table = tuner.leaderboard().sort_values("trial_id", key=lambda ids: ids.astype(int))
    costs = table["first"] - table["second"]
    assert costs[60:].median() < costs[:60].median() / 2


def test_a_resumed_search_goes_on_as_if_not_interrupted(tmp_path):
    whole = two_costs(tmp_path / "whole", max_trials=30, sampler="nsga2")
    two_costs(tmp_path / "parts", max_trials=13, sampler="nsga2")
    resumed = two_costs(tmp_path / "parts", max_trials=30, sampler="nsga2")
    columns = ["trial_id", "x", "first", "second", "multi_objective"]
    one, other = (tuner.leaderboard()[columns] for tuner in (whole, resumed))
    assert one.equals(other)


def test_another_process_sees_the_objectives_of_all_trials(tmp_path):
    """Of trials whose records are in another folder."""
    storage = str(tmp_path / "study.journal")
    shared = {"storage": storage, "study_name": "shared"}
    first = two_costs(tmp_path / "one", max_trials=20, **shared)
    second = two_costs(tmp_path / "two", max_trials=20, **shared)
    columns = ["trial_id", "first", "second"]
    assert first.pareto_front()[columns].equals(second.pareto_front()[columns])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampler": "cmaes"}, "`sampler` must be one of .* where `objective` is a"),
        ({"pruner": "median"}, "`pruner` must be None where `objective` is a list"),
    ],
)
def test_what_knows_one_objective_is_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tuners.OptunaSearch(TwoCosts(), COSTS, directory=tmp_path, **arguments)
