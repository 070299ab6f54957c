"""Edits of a file's text that leave all else as it is, and the patch they make."""

import ast
import dataclasses
import difflib
import re
from collections.abc import Iterable
from collections.abc import Sequence

from keras_tricks.tf1.source import Source


@dataclasses.dataclass(frozen=True, order=True)
class Edit:
    """Puts `text` where the file has the characters from `start` to `end`."""

    start: int
    end: int
    text: str


@dataclasses.dataclass(frozen=True)
class Rewrite:
    """Edits that belong together, and the name from this package that they need.

    Attributes:
        span: The part of the text that nothing else may edit.
        edits: The edits.
        module: The module of this package that the new name comes from.
        name: The name.
        alias: What the file calls it.
    """

    span: tuple[int, int]
    edits: tuple[Edit, ...]
    module: str
    name: str
    alias: str


def compatible(rewrites: Iterable[Rewrite]) -> list[Rewrite]:
    """Returns those rewrites, each once, that do not stand in one another."""
    taken: list[Rewrite] = []
    for rewrite in sorted(set(rewrites), key=lambda r: (r.span[0], -r.span[1])):
        if not taken or rewrite.span[0] >= taken[-1].span[1]:
            taken.append(rewrite)
    return taken


def rewritten(source: Source, rewrites: Sequence[Rewrite]) -> str:
    """Returns the text with the edits made and the imports added."""
    if not rewrites:
        return source.text
    edits = [edit for rewrite in rewrites for edit in rewrite.edits]
    imports = {
        f"from {r.module} import {r.name}"
        + (f" as {r.alias}" if r.alias != r.name else "")
        for r in rewrites
        if not _is_imported(source, r)
    }
    if imports:
        newline = "\r\n" if source.lines[0].endswith("\r\n") else "\n"
        where = _import_place(source, min(edit.start for edit in edits))
        lines = "".join(line + newline for line in sorted(imports))
        edits.append(Edit(where, where, lines))
    text = source.text
    # From the end, so that the places of the others stay; an insertion goes before
    # what is replaced at the same place.
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def unified_diff(source: Source, text: str) -> str:
    """Returns the change from a file to a new text of it, as `patch -p0` reads it."""
    # At line feeds only, as `patch` does.
    old, new = (re.split(r"(?<=\n)", t) for t in (source.text, text))
    lines = difflib.unified_diff(
        [line for line in old if line],
        [line for line in new if line],
        source.path,
        source.path,
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in lines
    )


def _import_place(source: Source, before: int) -> int:
    """Returns the start of the line below the imports that stand before a place."""
    last: ast.stmt | None = None
    body = source.tree.body
    for index, statement in enumerate(body):
        if source.span(statement)[1] > before:
            break
        inside = statement.body if isinstance(statement, ast.Try) else [statement]
        is_docstring = index == 0 and ast.get_docstring(source.tree) is not None
        if is_docstring or any(
            isinstance(s, ast.Import | ast.ImportFrom) for s in inside
        ):
            last = statement
    if last is None:
        first = body[0]
        decorators = getattr(first, "decorator_list", [])
        return source.line_start(min(n.lineno for n in [first, *decorators]))
    line = source.end_line(last)
    for statement in body[body.index(last) + 1 :]:
        if statement.lineno > line:
            break
        line = source.end_line(statement)  # It begins in the same line.
    return source.line_start(line + 1)


def _is_imported(source: Source, rewrite: Rewrite) -> bool:
    bindings = source.module.bindings.get(rewrite.alias, [])
    return any(b.path == f"{rewrite.module}.{rewrite.name}" for b in bindings)
