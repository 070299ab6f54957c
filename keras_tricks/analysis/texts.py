"""Texts: values, times and lists as sentences have them."""

from __future__ import annotations

import math
from typing import Any


def shown(value: Any) -> str:
    """Returns a value with four digits, or as it is."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """Returns a time in the unit that fits."""
    if not math.isfinite(seconds):
        return "an unknown time"
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def listed(names: list[str]) -> str:
    """Returns names as a sentence lists them."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def indented(text: str) -> str:
    """Returns a text with each of its lines indented."""
    return "\n".join(f"  {line}" for line in text.splitlines())
