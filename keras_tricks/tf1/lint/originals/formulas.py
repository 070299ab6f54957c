"""Formulas in source code, brought to one form so that they can be compared.

A form is a nested tuple. Sums and products are flat and sorted, differences, quotients
and roots are sums, products and powers, and conversions to float are left out.
"""

import ast
import math
from collections.abc import Callable
from collections.abc import Sequence

from keras_tricks.tf1.lint.reading.source import Source

Form = tuple
Environment = dict[str, Form]

_LIBRARIES = ("tensorflow", "numpy", "math", "keras")
_FLOATS = ("float32", "float64")


class UnknownFormError(Exception):
    """Code that is more than assignments of formulas."""


def number(value: float) -> Form:
    """Returns the form of a literal."""
    return ("number", float(value))


def symbol(name: str) -> Form:
    """Returns the form of a quantity that is only known by its name."""
    return ("symbol", name)


def total(*terms: Form) -> Form:
    """Returns the form of a sum."""
    return _collected("sum", terms, 0.0)


def product(*factors: Form) -> Form:
    """Returns the form of a product."""
    return _collected("product", factors, 1.0)


def power(base: Form, exponent: float) -> Form:
    """Returns the form of `base**exponent`, for a base that is not negative."""
    if base[0] == "power":
        base, exponent = base[1], base[2] * exponent
    return base if exponent == 1 else ("power", base, float(exponent))


def least(*forms: Form) -> Form:
    """Returns the form of a minimum."""
    return ("least", *sorted(forms, key=repr))


def evaluate(form: Form, values: dict[str, float]) -> float:
    """Returns the number that a form is for given quantities.

    Raises:
        UnknownFormError: If a part of it is no arithmetic.
    """
    operation, *parts = form
    match operation:
        case "number":
            return parts[0]
        case "symbol" if parts[0] in values:
            return values[parts[0]]
        case "sum":
            return math.fsum(evaluate(part, values) for part in parts)
        case "product":
            return math.prod(evaluate(part, values) for part in parts)
        case "power":
            return evaluate(parts[0], values) ** parts[1]
        case "least":
            return min(evaluate(part, values) for part in parts)
    raise UnknownFormError(str(form))


def difference(left: Form, right: Form) -> Form:
    """Returns the form of `left - right`."""
    return total(left, product(number(-1), right))


def quotient(left: Form, right: Form) -> Form:
    """Returns the form of `left / right`."""
    return product(left, power(right, -1))


def _collected(operation: str, parts: Sequence[Form], neutral: float) -> Form:
    constant, others = neutral, []
    for part in parts:
        for inner in part[1:] if part[0] == operation else [part]:
            if inner[0] != "number":
                others.append(inner)
            elif operation == "sum":
                constant += inner[1]
            else:
                constant *= inner[1]
    if not others or constant != neutral:
        others.append(number(constant))
    if len(others) == 1:
        return others[0]
    return (operation, *sorted(others, key=repr))


_OPERATORS: dict[type, Callable[..., Form]] = {
    ast.Add: total,
    ast.Sub: difference,
    ast.Mult: product,
    ast.Div: quotient,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Form]]] = {
    "add": (2, total),
    "subtract": (2, difference),
    "multiply": (2, product),
    "divide": (2, quotient),
    "truediv": (2, quotient),
    "minimum": (2, least),
    "sqrt": (1, lambda x: power(x, 0.5)),
    "rsqrt": (1, lambda x: power(x, -0.5)),
    "square": (1, lambda x: power(x, 2)),
    "identity": (1, lambda x: x),
    "to_float": (1, lambda x: x),
    "reciprocal": (1, lambda x: power(x, -1)),
}


def form(source: Source, node: ast.expr, environment: Environment) -> Form:
    """Returns the form of an expression; what is no arithmetic stays opaque.

    Args:
        source: The file of the expression.
        node: The expression.
        environment: Forms of names and of attributes, such as `"self.beta_1"`.
    """
    opaque = ("opaque", ast.dump(node))
    match node:
        case ast.Constant(value=int() | float() as value):
            return number(value)
        case ast.Name() | ast.Attribute():
            return environment.get(ast.unparse(node), opaque)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return product(number(-1), form(source, operand, environment))
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            exponent_form = form(source, exponent, environment)
            if exponent_form[0] == "number":
                return power(form(source, base, environment), exponent_form[1])
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            forms = [form(source, side, environment) for side in (left, right)]
            return _OPERATORS[type(op)](*forms)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            path = source.path_of(function) or ""
            library, _, name = path.rpartition(".")
            if library.split(".")[0] not in _LIBRARIES:
                return opaque
            given = {k.arg: k.value for k in keywords if k.arg != "name"}
            if name in ("cast", "convert_to_tensor", "constant"):
                return _converted(source, arguments, given, environment) or opaque
            arguments = [*arguments, *(given.pop(k) for k in ("x", "y") if k in given)]
            if given:
                return opaque
            if name in ("pow", "power") and len(arguments) == 2:
                whole = ast.BinOp(arguments[0], ast.Pow(), arguments[1])
                return form(source, whole, environment)
            count, operation = _FUNCTIONS.get(name, (-1, total))
            if len(arguments) == count:
                return operation(*(form(source, a, environment) for a in arguments))
    return opaque


def _converted(
    source: Source,
    arguments: Sequence[ast.expr],
    given: dict[str | None, ast.expr],
    environment: Environment,
) -> Form | None:
    """Returns what a conversion to float converts, if it is one."""
    named = dict(zip(("x", "dtype"), arguments, strict=False))
    for name in ("x", "value"):
        if name in given:
            named["x"] = given.pop(name)
    if "dtype" in given:
        named["dtype"] = given.pop("dtype")
    if given or len(named) != 2 or not _is_float(named["dtype"]):
        return None
    return form(source, named["x"], environment)


def _is_float(dtype: ast.expr) -> bool:
    match dtype:
        case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name in _FLOATS
    return False


def follow(
    source: Source, statements: Sequence[ast.stmt], environment: Environment
) -> Form | None:
    """Follows assignments one after another and returns the form that is returned.

    Args:
        source: The file of the statements.
        statements: Assignments to names and attributes, and at most one `return`;
            documentation and `super().__init__(...)` are passed over.
        environment: Forms of names and attributes; those assigned are added.

    Raises:
        UnknownFormError: If there is a statement of another sort.
    """
    for statement in statements:
        match statement:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(
                        value=ast.Call(func=ast.Name(id="super")), attr="__init__"
                    )
                )
            ):
                continue
            case ast.Assign(targets=[ast.Name() | ast.Attribute() as target]):
                value = form(source, statement.value, environment)
                environment[ast.unparse(target)] = value
            case ast.AugAssign(target=ast.Name() as target, op=op) if (
                type(op) in _OPERATORS
            ):
                before = environment.get(target.id, ("opaque", target.id))
                value = form(source, statement.value, environment)
                environment[target.id] = _OPERATORS[type(op)](before, value)
            case ast.Return(value=ast.expr() as value):
                return form(source, value, environment)
            case _:
                raise UnknownFormError(ast.unparse(statement))
    return None
