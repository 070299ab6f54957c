"""Saturation, on scores whose best of n is known in closed form or by simulation."""

import itertools

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from keras_tricks.analysis import saturation
from keras_tricks.analysis.extremes import expected_best
from keras_tricks.analysis.saturation import _gain
from keras_tricks.tuners import RandomSearch


def of(losses, **arguments):
    return saturation(pd.DataFrame({"loss": losses}), objective="loss", **arguments)


def test_the_expected_best_is_the_mean_over_all_choices():
    losses = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0])
    for number in range(1, 7):
        choices = itertools.combinations(losses, number)
        expected = np.mean([min(choice) for choice in choices])
        assert expected_best(losses, number) == pytest.approx(expected)


KINDS = {
    "uniform": lambda rng, size: rng.random(size),
    "normal": lambda rng, size: rng.normal(size=size),
    "a valley of three axes": lambda rng, size: (rng.random((size, 3)) ** 2).sum(1),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [40, 160])
def test_the_gain_is_right_on_average(kind, count):
    """Over 200 searches, beside the mean of the best of n less that of 2 n."""
    rng = np.random.default_rng(0)
    gains, true = [], []
    for _ in range(200):
        losses = KINDS[kind](rng, 2 * count)
        gains.append(_gain(losses[:count], count))
        true.append(losses[:count].min() - losses.min())
    assert np.mean(gains) == pytest.approx(np.mean(true), rel=0.35)


def test_a_flat_best_is_saturated_and_a_rising_one_is_not():
    rng = np.random.default_rng(0)
    bounded = of(1.0 + rng.random(300) ** 2)
    assert bounded.is_saturated
    assert str(bounded).endswith("The search is saturated.")
    losses = rng.normal(size=40)
    rising = of(losses, noise=0.001)
    assert not rising.is_saturated
    assert str(rising).endswith("More trials would help.")
    unclear = of(losses, noise=rising.gain)
    assert str(unclear).endswith("Whether more trials would help cannot be told.")


def test_more_trials_gain_more_and_equal_scores_nothing():
    losses = np.random.default_rng(1).normal(size=60)
    few, many = of(losses, more_trials=6), of(losses, more_trials=600)
    assert 0 < few.gain < of(losses).gain < many.gain
    assert few.more_trials == 6
    equal = of(np.ones(20))
    assert (equal.gain, equal.low, equal.high) == (0.0, 0.0, 0.0)


def test_it_is_mirrored_where_more_is_better():
    losses = np.random.default_rng(2).normal(size=40)
    one = of(losses)
    trials = pd.DataFrame({"accuracy": -losses})
    other = saturation(trials, objective="accuracy", direction="max")
    assert other.gain == pytest.approx(one.gain)
    np.testing.assert_allclose(other.table["best"], -one.table["best"])
    axes = other.plot()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), -one.table["best"])


class Noisy(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        return keras.Sequential()

    def fit(self, hp, model, **kwargs):
        return hp.get("x") + 0.5 * np.random.default_rng().normal()


def test_noise_comes_from_repeated_trainings(tmp_path):
    tuner = RandomSearch(
        Noisy(), max_trials=40, seed=0, executions_per_trial=3, directory=tmp_path
    )
    tuner.search(verbose=0)
    assert saturation(tuner).threshold == pytest.approx(0.5, rel=0.3)


def test_few_trials_are_refused():
    with pytest.raises(ValueError, match=r"16 trials with a score\. Received: trials="):
        of(np.arange(15.0))
