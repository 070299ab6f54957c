"""Checks of the numbers that schedules are made from."""

import math
import numbers
import operator


def real(name: str, value, *, minimum: float = 0.0, exclusive: bool = False) -> float:
    """Returns `value` as a float, or raises if it is not a usable number.

    Args:
        name: The argument's name, for the message.
        value: A Python or NumPy number.
        minimum: The least value that is allowed.
        exclusive: Whether `minimum` itself is refused.

    Raises:
        TypeError: If `value` is no number (a tensor, a string, a bool, `None`).
        ValueError: If it is NaN, infinite or too small.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a Python or NumPy number. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    number = float(value)
    too_small = number <= minimum if exclusive else number < minimum
    if not math.isfinite(number) or too_small:
        bound = ">" if exclusive else ">="
        raise ValueError(
            f"`{name}` must be a finite number {bound} {minimum:g}. "
            f"Received: {name}={value!r}"
        )
    return number


def whole(name: str, value, *, minimum: int = 0) -> int:
    """Returns `value` as an int, or raises if it is no whole number.

    `1e4` counts as the whole number 10000.

    Raises:
        TypeError: If `value` is no number.
        ValueError: If it has a fraction, is not finite, or is below `minimum`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a whole number. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    whole_value = math.floor(value) if math.isfinite(float(value)) else None
    if whole_value is None or value != whole_value or value < minimum:
        raise ValueError(
            f"`{name}` must be a whole number >= {minimum}. Received: {name}={value!r}"
        )
    return operator.index(whole_value)


def one_of(name: str, value, choices: tuple[str, ...]) -> str:
    """Returns `value` if it is one of `choices`, or raises `ValueError`."""
    if value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {allowed}. Received: {value!r}")
    return value


def flag(name: str, value) -> bool:
    """Returns `value` if it is a bool, or raises `TypeError`."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return value
