"""Which weights BERT's optimizer decays, and what it calls them, read from its methods.

A method is read as steps: what is searched for, in which order, and what is returned.
"""

import ast

from keras_tricks.tf1.lint.originals.recipe_body import only_tells
from keras_tricks.tf1.lint.originals.reference_classes import is_documentation
from keras_tricks.tf1.lint.reading.source import Source

_EXCLUDES = "self.exclude_from_weight_decay"
_INCLUDES = "self.include_in_weight_decay"
_OFF = "not self.weight_decay_rate"
# The patterns in the order in which they are searched for, and what a match returns.
_BERT = [(_EXCLUDES, False)]
_XLNET = [(_INCLUDES, True), (_EXCLUDES, False)]


def kind_of(source: Source, method: ast.FunctionDef) -> str:
    """Returns whose `_do_use_weight_decay` a method is.

    Returns:
        "bert", "include" for XLNet's, or "other".
    """
    parameters = [argument.arg for argument in method.args.args]
    if len(parameters) != 2 or method.decorator_list:
        return "other"
    steps = _Steps(source, parameters[1])
    if not steps.read(method.body) or not steps.is_complete:
        return "other"
    return {str(_BERT): "bert", str(_XLNET): "include"}.get(str(steps.found), "other")


class _Steps:
    """The steps of a method, one after the other.

    Attributes:
        found: The patterns, and what is returned where one of them matches.
        is_complete: Whether the rest returns True.
    """

    def __init__(self, source: Source, name: str):
        self._source = source
        self._name = name
        self._lists = {_EXCLUDES: _EXCLUDES, _INCLUDES: _INCLUDES}
        self.found: list[tuple[str, bool]] = []
        self.is_complete = False

    def read(self, statements: list[ast.stmt]) -> bool:
        """Returns whether each statement is a step that is known, and notes it."""
        for statement in statements:
            if is_documentation(statement) or only_tells(self._source, statement):
                continue
            if self.is_complete or not self._is_step(statement):
                return False
        return True

    def _is_step(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.If(test=test, body=[ast.Return() as end], orelse=[]):
                return ast.unparse(test) == _OFF and ast.unparse(end) == "return False"
            case ast.If(test=test, body=[ast.For() as loop], orelse=[]):
                text = ast.unparse(test).removesuffix(" is not None")
                return text in self._lists and self._is_loop(loop)
            case ast.For():
                return self._is_loop(statement)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                patterns = self._patterns(value)
                self._lists[name] = patterns
                return bool(patterns) and name != self._name
            case ast.Return(value=ast.Constant(value=True)):
                self.is_complete = True
                return True
            case ast.Return(
                value=ast.UnaryOp(
                    op=ast.Not(),
                    operand=ast.Call(
                        func=ast.Name(id="any"),
                        args=[ast.GeneratorExp(elt=test, generators=[clause])],
                        keywords=[],
                    ),
                )
            ) if not clause.ifs:
                self.is_complete = True
                return self._is_search(clause.target, clause.iter, test, False)
        return False

    def _is_loop(self, loop: ast.For) -> bool:
        match loop:
            case ast.For(body=[ast.If(test=test, body=body, orelse=[])], orelse=[]):
                body = [s for s in body if not only_tells(self._source, s)]
            case _:
                return False
        match body:
            case [ast.Return(value=ast.Constant(value=bool(result)))]:
                return self._is_search(loop.target, loop.iter, test, result)
        return False

    def _is_search(
        self, target: ast.expr, where: ast.expr, test: ast.expr, result: bool
    ) -> bool:
        """Returns whether each pattern is searched for in the name, and notes it."""
        patterns = self._patterns(where)
        text = ast.unparse(test).removesuffix(" is not None")
        if not patterns or text != f"re.search({ast.unparse(target)}, {self._name})":
            return False
        self.found.append((patterns, result))
        return True

    def _patterns(self, node: ast.expr) -> str:
        """Returns which of the optimizer's lists an expression is, or ""."""
        match node:
            case ast.BoolOp(
                op=ast.Or(),
                values=[first, ast.List(elts=[]) | ast.Tuple(elts=[])],
            ):
                node = first
        return self._lists.get(ast.unparse(node), "")


def is_name_of(
    source: Source, node: ast.expr, weight: str, getter: ast.FunctionDef | None
) -> bool:
    """Returns whether an expression is the name of a weight, without its `:0`.

    Args:
        source: The file.
        node: The expression.
        weight: What the weight is called.
        getter: The class's method `_get_variable_name`, if it has one.
    """
    text = ast.unparse(node)
    if text == f"self._get_variable_name({weight}.name)":
        return getter is not None and _cuts_the_number_off(source, getter)
    return text in _names(weight)


def _names(weight: str) -> tuple[str, ...]:
    name = f"{weight}.name"
    return (name, f"{weight}.op.name", f"{name}.split(':')[0]", f"{name}[:-2]")


def _cuts_the_number_off(source: Source, method: ast.FunctionDef) -> bool:
    """Returns whether a method makes "a/kernel" of "a/kernel:0"."""
    name = method.args.args[-1].arg
    body = [s for s in method.body if not is_documentation(s)]
    match body:
        case [ast.Return(value=ast.expr() as value)]:
            return ast.unparse(value) == f"{name}.split(':')[0]"
        case [
            ast.Assign(targets=[ast.Name(id=match)]),
            ast.If(orelse=[]) as test,
            ast.Return() as end,
        ]:
            found = ast.unparse(body[0]).replace(f"six.ensure_str({name})", name)
            return (
                found == f"{match} = re.match('^(.*):\\\\d+$', {name})"
                and ast.unparse(test.test) in (match, f"{match} is not None")
                and [ast.unparse(s) for s in test.body]
                == [f"{name} = {match}.group(1)"]
                and ast.unparse(end) == f"return {name}"
            )
    return False
