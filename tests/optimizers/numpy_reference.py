"""What clipping is, in NumPy and float64: the oracle of this folder's tests."""

from fractions import Fraction

import numpy as np


def global_norm(gradients):
    return np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in gradients))


def _shrunk(gradient, norm, limit):
    """`gradient`, with `norm` brought down to `limit` where it is above."""
    too_long = norm > limit
    return gradient * np.where(too_long, limit / np.where(too_long, norm, 1), 1)


def _unit_norm(values):
    """NFNets' `unitwise_norm`, for weights that end with the output's axis."""
    if np.squeeze(values).ndim <= 1:
        return np.sqrt((values**2).sum())
    axes = 0 if values.ndim in (2, 3) else (0, 1, 2)
    return np.sqrt((values**2).sum(axis=axes, keepdims=True))


def clipped(kind, gradients, limit, weights=None):
    """Returns the gradients clipped as `ClippedOptimizer(..., kind=limit)` does."""
    gradients = [np.asarray(g, np.float64) for g in gradients]
    if kind == "global_clipnorm":
        norm = global_norm(gradients)
        return [_shrunk(g, norm, limit) for g in gradients]
    if kind == "clipnorm":
        return [_shrunk(g, global_norm([g]), limit) for g in gradients]
    if kind == "clipvalue":
        return [np.clip(g, -limit, limit) for g in gradients]
    assert kind == "adaptive_clip"
    floors = [np.maximum(_unit_norm(np.float64(w)), 1e-3) for w in weights]
    return [
        _shrunk(g, _unit_norm(g), limit * floor)
        for g, floor in zip(gradients, floors, strict=True)
    ]


def nearest_rank_percentile(values, percentile):
    """The smallest value that at least `percentile` % of `values` do not exceed."""
    exact = Fraction(str(percentile)) / 100 * len(values)
    rank = -(-exact.numerator // exact.denominator)
    return sorted(values)[rank - 1]
