"""The variable that an expression of a step is, whatever its name or type is there."""

import ast
from collections.abc import Iterable

from keras_tricks.tf1.lint.rates.tf1_functions import CONVERSIONS
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.flow import Flows
from keras_tricks.tf1.lint.reading.source import STEP_GETTERS
from keras_tricks.tf1.lint.reading.source import Source

GLOBAL_STEP = "the global step"
_MAX_DEPTH = 12


def origin(
    source: Source, flows: Flows, node: ast.expr, depth: int = _MAX_DEPTH
) -> object:
    """Returns the variable that an expression is, whatever name or type it has there.

    Returns:
        `GLOBAL_STEP`, what a name is defined by, or a text.
    """
    match node:
        case ast.Name() if depth > 0:
            definition = flows.definition(node)
            return _of_definition(source, flows, node, definition, depth - 1)
        case ast.Call(func=function):
            path = source.path_of(function) or ""
            name = path.rpartition(".")[2]
            if path.startswith("tensorflow.") and name in STEP_GETTERS:
                return GLOBAL_STEP
            if path.startswith("tensorflow.") and name in CONVERSIONS and node.args:
                return origin(source, flows, node.args[0], depth - 1)
            if isinstance(function, ast.Attribute) and function.attr in (
                "value",
                "read_value",
            ):
                return origin(source, flows, function.value, depth - 1)
    return ast.unparse(node)


def origins(
    source: Source, flows: Flows, nodes: Iterable[ast.expr]
) -> dict[str, object]:
    """Returns the variables that expressions are, by the shortest text of each."""
    found = {node: origin(source, flows, node) for node in nodes}
    # What a branch of `if step is None:` gets is the step of that name.
    inside = {
        node
        for one in found.values()
        if isinstance(one, Definition)
        for option in one.options
        if option is not None and option.value is not None
        for node in ast.walk(option.value)
    }
    texts: dict[object, str] = {}
    for node in sorted(found, key=lambda node: len(ast.unparse(node))):
        if node not in inside:
            texts.setdefault(found[node], ast.unparse(node))
    return {text: one for one, text in texts.items()}


def _of_definition(
    source: Source,
    flows: Flows,
    name: ast.Name,
    definition: Definition | None,
    depth: int,
) -> object:
    if definition is None:
        return name.id
    if definition.options:
        inner = {
            _of_definition(source, flows, name, o, depth) for o in definition.options
        }
        return inner.pop() if len(inner) == 1 else definition
    value = definition.value
    if value is None or definition.element is not None or definition.operator:
        return definition
    found = origin(source, flows, value, depth)
    # The name is that of the variable, where it is not of another one.
    is_made = isinstance(value, ast.Call) and found == ast.unparse(value)
    return definition if is_made else found
