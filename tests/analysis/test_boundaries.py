"""Boundaries, on trials whose best point and failures are where they were put."""

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from keras_tricks.analysis import boundaries
from keras_tricks.tuners import RandomSearch


def frame(count=60, seed=0, **losses):
    """Returns trials of `x` below 2, `y` below 1 and a `rate` from 1e-5 to 0.1."""
    rng = np.random.default_rng(seed)
    trials = pd.DataFrame(
        {
            "x": 2 * rng.random(count),
            "y": rng.random(count),
            "rate": 10 ** rng.uniform(-5, -1, count),
        }
    )
    [(_, loss)] = losses.items()
    return trials.assign(loss=loss(trials))


def edges(found):
    return dict(zip(found.table["hyperparameter"], found.table["edge"], strict=True))


def test_an_edge_is_named_and_where_to_search_next():
    found = boundaries(frame(loss=lambda t: -t["x"]), objective="loss")
    assert edges(found) == {"x": "upper", "y": None, "rate": None}
    row = found.table.set_index("hyperparameter").loc["x"]
    assert row["of_best"] > 0.8 > row["of_all"]
    assert row["low"] == pytest.approx(0.0, abs=0.05)
    assert row["high"] == pytest.approx(3.0, abs=0.1)
    assert "x" in found.best_at_edge
    assert "The best crowd at the upper edge of x: search" in str(found)


def test_a_logarithmic_range_is_extended_on_its_scale():
    """From four decades by two more."""
    found = boundaries(frame(loss=lambda t: np.log(t["rate"])), objective="loss")
    row = found.table.set_index("hyperparameter").loc["rate"]
    assert row["edge"] == "lower"
    assert np.log10(row["low"]) == pytest.approx(-7, abs=0.3)
    assert np.log10(row["high"]) == pytest.approx(-1, abs=0.2)


def test_whole_numbers_stay_whole():
    trials = frame(loss=lambda t: -t["x"])
    trials["x"] = (100 * trials["x"]).astype(int)
    row = (
        boundaries(trials, objective="loss").table.set_index("hyperparameter").loc["x"]
    )
    assert row["edge"] == "upper"
    assert row["high"] == int(row["high"])
    assert row["high"] == pytest.approx(1.5 * trials["x"].max(), abs=3)


def test_more_is_better_where_it_is_said():
    trials = frame(loss=lambda t: t["x"])
    found = boundaries(trials, objective="loss", direction="max")
    assert edges(found)["x"] == "upper"
    assert edges(boundaries(trials, objective="loss"))["x"] == "lower"


def test_a_best_point_within_is_at_no_edge():
    trials = frame(
        loss=lambda t: (
            (t["x"] - 1.0) ** 2
            + (t["y"] - 0.4) ** 2
            + (np.log10(t["rate"]) + 3) ** 2 / 9
        )
    )
    found = boundaries(trials, objective="loss")
    assert set(edges(found).values()) == {None}
    assert str(found).startswith("The best trials are at no edge.\n0% of the trials")


def test_chance_seldom_crowds():
    wrong = 0
    for seed in range(40):
        noise = np.random.default_rng(100 + seed).normal(size=60)
        found = boundaries(frame(seed=seed, loss=lambda t: noise), objective="loss")  # noqa: B023
        wrong += any(edge is not None for edge in edges(found).values())
    assert wrong <= 4  # 0.05 of 40, and room for chance.


def test_regions_that_fail_are_named():
    trials = frame(loss=lambda t: t["x"].where(t["rate"] < 1e-2, np.nan))
    found = boundaries(trials, objective="loss")
    number = int((trials["rate"] >= 1e-2).sum())
    assert found.infeasible_share == pytest.approx(number / 60)
    [row] = found.infeasible.itertuples(index=False)
    assert row.region.startswith("rate > 0.0")
    assert float(row.region.rpartition(" ")[2]) == pytest.approx(1e-2, rel=0.5)
    assert (row.trials, row.infeasible) == (number, number)


def test_a_choice_that_fails_is_named():
    trials = frame(loss=lambda t: t["x"])
    trials["kind"] = np.where(trials["y"] > 0.7, "lion", "adam")
    trials.loc[trials["kind"] == "lion", "loss"] = np.inf
    regions = boundaries(trials.drop(columns="y"), objective="loss").infeasible
    assert regions["region"].tolist() in (["kind is lion"], ["kind is not adam"])


def test_failures_anywhere_are_in_no_region():
    wrong = 0
    for seed in range(20):
        trials = frame(seed=seed, loss=lambda t: t["x"])
        trials.loc[np.arange(60) % 6 == 0, "loss"] = np.nan
        wrong += len(boundaries(trials, objective="loss").infeasible) > 0
    assert wrong <= 3


class Scored(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        hp.Int("units", 8, 64, step=8)
        if hp.Boolean("deep"):
            with hp.conditional_scope("deep", [True]):
                hp.Float("inner", 0.0, 1.0)
        hp.Fixed("always", 3)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return float("nan") if hp.get("units") > 48 else -hp.get("x")


def test_a_search_tells_what_was_infeasible(tmp_path):
    tuner = RandomSearch(Scored(), max_trials=60, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    found = boundaries(tuner)
    assert set(edges(found)) == {"x", "units", "inner"}
    assert edges(found)["x"] == "upper"
    # A share stays one.
    row = found.table.set_index("hyperparameter").loc["x"]
    assert (row["low"], row["high"]) == (0.0, 1.5)
    infeasible = (tuner.leaderboard()["status"] == "INFEASIBLE").mean()
    assert found.infeasible_share == pytest.approx(infeasible)
    assert found.infeasible["region"].tolist() == ["units > 52"]
    board = boundaries(tuner.leaderboard(), objective="default_objective")
    assert board.infeasible_share == pytest.approx(infeasible)
    assert edges(board)["x"] == "upper"
    axes = found.plot()
    assert [t.get_text() for t in axes.get_yticklabels()] == ["inner", "units", "x"]


def test_few_trials_are_refused():
    with pytest.raises(
        ValueError, match=r"10 trials with a score\. Received: trials=9"
    ):
        boundaries(frame(9, loss=lambda t: t["x"]), objective="loss")
