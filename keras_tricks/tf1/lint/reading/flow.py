"""Reaching definitions: which assignment a name has its value from where it stands."""

import ast
import bisect
import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence

from keras_tricks.tf1.lint.reading.changes import Changes
from keras_tricks.tf1.lint.reading.source import Scope
from keras_tricks.tf1.lint.reading.source import Source

_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_ENDS = ast.Return | ast.Raise | ast.Continue | ast.Break


@dataclasses.dataclass(eq=False)
class Definition:
    """What a name has its value from.

    Attributes:
        name: The name.
        node: The statement, parameter or definition.
        value: The assigned expression. It is `None` where the value is not known, such
            as that of a loop's variable.
        element: For `a, b = value`, the number of the name in the tuple.
        operator: For `name += value`, the operator.
        previous: For `name += value`, the definition before.
        options: After an `if`, the definitions of its two branches.
        perhaps: In and after a loop, the definition before, which it may still be.
    """

    name: str
    node: ast.AST
    value: ast.expr | None = None
    element: int | None = None
    operator: ast.operator | None = None
    previous: "Definition | None" = None
    options: "tuple[Definition | None, ...]" = ()
    perhaps: "Definition | None" = None

    @property
    def is_parameter(self) -> bool:
        """Whether it is a parameter of a function."""
        return isinstance(self.node, ast.arg)


class Flow:
    """The definitions in one module or function, in the order in which they are made.

    Each statement has a place, and each name a list of places with what it is from
    there on, so that an `if` costs what is assigned in it and not the whole scope.
    """

    def __init__(self, node: ast.AST):
        self.places: dict[ast.AST, int] = {}
        self.augmented: list[Definition] = []
        self._clock = 0
        self._now: dict[str, Definition | None] = {}
        self._changed: list[dict[str, Definition | None]] = [{}]
        self._history: dict[str, tuple[list[int], list[Definition | None]]] = {}
        if isinstance(node, _FUNCTIONS):
            arguments = node.args
            for argument in [
                *arguments.posonlyargs,
                *arguments.args,
                *arguments.kwonlyargs,
            ]:
                self._bind(argument.arg, Definition(argument.arg, argument))
            for rest in (arguments.vararg, arguments.kwarg):
                if rest is not None:
                    self._bind(rest.arg, Definition(rest.arg, node))
        self._clock += 1
        self._follow(getattr(node, "body", []))
        self.end = self._clock

    def at(self, name: str, place: int) -> Definition | None:
        """Returns what a name is before the statement of a place."""
        places, definitions = self._history.get(name, ([], []))
        index = bisect.bisect_left(places, place) - 1
        return definitions[index] if index >= 0 else None

    def defined_at(self, name: str, place: int) -> Definition | None:
        """Returns what the statement of a place makes of a name."""
        return self.at(name, place + 1)

    def _bind(self, name: str, definition: Definition | None) -> None:
        self._changed[-1].setdefault(name, self._now.get(name))
        self._now[name] = definition
        places, definitions = self._history.setdefault(name, ([], []))
        places.append(self._clock)
        definitions.append(definition)

    def _unknown(self, names: Iterable[str], node: ast.AST) -> None:
        for name in names:
            self._bind(name, Definition(name, node, perhaps=self._now.get(name)))

    def _follow(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self.places[statement] = self._clock
            self._step(statement)
            self._clock += 1

    def _step(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value, statement)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, value, statement)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                before = self._now.get(name)
                new = Definition(name, statement, value, None, op, before)
                self.augmented.append(new)
                self._bind(name, new)
            case ast.If():
                self._branch(statement)
            case ast.For() | ast.AsyncFor() | ast.While():
                inside = _stored(statement)
                self._unknown(inside, statement)
                self._clock += 1
                self._follow(statement.body)
                self._unknown(inside, statement)
                self._clock += 1
                self._follow(statement.orelse)
            case ast.With() | ast.AsyncWith():
                for item in statement.items:
                    if item.optional_vars is not None:
                        self._unknown(_stored(item.optional_vars), statement)
                self._clock += 1
                self._follow(statement.body)
            case ast.Try():
                self._try(statement)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._bind(statement.name, Definition(statement.name, statement))
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self._bind(name, Definition(name, alias))
            case ast.Expr() | ast.Return() | ast.Raise() | ast.Pass() | ast.Assert():
                pass
            case _:
                self._unknown(_stored(statement), statement)

    def _assign(self, target: ast.expr, value: ast.expr, statement: ast.stmt) -> None:
        match target, value:
            case ast.Name(id=name), _:
                self._bind(name, Definition(name, statement, value))
            case ast.Tuple(elts=parts) | ast.List(elts=parts), ast.Tuple(elts=values):
                if len(parts) == len(values):
                    for part, inner in zip(parts, values, strict=True):
                        self._assign(part, inner, statement)
                else:
                    self._unknown(_stored(target), statement)
            case ast.Tuple(elts=parts) | ast.List(elts=parts), _:
                for number, part in enumerate(parts):
                    if isinstance(part, ast.Name):
                        new = Definition(part.id, statement, value, number)
                        self._bind(part.id, new)
                    else:
                        self._unknown(_stored(part), statement)

    def _branch(self, statement: ast.If) -> None:
        ends: list[dict[str, Definition | None]] = []
        before: dict[str, Definition | None] = {}
        for body in (statement.body, statement.orelse):
            self._changed.append({})
            self._clock += 1
            self._follow(body)
            changed = self._changed.pop()
            ends.append({name: self._now.get(name) for name in changed})
            self._clock += 1
            for name, old in changed.items():
                before.setdefault(name, old)
                # Of the branch around it, too, this is what was before.
                self._changed[-1].setdefault(name, old)
                self._bind(name, old)
        leaves = [
            bool(body) and isinstance(body[-1], _ENDS)
            for body in (statement.body, statement.orelse)
        ]
        for name, old in before.items():
            first, second = (end.get(name, old) for end in ends)
            if leaves[0] != leaves[1]:
                self._bind(name, second if leaves[0] else first)
            elif first is not second:
                options = (first, second)
                self._bind(name, Definition(name, statement, options=options))

    def _try(self, statement: ast.Try) -> None:
        self._clock += 1
        self._follow(statement.body)
        self._clock += 1
        self._follow(statement.orelse)
        for handler in statement.handlers:
            self._clock += 1
            self._follow(handler.body)
            self._unknown(_stored(handler), statement)
        if statement.handlers:
            for part in statement.body:
                self._unknown(_stored(part), statement)
        self._clock += 1
        self._follow(statement.finalbody)


