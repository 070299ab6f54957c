"""Suggestions by expected improvement over a Gaussian process."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from keras_tricks.tuners.oracles.gaussian_process import GaussianProcess
from keras_tricks.tuners.oracles.gaussian_process import squared_distances
from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.unit_cube import UnitCube

# Candidates all over the space, and around each of the best of them, in rounds whose
# steps become smaller.
ANYWHERE = 1024
CENTRES = 6
AROUND = 96
STEPS = (0.15, 0.05, 0.015)
# A share of the axes moves in a step, so that high dimensions are searched, too.
MOVED = 0.35
# Of being feasible: the least log of a probability, and what blurs a border.
LEAST_FEASIBLE = math.log(1e-40)
BLUR = 0.15
# How steeply the chance falls from the nearest feasible trial to an infeasible one.
STEEPNESS = 4
# Trials that run keep others at about this distance: they would learn the same.
APART = 0.1


class Surrogate:
    """What some trials tell of the space.

    Args:
        cube: The space.
        rows: The trials' rows in it, those that have a score first.
        scores: Their scores, of which the lowest is the best.
        pending: Rows of trials that run.
        parameters: Those of the Gaussian process.
        parameters_of_feasible: Those of the process of what is feasible.
    """

    def __init__(
        self,
        cube: UnitCube,
        rows: np.ndarray,
        scores: np.ndarray,
        pending: np.ndarray,
        parameters: np.ndarray,
        parameters_of_feasible: np.ndarray | None,
    ):
        self._cube = cube
        self._scored = rows[: len(scores)]
        features, axes = cube.features(self._scored)
        process = GaussianProcess(features, axes, standardized(scores), parameters)
        # The noise of a single score must not set the mark.
        self._best = float(process.predict(features)[0].min())
        self._process = process
        self._pending = cube.features(pending)[0]
        if len(pending):
            self._process = process.with_points(self._pending)
        self._rows = rows
        self._feasible: GaussianProcess | None = None
        if len(rows) > len(scores):
            is_feasible = np.arange(len(rows)) < len(scores)
            self._feasible = GaussianProcess(
                *cube.features(rows), _labels(is_feasible), parameters_of_feasible
            )

    def worth(self, rows: np.ndarray) -> np.ndarray:
        """Returns the log of the expected improvement, and of being feasible."""
        features, _ = self._cube.features(rows)
        mean, deviation = self._process.predict(features)
        found = np.log(deviation) + log_improvement((self._best - mean) / deviation)
        found += self.log_feasible(rows)
        if len(self._pending):
            squared = squared_distances(features, self._pending).min(axis=1)
            found += np.log(-np.expm1(-squared / APART**2) + 1e-12)
        return found

    def log_feasible(self, rows: np.ndarray) -> np.ndarray:
        """Returns the log of the probability of being feasible."""
        if self._feasible is None:
            return np.zeros(len(rows))
        from scipy.special import log_ndtr

        features, _ = self._cube.features(rows)
        label, doubt = self._feasible.predict(features)
        chance = log_ndtr(label / np.hypot(doubt, BLUR))
        chance += STEEPNESS * self._log_nearness(features)
        return np.maximum(chance, LEAST_FEASIBLE)

    def _log_nearness(self, features: np.ndarray) -> np.ndarray:
        """Returns the log of a number from 0 (at a trial without a score) to 1 (with).

        The process alone is smooth: across an edge at which the best lies it would call
        half of the trials feasible again and again, however many have failed there.
        """
        assert self._feasible is not None
        known, _ = self._cube.features(self._rows)
        distances = np.sqrt(self._feasible.squared_distances(features, known)) + 1e-6
        scored = len(self._scored)
        to_feasible = distances[:, :scored].min(axis=1)
        to_infeasible = distances[:, scored:].min(axis=1)
        return np.log(to_infeasible / (to_feasible + to_infeasible))

    def best_rows(self, count: int) -> np.ndarray:
        """Returns the rows of the trials that are expected to be the best."""
        mean, _ = self._process.predict(self._cube.features(self._scored)[0])
        return self._scored[np.argsort(mean, kind="stable")[:count]]


def fitted_parameters(
    cube: UnitCube, rows: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Returns the parameters of the Gaussian process of some scores."""
    return GaussianProcess(*cube.features(rows), standardized(scores)).parameters


