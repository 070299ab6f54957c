"""Arguments of calls, as they are written."""

import ast


def argument(call: ast.Call | None, position: int, name: str) -> str | None:
    """Returns an argument of a call as it is written, if that is clear."""
    node = argument_node(call, position, name)
    return None if node is None else ast.unparse(node)


def argument_node(call: ast.Call | None, position: int, name: str) -> ast.expr | None:
    """Returns the expression of an argument, if it is clear which that is."""
    if call is None:
        return None
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    before = call.args[: position + 1]
    if len(before) <= position or any(isinstance(a, ast.Starred) for a in before):
        return None
    return before[position]


def is_number(text: str, number: object) -> bool:
    """Returns whether a text is a way to write a number, such as `1e-06`."""
    try:
        return isinstance(number, float) and float(text) == number
    except ValueError:
        return False
