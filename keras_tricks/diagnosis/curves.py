"""Learning curves: one loss, or another metric, of training and of validation."""

import dataclasses
import math

import numpy as np

# Of the expected absolute deviation from the median, in standard deviations.
_NORMAL_MAD = 0.6745


@dataclasses.dataclass(frozen=True)
class Curve:
    """One value an epoch, all finite; smaller is better.

    Attributes:
        values: The values, one an epoch.
        noise: Standard deviation of an epoch's value around the curve's course.
    """

    values: np.ndarray
    noise: float

    @classmethod
    def of(cls, values: np.ndarray, noise: float | None = None) -> "Curve":
        """Returns a curve, whose noise is estimated unless it is given."""
        return cls(values, noise_of(values) if noise is None else noise)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def window(self) -> int:
        """Epochs over which values are averaged: a tenth of all, at least three.

        Of fewer than eight epochs each stands for itself.
        """
        return max(3, len(self) // 10) if len(self) >= 8 else 1

    @property
    def smooth(self) -> np.ndarray:
        """The running mean over the `window` around each epoch, less at the ends."""
        half = self.window // 2
        sums = np.concatenate([[0.0], np.cumsum(self.values)])
        epochs = np.arange(len(self))
        first = np.maximum(epochs - half, 0)
        last = np.minimum(epochs + half + 1, len(self))
        return (sums[last] - sums[first]) / (last - first)

    @property
    def start(self) -> float:
        """Where it begins."""
        return float(self.values[0])

    @property
    def end(self) -> float:
        """The mean over the last epochs, as many as the window has."""
        return float(self.values[-self.window :].mean())

    @property
    def best_epoch(self) -> int:
        """The epoch at which the smooth curve is best, from 0."""
        return int(np.argmin(self.smooth))

    @property
    def best(self) -> float:
        """The smooth curve at its best epoch."""
        return float(self.smooth[self.best_epoch])

    @property
    def progress(self) -> float:
        """What was gained from the first epoch to the best; never negative."""
        return max(self.start - self.best, 0.0)

    @property
    def mean_noise(self) -> float:
        """Standard deviation of the mean over a window."""
        return self.noise / math.sqrt(self.window)

    def settled_epoch(self, share: float) -> int:
        """Returns the epoch from which the smooth curve stays near its end.

        Args:
            share: How near, in shares of the progress; four deviations of a window's
                mean are near in any case.
        """
        tolerance = max(4.0 * self.mean_noise, share * self.progress)
        far = np.abs(self.smooth - self.end) > tolerance
        return int(np.flatnonzero(far)[-1]) + 1 if far.any() else 0

    def slope(self, share: float) -> tuple[float, float]:
        """Returns the slope over the last epochs, and its standard deviation.

        Args:
            share: How many epochs, in shares of all; at least five.
        """
        length = max(5, round(share * len(self)))
        epochs = np.arange(length) - (length - 1) / 2
        spread = float(np.sum(epochs**2))
        last = self.values[-length:]
        return float(epochs @ last) / spread, self.noise / math.sqrt(spread)


def noise_of(values: np.ndarray) -> float:
    """Returns the standard deviation of a curve's noise.

    It is taken from second differences, in which the course of the curve nearly cancels
    out: for independent noise of deviation `sigma` theirs is `sqrt(6) * sigma`. Their
    median is what single steps do not change. The first fifth of the values, which is
    steep and curved, is left out. Fewer than eight values tell nothing, and have a
    noise of 0.

    Args:
        values: One value an epoch.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.diagnosis.curves import noise_of
    >>> noise = np.random.default_rng(0).normal(size=1000)
    >>> round(noise_of(np.linspace(9.0, 3.0, 1000) + 0.1 * noise), 2)
    0.1
    """
    if len(values) < 8:
        return 0.0
    differences = np.diff(values[len(values) // 5 :], n=2)
    centred = np.abs(differences - np.median(differences))
    return float(np.median(centred)) / _NORMAL_MAD / math.sqrt(6.0)
