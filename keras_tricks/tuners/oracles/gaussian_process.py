"""Gaussian process regression: a Matern kernel with a length for each axis."""

from __future__ import annotations

import math

import numpy as np

# Log of lengths: a normal prior whose middle grows with the root of the axes, since
# distances do. Log of the signal's and of the noise's variance likewise.
LENGTH_PRIOR = (0.0, 1.0)
SIGNAL_PRIOR = (0.0, 1.0)
NOISE_PRIOR = (math.log(1e-3), 2.0)
JITTER = 1e-8


class GaussianProcess:
    """Scores of mean 0 and deviation 1 as a function of features.

    The covariance is Matern's with smoothness 5/2, `s * (1 + a + a**2 / 3) * exp(-a)`
    with `a = sqrt(5) * r`, and `r` the distance after each feature is divided by the
    length of its axis; to it comes the variance of the noise. Signal, noise and lengths
    are those of the greatest posterior density.

    Args:
        features: An array (points, features).
        axes: The axis of each feature, from 0.
        scores: A number for each point.
        parameters: Logs of the signal's variance, the noise's variance and the lengths;
            fitted if None.

    Attributes:
        parameters: These logs.

    Reference:
        Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
        chapters 2 and 5.
    """

    def __init__(
        self,
        features: np.ndarray,
        axes: np.ndarray,
        scores: np.ndarray,
        parameters: np.ndarray | None = None,
    ):
        self._features, self._axes = features, axes
        self._scores = np.asarray(scores, float)
        self._num_axes = int(axes.max()) + 1 if len(axes) else 0
        self._middle = LENGTH_PRIOR[0] + 0.5 * math.log(max(self._num_axes, 1))
        self.parameters = self._fitted() if parameters is None else parameters
        self._factor, self._weights = self._solved(self.parameters)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and deviation of the noiseless scores at some points."""
        if not len(features):
            return np.zeros(0), np.zeros(0)
        signal = math.exp(self.parameters[0])
        cross = self._kernel(squared_distances(self._scaled(features), self._scaled()))
        mean = cross @ self._weights
        from scipy.linalg import solve_triangular

        half = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
        variance = signal - np.einsum("ij,ij->j", half, half)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def with_points(self, features: np.ndarray) -> GaussianProcess:
        """Returns the process that has seen what it expects at further points."""
        mean, _ = self.predict(features)
        return GaussianProcess(
            np.concatenate([self._features, features]),
            self._axes,
            np.concatenate([self._scores, mean]),
            self.parameters,
        )

    def squared_distances(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns squared distances between the rows of two arrays, by the lengths."""
        return squared_distances(self._scaled(left), self._scaled(right))

    def _scaled(self, features: np.ndarray | None = None) -> np.ndarray:
        features = self._features if features is None else features
        return features / np.exp(self.parameters[2:])[self._axes]

    def _kernel(self, squared: np.ndarray) -> np.ndarray:
        a = np.sqrt(5 * squared)
        return math.exp(self.parameters[0]) * (1 + a + a**2 / 3) * np.exp(-a)

    def _solved(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.parameters = parameters
        covariance = self._kernel(squared_distances(self._scaled(), self._scaled()))
        noise = math.exp(parameters[1]) + JITTER
        factor = np.linalg.cholesky(covariance + noise * np.eye(len(covariance)))
        from scipy.linalg import cho_solve

        return factor, cho_solve((factor, True), self._scores, check_finite=False)

    def _fitted(self) -> np.ndarray:
        from scipy.optimize import minimize

        middles = np.array(
            [SIGNAL_PRIOR[0], NOISE_PRIOR[0], *[self._middle] * self._num_axes]
        )
        short = middles.copy()
        short[2:] = math.log(0.3)
        short[1] = math.log(1e-2)
        bounds = [(-3, 3), (math.log(1e-6), 0), *[(-3.5, 4)] * self._num_axes]
        # Differences of the features once, axis by axis.
        squares = np.zeros((self._num_axes, len(self._scores), len(self._scores)))
        for feature, axis in enumerate(self._axes):
            column = self._features[:, feature]
            squares[axis] += (column[:, None] - column[None, :]) ** 2
        found = [
            minimize(
                self._loss,
                start,
                args=(squares, middles),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 40},
            )
            for start in (middles, short)
        ]
        return min(found, key=lambda one: float(one.fun)).x

    def _loss(
        self, parameters: np.ndarray, squares: np.ndarray, middles: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Returns the negative log of the posterior density, and its gradient."""
        from scipy.linalg import cho_solve

        signal, noise = np.exp(parameters[:2])
        inverse = np.exp(-2 * parameters[2:])
        a = np.sqrt(5 * np.tensordot(inverse, squares, 1))
        decay = np.exp(-a)
        shape = (1 + a + a**2 / 3) * decay
        count = len(self._scores)
        covariance = signal * shape + (noise + JITTER) * np.eye(count)
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(parameters)
        weights = cho_solve((factor, True), self._scores, check_finite=False)
        loss = 0.5 * self._scores @ weights + np.log(np.diag(factor)).sum()
        precision = cho_solve((factor, True), np.eye(count), check_finite=False)
        inner = precision - np.outer(weights, weights)
        gradient = np.empty_like(parameters)
        gradient[0] = 0.5 * signal * np.sum(inner * shape)
        gradient[1] = 0.5 * noise * np.trace(inner)
        # The kernel's derivative by the log of a length.
        slope = inner * (signal * 5 / 3 * (1 + a) * decay)
        gradient[2:] = 0.5 * inverse * np.tensordot(squares, slope, 2)
        deviations = np.array(
            [SIGNAL_PRIOR[1], NOISE_PRIOR[1], *[LENGTH_PRIOR[1]] * self._num_axes]
        )
        away = (parameters - middles) / deviations
        return loss + 0.5 * away @ away, gradient + away / deviations


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns squared distances between the rows of two arrays."""
    sums = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :]
    return np.maximum(sums - 2 * left @ right.T, 0.0)
