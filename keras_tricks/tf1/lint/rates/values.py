"""Values of an interpreted expression: numbers at each step, lists, anything else."""

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_tricks.tf1.lint.reading.flow import Definition


@dataclasses.dataclass(frozen=True)
class Value:
    """A number at each lane, that is, at each step of each sample.

    Attributes:
        lanes: The numbers.
        expression: What to write for it, if it is the same at all steps.
        names: The names in the expression and what they have their values from.
        is_step: Whether it is the step itself.
        is_tensor: Whether a function of TensorFlow has made it.
    """

    lanes: tuple[Any, ...]
    expression: ast.expr | None = None
    names: frozenset[tuple[str, Definition | None]] = frozenset()
    is_step: bool = False
    is_tensor: bool = False

    @property
    def text(self) -> str:
        """The expression as it is written."""
        return "" if self.expression is None else ast.unparse(self.expression)


@dataclasses.dataclass(frozen=True)
class Items:
    """A list of numbers, such as boundaries."""

    values: tuple[Value, ...]
    expression: ast.expr
    names: frozenset[tuple[str, Definition | None]]

    @property
    def text(self) -> str:
        """The list as it is written."""
        return ast.unparse(self.expression)


@dataclasses.dataclass(frozen=True)
class Other:
    """What is no number: a text, `None`, a function, a type."""

    value: Any


@dataclasses.dataclass(frozen=True)
class Decay:
    """A call of one of TF1's decays.

    Attributes:
        node: The call.
        name: Its name in `DECAYS`.
        arguments: Its arguments without the step; defaults are `Other`.
        step: What it takes as the step.
        rate: The rates.
    """

    node: ast.Call
    name: str
    arguments: Mapping[str, Any]
    step: Value
    rate: Value
