"""Checks before a rewrite: what would make it change what the code does."""

import ast
import itertools
import re
from collections.abc import Mapping
from collections.abc import Sequence

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.reading import type_inference
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import UncertainError

# What only a program that builds graphs mentions. Run eagerly, TF1's decay is a
# function of no arguments, and no tensor.
_GRAPH_WORDS = {
    "disable_eager_execution",
    "disable_v2_behavior",
    "EstimatorSpec",
    "Graph",
    "MonitoredTrainingSession",
    "placeholder",
    "Session",
    "TPUEstimatorSpec",
}
_EAGER_WORDS = {"enable_eager_execution", "enable_v2_behavior"}
_EAGER = "it may run eagerly, where the result is a function"
# A gap between two arguments without parentheses: a comma, white space, comments.
_GAP = re.compile(r"(\s|\\|#[^\r\n]*)*,(\s|\\|#[^\r\n]*)*")
_TAIL = re.compile(r"(\s|\\|,|#[^\r\n]*)*\)")


_PYTHON_FUNCTIONS = ("abs", "float", "int", "len", "math.exp", "max", "min", "round")


def check_no_star_import(source: Source) -> None:
    """Refuses a file in which names may come from anywhere."""
    if source.star_imports:
        raise UncertainError("`from ... import *` may give names another meaning")


def check_name(
    source: Source, name: str, module: str, but: ast.AST | None = None
) -> None:
    """Refuses if a name that is to be imported may mean something else."""
    check_no_star_import(source)
    for scope in source.binding_scopes.get(name, []):
        for binding in scope.bindings.get(name, []):
            if binding.node is not but and binding.path != f"{module}.{name}":
                raise UncertainError(f"`{name}` is already something else here")


def check_module(source: Source, name: str) -> None:
    """Refuses if the name of a module that is to be imported may mean another thing."""
    check_no_star_import(source)
    for scope in source.binding_scopes.get(name, []):
        for binding in scope.bindings[name]:
            if binding.path not in (name, f"tensorflow.{name}"):
                raise UncertainError(f"`{name}` is already something else here")


def check_graph_mode(source: Source) -> None:
    """Refuses if a decay may be a function of no arguments."""
    check_not_eager(source)
    words = source.words
    may_be_tf2 = bool(words & {"compat", "tensorflow_v1", "tf1", "tfv1"})
    if may_be_tf2 and not words & _GRAPH_WORDS:
        raise UncertainError(_EAGER)


def check_not_eager(source: Source) -> None:
    """Refuses if the file says that it runs eagerly."""
    if source.words & _EAGER_WORDS:
        raise UncertainError(_EAGER)


def check_is_only_made(source: Source, call: ast.Call) -> None:
    """Refuses if the optimizer is used here in a way that Keras's do not know."""
    parent = source.parents[call]
    places: list[ast.AST] = [call]
    if isinstance(parent, ast.Assign):
        match parent.targets:
            case [ast.Name(id=name) as target]:
                if len(source.bindings(target)) != 1:
                    raise UncertainError(f"`{name}` may be one of several things")
                places = [
                    node
                    for node in source.names[name]
                    if isinstance(node.ctx, ast.Load)
                    and source.bindings(node) == source.bindings(target)
                ]
            case _:
                raise UncertainError("it is kept in an attribute")
    for place in places:
        match source.parents[place]:
            case ast.Return():
                continue
            case ast.keyword(arg="optimizer"):
                continue
        raise UncertainError("it is used as an optimizer of TF1 here")


