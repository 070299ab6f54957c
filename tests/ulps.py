"""Distances between float32 numbers in units in the last place."""

import numpy as np


def ulps_from(values, exact):
    """`|values - exact|` in ulps of float32 at `exact` (which is float64)."""
    exact = np.asarray(exact, np.float64)
    spacing = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return np.abs(np.asarray(values, np.float64) - exact) / spacing