class Flows:
    """The flows of a file's scopes, each made when it is first asked for."""

    def __init__(self, source: Source):
        self._source = source
        self.changes = Changes(source)
        self._flows: dict[ast.AST, Flow] = {}
        self._uses: dict[Definition, list[ast.Name]] | None = None
        self._augmented: dict[ast.AST, dict[Definition, list[Definition]]] = {}

    def of(self, node: ast.AST) -> Flow:
        """Returns the flow of a module or function."""
        if node not in self._flows:
            self._flows[node] = Flow(node)
        return self._flows[node]

    def place(self, node: ast.AST, scope: ast.AST) -> int:
        """Returns the place of the statement of a scope that a node stands in."""
        places = self.of(scope).places
        inner: ast.AST | None = node
        while inner is not None:
            if inner in places:
                return places[inner]
            inner = self._source.parents.get(inner)
        return self.of(scope).end

    def definition(self, name: ast.Name) -> Definition | None:
        """Returns what a name has its value from, if that is clear."""
        owner = self._source.owner(name)
        if owner is None or not isinstance(owner.node, ast.Module | _FUNCTIONS):
            return None
        flow = self.of(owner.node)
        user = self.function_of(name)
        if user is owner.node:
            return flow.at(name.id, self.place(name, owner.node))
        if isinstance(owner.node, ast.Module):
            # By the time of a call the module has run.
            bindings = owner.bindings[name.id]
            return flow.at(name.id, flow.end + 1) if len(bindings) == 1 else None
        # Such as the branches of tf.cond, which are called where they are named.
        function = user
        while self.function_of(function) is not owner.node:
            function = self.function_of(function)
        here = flow.at(name.id, self.place(function, owner.node))
        for use in self._source.uses(getattr(function, "name", ""), owner.node):
            if self.function_of(use) is owner.node:
                if flow.at(name.id, self.place(use, owner.node)) is not here:
                    return None
        return here

    def definitions(self, node: ast.AST) -> dict[str, Definition | None]:
        """Returns what each name in an expression has its value from."""
        names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
        return {name.id: self.definition(name) for name in names}

    def uses(self, definition: Definition) -> list[ast.Name]:
        """Returns where a name may have its value from a definition."""
        if self._uses is None:
            self._uses = {}
            for places in self._source.names.values():
                for place in places:
                    if isinstance(place.ctx, ast.Load):
                        for origin in origins(self.definition(place)):
                            self._uses.setdefault(origin, []).append(place)
        return self._uses.get(definition, [])

    def augmented(self, definition: Definition, scope: ast.AST) -> list[Definition]:
        """Returns what `name += value` makes of a definition."""
        if scope not in self._augmented:
            found: dict[Definition, list[Definition]] = {}
            for after in self.of(scope).augmented:
                for origin in origins(after.previous):
                    found.setdefault(origin, []).append(after)
            self._augmented[scope] = found
        return self._augmented[scope].get(definition, [])

    def at(self, name: str, node: ast.AST) -> Definition | None:
        """Returns what a name would have its value from where a node stands."""
        scope: Scope | None = self._source.scopes[node]
        while scope is not None:
            if name in scope.bindings and not isinstance(scope.node, ast.ClassDef):
                if not isinstance(scope.node, ast.Module | _FUNCTIONS):
                    return None
                flow = self.of(scope.node)
                place = self.place(node, scope.node)
                if isinstance(scope.node, ast.Module) and scope.node is not (
                    self.function_of(node)
                ):
                    place = flow.end + 1
                return flow.at(name, place)
            scope = scope.parent
        return None

    def function_of(self, node: ast.AST) -> ast.AST:
        """Returns the function around a node, or the module."""
        around = self._source.enclosing(node, *_FUNCTIONS.__args__)
        return around if around is not None else self._source.tree


def origins(definition: Definition | None, depth: int = 8) -> list[Definition]:
    """Returns a definition and those of the branches that it may come from."""
    if definition is None or depth == 0:
        return []
    before = (*definition.options, definition.perhaps)
    inner = [found for one in before for found in origins(one, depth - 1)]
    return list(dict.fromkeys([definition, *inner]))


def _stored(node: ast.AST) -> list[str]:
    """Returns the names that a statement binds anywhere inside."""
    names: dict[str, None] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
            names[inner.id] = None
        elif isinstance(inner, ast.ExceptHandler) and inner.name:
            names[inner.name] = None
    return list(names)
