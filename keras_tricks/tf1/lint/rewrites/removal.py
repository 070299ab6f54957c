"""Statements that go with a rewrite, since nothing else uses what they compute."""

import ast
import re
from collections.abc import Iterable
from collections.abc import Sequence

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.flow import origins
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import UncertainError

_COMMENT = re.compile(r"[ \t]*#")


class Removal:
    """Statements of one function that are removed or replaced.

    Args:
        context: The file.
        statement: A statement of the function.

    Attributes:
        definitions: What the removed statements define.
        rejoined: Each `if` whose body made the rate that is replaced.
    """

    def __init__(self, context: Context, statement: ast.stmt):
        self._context = context
        self._scope = context.flows.function_of(statement)
        self._statements: dict[ast.stmt, None] = {}
        self.definitions: set[Definition] = set()
        self.rejoined: set[ast.AST] = set()
        self._replaced: set[ast.stmt] = set()

    def replace(self, statements: Iterable[ast.stmt]) -> None:
        """Adds statements in whose places others will stand."""
        statements = list(statements)
        self._replaced.update(statements)
        self.add(statements)

    def add(self, statements: Iterable[ast.stmt]) -> None:
        """Adds statements that are removed."""
        self._statements |= dict.fromkeys(statements)

    def add_unused(
        self,
        used: Iterable[Definition],
        live: Iterable[Definition | None],
        final: ast.stmt,
    ) -> None:
        """Adds the statements whose values only go into those that are removed.

        Args:
            used: The definitions that the rate comes from.
            live: Those that are needed all the same.
            final: The last statement, which is replaced.
        """
        flows = self._context.flows
        kept = set(live)
        candidates: dict[ast.stmt, Definition] = {}
        everything = {inner: None for one in used for inner in origins(one)}
        for definition in everything:
            node = definition.node
            if definition in kept or not isinstance(node, ast.Assign | ast.AugAssign):
                continue
            if definition.element is not None or node in self._statements:
                continue
            if flows.function_of(node) is self._scope:
                candidates[node] = definition
        functions = self._unused_functions(used)
        while True:
            removed = {*self._statements, *candidates, *functions}
            still = {
                node: definition
                for node, definition in candidates.items()
                if self._only_in(definition, removed)
            }
            if len(still) == len(candidates):
                break
            candidates = still
        self._statements |= dict.fromkeys([*candidates, *functions])
        self.definitions = set(candidates.values())
        places = flows.of(self._scope)
        for statement in self._statements:
            name = getattr(statement, "target", None) or (
                statement.targets[0] if isinstance(statement, ast.Assign) else None
            )
            if isinstance(name, ast.Name) and statement in places.places:
                found = places.defined_at(name.id, places.places[statement])
                if found is not None:
                    self.definitions.add(found)
        self._add_empty_blocks()

    def _unused_functions(self, used: Iterable[Definition]) -> list[ast.stmt]:
        """Returns functions that are nothing but branches of a removed `tf.cond`."""
        found: list[ast.stmt] = []
        for definition in used:
            node = definition.node
            if not isinstance(node, ast.FunctionDef) or node.decorator_list:
                continue
            uses = self._context.source.uses(node.name, self._scope)
            statements = [self._statement(name) for name in uses]
            if all(s in self._statements for s in statements):
                found.append(node)
        return found

    def _statement(self, node: ast.AST) -> ast.AST | None:
        """Returns the statement of the function that a node stands in."""
        places = self._context.flows.of(self._scope).places
        inner: ast.AST | None = node
        while inner is not None and inner not in places:
            inner = self._context.source.parents.get(inner)
        return inner

    def _only_in(self, definition: Definition, removed: set[ast.stmt]) -> bool:
        """Returns whether only removed statements use a definition."""
        flows = self._context.flows
        for after in flows.augmented(definition, self._scope):
            if after.node not in removed:
                return False
        for name in flows.uses(definition):
            found = flows.definition(name)
            if found is not None and found.node in self.rejoined:
                # What the `if` made of the name is made anew below it.
                continue
            if self._statement(name) not in removed:
                return False
        return True

    def check_no_other_use(self, definition: Definition) -> None:
        """Refuses a definition that statements use which stay."""
        if not self._only_in(definition, set(self._statements)):
            raise UncertainError(f"`{definition.name}` is used before it is complete")

    def _add_empty_blocks(self) -> None:
        """Adds each `if` of which nothing is left, and whose test does nothing."""
        parents = self._context.source.parents
        changed = True
        while changed:
            changed = False
            for statement in list(self._statements):
                around = parents.get(statement)
                if not isinstance(around, ast.If) or around in self._statements:
                    continue
                inside = [*around.body, *around.orelse]
                is_pure = not any(
                    isinstance(n, ast.Call) for n in ast.walk(around.test)
                )
                gone = self._statements.keys() - self._replaced
                if is_pure and all(inner in gone for inner in inside):
                    self._statements[around] = None
                    changed = True

    def _outermost(self) -> list[ast.stmt]:
        parents = self._context.source.parents
        return [
            statement
            for statement in self._statements
            if parents.get(statement) not in self._statements
        ]

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The parts of the text that are removed or replaced."""
        source = self._context.source
        return tuple(sorted(source.span(s) for s in self._outermost()))

    def edits_with(self, place: ast.stmt, text: str) -> tuple[Edit, ...]:
        """Returns the edits, with a new statement where another one stands.

        Args:
            place: A removed statement, or an `if` around one, before which it goes.
            text: The statement.
        """
        source = self._context.source
        edits = []
        for statement in self._outermost():
            if statement is place:
                comments = self._comments_in(statement)
                edits.append(Edit(*source.span(statement), comments + text))
            else:
                self._check_block(statement, [place])
                edits.append(self._deletion(statement))
        if place not in self._statements:
            start = source.line_start(place.lineno)
            indent = source.text[start : source.span(place)[0]]
            edits.append(Edit(start, start, f"{indent}{text}\n"))
        return tuple(edits)

    def edits_without(self, replaced: Sequence[ast.stmt]) -> tuple[Edit, ...]:
        """Returns the edits that remove all but what is replaced elsewhere."""
        edits = []
        for statement in self._outermost():
            if statement not in replaced:
                self._check_block(statement, replaced)
                edits.append(self._deletion(statement))
        return tuple(edits)

    def _check_block(self, statement: ast.stmt, kept: Sequence[ast.stmt]) -> None:
        """Refuses a removal that leaves a block without a statement."""
        around = self._context.source.parents[statement]
        for name in ("body", "orelse", "finalbody"):
            block = getattr(around, name, None)
            if isinstance(block, list) and statement in block:
                gone = [s for s in block if s in self._statements and s not in kept]
                if len(gone) == len(block):
                    raise UncertainError("a block would have no statement left")

    def _comments_in(self, statement: ast.stmt) -> str:
        """Returns the comments inside a removed block, for the line above."""
        source = self._context.source
        start = source.line_start(statement.lineno)
        indent = source.text[start : source.span(statement)[0]]
        lines = source.lines[statement.lineno - 1 : source.end_line(statement)]
        comments = [line.strip() for line in lines if _COMMENT.match(line)]
        return "".join(f"{comment}\n{indent}" for comment in comments)

    def _deletion(self, statement: ast.stmt) -> Edit:
        """Returns the edit that takes a statement out, with its lines."""
        source = self._context.source
        first, last = source.span(statement)
        start = source.line_start(statement.lineno)
        end = source.line_start(source.end_line(statement) + 1)
        before, after = source.text[start:first], source.text[last:end]
        if before.strip() or (after.strip() and not _COMMENT.match(after)):
            raise UncertainError("a statement has no line of its own")
        comments = self._comments_in(statement)
        kept = f"{before}{comments.rstrip()}\n" if comments else ""
        if not kept:
            above = source.text[:start].rstrip(" \t")
            while above.endswith("\n\n") or not above:
                blank = re.compile(r"[ \t]*\r?\n").match(source.text, end)
                if blank is None:
                    break
                end = blank.end()
        return Edit(start, end, kept)