def fitted_feasibility(
    cube: UnitCube, rows: np.ndarray, is_feasible: np.ndarray
) -> np.ndarray:
    """Returns the parameters of the process of what is feasible."""
    return GaussianProcess(*cube.features(rows), _labels(is_feasible)).parameters


def _labels(is_feasible: np.ndarray) -> np.ndarray:
    """Returns 1 for a trial that has a score, and -1 for one that has none."""
    return np.where(is_feasible, 1.0, -1.0)


def suggestions(
    surrogate: Surrogate,
    cube: UnitCube,
    tried: np.ndarray,
    generator: np.random.Generator,
) -> Iterator[points.Settings]:
    """Yields settings, those of the greatest worth first.

    Args:
        surrogate: What is known.
        cube: The space.
        tried: Rows that are passed over.
        generator: Draws the candidates.
    """
    seen = {row.tobytes() for row in tried}
    rows = generator.random((ANYWHERE, cube.dimensions))
    near = _around(surrogate.best_rows(CENTRES), STEPS[0], cube, generator)
    rows = _new(np.concatenate([cube.snapped(rows), near]), seen)
    worth = surrogate.worth(rows)
    for step in STEPS:
        centres = rows[np.argsort(-worth, kind="stable")[:CENTRES]]
        near = _new(_around(centres, step, cube, generator), seen)
        rows = np.concatenate([rows, near])
        worth = np.concatenate([worth, surrogate.worth(near)])
    for number in np.argsort(-worth, kind="stable"):
        yield cube.decoded(rows[number])


def _new(rows: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """Returns the rows that are not among `seen`, each once, and adds them."""
    kept = []
    for row in rows:
        key = row.tobytes()
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return np.array(kept).reshape(len(kept), rows.shape[1])


def _around(
    centres: np.ndarray, step: float, cube: UnitCube, generator: np.random.Generator
) -> np.ndarray:
    """Returns rows near some others."""
    rows = np.repeat(centres, AROUND, axis=0)
    share = max(MOVED, 1 / max(cube.dimensions, 1))
    moved = generator.random(rows.shape) < share
    anywhere = generator.random(rows.shape) < 0.1
    rows = np.where(moved, rows + step * generator.standard_normal(rows.shape), rows)
    rows = np.where(moved & anywhere, generator.random(rows.shape), rows)
    return cube.snapped(rows)


def standardized(scores: np.ndarray) -> np.ndarray:
    """Returns scores of mean 0 and deviation 1, of which bad ones are drawn in.

    Above the median they grow with the logarithm: how bad the bad ones are tells
    little of where the best is, and a few that diverged would flatten all others.
    """
    scores = np.asarray(scores, float)
    # Of numbers near 1 no square is infinite or 0.
    scores = scores / (np.abs(scores).max() or 1.0)
    median = np.median(scores)
    scale = max(float(median - scores.min()), 1e-12 + 1e-6 * abs(float(median)))
    above = np.maximum(scores - median, 0.0) / scale
    scores = np.minimum(scores, median) / scale + np.log1p(above)
    deviation = scores.std()
    return (scores - scores.mean()) / (deviation if deviation > 0 else 1.0)


def log_improvement(z: np.ndarray) -> np.ndarray:
    """Returns `log(phi(z) + z * Phi(z))`, of the standard normal distribution.

    The expected improvement is the deviation times what is inside. Far below 0 that
    underflows, and its logarithm is taken from a series instead.

    Reference:
        Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian
        Optimization", 2023.
    """
    from scipy.special import log_ndtr

    log_density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    # log(1 + z * Phi / phi), where the second term comes close to -1.
    low = np.minimum(z, 0.0)
    ratio = low * np.exp(log_ndtr(low) + 0.5 * low**2 + 0.5 * math.log(2 * math.pi))
    below = log_density + np.log1p(np.maximum(ratio, -1 + 1e-16))
    far = log_density - 2 * np.log(np.maximum(np.abs(z), 1.0))
    improvement = np.exp(log_density) + z * np.exp(log_ndtr(z))
    above = np.log(np.maximum(improvement, np.finfo(float).tiny))
    return np.where(z > -1, above, np.where(z > -1e2, below, far))
