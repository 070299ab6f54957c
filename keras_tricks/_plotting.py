"""What every picture begins with: that matplotlib is there, and axes to draw on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_tricks import _validation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def require_matplotlib(name: str) -> None:
    """Raises an `ImportError` that says what to install, if matplotlib is missing.

    Args:
        name: The public name that draws.
    """
    try:
        import matplotlib.figure  # noqa: F401  # Whether it can be imported.
    except ImportError as error:
        raise ImportError(
            f"`{name}` needs matplotlib: python -m pip install matplotlib"
        ) from error


def axes(ax: Any) -> Axes:
    """Returns `ax` if it is an `Axes`, and those of a new figure if it is None.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `ax` is something else.
    """
    require_matplotlib("plot")
    import matplotlib.axes
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    elif not isinstance(ax, matplotlib.axes.Axes):
        raise TypeError(
            f"`ax` must be a matplotlib `Axes`. {_validation.received('ax', ax, True)}"
        )
    return ax


def reach(middle: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """Returns the lengths of error bars below and above, 0 where an end is within."""
    return [np.maximum(middle - low, 0.0), np.maximum(high - middle, 0.0)]
