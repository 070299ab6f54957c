"""Edits of a file's text that leave all else as it is, and the patch they make."""

import ast
import bisect
import dataclasses
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from keras_tricks.tf1.lint.reading.source import Source

_CONTEXT_LINES = 3


class UncertainError(Exception):
    """A rewrite might change what the code does; the message says why."""


@dataclasses.dataclass(frozen=True, order=True)
class Edit:
    """Puts `text` where the file has the characters from `start` to `end`."""

    start: int
    end: int
    text: str


@dataclasses.dataclass(frozen=True, order=True)
class Import:
    """A name that a rewrite needs.

    Attributes:
        module: Where it comes from.
        name: The name; empty for the module itself.
        alias: What the file calls it.
    """

    module: str
    name: str
    alias: str

    def __str__(self) -> str:
        if not self.name:
            return f"import {self.module}"
        renamed = f" as {self.alias}" if self.alias != self.name else ""
        return f"from {self.module} import {self.name}{renamed}"

    @property
    def path(self) -> str:
        """What the import binds."""
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclasses.dataclass(frozen=True)
class Rewrite:
    """Edits that belong together, and the names that they need.

    Attributes:
        spans: The parts of the text that nothing else may edit.
        edits: The edits.
        imports: The names.
        priority: Of rewrites of the same text, the one with the highest is made.
        is_comment: Whether it only says what to do.
        stands_alone: Whether a comment is written, too, where nothing else in the file
            is rewritten.
        requires: Places in the text that other rewrites must have in their spans.
    """

    spans: tuple[tuple[int, int], ...]
    edits: tuple[Edit, ...]
    imports: tuple[Import, ...] = ()
    priority: int = 0
    is_comment: bool = False
    stands_alone: bool = False
    requires: tuple[int, ...] = ()


def chosen(found: Iterable[Any]) -> list[Rewrite]:
    """Returns the rewrites of findings that are made together.

    Each is made once, none stands in another one, each has what it requires, and
    comments alone change no file.
    """
    made = _without_overlaps({f.rewrite for f in found if f.rewrite is not None})
    code = [rewrite for rewrite in made if not rewrite.is_comment]
    spans = sorted(span for rewrite in code for span in rewrite.spans)
    made = [
        rewrite
        for rewrite in made
        if all(_overlaps(spans, (place, place + 1)) for place in rewrite.requires)
    ]
    if all(rewrite.is_comment and not rewrite.stands_alone for rewrite in made):
        return []
    return made


def _without_overlaps(rewrites: Iterable[Rewrite]) -> list[Rewrite]:
    order = sorted(
        rewrites, key=lambda r: (r.is_comment, -r.priority, r.spans[0][0], -_size(r))
    )
    taken: list[tuple[int, int]] = []
    made = []
    for rewrite in order:
        if not any(_overlaps(taken, span) for span in rewrite.spans):
            made.append(rewrite)
            for span in rewrite.spans:
                bisect.insort(taken, span)
    return made


def _size(rewrite: Rewrite) -> int:
    return sum(end - start for start, end in rewrite.spans)


def _overlaps(taken: Sequence[tuple[int, int]], span: tuple[int, int]) -> bool:
    place = bisect.bisect_left(taken, span)
    before = place > 0 and taken[place - 1][1] > span[0]
    after = place < len(taken) and (taken[place][0] < span[1] or taken[place] == span)
    return before or after


def rewritten(source: Source, rewrites: Sequence[Rewrite]) -> str:
    """Returns the text with the edits made and the imports added."""
    if not rewrites:
        return source.text
    edits = [edit for rewrite in rewrites for edit in rewrite.edits]
    imports = {
        needed
        for rewrite in rewrites
        for needed in rewrite.imports
        if not _is_imported(source, needed)
    }
    newline = "\r\n" if source.lines[0].endswith("\r\n") else "\n"
    if newline != "\n":
        edits = [
            Edit(edit.start, edit.end, re.sub("\r?\n", newline, edit.text))
            for edit in edits
        ]
    if imports:
        where = _import_place(source, min(edit.start for edit in edits))
        lines = "".join(f"{line}{newline}" for line in sorted(map(str, imports)))
        edits.append(Edit(where, where, lines))
    parts, place = [], 0
    for edit in sorted(edits):
        parts += [source.text[place : edit.start], edit.text]
        place = edit.end
    return "".join([*parts, source.text[place:]])


