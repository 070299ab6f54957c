"""Functional analysis of variance of a forest of regression trees, exactly."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Feature:
    """One axis of the space: what a tree sees of it, and how it is distributed.

    Attributes:
        columns: Of the array that the tree was grown on.
        points: What the columns can be, an array (points, columns), each as probable;
            None where one column lies evenly between 0 and 1.
    """

    columns: tuple[int, ...]
    points: np.ndarray | None = None


def decomposed(
    tree: Any, features: Sequence[Feature]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns which shares of a tree's variance features and their pairs explain.

    A tree is constant on boxes. Of a feature `f` the marginal `m_f` is the mean over
    all others, and its share the variance of `m_f` divided by that of the tree; of a
    pair it is the variance of `m_fg - m_f - m_g`. Since boxes are products of
    intervals, with weights `w[l, h]` of box `l` along axis `h` and overlaps
    `o[l, k, h]` of two boxes, the mean of the square of the marginal of the features
    `U` is

    `sum over l, k of v_l * v_k * (product over h not in U of w[l, h] * w[k, h])
    * (product over h in U of o[l, k, h])`

    Args:
        tree: The `tree_` of one of scikit-learn's regression trees.
        features: The axes.

    Returns:
        The shares of the features, an array (features,); those of the pairs, an array
        (features, features) above its diagonal; and the variance.

    Reference:
        Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing
        Hyperparameter Importance", 2014
    """
    lows, highs, values = _boxes(tree)
    along = [_along(lows, highs, feature) for feature in features]
    weights = np.array([weight for weight, _ in along])
    all_weights = weights.prod(axis=0)
    mean = float(all_weights @ values)
    values = values - mean
    variance = float(all_weights @ values**2)
    number = len(features)
    single, pairs = np.zeros(number), np.zeros((number, number))
    if variance <= 0.0:
        return single, pairs, 0.0

    def second_moment(chosen: tuple[int, ...]) -> float:
        rest = np.delete(weights, chosen, axis=0).prod(axis=0) * values
        overlap = along[chosen[0]][1]
        for other in chosen[1:]:
            overlap = overlap * along[other][1]
        return float(rest @ overlap @ rest)

    for one in range(number):
        single[one] = second_moment((one,)) / variance
    for one, other in itertools.combinations(range(number), 2):
        both = second_moment((one, other)) / variance
        pairs[one, other] = both - single[one] - single[other]
    return np.maximum(single, 0.0), np.maximum(pairs, 0.0), variance


def _boxes(tree: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the boxes of a tree's leaves, from above `lows` to `highs`, and values.

    Columns in the first two are those of the array that the tree was grown on.
    """
    columns = tree.n_features
    found = []
    waiting = [(0, np.full(columns, -np.inf), np.full(columns, np.inf))]
    while waiting:
        node, low, high = waiting.pop()
        left, right = tree.children_left[node], tree.children_right[node]
        if left == right:  # A leaf has neither.
            found.append((low, high, float(tree.value[node].item())))
            continue
        column, threshold = tree.feature[node], tree.threshold[node]
        left_high, right_low = high.copy(), low.copy()
        left_high[column] = right_low[column] = threshold
        waiting += [(left, low, left_high), (right, right_low, high)]
    lows, highs, values = zip(*found, strict=True)
    return np.array(lows), np.array(highs), np.array(values)


def _along(
    lows: np.ndarray, highs: np.ndarray, feature: Feature
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weight of each box along a feature, and the overlap of each two."""
    columns = list(feature.columns)
    if feature.points is None:
        low, high = (np.clip(ends[:, columns[0]], 0.0, 1.0) for ends in (lows, highs))
        overlap = np.minimum.outer(high, high) - np.maximum.outer(low, low)
        return high - low, np.maximum(overlap, 0.0)
    inside = np.all(
        (lows[:, None, columns] < feature.points)
        & (feature.points <= highs[:, None, columns]),
        axis=-1,
    ).astype(float)
    return inside.mean(axis=1), inside @ inside.T / len(feature.points)
