"""Smooth curves of losses, and where they diverge."""

import numpy as np

from keras_tricks.diagnosis.curves import noise_of

# Fewer losses tell nothing about their scale.
_FEWEST = 5


def smoothed(values: np.ndarray, smoothing: float) -> np.ndarray:
    """Returns exponential averages without the bias of their start.

    `s[k] = (1 - b) * sum(b**(k - j) * v[j] for j = 0 ... k) / (1 - b**(k + 1))`, where
    `b` is the smoothing.

    Args:
        values: The values, of shape `(steps,)`.
        smoothing: The weight `b` of the past, from 0 to 1, 1 excluded.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.probes.smoothing import smoothed
    >>> smoothed(np.array([3.0, 3.0, 9.0]), 0.5).round(2)
    array([3.  , 3.  , 6.43])
    """
    averages = np.empty(len(values))
    average = weight = 0.0
    for step, value in enumerate(values):
        average = smoothing * average + (1.0 - smoothing) * value
        weight = smoothing * weight + (1.0 - smoothing)
        averages[step] = average / weight
    return averages


def centred(values: np.ndarray, smoothing: float) -> np.ndarray:
    """Returns averages over what comes before and after: `smoothed` in both directions.

    A fall stays where it is, which one direction alone would shift.
    """
    return smoothed(smoothed(values, smoothing)[::-1], smoothing)[::-1]


def deviation(smoothing: float) -> float:
    """Returns the standard deviation of smooth noise of deviation 1, at most.

    It is that of `smoothed` after many steps; `centred` noise is smaller.
    """
    return float(np.sqrt((1.0 - smoothing) / (1.0 + smoothing)))


def limit_of(losses: np.ndarray, smoothing: float) -> float:
    """Returns the loss above which a training has diverged.

    It is above the start by its size, by what was gained since, and by what chance may
    make: by the largest of these.
    """
    start = float(np.median(losses[:3]))
    gained = start - float(np.min(smoothed(losses, smoothing)))
    return start + max(abs(start), gained, 6.0 * noise_of(losses))


def has_diverged(losses: np.ndarray, smoothing: float) -> bool:
    """Whether the last of the losses so far is beyond all that training would bear."""
    if not np.isfinite(losses[-1]):
        return True
    if len(losses) < _FEWEST:
        return False
    return bool(smoothed(losses, smoothing)[-1] > limit_of(losses, smoothing))
