"""Checks of arguments: numbers, flags, names, functions; one form of message for all.

Each function takes the name of the argument, as the caller wrote it, and returns the
value in the form in which it is kept. NumPy's scalars, arrays without axes, and eager
scalars of Keras and its backend count as the number or bool that they hold.
"""

import math
import numbers
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

# The normal numbers of float32. Beyond the greatest is infinity; below the least some
# processors have 0.
LEAST, GREATEST = (
    float(x) for x in (np.finfo("float32").tiny, np.finfo("float32").max)
)
# What a counter of steps can hold.
_LARGEST = 2**63 - 1
# A message is to be read, even where a whole data set was given by mistake.
_LONGEST = 300


def check_float(
    name: str,
    value: Any,
    *,
    minimum: float = 0.0,
    exclusive: bool = False,
    maximum: float | None = None,
    below: float | None = None,
    hint: str = "",
) -> float:
    """Returns `value` as a float, or raises if it is not a usable number.

    Args:
        name: The argument's name, for the message.
        value: A number.
        minimum: The least value that is allowed.
        exclusive: Whether `minimum` itself is refused.
        maximum: The greatest value that is allowed.
        below: A value that is too large, as all above it are.
        hint: What the message adds to the bounds, beginning with a comma or the like.

    Raises:
        TypeError: If `value` is no number (an array, a string, a bool, `None`).
        ValueError: If it is NaN, infinite or out of its bounds, or would be in float32.
    """
    given = value
    value = plain(value)
    if not is_number(value):
        raise TypeError(
            f"`{name}` must be a Python or NumPy number. {received(name, given, True)}"
        )
    number = as_float(value)
    too_small = number <= minimum if exclusive else number < minimum
    too_large = (maximum is not None and number > maximum) or (
        below is not None and number >= below
    )
    bounds = f"{'>' if exclusive else '>='} {minimum:g}"
    bounds += "" if maximum is None else f" and <= {maximum:g}"
    bounds += "" if below is None else f" and < {below:g}"
    if not math.isfinite(number) or too_small or too_large:
        raise ValueError(
            f"`{name}` must be a finite number {bounds}{hint}. {received(name, given)}"
        )
    if number > GREATEST or (exclusive and minimum == 0 and number < LEAST):
        raise ValueError(
            f"`{name}` must be a finite number {bounds} in float32, too, whose numbers "
            f"are from {LEAST:.2g} to {GREATEST:.2g}{hint}. {received(name, given)}"
        )
    return number


def check_floats(name: str, values: Any, **bounds: Any) -> tuple[float, ...]:
    """Returns a list, a tuple or a vector of numbers as floats.

    Args:
        name: The argument's name, for the message.
        values: The numbers, at least one.
        **bounds: Of each: see `check_float`.

    Raises:
        TypeError: If it is none of these, or one of them is no number.
        ValueError: If it is empty, or a number is out of its bounds.
    """
    is_row = isinstance(values, list | tuple) or np.ndim(values) == 1
    if not is_row or isinstance(values, str):
        raise TypeError(
            f"`{name}` must be a list of numbers. {received(name, values, True)}"
        )
    if len(values) == 0:
        raise ValueError(f"`{name}` must hold a number. {received(name, values)}")
    return tuple(check_float(name, value, **bounds) for value in values)


def check_int(name: str, value: Any, *, minimum: int = 0) -> int:
    """Returns `value` as an int, or raises if it is no whole number.

    `1e4` counts as the whole number 10000.

    Raises:
        TypeError: If `value` is no number.
        ValueError: If it has a fraction, is not finite, is below `minimum`, or is more
            than 64 bits hold.
    """
    given = value
    value = plain(value)
    if not is_number(value):
        raise TypeError(
            f"`{name}` must be a whole number. {received(name, given, True)}"
        )
    if _LARGEST < value != math.inf:
        raise ValueError(
            f"`{name}` must be a whole number >= {minimum} and below 2**63. "
            f"{received(name, given)}"
        )
    is_whole = math.isfinite(as_float(value)) and value == math.floor(value)
    if not is_whole or value < minimum:
        raise ValueError(
            f"`{name}` must be a whole number >= {minimum}. {received(name, given)}"
        )
    return int(value)


def check_seed(name: str, value: Any) -> int | None:
    """Returns a seed as a Python int (0 included), or None.

    Raises:
        TypeError: If `value` is neither an integer nor None.
        ValueError: If it is negative or has more than 128 bits.
    """
    if value is None:
        return None
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError("True and False are no seeds.")
        # Also turns NumPy's integers into ints, which JSON can hold.
        seed = operator.index(value)
    except TypeError:
        raise TypeError(
            f"`{name}` must be an integer or None. {received(name, value)}"
        ) from None
    if seed < 0 or seed.bit_length() > 128:
        raise ValueError(
            f"`{name}` must be an integer from 0 on, of at most 128 bits, or None. "
            f"{received(name, value)}"
        )
    return seed


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Returns `value` if it is one of `choices`, or raises `ValueError`."""
    # An array would be compared number by number.
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {allowed}. {received(name, value)}")
    return str(value)


def check_flag(name: str, value: Any) -> bool:
    """Returns `value` if it is a bool, or raises `TypeError`."""
    given = value
    value = plain(value)
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. {received(name, given)}")
    return value


def check_text(name: str, value: Any) -> str:
    """Returns `value` if it is a string that is not empty, or raises.

    Raises:
        TypeError: If it is no string.
        ValueError: If it is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string. {received(name, value, True)}")
    if not value:
        raise ValueError(f"`{name}` must not be empty. {received(name, value)}")
    return value


def check_function(
    name: str, value: Any, what: str = "a function"
) -> Callable[..., Any]:
    """Returns `value` if it can be called, or raises `TypeError`.

    Args:
        name: The argument's name.
        value: The value.
        what: What it must be, for the message.
    """
    if not callable(value):
        raise TypeError(f"`{name}` must be {what}. {received(name, value, True)}")
    return value


def plain(value: Any) -> Any:
    """Returns the Python number or bool that a scalar holds, or `value` as it is.

    Scalars are NumPy's, arrays without axes, and eager tensors and variables without
    axes. What is not known yet, in a step that is being traced, stays as it is.
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.item() if value.ndim == 0 else value
    if isinstance(value, numbers.Number | str | type) or value is None:
        return value
    # Where Keras is not loaded, nothing can be its own; loading it takes seconds.
    keras = sys.modules.get("keras")
    if keras is None:
        return value
    if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
        try:
            array = np.asarray(keras.ops.convert_to_numpy(value))
        except Exception:  # Each backend has an error of its own for its placeholders.
            return value
        return array.item() if array.ndim == 0 else value
    return value


def is_number(value: Any) -> bool:
    """Whether a `plain` value is a real number; a bool is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_float(number: Any) -> float:
    """Returns a real number as a float, infinite where it is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def received(name: str, value: Any, with_type: bool = False) -> str:
    """Returns the end of a message: `Received: name=value`."""
    kind = f" (of type {type(value).__name__})" if with_type else ""
    return f"Received: {name}={shown(value)}{kind}"


def shown(value: Any) -> str:
    """Returns `repr(value)`, shortened where it is long."""
    try:
        text = repr(value)
    except Exception as error:  # Python refuses to print very long numbers.
        return f"<a {type(value).__name__} that cannot be shown: {error}>"
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"
