"""Suggestions for curves whose truth is known by how they were made."""

import numpy as np
import pytest

from keras_tricks.probes import suggestions

RATES = np.geomspace(1e-7, 10.0, 100)


def ramp(losses, rates=RATES, smoothing=0.9, is_logarithmic=True):
    cut = np.flatnonzero(~np.isfinite(losses))
    end = cut[0] + 1 if len(cut) else len(losses)
    return suggestions.Ramp(rates, np.array(losses[:end]), smoothing, is_logarithmic)


def valley(noise=0.0, seed=0, scale=1.0, shift=0.0):
    """Falls as a logistic curve around 1e-3, and explodes around 1."""
    x = np.log10(RATES)
    drawn = np.random.default_rng(seed).normal(size=100)
    losses = 2.3 - 1.8 / (1.0 + np.exp(-4.0 * (x + 3.0))) + noise * drawn
    return shift + scale * (losses + 10.0 ** (3.0 * x))


def test_the_steepest_point_is_where_a_logistic_curve_turns():
    """Smoothing does not shift it, as losses and rates lag alike."""
    found = ramp(valley()).suggestion()
    assert found.flag is None
    assert abs(np.log10(found.rate) + 3.0) < 0.15


@pytest.mark.parametrize("noise", [0.05, 0.15])
def test_noise_moves_the_suggestion_by_less_than_half_a_decade(noise):
    found = [ramp(valley(noise, seed)).suggestion().rate for seed in range(50)]
    assert all(rate is not None for rate in found)
    assert np.mean(np.abs(np.log10(found) + 3.0) < 0.5) >= 0.95


def test_unit_and_zero_of_the_loss_do_not_matter():
    expected = ramp(valley()).suggestion().rate
    for scale, shift in ((1e3, 0.0), (1e-6, 0.0), (1.0, -9.0)):
        found = ramp(valley(scale=scale, shift=shift)).suggestion()
        assert found.rate == pytest.approx(expected, rel=1e-6)


def test_the_other_rule_is_a_tenth_of_the_rate_of_the_lowest_loss():
    test = ramp(valley(), smoothing=0.0)
    by_rule = test.suggestion().by_rule
    lowest = RATES[10:][np.argmin(valley()[10:])]
    assert by_rule["tenth of minimum"] == pytest.approx(lowest / 10.0)


NOISE = np.random.default_rng(3).normal(size=100)
FLAGGED = {
    "not a number at once": (np.full(100, np.nan), "not finite"),
    "flat": (np.full(100, 2.3), "range"),
    "flat but for noise": (2.3 + 0.1 * NOISE, "range"),
    "zero": (np.zeros(100), "range"),
    "a fall within the noise": (2.3 + 0.5 * NOISE - 0.4 * (RATES > 1e-3), "noise"),
    "still falling": (3.0 - 0.2 * np.arange(100) / 10, "range"),
    "falling from the first step on": (
        np.r_[np.geomspace(9, 1, 30), np.linspace(1, 3, 70)],
        "range",
    ),
    "exploding at once": (np.r_[1.0, 4.0, 90.0, 1e6, np.inf, np.zeros(95)], "range"),
}


@pytest.mark.parametrize("name", FLAGGED)
def test_there_is_no_suggestion_where_nothing_can_be_told(name):
    losses, flag = FLAGGED[name]
    found = ramp(losses).suggestion()
    assert (found.rate, found.flag) == (None, flag), found.reason


def test_few_steps_suggest_nothing():
    found = suggestions.Ramp(RATES[:1], np.ones(1), 0.9, True).suggestion()
    assert (found.rate, found.flag) == (None, "steps")


def test_the_highest_stable_rate_has_no_unstable_one_below_it():
    """The last but one explodes and ends low, as a network of dead units does."""
    ends = [2.3, 2.0, 0.5, 0.9, 2.0, 2.2, np.inf]
    curves = tuple(np.array([2.3, (2.3 + end) / 2, end]) for end in ends)
    curves[5][1] = 1e4
    found = suggestions.Decades(10.0 ** np.arange(-5, 2), curves).suggestion()
    assert (found.rate, found.diverged_at) == (1e-3, 1.0)
    assert found.by_rule == {"best": 1e-3, "highest stable": pytest.approx(0.1)}


@pytest.mark.parametrize("best", [0, 2])
def test_a_best_rate_at_the_edge_asks_for_a_wider_range(best):
    curves = [np.array([2.3, 2.0]) for _ in range(3)]
    curves[best] = np.array([2.3, 1.0])
    found = suggestions.Decades(np.array([1e-3, 1e-2, 1e-1]), tuple(curves))
    assert (found.suggestion().rate, found.suggestion().flag) == (None, "range")


def test_seeds_have_their_median_unless_half_of_them_say_nothing():
    rates = [1e-3, 1e-2, 1e-1]
    known = [suggestions.Suggestion(r, "", by_rule={"steepest": r}) for r in rates]
    none = suggestions.Suggestion(None, "It is noisy.", "noise")
    assert suggestions.of_seeds(known).rate == pytest.approx(1e-2)
    assert suggestions.of_seeds([*known, none]).rate == pytest.approx(1e-2)
    found = suggestions.of_seeds([known[0], none])
    assert (found.rate, found.flag) == (None, "noise")
