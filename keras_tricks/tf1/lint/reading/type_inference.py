"""Type inference: the expressions of a file that are certainly numbers, not tensors."""

import ast
import operator

from keras_tricks.tf1.lint.reading.source import Source

_FLAG_KINDS = {"DEFINE_float": "float", "DEFINE_integer": "int"}
_KEEPING = ("abs", "max", "min", "round")
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


def may_be_number(source: Source, node: ast.AST | None, depth: int = 12) -> bool:
    """Returns whether an expression is a Python number for all that the file says.

    It is not where TensorFlow makes it, where a default value or a call in this file
    gives it something else, or where nothing says what it is.
    """
    if depth == 0 or node is None:
        return False

    def inner(node: ast.AST | None) -> bool:
        return may_be_number(source, node, depth - 1)

    match node:
        case ast.Constant(value=number):
            return isinstance(number, int | float) and not isinstance(number, bool)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return inner(operand)
        case ast.BinOp(left=left, right=right):
            return inner(left) and inner(right)
        case ast.BoolOp(values=values):
            return all(map(inner, values))
        case ast.Call(func=ast.Name(id=name) as function, args=arguments):
            if name in _CONVERTERS and not source.bindings(function):
                return True
            is_builtin = name in _KEEPING and not source.bindings(function)
            return is_builtin and all(map(inner, arguments))
        case ast.Attribute(value=owner) | ast.Subscript(value=owner):
            path = source.path_of(node)
            if path is not None:
                return ".FLAGS." in path and _flag_kind_of(source, node) is not False
            root: ast.AST = owner
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if isinstance(node, ast.Attribute):
                if not _may_hold_number(source, node.attr, depth - 1):
                    return False
            return isinstance(root, ast.Name) and not _is_module(source, root)
        case ast.Name():
            bindings = source.bindings(node)
            if len(bindings) > 1:
                # What is None until it is known.
                bindings = [b for b in bindings if not _is_none(b.value)]
            for binding in bindings:
                if isinstance(binding.node, ast.arg):
                    if not may_take_number(source, binding.node, depth - 1):
                        return False
                elif binding.value is None or not inner(binding.value):
                    return False
            return bool(bindings)
    return False


def _may_hold_number(source: Source, name: str, depth: int) -> bool:
    """Returns whether nothing in the file makes an attribute a tensor or a function.

    It goes by the name alone, whatever object has the attribute.
    """
    scopes = source.binding_scopes.get(name, [])
    if any(isinstance(scope.node, ast.ClassDef) for scope in scopes):
        bindings = [b for scope in scopes for b in scope.bindings[name]]
        if any(isinstance(b.node, ast.FunctionDef) for b in bindings):
            return False
    for node in source.attributes.get(name, []):
        match source.parents[node]:
            case ast.Assign(value=value) if isinstance(node.ctx, ast.Store):
                calls = [n for n in ast.walk(value) if isinstance(n, ast.Call)]
                paths = [source.path_of(call.func) or "" for call in calls]
                if any(path.startswith("tensorflow.") for path in paths):
                    return False
                if isinstance(value, ast.Name):
                    if not (_is_none(value) or may_be_number(source, value, depth)):
                        return False
    return True


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_module(source: Source, root: ast.Name) -> bool:
    return source.path_of(root) is not None and root.id != "FLAGS"


def _flag_kind_of(source: Source, node: ast.AST) -> str | bool | None:
    """Returns the kind of a flag, `None` if it is another file's, or False."""
    assert isinstance(node, ast.Attribute)
    kinds = {_FLAG_KINDS.get(definer) for definer in _flags(source).get(node.attr, [])}
    if not kinds:
        return None
    kind = kinds.pop() if len(kinds) == 1 else None
    return kind if kind is not None else False


def may_take_number(source: Source, parameter: ast.arg, depth: int = 12) -> bool:
    """Returns whether nothing in the file gives a parameter something else."""
    function = source.parents[source.parents[parameter]]
    if not isinstance(function, ast.FunctionDef):
        return False
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if parameter not in [*positional, *arguments.kwonlyargs]:
        return False
    match parameter.annotation:
        case None | ast.Name(id="int" | "float"):
            pass
        case _:
            return False
    first = len(positional) - len(arguments.defaults)
    pairs = [
        *zip(positional[first:], arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    given = [default for name, default in pairs if name is parameter and default]
    for name in source.names.get(function.name, []):
        call = source.parents[name]
        if [binding.node for binding in source.bindings(name)] != [function]:
            continue
        if not isinstance(call, ast.Call) or call.func is not name:
            return False
        if any(isinstance(a, ast.Starred) for a in call.args):
            return False
        by_name = {k.arg: k.value for k in call.keywords}
        by_name |= {p.arg: a for p, a in zip(positional, call.args, strict=False)}
        if None in by_name:
            return False
        if parameter.arg in by_name:
            given.append(by_name[parameter.arg])
    return all(may_be_number(source, value, depth - 1) for value in given)


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
    kinds = {_FLAG_KINDS.get(definer) for definer in _flags(source).get(name, [])}
    return kinds.pop() if len(kinds) == 1 else None


def _flags(source: Source) -> dict[str, list[str]]:
    """Returns, for each flag that a file defines, by which functions it does."""
    if source.flags is None:
        source.flags = {}
        for node in ast.walk(source.tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=definer),
                    args=[ast.Constant(value=str(flag)), *_],
                ) if definer.startswith("DEFINE_"):
                    source.flags.setdefault(flag, []).append(definer)
    return source.flags


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
    for node in source.names.get(function.name, []):
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
