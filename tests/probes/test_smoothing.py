"""Smooth losses: by hand, and by their definition in NumPy."""

import numpy as np
import pytest

from keras_tricks.probes import smoothing


def test_averages_are_those_of_adam_without_bias():
    values = np.random.default_rng(0).normal(size=50)
    beta = 0.9
    weights = [beta ** np.arange(k, -1, -1.0) for k in range(50)]
    by_hand = [
        (1 - beta) * (w @ values[: len(w)]) / (1 - beta ** len(w)) for w in weights
    ]
    np.testing.assert_allclose(smoothing.smoothed(values, beta), by_hand, rtol=1e-12)


def test_a_constant_stays_what_it_is_from_the_first_step_on():
    np.testing.assert_allclose(smoothing.smoothed(np.full(9, 3.0), 0.98), 3.0)


def test_noise_is_as_small_as_it_is_said_to_be():
    noise = np.random.default_rng(0).normal(size=(2000, 60))
    one_way = np.array([smoothing.smoothed(row, 0.8)[-1] for row in noise])
    both = np.array([smoothing.centred(row, 0.8)[30] for row in noise])
    assert one_way.std() == pytest.approx(smoothing.deviation(0.8), rel=0.06)
    assert both.std() < one_way.std()


def test_a_step_stays_where_it_is():
    smooth = smoothing.centred(np.repeat([2.0, 1.0], 50), 0.8)
    assert np.argmin(np.diff(smooth)) == 49


def test_a_loss_below_zero_diverges_by_its_size_and_not_by_its_sign():
    """From -5 it falls to -8: what is above -5 + max(5, 3) has diverged."""
    falling = np.linspace(-5.0, -8.0, 40)
    assert not smoothing.has_diverged(np.append(falling, -1.0), 0.0)
    assert smoothing.has_diverged(np.append(falling, 0.5), 0.0)
