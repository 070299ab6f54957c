"""Suggestions from the densities of the good trials and of the others (TPE)."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np

from keras_tricks.tuners.search_space import points
from keras_tricks.tuners.search_space.unit_cube import UnitCube

# Candidates that are drawn near the good trials, of which the best is taken.
CANDIDATES = 24
# The good trials: this share of all, and at most so many.
SHARE = 0.1
MOST_GOOD = 25
# The width of a kernel around a single trial; more trials have narrower ones.
WIDTH = 0.2


def suggestions(
    cube: UnitCube,
    rows: np.ndarray,
    scores: np.ndarray,
    log_feasible: Callable[[np.ndarray], np.ndarray],
    generator: np.random.Generator,
) -> Iterator[points.Settings]:
    """Yields settings that resemble the good trials more than the others.

    These are `CANDIDATES` draws from the density of the good trials, with the greatest
    product first of the probability of being feasible, and of the ratio of that density
    to the one of the others. Each density is the mean of
    normal kernels around the trials and of the uniform density. Where neighbours share
    a score, or noise is large, this goes on to explore when a smooth model has settled.

    Args:
        cube: The space.
        rows: The trials' rows in it, those that have a score first.
        scores: Their scores, of which the lowest is the best.
        log_feasible: Returns the log of the probability that rows are feasible.
        generator: Draws the candidates.

    Reference:
        Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011; Falkner et
        al., "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", 2018.
    """
    order = np.argsort(scores, kind="stable")
    count = min(math.ceil(SHARE * len(rows)), MOST_GOOD, len(scores))
    is_good = np.isin(np.arange(len(rows)), order[:count])
    good, others = rows[is_good], rows[~is_good]
    candidates = cube.snapped(_drawn_near(good, generator))
    worth = log_density(cube, good, candidates) - log_density(cube, others, candidates)
    worth += log_feasible(candidates)
    for number in np.argsort(-worth, kind="stable"):
        yield cube.decoded(candidates[number])


def log_density(cube: UnitCube, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Returns the log of the density of some rows, at others."""
    from scipy.special import logsumexp

    width = _width(*rows.shape)
    known, places = cube.features(rows)[0], cube.features(at)[0]
    squared = ((places[:, None] - known[None]) ** 2).sum(axis=2)
    volume = cube.dimensions * math.log(width * math.sqrt(2 * math.pi))
    kernels = -0.5 * squared / width**2 - volume
    uniform = np.zeros((len(at), 1))
    every = np.concatenate([kernels, uniform], axis=1)
    return logsumexp(every, axis=1) - math.log(every.shape[1])


def _drawn_near(good: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws from the density of the good trials, and at times from the uniform one."""
    count, dimensions = good.shape
    shape = CANDIDATES, dimensions
    chosen = generator.integers(0, count + 1, CANDIDATES)
    near = good[np.minimum(chosen, count - 1)]
    near = near + _width(count, dimensions) * generator.standard_normal(shape)
    is_near = (chosen < count)[:, None] & (generator.random(shape) > 1 / (count + 1))
    is_near &= (near >= 0) & (near <= 1)
    return np.where(is_near, near, generator.random(shape))


def _width(count: int, dimensions: int) -> float:
    """Returns the width of a kernel by Scott's rule, and no less than 1 % or so."""
    least = 1 / min(100, 1 + count)
    return max(WIDTH * max(count, 1) ** (-1 / (dimensions + 4)), least)