def unified_diff(source: Source, text: str) -> str:
    """Returns the change from a file to a new text of it, as `patch -p0` reads it."""
    if text == source.text:
        return ""
    # At line feeds only, as `patch` does.
    old, new = (
        [line for line in re.split(r"(?<=\n)", t) if line] for t in (source.text, text)
    )
    # A tab ends a name that has spaces.
    end = "\t\n" if " " in source.path else "\n"
    lines = [f"--- {source.path}{end}", f"+++ {source.path}{end}"]
    for hunk in _hunks(_changes(old, new)):
        lines += _hunk_lines(old, new, hunk)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in lines
    )


# The lines from `start` to `end` of the old text, and those of the new for them.
_Change = tuple[int, int, int, int]


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[_Change]:
    """Yields what differs, in a time that grows with the lines and not their square.

    Rewrites are local, so that what comes next is the same again within a few lines.
    """
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            i, j = i + 1, j + 1
            continue
        end_i, end_j = _next_equal(old, new, i, j)
        yield i, end_i, j, end_j
        i, j = end_i, end_j


def _next_equal(
    old: Sequence[str], new: Sequence[str], i: int, j: int
) -> tuple[int, int]:
    """Returns where both texts go on alike, with the fewest lines left out."""
    places: dict[str, int] = {}
    seen_old: dict[str, int] = {}
    for distance in range(max(len(old) - i, len(new) - j) + 1):
        best: tuple[int, int] | None = None
        if i + distance < len(old):
            seen_old.setdefault(old[i + distance], i + distance)
        if j + distance < len(new):
            places.setdefault(new[j + distance], j + distance)
        # The line at this distance in one text, against those so far in the other.
        candidates = []
        if i + distance < len(old) and old[i + distance] in places:
            candidates.append((i + distance, places[old[i + distance]]))
        if j + distance < len(new) and new[j + distance] in seen_old:
            candidates.append((seen_old[new[j + distance]], j + distance))
        for a, b in candidates:
            # A blank line or a bracket alone is no sign.
            same = 1 if len(old[a].strip()) > 3 else 2
            if same == 2 and (a + 1 == len(old) or len(old[a + 1].strip()) < 4):
                same = 3
            if old[a : a + same] == new[b : b + same]:
                best = min(best or (a, b), (a, b), key=sum)
        if best is not None:
            return best
    return len(old), len(new)


def _hunks(changes: Iterable[_Change]) -> Iterator[list[_Change]]:
    """Yields changes that are so close that their surroundings touch."""
    hunk: list[_Change] = []
    for change in changes:
        if hunk and change[0] - hunk[-1][1] > 2 * _CONTEXT_LINES:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _hunk_lines(
    old: Sequence[str], new: Sequence[str], hunk: Sequence[_Change]
) -> list[str]:
    before = min(hunk[0][0], _CONTEXT_LINES)
    after = min(len(old) - hunk[-1][1], _CONTEXT_LINES)
    lines = []
    place = hunk[0][0] - before
    for start, end, new_start, new_end in hunk:
        lines += [f" {line}" for line in old[place:start]]
        lines += [f"-{line}" for line in old[start:end]]
        lines += [f"+{line}" for line in new[new_start:new_end]]
        place = end
    lines += [f" {line}" for line in old[place : place + after]]
    ranges = (
        _range(hunk[0][0] - before, hunk[-1][1] + after),
        _range(hunk[0][2] - before, hunk[-1][3] + after),
    )
    return [f"@@ -{ranges[0]} +{ranges[1]} @@\n", *lines]


def _range(start: int, end: int) -> str:
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _import_place(source: Source, before: int) -> int:
    """Returns the start of the line below the imports that stand before a place."""
    last: ast.stmt | None = None
    position = -1
    body = source.tree.body
    for index, statement in enumerate(body):
        if source.span(statement)[1] > before:
            break
        inside = statement.body if isinstance(statement, ast.Try) else [statement]
        is_docstring = index == 0 and ast.get_docstring(source.tree) is not None
        if is_docstring or any(
            isinstance(s, ast.Import | ast.ImportFrom) for s in inside
        ):
            last, position = statement, index
    if last is None:
        first = body[0]
        decorators = getattr(first, "decorator_list", [])
        return source.line_start(min(n.lineno for n in [first, *decorators]))
    line = source.end_line(last)
    for statement in body[position + 1 :]:
        if statement.lineno > line:
            break
        line = source.end_line(statement)  # It begins in the same line.
    return source.line_start(line + 1)


def _is_imported(source: Source, needed: Import) -> bool:
    bindings = source.module.bindings.get(needed.alias, [])
    # TensorFlow's Keras is that of the package `keras`.
    paths = (needed.path, f"tensorflow.{needed.path}")
    return any(b.path in paths for b in bindings)
