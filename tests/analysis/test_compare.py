"""Comparisons of values on trials whose truth is known."""

import itertools
import math

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from keras_tricks.analysis import compare
from keras_tricks.analysis import holm
from keras_tricks.analysis.extremes import expected_best
from keras_tricks.tuners import RandomSearch


def trials(rng, lead=0.0, count=40):
    """Returns trials by three optimizers; the loss of one is lower by `lead`."""
    names = np.array(["adam", "sgd", "adam", "rmsprop"])[np.arange(count) % 4]
    losses = rng.normal(size=count) - lead * (names == "sgd")
    return pd.DataFrame({"optimizer": names, "rate": rng.random(count), "loss": losses})


def test_the_best_of_some_is_the_mean_over_all_choices():
    losses = np.array([3.0, 1.0, 4.0, 1.5, 5.0])
    for number in range(1, 6):
        choices = itertools.combinations(losses, number)
        expected = np.mean([min(choice) for choice in choices])
        assert expected_best(losses, number) == pytest.approx(expected)


def test_more_trials_alone_give_no_lead():
    """Of one distribution, at most as often as 0.05 says (with room for chance)."""
    rng = np.random.default_rng(0)
    found = [compare(trials(rng), "optimizer", objective="loss") for _ in range(40)]
    assert sum(each.is_clear for each in found) <= 4
    # What had twice the trials is not first more often than its share.
    assert sum(each.best == "adam" for each in found) <= 22


def test_a_lead_is_found():
    rng = np.random.default_rng(1)
    found = compare(trials(rng, 4.0), "optimizer", objective="loss")
    assert found.best == "sgd"
    assert found.is_clear
    assert str(found).endswith("The lead of 'sgd' is better than chance explains.")
    assert found.table["trials"].tolist()[0] == found.fair_trials == 10


def test_where_more_is_better_the_greatest_is_first():
    table = trials(np.random.default_rng(1), 4.0)
    expected = compare(table, "optimizer", objective="loss").table
    found = compare(
        table.assign(loss=-table["loss"]),
        "optimizer",
        objective="loss",
        direction="max",
    ).table
    assert found["value"].tolist() == expected["value"].tolist()
    np.testing.assert_allclose(found["best"], -expected["best"])
    assert (found["low"] <= found["high"]).all()
    np.testing.assert_allclose(found["high"], -expected["low"])


def test_many_numbers_are_compared_in_bins():
    table = trials(np.random.default_rng(2))
    table["loss"] += 5.0 * (table["rate"] > table["rate"].quantile(0.25))
    found = compare(table, "rate", objective="loss")
    assert found.table["trials"].tolist() == [10] * 4
    low = table["rate"].sort_values().iloc[:10]
    assert found.best == f"{low.iloc[0]:.3g} to {low.iloc[-1]:.3g}"


def test_none_and_lists_are_values():
    table = trials(np.random.default_rng(2))
    table["layers"] = [[64, 64] if n % 2 else [8] for n in range(len(table))]
    table["loss"] -= 9.0 * (table["layers"].map(len) == 2)
    assert compare(table, "layers", objective="loss").best == "[64, 64]"
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    for n in range(12):
        trial = study.ask()
        study.tell(trial, float(trial.suggest_categorical("x", [None, 1]) is not None))
        del n
    assert compare(study, "x").best is None


def test_rows_of_a_frame_that_are_not_completed_do_not_count():
    table = trials(np.random.default_rng(2))
    expected = compare(table, "optimizer", objective="loss")
    failed = table.assign(loss=-100.0, status="FAILED")
    both = pd.concat([table.assign(status="COMPLETED"), failed])
    assert compare(both, "optimizer", objective="loss").table.equals(expected.table)


def test_holm_multiplies_in_order():
    assert holm.adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm.adjusted([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_what_varies_and_is_not_named_is_refused():
    table = trials(np.random.default_rng(0))
    compare(table, "optimizer", ["rate"], objective="loss")
    with pytest.raises(ValueError, match=r"without \['rate'\]"):
        compare(table, "optimizer", [], objective="loss")
    with pytest.raises(ValueError, match=r"\['lr'\], which no trial has"):
        compare(table, "optimizer", ["rate", "lr"], objective="loss")
    with pytest.raises(TypeError, match="`nuisance` must be a list"):
        compare(table, "optimizer", "rate", objective="loss")
    with pytest.raises(ValueError, match=r"optimizer, rate\. Received: hyper"):
        compare(table, "units", objective="loss")
    with pytest.raises(ValueError, match="always 'adam'"):
        compare(table[table["optimizer"] == "adam"], "optimizer", objective="loss")
    with pytest.raises(ValueError, match="`objective` must be the column"):
        compare(table, "optimizer")
    with pytest.raises(TypeError, match="`search` must be a tuner"):
        compare(3, "optimizer")


def test_a_tuner_s_trials_without_a_score_count_for_nothing(tmp_path):
    class Known(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Float("x", 0.0, 1.0)
            return keras.Sequential()

        def fit(self, hp, model, **kwargs):
            return math.nan if hp.get("x") < 0.3 else hp.get("x")

    tuner = RandomSearch(Known(), max_trials=12, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    found = compare(tuner, "x")
    table = tuner.leaderboard()
    assert found.table["trials"].sum() == (table["status"] == "COMPLETED").sum() < 12
    assert found.table["best"].min() == table["x"][table["x"] >= 0.3].min()
    of_frame = compare(table, "x", objective="default_objective")
    pd.testing.assert_frame_equal(of_frame.table, found.table)


def test_the_plot_shows_each_value_s_fair_best():
    found = compare(
        trials(np.random.default_rng(1), 4.0), "optimizer", objective="loss"
    )
    axes = found.plot()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), found.table["fair_best"])
    assert [t.get_text().split("\n")[0] for t in axes.get_xticklabels()] == [
        *found.table["value"]
    ]
