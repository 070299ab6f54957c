"""Kendall's tau of cheap and full scores, against closed forms."""

import math

import numpy as np
import optuna
import pandas as pd
import pytest

from keras_tricks.analysis import rank_agreement
from keras_tricks.tuners import RandomSearch
from tests.tuners import toys


def test_tau_is_counted_by_hand():
    """Of ten pairs two are discordant."""
    found = rank_agreement([1, 2, 3, 4, 5], [2, 1, 3, 5, 4])
    assert found.tau == pytest.approx((8 - 2) / 10)
    assert found.low < found.tau < found.high


def test_ties_count_as_kendall_s_tau_b():
    """5 pairs agree, 2 are tied in one and 3 in the other; none disagrees."""
    one, other = [1, 1, 2, 3, 3], [1, 2, 3, 3, 3]
    agree = 6
    expected = agree / math.sqrt((10 - 2) * (10 - 3))
    assert rank_agreement(one, other).tau == pytest.approx(expected)


def test_the_interval_covers_the_tau_of_a_normal_distribution():
    """It is 2 / pi * arcsin(correlation)."""
    rng = np.random.default_rng(0)
    true = 2.0 / np.pi * np.arcsin(0.7)
    drawn = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=(300, 30))
    found = [rank_agreement(one[:, 0], one[:, 1]) for one in drawn]
    assert 0.92 <= np.mean([each.low <= true <= each.high for each in found]) <= 0.98
    wider = rank_agreement(drawn[0][:, 0], drawn[0][:, 1], confidence=0.99)
    assert wider.low < found[0].low < found[0].high < wider.high


def test_agreement_and_reversal_are_at_the_ends():
    same, reverse = (
        rank_agreement(range(9), range(9)),
        rank_agreement(range(9), range(9, 0, -1)),
    )
    assert (same.tau, same.high) == (1.0, 1.0)
    assert (reverse.tau, reverse.low) == (-1.0, -1.0)
    assert 0.5 < same.low < 1.0


def test_scores_are_paired_by_name():
    one = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0, "x": 0.0})
    other = {"e": 5.0, "d": 4.0, "c": 3.0, "b": 2.0, "a": 1.0, "y": math.nan}
    found = rank_agreement(one, other)
    assert found.tau == 1.0
    assert found.table.index.tolist() == list("abcde")


def test_the_share_of_the_best_that_is_kept():
    """Of twenty the two best: one is third of the cheap ones, one is last."""
    full = np.arange(20.0)
    cheap = np.array([2.5, 99.0, *range(1, 19)])
    assert rank_agreement(cheap, full).best_kept == 0.5


def test_searches_are_paired_by_settings_and_each_knows_what_is_better(tmp_path):
    cheap = RandomSearch(toys.Scored(float), max_trials=6, seed=0, directory=tmp_path)
    cheap.search(verbose=0)
    study = optuna.create_study(direction="maximize")
    unit = optuna.distributions.FloatDistribution(0.0, 1.0)
    for record in cheap._ended_records():
        trial = optuna.trial.create_trial(
            params=record.settings,
            distributions=dict.fromkeys(record.settings, unit),
            value=-record.score,
        )
        study.add_trial(trial)
    found = rank_agreement(cheap, study)
    assert (found.tau, len(found.table)) == (1.0, 6)


def test_searches_need_not_have_as_many_trials(tmp_path):
    """The first trials of one seed have the same settings."""
    both = []
    for trials in (6, 8):
        folder = tmp_path / str(trials)
        tuner = RandomSearch(
            toys.Scored(float), max_trials=trials, seed=0, directory=folder
        )
        tuner.search(verbose=0)
        both.append(tuner)
    found = rank_agreement(*both)
    assert (found.tau, len(found.table)) == (1.0, 6)


@pytest.mark.parametrize(
    ("cheap", "full", "error", "match"),
    [
        ([1, 2, 3], [1, 2, 3], ValueError, "5 finite scores in common. Received: 3"),
        ([1] * 6, range(6), ValueError, "`cheap` must hold scores that differ"),
        ("abcdef", range(6), TypeError, "`cheap` must be scores"),
        (range(6), {"a": "b"}, TypeError, "`full` must hold numbers"),
        ({"a": 1}, range(6), ValueError, "Received: 0, of 1 and 6"),
    ],
)
def test_what_cannot_be_compared_is_refused(cheap, full, error, match):
    with pytest.raises(error, match=match):
        rank_agreement(cheap, full)


@pytest.mark.parametrize(
    ("cheap", "full", "message"),
    [
        ([7, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5], "as many scores.*6 and 5"),
        (np.ones((3, 2)), range(6), r"one score after another.*\(3, 2\)"),
        (
            pd.Series(range(7), list("aabcdef")),
            pd.Series(range(6), list("abcdef")),
            "one score of each name.*'a'",
        ),
    ],
)
def test_scores_that_cannot_be_paired_are_refused(cheap, full, message):
    with pytest.raises(ValueError, match=message):
        rank_agreement(cheap, list(full) if isinstance(full, range) else full)
