"""The scales of ranges: where a number lies on one, and how far one may be extended.

A range is whatever has a `min_value`, a `max_value`, a `step` and a `sampling`, as
KerasTuner's `Int` and `Float` have; those of an `Int` are of Python's type int.
"""

from __future__ import annotations

import math
from typing import Any

# What counts as the edge of a range, on its scale from 0 to 1.
EDGE = 0.05


def scaled(hp: Any, value: float) -> float:
    """Returns a number on its hyperparameter's scale."""
    return math.log(value) if hp.sampling in ("log", "reverse_log") else float(value)


def unscaled(hp: Any, number: float) -> float:
    """Returns the value at a number on its hyperparameter's scale."""
    return math.exp(number) if hp.sampling in ("log", "reverse_log") else number


def extended(hp: Any, edge: str) -> tuple[float, float]:
    """Returns a range that reaches further beyond an edge, by half of its width.

    Args:
        hp: A hyperparameter with a range.
        edge: `"lower"` or `"upper"`.
    """
    low, high = scaled(hp, hp.min_value), scaled(hp, hp.max_value)
    least, largest = natural_limits(hp)
    if edge == "lower":
        new_low = max(unscaled(hp, low - 0.5 * (high - low)), least)
        return on_the_grid(hp, new_low, hp.max_value)
    new_high = min(unscaled(hp, high + 0.5 * (high - low)), largest)
    return on_the_grid(hp, hp.min_value, new_high)


def natural_limits(hp: Any) -> tuple[float, float]:
    """Returns the limits that a range suggests: shares stay shares, counts positive."""
    if is_whole(hp):
        return (1 if hp.min_value > 0 else hp.min_value), math.inf
    if hp.sampling == "linear" and hp.min_value >= 0:
        return 0.0, (0.99 if hp.max_value < 1 else math.inf)
    return (-math.inf if hp.sampling == "linear" else 0.0), math.inf


def on_the_grid(hp: Any, low: float, high: float) -> tuple[float, float]:
    """Returns the ends of a range as values that a step of `hp` reaches."""
    step = hp.step
    if step is not None and hp.sampling == "linear":
        low = hp.min_value + math.floor((low - hp.min_value) / step + 1e-9) * step
        high = hp.min_value + math.ceil((high - hp.min_value) / step - 1e-9) * step
    elif step is not None:
        exponent = math.log(low / hp.min_value, step)
        low = hp.min_value * step ** math.floor(exponent + 1e-9)
        exponent = math.log(high / hp.min_value, step)
        high = hp.min_value * step ** math.ceil(exponent - 1e-9)
    if is_whole(hp):
        return max(1 if hp.min_value > 0 else hp.min_value, round(low)), round(high)
    return float(f"{low:.6g}"), float(f"{high:.6g}")


def is_whole(hp: Any) -> bool:
    """Whether a range is one of whole numbers."""
    return isinstance(hp.min_value, int)
