"""Extrapolated curves, held against curves whose end is known by construction."""

import numpy as np
import pytest

from keras_tricks.diagnosis.extrapolation import chance_to_reach

EPOCHS = 60


def power_law(random):
    """A curve that falls by a law, with noise, and where it ends."""
    floor, gain = random.uniform(0.0, 1.0), random.uniform(0.2, 2.0)
    exponent = random.uniform(0.2, 2.0)
    course = floor + gain * np.arange(1, EPOCHS + 1) ** -exponent
    return course + random.normal(0.0, 0.02 * gain, EPOCHS)


def test_a_chance_of_one_in_a_hundred_comes_about_that_rarely():
    """As many curves reach what they are said to reach, over 1,500 of them."""
    random = np.random.default_rng(0)
    low = reached_low = likely = reached_likely = 0
    for _ in range(1500):
        curve = power_law(random)
        seen = curve[: random.integers(6, 40)]
        target = curve.min() + random.normal(0.0, 0.3) * np.ptp(curve)
        chance = chance_to_reach(seen, EPOCHS, target)
        low, reached_low = (
            low + (chance < 0.01),
            reached_low + (chance < 0.01 and curve.min() <= target),
        )
        likely, reached_likely = (
            likely + (chance > 0.9),
            reached_likely + (chance > 0.9 and curve.min() <= target),
        )
    assert low > 200
    assert reached_low <= 0.01 * low
    assert likely > 200
    assert reached_likely >= 0.9 * likely


def test_it_grows_with_the_target_and_with_the_epochs_that_are_left():
    curve = power_law(np.random.default_rng(1))[:20]
    targets = np.linspace(curve.min() - 1.0, curve.min(), 12)
    chances = [chance_to_reach(curve, EPOCHS, target) for target in targets]
    assert (np.diff(chances) >= -1e-12).all()
    assert chances[-1] == 1.0
    target = curve.min() - 0.05
    by_length = [chance_to_reach(curve, epochs, target) for epochs in (20, 40, 400)]
    assert by_length == sorted(by_length)


@pytest.mark.parametrize(
    ("scale", "shift"), [(1000.0, 0.0), (1e-6, 3e-6), (1.0, -50.0)]
)
def test_units_do_not_matter(scale, shift):
    curve = power_law(np.random.default_rng(2))[:15]
    target = curve.min() - 0.1
    expected = chance_to_reach(curve, EPOCHS, target)
    found = chance_to_reach(scale * curve + shift, EPOCHS, scale * target + shift)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 2.9, 2.8]])
def test_few_values_tell_nothing(values):
    assert chance_to_reach(np.array(values), 100, 0.0) == 1.0


def test_what_was_reached_is_reached_and_a_constant_curve_stays():
    curve = np.array([1.0, 0.5, 0.9, 0.9, 0.9])
    assert chance_to_reach(curve, 10, 0.5) == 1.0
    constant = np.full(10, 0.7)
    assert chance_to_reach(constant, 100, 0.7) == 1.0
    assert chance_to_reach(constant, 100, 0.5) < 0.01


@pytest.mark.parametrize("epochs", [3, 12, 13, 40])
@pytest.mark.parametrize("length", [4, 5, 11, 12])
def test_chances_are_those_of_least_squares_for_each_exponent(length, epochs):
    """The predictive distribution, from SciPy's regression and the textbook's t.

    What the docstring says: exponents, what is left out, uncertainties and luck.
    """
    random, target = np.random.default_rng(3), 0.45
    curve = 0.5 + 1.0 / np.arange(1, length + 1) + random.normal(0.0, 0.05, length)
    curve = np.maximum(curve, 0.46)
    found = [
        by_least_squares(curve, epochs, target, np.exp(power))
        for power in np.linspace(np.log(0.05), np.log(4.0), 24)
    ]
    shares = np.exp([likelihood for _, likelihood in found])
    expected = (shares * [chance for chance, _ in found]).sum() / shares.sum()
    assert chance_to_reach(curve, epochs, target) == pytest.approx(expected, rel=1e-6)


def by_least_squares(curve, epochs, target, exponent):
    """Returns the chance by a law of one exponent, and its logarithmic likelihood."""
    from scipy import stats

    length, first = len(curve), len(curve) // 5
    times = np.arange(first + 1, length + 1) / length
    x, y = times**-exponent, curve[first:]
    line = stats.linregress(x, y)
    residual = y - line.intercept - line.slope * x
    freedom = len(x) - 2
    variance = (residual**2).sum() / freedom + (1e-3 * np.ptp(y)) ** 2
    new = (epochs / length) ** -exponent
    now = line.intercept + line.slope * x[-1]
    gain = max(now - (line.intercept + line.slope * new), 0.0)
    around = ((x - x.mean()) ** 2).sum()
    spread = np.sqrt(
        variance * (1 + 1 / len(x) + (new - x.mean()) ** 2 / around)
        + gain**2
        + (0.3 * np.ptp(curve[length // 2 :])) ** 2
    )
    left = max(epochs - length, 0)
    luck = np.sqrt(2 * np.log(1 + left) * variance)
    lowest = min(now, curve.min()) - gain - luck
    chance = stats.t.cdf((target - lowest) / spread, freedom)
    # The determinant of the sums of 1, x and x squared.
    precision = len(x) * around
    likelihood = -0.5 * np.log(precision) - 0.5 * freedom * np.log(freedom * variance)
    return chance, likelihood
