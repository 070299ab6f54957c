"""Conversion rules: from the names and layouts of a checkpoint to those of Keras."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_tricks import _validation


@dataclasses.dataclass(frozen=True)
class Rule:
    """Base class: what is done for the TF1 names in which `pattern` is found.

    Rules are given to `restore_weights` or `restore_optimizer` as `variable_map`, one
    or a list of them. Those that apply to a name are taken in their order, for the
    slots of a weight as for the weight itself.

    Attributes:
        pattern: A regular expression, searched in the TF1 name.
    """

    pattern: str

    def __post_init__(self) -> None:
        name = f"`pattern` of {type(self).__name__}"
        if not isinstance(self.pattern, str):
            raise TypeError(
                f"{name} must be a string. "
                f"{_validation.received('pattern', self.pattern)}"
            )
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"{name} must be a regular expression ({error}). "
                f"{_validation.received('pattern', self.pattern)}"
            ) from error

    def applies_to(self, name: str) -> bool:
        """Returns whether the pattern is found in a TF1 name."""
        return re.search(self.pattern, name) is not None


@dataclasses.dataclass(frozen=True)
class Rename(Rule):
    r"""The name under which the Keras variable is looked for.

    `re.sub(pattern, replacement, name)`; a second `Rename` goes on with what the first
    one made.

    Args:
        pattern: A regular expression, searched in the TF1 name.
        replacement: What is put in place of it; `\1` is its first group.

    Raises:
        TypeError: If an argument is no string.
        ValueError: If `pattern` is no regular expression.

    Example:

    >>> from keras_tricks.tf1 import Rename
    >>> Rename(r"^net/block(\d+)", r"encoder/layer_\1").renamed("net/block3/kernel")
    'encoder/layer_3/kernel'
    """

    replacement: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.replacement, str):
            raise TypeError(
                "`replacement` must be a string. "
                f"{_validation.received('replacement', self.replacement)}"
            )
        check_template(self.pattern, "replacement", self.replacement)

    def renamed(self, name: str) -> str:
        """Returns the name after the replacement."""
        return re.sub(self.pattern, self.replacement, name)


class Layout(Rule):
    """Base class of the rules that change how a value is laid out."""

    def converted(self, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Returns `value` in the new layout.

        Args:
            value: What the checkpoint holds, or what the rule before made of it.
            shape: The shape of the Keras variable.

        Raises:
            ValueError: If the layout does not fit the value.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Transpose(Layout):
    """The axes in another order, such as (classes, units) to (units, classes).

    Args:
        pattern: A regular expression, searched in the TF1 name.
        axes: The axes of the checkpoint's variable in their new order; `None` is the
            reverse order.

    Raises:
        TypeError: If `pattern` is no string, or `axes` no list of whole numbers.
        ValueError: If `pattern` is no regular expression; in a restore, if `axes` are
            not those of a variable.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.tf1 import Transpose
    >>> Transpose("output_weights$").converted(np.zeros((3, 8)), (8, 3)).shape
    (8, 3)
    """

    axes: Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.axes is not None:
            object.__setattr__(self, "axes", _whole_numbers("axes", self.axes))

    def converted(self, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.transpose(value, self.axes)


@dataclasses.dataclass(frozen=True)
class Reshape(Layout):
    """The same numbers in the same order, in another shape.

    Args:
        pattern: A regular expression, searched in the TF1 name.
        shape: The new shape; `None` is that of the Keras variable.

    Raises:
        TypeError: If `pattern` is no string, or `shape` no list of whole numbers.
        ValueError: If `pattern` is no regular expression; in a restore, if a variable
            does not have as many numbers.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.tf1 import Reshape
    >>> Reshape("query/kernel$").converted(np.zeros((8, 8)), (8, 2, 4)).shape
    (8, 2, 4)
    """

    shape: Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape is not None:
            object.__setattr__(self, "shape", _whole_numbers("shape", self.shape))

    def converted(self, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.reshape(value, shape if self.shape is None else tuple(self.shape))


@dataclasses.dataclass(frozen=True)
class Split(Rule):
    r"""One variable of the checkpoint as several of Keras's, of equal size.

    Layouts that stand before it in the list act on the whole, those after it on the
    parts.

    Args:
        pattern: A regular expression, searched in the TF1 name.
        into: The names under which the parts' Keras variables are looked for;
            `\1` is the pattern's first group.
        axis: The axis that is cut.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `pattern` is no regular expression or `into` empty; in a restore,
            if the axis cannot be cut into as many parts.

    Example:

    >>> from keras_tricks.tf1 import Split
    >>> split = Split(r"(.*)/qk/kernel$", [r"\1/q/kernel", r"\1/k/kernel"], axis=1)
    >>> split.names("layer_0/qk/kernel")
    ['layer_0/q/kernel', 'layer_0/k/kernel']
    """

    into: Sequence[str]
    axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.into, str) or not isinstance(self.into, Sequence):
            raise TypeError(
                "`into` must be a list of names. "
                f"{_validation.received('into', self.into)}"
            )
        if not self.into:
            raise ValueError("`into` must name at least one part. Received: into=[]")
        for number, template in enumerate(self.into):
            _validation.check_text(f"into[{number}]", template)
            check_template(self.pattern, f"into[{number}]", template)
        object.__setattr__(self, "into", tuple(self.into))
        axis = _validation.check_int("axis", self.axis, minimum=-(2**31))
        object.__setattr__(self, "axis", axis)

    def names(self, name: str) -> list[str]:
        """Returns the names of the parts of a TF1 variable."""
        match = re.search(self.pattern, name)
        assert match is not None
        return [match.expand(template) for template in self.into]

    def part(self, value: np.ndarray, number: int) -> np.ndarray:
        """Returns one of the parts of a value.

        Raises:
            ValueError: If it cannot be cut.
        """
        return np.split(value, len(self.into), self.axis)[number]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What is done with the value of a TF1 variable for one variable of Keras's.

    Attributes:
        rules: The layouts and splits, in their order.
        part: The number of the part that a `Split` leaves.
        reason: Why it is made, if not by the user's rules.
    """

    rules: tuple[Layout | Split, ...] = ()
    part: int = 0
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return f"{type(self.rules[0]).__name__}, {self.reason}"
        return ", ".join(map(str, self.rules))

    def converted(self, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Returns the value for a Keras variable of that shape.

        Raises:
            ValueError: If a rule does not fit, which is named.
        """
        for rule in self.rules:
            before = value.shape
            try:
                if isinstance(rule, Split):
                    value = rule.part(value, self.part)
                else:
                    value = rule.converted(value, shape)
            except ValueError as error:
                raise ValueError(f"{rule} does not fit {before}: {error}") from error
        return value

    def shape(self, of: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape after the conversion, without reading a value."""
        return self.converted(np.broadcast_to(np.float32(0), of), shape).shape


_OUTPUT_WEIGHTS = r"(^|/)output_weights$"
# The layers of attention whose heads Keras's MultiHeadAttention has on an axis.
_HEADS = r"(^|/)(self/(query|key|value)|attention(_\d+)?/output/dense)/(kernel|bias)$"


def known_conversion(
    name: str, shape: tuple[int, ...], path: str, wanted: tuple[int, ...]
) -> Conversion:
    """Returns how BERT's layout of a variable becomes that of Keras's layers.

    BERT, ALBERT and ELECTRA keep the weights of a classifier as (classes, units), where
    `Dense` has (units, classes), and the heads of attention side by side, where
    `MultiHeadAttention` has an axis for them. All else is left as it is.

    Args:
        name: The TF1 name of a weight.
        shape: Its shape.
        path: The path of the Keras variable.
        wanted: Its shape.
    """
    last = path.rpartition("/")[2]
    transposes = last == "kernel" and shape[::-1] == wanted
    if re.search(_OUTPUT_WEIGHTS, name) and transposes:
        reason = "since a Dense kernel is (units, classes)"
        return Conversion((Transpose(_OUTPUT_WEIGHTS),), reason=reason)
    splits_heads = shape != wanted and math.prod(shape) == math.prod(wanted)
    if re.search(_HEADS, name) and splits_heads and len(wanted) == len(shape) + 1:
        reason = "since MultiHeadAttention has an axis for its heads"
        return Conversion((Reshape(_HEADS),), reason=reason)
    return Conversion()


def check_template(pattern: str, name: str, template: str) -> None:
    """Raises if the template refers to a group that the pattern does not have."""
    try:
        re.sub(pattern, template, "")
        # A group is looked up only where the pattern is found.
        groups = re.compile(pattern).groups
        numbers = [int(n) for n in re.findall(r"\\(\d+)", template)]
        if any(number > groups for number in numbers):
            raise re.error(f"the pattern has {groups} groups")
    except (re.error, IndexError) as error:
        raise ValueError(
            f"`{name}` must be a replacement for the pattern ({error}). "
            f"{_validation.received(name, template)}"
        ) from error


def _whole_numbers(name: str, values: Any) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(
            f"`{name}` must be a list of whole numbers. "
            f"{_validation.received(name, values)}"
        )
    return tuple(
        _validation.check_int(f"{name}[{number}]", value, minimum=-(2**31))
        for number, value in enumerate(values)
    )
