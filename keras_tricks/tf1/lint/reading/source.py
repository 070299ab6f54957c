"""A Python file that is read, never run: what its names mean, and where they are."""

import ast
import bisect
import dataclasses
import re
import tokenize
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import TypeAlias

# A node with a place in the text, whose end may be None only to type checkers.
Placed: TypeAlias = Any

# What makes or finds the step in TF1.
STEP_GETTERS = ("get_or_create_global_step", "create_global_step", "get_global_step")
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
# How many assignments a name is followed through.
_DEPTH = 8
# What other modules call TensorFlow, as in `from tensorpack import tfv1 as tf`.
_TENSORFLOW_OF_OTHERS = ("tf", "tf1", "tfv1")
# TensorFlow 1 and its doubles inside TensorFlow 2 are one library here.
_COMPAT = re.compile(r"^tensorflow(\.compat)?(\.v[12])?(?=\.|$)")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A code cell of a notebook in the text of all cells.

    Attributes:
        number: Its number among all cells of the notebook, counted from 1.
        first_line: The line of the text at which it begins, counted from 1.
    """

    number: int
    first_line: int


@dataclasses.dataclass(eq=False)
class Binding:
    """One place that gives a name its meaning.

    Attributes:
        node: The import, parameter, definition or assigned name.
        path: What an import binds, such as `"tensorflow.train"`.
        value: The expression of an assignment to this name alone.
    """

    node: ast.AST
    path: str | None = None
    value: ast.expr | None = None


@dataclasses.dataclass(eq=False)
class Scope:
    """A module, function, class or comprehension, and the names bound in it."""

    node: ast.AST
    parent: "Scope | None" = None
    bindings: dict[str, list[Binding]] = dataclasses.field(default_factory=dict)

    def bind(self, name: str, *binding: Binding) -> None:
        """Notes what gives a name its meaning here."""
        self.bindings.setdefault(name, []).extend(binding)


class Source:
    """A parsed file.

    Args:
        text: The file's text; line ends as they are.
        path: Where it comes from.

    Attributes:
        parents: The node around each node but the module.
        scopes: The scope that each node's names are looked up in.
        names: The places of each name.
        attributes: The places of each attribute.
        binding_scopes: The scopes in which each name is bound.
        words: Names, attributes and parts of imports: all that the file mentions.
        cells: The cells of a notebook, which the text joins.
        unread: Why parts of a notebook are left out.
        flags: The flags that it defines, and by which functions, once asked for.
        modules: The modules of the project that it imports, as far as they were read.
        star_imports: The modules of each `from ... import *`, which any name may be of.

    Raises:
        SyntaxError: If it is not Python 3.
        ValueError: If it holds null bytes.
    """

    def __init__(self, text: str, path: str = "<text>"):
        self.text = text
        self.path = path
        with warnings.catch_warnings():
            # Such as invalid escapes, which say nothing about a migration.
            warnings.simplefilter("ignore")
            code = text.removeprefix("\ufeff")
            self.tree = ast.parse(code, filename=path)
        self.star_imports: list[str] = []
        self.names: dict[str, list[ast.Name]] = {}
        self.attributes: dict[str, list[ast.Attribute]] = {}
        self.words: set[str] = set()
        self._paths: dict[ast.AST, str | None] = {}
        self._uses: dict[tuple[ast.AST, str], list[ast.Name]] | None = None
        self.binding_scopes: dict[str, list[Scope]] = {}
        self.cells: list[Cell] = []
        self.unread: list[str] = []
        self.flags: dict[str, list[str]] | None = None
        self.modules: dict[str, Source | None] = {}
        self.parents: dict[ast.AST, ast.AST] = {}
        self.scopes: dict[ast.AST, Scope] = {}
        self.module = Scope(self.tree)
        # Not str.splitlines, which also splits at form feeds and the like.
        self.lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", code)
        self._starts = [len(text) - len(code)]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))
        self._find_scopes()

    @classmethod
    def read(cls, path: Path) -> "Source":
        """Reads and parses a file in the encoding that it declares.

        Raises:
            OSError: If it cannot be read.
            UnicodeDecodeError: If it is not text in that encoding.
            SyntaxError: If it is not Python 3.
            ValueError: If it holds null bytes.
        """
        return cls(path.read_bytes().decode(encoding_of(path)), str(path))

    def offset(self, line: int, column: int) -> int:
        """Returns where in the text a line (from 1) and a column of UTF-8 bytes are."""
        content = self.lines[line - 1]
        if not content.isascii():
            column = len(content.encode()[:column].decode())
        return self._starts[line - 1] + column

    def span(self, node: Placed) -> tuple[int, int]:
        """Returns where in the text a node begins and ends."""
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def place(self, node: Placed) -> tuple[int, int]:
        """Returns the line and the column of a node, both counted from 1."""
        line = node.lineno
        return line, self.offset(line, node.col_offset) - self._starts[line - 1] + 1

    def cell(self, line: int) -> tuple[int | None, int]:
        """Returns the cell's number and the line in it of a line of a notebook.

        Returns:
            `(None, line)` for a line of a script.
        """
        starts = [cell.first_line for cell in self.cells]
        index = bisect.bisect_right(starts, line) - 1
        if index < 0:
            return None, line
        cell = self.cells[index]
        return cell.number, line - cell.first_line + 1

    def end_line(self, node: Placed) -> int:
        """Returns the number of the last line of a node."""
        return node.end_lineno

    def line_start(self, line: int) -> int:
        """Returns where in the text a line begins, counted from 1."""
        return self._starts[min(line, len(self._starts)) - 1]

    def bindings(self, name: ast.Name) -> list[Binding]:
        """Returns what binds a name where it stands; nothing for a builtin."""
        owner = self.owner(name)
        return [] if owner is None else owner.bindings[name.id]

    def uses(self, name: str, scope: ast.AST) -> list[ast.Name]:
        """Returns where a name that a module or function binds is read."""
        if self._uses is None:
            self._uses = {}
            for word, places in self.names.items():
                for place in places:
                    owner = self.owner(place)
                    if owner is not None and isinstance(place.ctx, ast.Load):
                        self._uses.setdefault((owner.node, word), []).append(place)
        return self._uses.get((scope, name), [])

    def owner(self, name: ast.Name) -> Scope | None:
        """Returns the scope that a name is bound in."""
        scope: Scope | None = self.scopes[name]
        start = scope
        while scope is not None:
            visible = scope is start or not isinstance(scope.node, ast.ClassDef)
            if visible and name.id in scope.bindings:
                return scope
            scope = scope.parent
        return None

    def definition(self, node: ast.AST) -> ast.expr | None:
        """Returns the one value that a name ever has, if there is one."""
        if not isinstance(node, ast.Name):
            return None
        bindings = self.bindings(node)
        return bindings[0].value if len(bindings) == 1 else None

    def path_of(self, node: ast.AST, depth: int = _DEPTH) -> str | None:
        """Returns the imported thing that an expression names, or `None`.

        `tf.train.polynomial_decay` after `import tensorflow.compat.v1 as tf` is
        `"tensorflow.train.polynomial_decay"`. A name that something else may also bind
        names nothing.
        """
        if depth == _DEPTH and node in self._paths:
            return self._paths[node]
        path = self._path_of(node, depth)
        if depth == _DEPTH:
            self._paths[node] = path
        return path

    def _path_of(self, node: ast.AST, depth: int) -> str | None:
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or depth == 0:
            return None
        value = self.definition(node)
        if value is not None:
            roots = {self.path_of(value, depth - 1)}
        else:
            bindings = self.bindings(node)
            paths = [binding.path for binding in bindings]
            if not bindings and node.id == "tf":
                # It comes from `import *`, or from a cell that is not here.
                paths = ["tensorflow"]
            roots = {path and _COMPAT.sub("tensorflow", path) for path in paths}
        root = _same_module(roots)
        if root is None:
            return None
        return _COMPAT.sub("tensorflow", ".".join([root, *reversed(attributes)]))

    def enclosing(self, node: ast.AST, *kinds: type) -> ast.AST | None:
        """Returns the nearest node of one of `kinds` around a node."""
        parent = self.parents.get(node)
        while parent is not None and not isinstance(parent, kinds):
            parent = self.parents.get(parent)
        return parent

    def _find_scopes(self) -> None:
        declared: list[tuple[Scope, str, bool]] = []
        todo: list[tuple[ast.AST, Scope]] = [(self.tree, self.module)]
        while todo:
            node, scope = todo.pop()
            self.scopes[node] = scope
            if isinstance(node, ast.Global | ast.Nonlocal):
                is_global = isinstance(node, ast.Global)
                declared += [(scope, name, is_global) for name in node.names]
            self._bind(node, scope)
            self._index(node)
            inner = outer = scope
            if isinstance(node, ast.ClassDef | _FUNCTIONS | _COMPREHENSIONS):
                inner = Scope(node, scope)
            elif isinstance(node, ast.arguments | ast.comprehension) and scope.parent:
                # These are one level further down in the tree than their scope begins.
                outer = scope.parent
            outside = _evaluated_outside(node, scope)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
                todo.append((child, outer if child in outside else inner))
        for scope, name, is_global in declared:
            target: Scope | None = self.module
            if not is_global:
                target = scope.parent
                while target is not None and name not in target.bindings:
                    target = target.parent
            if target is not None and target is not scope:
                target.bind(name, *scope.bindings.pop(name, []))
        for scope in dict.fromkeys(self.scopes.values()):
            for name in scope.bindings:
                self.binding_scopes.setdefault(name, []).append(scope)

    def _index(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=word):
                self.names.setdefault(word, []).append(node)
                self.words.add(word)
            case ast.Attribute(attr=word):
                self.words.add(word)
                self.attributes.setdefault(word, []).append(node)
            case ast.alias(name=path):
                self.words.update(path.split("."))
            case ast.ImportFrom(module=str(path)):
                self.words.update(path.split("."))

    def _bind(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            parent = self.parents[node]
            value = None
            if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
                value = parent.value
            elif isinstance(parent, ast.AnnAssign):
                value = parent.value
            elif isinstance(parent, ast.NamedExpr):
                value = parent.value
                while isinstance(scope.node, _COMPREHENSIONS) and scope.parent:
                    scope = scope.parent
            scope.bind(node.id, Binding(node, value=value))
        elif isinstance(node, _DEFINITIONS):
            scope.bind(node.name, Binding(node))
        elif isinstance(node, ast.arg):
            scope.bind(node.arg, Binding(node))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                path = alias.name if alias.asname else first
                scope.bind(alias.asname or first, Binding(alias, path=path))
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            for alias in node.names:
                if alias.name == "*":
                    self.star_imports.append(package)
                    continue
                path = (
                    f"{package}.{alias.name}" if node.module else package + alias.name
                )
                if alias.name in _TENSORFLOW_OF_OTHERS:
                    path = "tensorflow"
                scope.bind(alias.asname or alias.name, Binding(alias, path=path))
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            if node.name:
                scope.bind(node.name, Binding(node))
        elif isinstance(node, ast.MatchMapping) and node.rest:
            scope.bind(node.rest, Binding(node))


def _evaluated_outside(node: ast.AST, scope: Scope) -> Sequence[ast.AST | None]:
    """Returns the children of a node whose names the scope around it looks up."""
    match node:
        case ast.ClassDef():
            return [*node.decorator_list, *node.bases, *node.keywords]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, node.returns]
        case ast.arguments():
            return [*node.defaults, *node.kw_defaults]
        case ast.comprehension() if isinstance(scope.node, _COMPREHENSIONS):
            return [node.iter] if node is scope.node.generators[0] else []
    return []


def _same_module(paths: set[str | None]) -> str | None:
    """Returns the one thing that imports name, as in `try` and `except ImportError`.

    A path that ends with another one is of the same module, found from another folder.
    """
    known = [path for path in paths if path]
    shortest = min(known, key=len, default=None)
    if shortest is None or len(known) < len(paths):
        return None
    is_same = all(path == shortest or path.endswith(f".{shortest}") for path in known)
    return shortest if is_same else None


def last_name(node: ast.AST) -> str:
    """Returns the last part of a name, of an attribute or of what is looked up."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def encoding_of(path: Path) -> str:
    """Returns the encoding that a Python file declares; a byte order mark stays text.

    Raises:
        SyntaxError: If it declares one that does not exist.
    """
    with path.open("rb") as file:
        encoding, _ = tokenize.detect_encoding(file.readline)
    return "utf-8" if encoding == "utf-8-sig" else encoding


def shortened(text: str, length: int = 60) -> str:
    """Returns a text in one line of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 3]}..."
