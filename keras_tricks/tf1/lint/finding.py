"""A finding: where it is, what it is, what to write instead."""

import ast
import dataclasses
from collections.abc import Callable

from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError


@dataclasses.dataclass(frozen=True)
class Finding:
    """One place with code that this package replaces.

    Attributes:
        line: Line in the file, or in the cell, counted from 1.
        column: Character in the line, counted from 1.
        what: What stands there.
        instead: What to write instead.
        rewrite: The rewrite, where there is one.
        why_not: Why a rewrite that there is in principle is not made here.
        check: How the advice was checked, such as "equal at 17 steps".
        cell: The cell of a notebook, counted from 1.
        start: Where in the text it begins.
    """

    line: int
    column: int
    what: str
    instead: str
    rewrite: Rewrite | None = None
    why_not: str = ""
    check: str = ""
    cell: int | None = None
    start: int = 0


def make(
    source: Source,
    node: ast.AST,
    what: str,
    instead: str,
    rewriter: Callable[[], Rewrite] | None = None,
    check: str = "",
) -> Finding:
    """Returns the finding at a node.

    Args:
        source: The file.
        node: Where it is.
        what: What stands there.
        instead: What to write instead.
        rewriter: Makes the rewrite, or raises `UncertainError`.
        check: How the advice was checked.
    """
    line, column = source.place(node)
    cell, line = source.cell(line)
    made, why_not = None, ""
    if rewriter is not None and cell is not None:
        why_not = "notebooks are not rewritten"
    elif rewriter is not None:
        try:
            made = rewriter()
        except UncertainError as reason:
            why_not = str(reason)
    start = source.span(node)[0]
    return Finding(line, column, what, instead, made, why_not, check, cell, start)
