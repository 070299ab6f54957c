"""What the rules know of a file: its names, its definitions, its rates."""

import ast
import dataclasses
import functools

from keras_tricks.tf1.lint.rates.schedule_advice import Advisor
from keras_tricks.tf1.lint.reading.flow import Flows
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """A file, its definitions and the advice on its rates.

    Attributes:
        calls: For the module or a function, and a last name such as `AdamOptimizer`,
            the calls of it there.
        update_lines: The lines with an `apply_gradients` or a `minimize`, in order.
    """

    source: Source
    flows: Flows
    advisor: Advisor

    @functools.cached_property
    def calls(self) -> dict[tuple[ast.AST, str], list[ast.Call]]:
        found: dict[tuple[ast.AST, str], list[ast.Call]] = {}
        for node in ast.walk(self.source.tree):
            if isinstance(node, ast.Call):
                key = self.flows.function_of(node), last_name(node.func)
                found.setdefault(key, []).append(node)
        return found

    @functools.cached_property
    def update_lines(self) -> list[int]:
        attributes = self.source.attributes
        names = ("apply_gradients", "minimize")
        return sorted(
            node.lineno for name in names for node in attributes.get(name, [])
        )

    @classmethod
    def of(cls, source: Source) -> "Context":
        """Returns the context of a file."""
        flows = Flows(source)
        return cls(source, flows, Advisor(source, flows))
