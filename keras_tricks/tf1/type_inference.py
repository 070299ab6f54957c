"""Type inference: the expressions of a file that are certainly numbers, not tensors."""

import ast
import operator

from keras_tricks.tf1.source import Source

_FLAG_KINDS = {"DEFINE_float": "float", "DEFINE_integer": "int"}
_CONVERTERS = {"int": "int", "len": "int", "float": "float"}
_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def kind(source: Source, node: ast.AST | None, depth: int = 12) -> str | None:
    """Returns `"int"` or `"float"` for a certain Python number, else `None`.

    Certain are literals, their arithmetic, `int(...)`, `float(...)` and `len(...)`,
    numeric flags, names with one such value, and parameters that every default,
    annotation and call of their function in this file agrees about.
    """
    if depth == 0 or node is None:
        return None

    def inner(node: ast.AST | None) -> str | None:
        return kind(source, node, depth - 1)

    match node:
        case ast.Constant(value=value):
            name = type(value).__name__
            return name if name in ("int", "float") else None
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return inner(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            kinds = {inner(left), inner(right)}
            if None in kinds:
                return None
            return "float" if "float" in kinds or isinstance(op, ast.Div) else "int"
        case ast.Call(func=ast.Name(id=name) as function, args=[_]):
            if name in _CONVERTERS and not source.bindings(function):
                return _CONVERTERS[name]
        case ast.Attribute(value=flags, attr=name):
            if (source.path_of(flags) or "").endswith("flags.FLAGS"):
                return _flag_kind(source, name)
        case ast.Name():
            bindings = source.bindings(node)
            if len(bindings) != 1:
                return None
            if isinstance(bindings[0].node, ast.arg):
                return _parameter_kind(source, bindings[0].node, depth - 1)
            return inner(bindings[0].value)
    return None


def value(source: Source, node: ast.AST | None, depth: int = 12) -> float | None:
    """Returns the value of a certain number where it can be read off, else `None`."""
    if node is None or depth == 0:
        return None
    match node:
        case ast.Constant(value=int() | float() as number):
            return None if isinstance(number, bool) else number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            positive = value(source, operand, depth - 1)
            return None if positive is None else -positive
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            numbers = [value(source, side, depth - 1) for side in (left, right)]
            try:
                return _ARITHMETIC[type(op)](*numbers)
            except (ArithmeticError, TypeError):
                return None
        case ast.Name():
            return value(source, source.definition(node), depth - 1)
    return None


def _flag_kind(source: Source, name: str) -> str | None:
    kinds = set()
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr=definer), args=[ast.Constant(value=flag), *_]
            ) if flag == name and definer.startswith("DEFINE_"):
                kinds.add(_FLAG_KINDS.get(definer))
    return kinds.pop() if len(kinds) == 1 else None


def _parameter_kind(source: Source, parameter: ast.arg, depth: int) -> str | None:
    function = source.parents[source.parents[parameter]]
    if not isinstance(function, ast.FunctionDef):
        return None
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if parameter not in [*positional, *arguments.kwonlyargs]:
        return None
    kinds = set()
    match parameter.annotation:
        case ast.Name(id=name):
            kinds.add(name if name in ("int", "float") else None)
        case ast.expr():
            kinds.add(None)
    first_default = len(positional) - len(arguments.defaults)
    defaults: dict[ast.arg, ast.expr | None] = {}
    defaults |= zip(positional[first_default:], arguments.defaults, strict=True)
    defaults |= zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    if defaults.get(parameter) is not None:
        kinds.add(kind(source, defaults[parameter], depth))
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Name) or node.id != function.name:
            continue
        if [binding.node for binding in source.bindings(node)] != [function]:
            continue
        call = source.parents[node]
        if not isinstance(call, ast.Call) or call.func is not node:
            return None  # It is handed on, and may be called anywhere.
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if None in given or any(isinstance(a, ast.Starred) for a in call.args):
            return None
        given |= {p.arg: a for p, a in zip(positional, call.args, strict=False)}
        if parameter.arg in given:
            kinds.add(kind(source, given[parameter.arg], depth))
    return kinds.pop() if len(kinds) == 1 else None
