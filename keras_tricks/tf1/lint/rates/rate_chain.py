"""Chains of a rate: from a decay or a warmup through what is computed from it."""

import ast
import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence

from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.flow import Flows
from keras_tricks.tf1.lint.reading.source import Source

_LIBRARIES = ("tensorflow", "numpy", "math")
_MAX_LINKS = 12
_ARITHMETIC = ast.BinOp | ast.UnaryOp | ast.IfExp | ast.Lambda | ast.keyword


@dataclasses.dataclass(frozen=True)
class Link:
    """One statement of a chain.

    Attributes:
        node: The expression in it that the chain came through last.
        statement: The statement.
        definition: What it defines, if that is a name of its own.
    """

    node: ast.expr
    statement: ast.stmt
    definition: Definition | None


def links(source: Source, flows: Flows, start: ast.expr) -> list[Link]:
    """Returns the statements that compute a rate from an expression, in their order.

    It ends where the rate is used in another way than in arithmetic: by an optimizer, a
    summary, a `return`.
    """
    link = _link(source, flows, start)
    chain: list[Link] = []
    while link is not None and len(chain) < _MAX_LINKS:
        chain.append(link)
        known = [earlier.statement for earlier in chain]
        users = _users(source, flows, link.definition)
        link = None
        for user in users:
            if user.statement not in known:
                link = user
    return chain


def changed_elsewhere(source: Source, flows: Flows, chain: Sequence[Link]) -> str:
    """Returns where else a rate is computed with, which the chain does not follow.

    That is where it is kept in an attribute, or returned by a function of the file.
    """
    last = chain[-1]
    match last.statement:
        case ast.Assign(targets=[ast.Attribute() as target]):
            text = ast.unparse(target)
            for node in source.attributes.get(target.attr, []):
                if node is target or ast.unparse(node) != text:
                    continue
                is_changed = not isinstance(node.ctx, ast.Load)
                if is_changed or _is_computed_with(source, flows, node):
                    return f"`{text}` is computed with elsewhere"
    name = getattr(flows.function_of(last.statement), "name", "")
    for use in source.names.get(name, []):
        call = source.parents[use]
        if isinstance(call, ast.Call) and call.func is use:
            if _returns(source, last) and _is_computed_with(source, flows, call):
                return f"what `{name}` returns is computed with elsewhere"
    return ""


def _returns(source: Source, last: Link) -> bool:
    """Returns whether a function returns the rate of a chain."""
    if isinstance(last.statement, ast.Return):
        return True
    name = last.definition.name if last.definition is not None else ""
    function = source.enclosing(last.statement, ast.FunctionDef)
    return function is not None and any(
        isinstance(node, ast.Return)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        for node in ast.walk(function)
    )


def _is_computed_with(source: Source, flows: Flows, node: ast.expr) -> bool:
    """Returns whether there is arithmetic with a value, at once or under its name."""
    link = _link(source, flows, node)
    if link is None or _is_shown(source, node):
        return False
    if link.node is not node:
        return not _is_shown(source, link.node)
    return any(True for _ in _users(source, flows, link.definition))


def _link(source: Source, flows: Flows, node: ast.expr) -> Link | None:
    """Returns the statement that does arithmetic with an expression."""
    top = _top(source, node)
    statement = source.parents[top]
    if isinstance(statement, ast.Return):
        call = _choice_that_calls(source, flows, statement)
        if call is not None:
            top = _top(source, call)
            statement = source.parents[top]
    if not isinstance(statement, ast.stmt):
        # An argument of something else: the chain is this expression alone.
        around = source.enclosing(top, ast.stmt)
        assert isinstance(around, ast.stmt)
        return Link(top, around, None)
    return Link(top, statement, _defined_by(flows, source, statement, top))


def _top(source: Source, node: ast.expr) -> ast.expr:
    """Returns the whole expression that does arithmetic with a part of it."""
    top = node
    inner: ast.AST = node
    while True:
        parent = source.parents[inner]
        if isinstance(parent, ast.Call) and inner is not parent.func:
            path = source.path_of(parent.func) or ""
            if path.split(".")[0] not in _LIBRARIES:
                return top
            if ".train." in path or "summary" in path or ".logging" in path:
                return top
            top = parent
        elif isinstance(parent, ast.Call) and not parent.args and not parent.keywords:
            top = parent
        elif isinstance(parent, _ARITHMETIC):
            if not isinstance(parent, ast.keyword):
                top = parent
        else:
            return top
        inner = parent


def _defined_by(
    flows: Flows, source: Source, statement: ast.AST, value: ast.expr
) -> Definition | None:
    """Returns what a statement defines by a whole value."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) if statement.value is value:
            pass
        case ast.AnnAssign(target=ast.Name(id=name)) if statement.value is value:
            pass
        case ast.AugAssign(target=ast.Name(id=name)):
            pass
        case _:
            return None
    scope = flows.function_of(statement)
    return flows.of(scope).defined_at(name, flows.place(statement, scope))


def _users(
    source: Source, flows: Flows, definition: Definition | None
) -> Iterator[Link]:
    """Yields the statements that compute something from a definition."""
    if definition is None:
        return
    scope = flows.function_of(definition.node)
    found: list[Link] = []
    for after in flows.augmented(definition, scope):
        assert isinstance(after.node, ast.AugAssign)
        found.append(Link(after.node.value, after.node, after))
    for name in flows.uses(definition):
        link = _link(source, flows, name)
        if link is None or link.statement is definition.node:
            continue
        if isinstance(link.statement, ast.Expr):
            # Such as `tf.identity(rate, name="rate")`, of which only the name is used.
            continue
        if link.definition is not None or (
            link.node is not name and not _is_shown(source, link.node)
        ):
            found.append(link)
    yield from sorted(found, key=lambda link: link.statement.lineno)


def _is_shown(source: Source, node: ast.expr) -> bool:
    """Returns whether an expression is an argument of a summary or a log."""
    inner: ast.AST = node
    while isinstance(inner, ast.expr | ast.keyword):
        inner = source.parents[inner]
        if isinstance(inner, ast.Call):
            path = source.path_of(inner.func) or ast.unparse(inner.func)
            words = path.lower().replace("_", ".").split(".")
            if {"summary", "logging", "log", "info", "print", "format"} & set(words):
                return True
        elif isinstance(inner, ast.JoinedStr):
            return True
    return False


def _choice_that_calls(
    source: Source, flows: Flows, statement: ast.Return
) -> ast.Call | None:
    """Returns the `tf.cond` of which the function of a `return` is a branch."""
    function = flows.function_of(statement)
    name = getattr(function, "name", "")
    calls = []
    for use in source.names.get(name, []):
        parent = source.parents[use]
        if isinstance(parent, ast.keyword):
            parent = source.parents[parent]
        if isinstance(parent, ast.Call):
            path = source.path_of(parent.func) or ""
            if path.startswith("tensorflow.") and path.endswith("cond"):
                calls.append(parent)
    return calls[0] if len(calls) == 1 else None
