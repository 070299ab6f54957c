"""What a clip limit may be."""

import math
import numbers


def positive_limit(name: str, value) -> float:
    """Returns `value` as a float, or raises if it cannot bound a norm.

    Raises:
        TypeError: If `value` is not a Python or NumPy number.
        ValueError: If it is 0, negative, NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a positive number, such as {name}=1.0. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    limit = float(value)
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(
            f"`{name}` must be a finite number > 0; leave it out to clip nothing. "
            f"Received: {name}={value!r}"
        )
    return limit
