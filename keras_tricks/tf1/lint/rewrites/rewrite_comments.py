"""Comments that say what to do where code stays TF1's."""

import ast
import textwrap

from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError

MARK = "# keras_tricks:"
_WIDTH = 88


def above(
    source: Source, node: ast.AST, todo: str, stands_alone: bool = False
) -> Rewrite:
    """Returns the comment above the statement that a node is in.

    Raises:
        UncertainError: If there is no line of its own for it.
    """
    edit = edit_above(source, statement_of(source, node), todo)
    # Of two statements in one line, one has it.
    return Rewrite(
        ((edit.start, edit.start),),
        (edit,),
        is_comment=True,
        stands_alone=stands_alone,
    )


def statement_of(source: Source, node: ast.AST) -> ast.stmt:
    """Returns the statement that a node is, or is in."""
    if isinstance(node, ast.stmt):
        return node
    statement = source.enclosing(node, ast.stmt)
    assert isinstance(statement, ast.stmt)
    return statement


def edit_above(source: Source, statement: ast.stmt, todo: str) -> Edit:
    """Returns the edit that writes a comment above a statement."""
    start = source.line_start(statement.lineno)
    indent = source.text[start : source.span(statement)[0]]
    if indent.strip():
        raise UncertainError("it has no line of its own")
    line = statement.lineno - 1
    while line > 0 and source.lines[line - 1].lstrip().startswith("#"):
        if MARK in source.lines[line - 1]:
            raise UncertainError("the comment is there already")
        line -= 1
    return Edit(start, start, block(todo, indent))


def block(todo: str, indent: str) -> str:
    """Returns the lines of a comment."""
    lines = textwrap.wrap(
        todo,
        _WIDTH - len(indent.expandtabs()),
        initial_indent=f"{MARK} ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(f"{indent}{line}\n" for line in lines)


def call_text(name: str, arguments: list[str], indent: str, before: int = 0) -> str:
    """Returns a call in one line, or with each argument in a line of its own.

    Args:
        name: What is called.
        arguments: Its arguments as they are written.
        indent: The white space before the statement.
        before: Number of characters between that and the call.
    """
    line = f"{name}({', '.join(arguments)})"
    if len(indent.expandtabs()) + before + len(line) <= _WIDTH:
        return line
    inner = "".join(f"{indent}    {argument},\n" for argument in arguments)
    return f"{name}(\n{inner}{indent})"
