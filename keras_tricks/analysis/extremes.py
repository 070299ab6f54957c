"""Extremes of samples: what the best of so many trials is on average."""

from __future__ import annotations

import functools

import numpy as np


def expected_best(losses: np.ndarray, number: int) -> float:
    """Returns what the least of so many of the losses is on average, over all choices.

    Args:
        losses: The losses, in any order.
        number: How many are drawn of them, without putting them back.
    """
    return float(np.sort(losses) @ _weights(len(losses), number))


@functools.lru_cache
def _weights(count: int, number: int) -> np.ndarray:
    """Returns how probably each of the sorted losses is the least of so many."""
    left = np.arange(1, count)
    factors = np.maximum(count - number - left + 1, 0) / (count - left)
    return number / count * np.cumprod(np.concatenate([[1.0], factors]))
