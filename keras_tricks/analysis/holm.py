"""Holm's correction of p-values for several comparisons."""

from __future__ import annotations

import numpy as np


def adjusted(p_values: list[float]) -> list[float]:
    """Returns p-values that hold for all of them together."""
    found, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = highest
    return found