def call_arguments(
    source: Source, call: ast.Call, names: Sequence[str]
) -> dict[str, ast.expr | ast.keyword]:
    """Returns the arguments of a call by name; those given by keyword as keywords."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        raise UncertainError("it has *arguments")
    if any(keyword.arg is None for keyword in call.keywords):
        raise UncertainError("it has **arguments")
    given: dict[str, ast.expr | ast.keyword] = dict(zip(names, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg not in names or keyword.arg in given:
            raise UncertainError(f"`{keyword.arg}` is no argument of it")
        given[str(keyword.arg)] = keyword
    if len(given) != len(call.args) + len(call.keywords):
        raise UncertainError("it has too many arguments")
    order = sorted(given.values(), key=lambda argument: source.span(argument))
    for left, right in itertools.pairwise(order):
        gap = source.text[source.span(left)[1] : source.span(right)[0]]
        if not _GAP.fullmatch(gap):
            raise UncertainError("an argument stands in parentheses of its own")
    if order:
        tail = source.text[source.span(order[-1])[1] : source.span(call)[1]]
        head = source.text[source.span(call.func)[1] : source.span(order[0])[0]]
        if not _TAIL.fullmatch(tail) or head.count("(") != 1:
            raise UncertainError("an argument stands in parentheses of its own")
    return given


def value_of(argument: ast.expr | ast.keyword) -> ast.expr:
    """Returns the expression of an argument."""
    return argument.value if isinstance(argument, ast.keyword) else argument


def check_float(source: Source, argument: ast.expr | ast.keyword) -> None:
    """Refuses what may be a tensor, or an int where TF1 needs a float."""
    node = value_of(argument)
    kind = type_inference.kind(source, node)
    if kind == "float":
        return
    if kind is None and type_inference.may_be_number(source, node):
        return
    raise UncertainError(
        f"`{ast.unparse(node)}` may be something else than a Python float"
    )


def is_literal(node: ast.expr, kind: type) -> bool:
    """Returns whether an expression is a literal of a type."""
    return isinstance(node, ast.Constant) and isinstance(node.value, kind)


def is_list_of_texts(source: Source, node: ast.expr) -> bool:
    """Returns whether an expression is, or is once defined as, a list of texts."""
    node = source.definition(node) or node
    return isinstance(node, ast.List | ast.Tuple) and all(
        is_literal(element, str) for element in node.elts
    )


def check_number(
    source: Source,
    given: dict[str, ast.expr | ast.keyword],
    name: str,
    minimum: float,
    *,
    exclusive: bool = False,
    whole: bool = False,
) -> None:
    """Refuses an argument that may be no number, or one that ours refuse."""
    if name not in given:
        return
    node = value_of(given[name])
    kind, value = type_inference.kind(source, node), type_inference.value(source, node)
    if kind is None and not type_inference.may_be_number(source, node):
        raise UncertainError(f"`{ast.unparse(node)}` may be no Python number")
    if whole and kind == "float" and (value is None or value % 1):
        raise UncertainError(f"`{ast.unparse(node)}` may be no whole number")
    if value is not None and (value < minimum or (exclusive and value == minimum)):
        raise UncertainError(f"`{name}` is out of its range")


def removal(source: Source, call: ast.Call, argument: ast.expr | ast.keyword) -> Edit:
    """Returns the edit that takes an argument and its comma out of a call."""
    order = sorted([*call.args, *call.keywords], key=lambda a: source.span(a))
    index = order.index(argument)
    start, end = source.span(argument)
    if index + 1 < len(order):
        following = source.span(order[index + 1])[0]
        if "#" not in source.text[end:following]:
            return Edit(start, following, "")
        raise UncertainError("a comment stands behind the step")
    before = source.span(order[index - 1])[1]
    if "#" in source.text[before:start]:
        raise UncertainError("a comment stands before the step")
    return Edit(before, end, "")


def renaming(source: Source, keyword: ast.expr | ast.keyword, new: str) -> Edit:
    """Returns the edit that gives a keyword another name."""
    assert isinstance(keyword, ast.keyword)
    start = source.span(keyword)[0]
    return Edit(start, start + len(str(keyword.arg)), new)


def addition(source: Source, call: ast.Call, text: str) -> Edit:
    """Returns the edit that adds an argument behind the last one."""
    end = max(source.span(argument)[1] for argument in [*call.args, *call.keywords])
    return Edit(end, end, f", {text}")


def check_plain(
    context: Context,
    node: ast.expr,
    definitions: Mapping[str, Definition | None],
    depth: int = 12,
) -> None:
    """Refuses an expression of which a quantity may be no Python number.

    Args:
        context: The file.
        node: An expression of names, attributes, literals and Python's operators.
        definitions: What its names have their values from.
        depth: How many definitions are followed.
    """
    source = context.source
    match node:
        case ast.Constant():
            return
        case ast.Attribute() | ast.Subscript():
            is_number = type_inference.kind(source, node) is not None
            if is_number or type_inference.may_be_number(source, node):
                return
        case ast.Name(id=name):
            if _is_number(context, definitions.get(name), depth - 1):
                return
        case ast.Call(func=function, args=arguments):
            if ast.unparse(function) in _PYTHON_FUNCTIONS:
                for argument in arguments:
                    check_plain(context, argument, definitions, depth)
                return
        case ast.BinOp() | ast.UnaryOp() | ast.BoolOp() | ast.List() | ast.Tuple():
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    check_plain(context, child, definitions, depth)
            return
    raise UncertainError(f"`{ast.unparse(node)}` may be no Python number")


def _is_number(context: Context, definition: Definition | None, depth: int) -> bool:
    """Returns whether a name has a Python number, for all that the file says."""
    source = context.source
    if definition is None or depth <= 0:
        return False
    if isinstance(definition.node, ast.arg):
        return type_inference.may_take_number(source, definition.node)
    if definition.options:
        return all(_is_number(context, o, depth - 1) for o in definition.options)
    if definition.operator is not None:
        if not _is_number(context, definition.previous, depth - 1):
            return False
    value = definition.value
    if value is None or definition.element is not None:
        return False
    inner = {
        name.id: context.flows.definition(name)
        for name in ast.walk(value)
        if isinstance(name, ast.Name)
    }
    try:
        check_plain(context, value, inner, depth - 1)
    except UncertainError:
        return False
    return True


def fraction(node: ast.expr, definitions: Mapping[str, Definition | None]) -> str:
    """Returns what may be no whole number in a number of steps, or an empty text."""
    if isinstance(node, ast.Name):
        definition = definitions.get(node.id)
        value = definition.value if definition is not None else None
        return ast.unparse(node) if value is not None and _is_fraction(value) else ""
    return ast.unparse(node) if _is_fraction(node) else ""


def _is_fraction(node: ast.AST) -> bool:
    """Returns whether there is a quotient or a share, and no rounding around it."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("int", "round", "len"):
            return False
        return any(_is_fraction(argument) for argument in node.args)
    if isinstance(node, ast.BinOp):
        sides = (node.left, node.right)
        if isinstance(node.op, ast.Div):
            return True
        if isinstance(node.op, ast.Mult) and any(map(_is_share, sides)):
            return True
        return any(map(_is_fraction, sides))
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float) and bool(node.value % 1)
    return False


def _is_share(node: ast.expr) -> bool:
    words = ("prop", "frac", "ratio", "percent", "rate")
    name = last_name(node).lower()
    is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
    return is_float or any(word in name for word in words)
