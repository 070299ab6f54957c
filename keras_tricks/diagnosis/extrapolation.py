"""Where a learning curve leads, with its uncertainty, by a power law."""

from __future__ import annotations

import numpy as np
from scipy import special

# Exponents of the power law, from nearly logarithmic to nearly exponential.
_EXPONENTS = np.geomspace(0.05, 4.0, 24)
# How wrong the predicted further gain may be, as a share of it.
_GAIN_UNCERTAINTY = 1.0
# And as a share of what was gained over the last half of the epochs: rates that decay,
# and plateaus that end, change a curve's course.
_COURSE_UNCERTAINTY = 0.3


def chance_to_reach(values: np.ndarray, epochs: int, target: float) -> float:
    """Returns the probability that a curve's best value gets down to a target.

    The values are taken as `v[t] = c + a * t**-b + noise` with independent normal
    noise of unknown deviation. For each exponent `b` of a grid the posterior of
    `(c, a)` under a flat prior is known in closed form, and so is the prediction of the
    last epoch, a Student t distribution; the exponents count by their marginal
    likelihood. There are 24, from 0.05 to 4, evenly on a logarithmic scale. To the
    variance comes that of a gain which is not what the curve promises: its deviation is
    the gain itself, and, independently, 0.3 of the range of the last half of the
    epochs. Of the luckiest of the `n` epochs that are left `sqrt(2 * log(1 + n))`
    deviations of the noise are subtracted. The first fifth of the epochs, which is
    steeper, is left out, and a curve that rises is taken to stay where it is.

    Args:
        values: One value an epoch, of those so far; less is better.
        epochs: How many there are to be.
        target: The value to be reached.

    Returns:
        The probability; 1 where it was reached, and where there are fewer than four
        values, which tell nothing.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.diagnosis.extrapolation import chance_to_reach
    >>> curve = 0.5 + 2.0 / np.arange(1, 11)  # It goes down to 0.52 in 100 epochs.
    >>> round(chance_to_reach(curve, 100, target=0.6), 2)
    0.65
    >>> round(chance_to_reach(curve, 100, target=0.1), 2)
    0.02

    References:
        - Domhan, Springenberg and Hutter, [Speeding up Automatic Hyperparameter
          Optimization of Deep Neural Networks by Extrapolation of Learning Curves](
          https://ml.informatik.uni-freiburg.de/papers/15-IJCAI-Extrapolation_of_Learning_Curves.pdf),
          2015
    """
    values = np.asarray(values, np.float64)
    if len(values) < 4 or values.min() <= target:
        return 1.0
    left = max(epochs - len(values), 0)
    first = len(values) // 5
    seen = values[first:]
    times = np.arange(first + 1, len(values) + 1) / len(values)
    # Of the best of several epochs the noise is a gain.
    luck = np.sqrt(2.0 * np.log1p(left))
    half = values[len(values) // 2 :]
    course = _COURSE_UNCERTAINTY * np.ptp(half)
    weights, chances = [], []
    for exponent in _EXPONENTS:
        basis = np.stack([np.ones_like(times), times**-exponent], axis=1)
        last = np.array([1.0, (epochs / len(values)) ** -exponent])
        precision = basis.T @ basis
        coefficients = np.linalg.solve(precision, basis.T @ seen)
        freedom = len(seen) - 2
        residual = float(((seen - basis @ coefficients) ** 2).sum())
        # A curve without any noise fits many laws.
        residual += freedom * (1e-3 * np.ptp(seen)) ** 2 + 1e-30
        deviation = np.sqrt(residual / freedom)
        now = float(coefficients @ basis[-1])
        gain = max(now - float(coefficients @ last), 0.0)
        spread = np.sqrt(
            deviation**2 * (1.0 + last @ np.linalg.solve(precision, last))
            + (_GAIN_UNCERTAINTY * gain) ** 2
            + course**2
        )
        expected = min(now, values.min()) - gain - luck * deviation
        chances.append(special.stdtr(freedom, (target - expected) / spread))
        weights.append(
            -0.5 * np.linalg.slogdet(precision)[1] - 0.5 * freedom * np.log(residual)
        )
    shares = np.exp(np.array(weights) - max(weights))
    return float(shares @ np.array(chances) / shares.sum())
