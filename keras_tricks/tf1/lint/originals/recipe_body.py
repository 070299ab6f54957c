"""What the body of a `create_optimizer` does to gradients, compared with BERT's.

Only a body whose every statement is one of the known recipe's does the same as ours.
"""

import ast
import dataclasses
from collections.abc import Callable
from collections.abc import Collection

from keras_tricks.tf1.lint.reading.source import STEP_GETTERS
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.reading.source import shortened

_SHOWN = 70
_COLOCATION = "colocate_gradients_with_ops"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a body has beside BERT's recipe.

    Attributes:
        other: The first statement that the recipe has not, or "".
        switches: Parameters that are off by default and switch such statements on.
    """

    other: str = ""
    switches: tuple[str, ...] = ()


def compared(
    source: Source,
    function: ast.FunctionDef,
    adam: ast.Call,
    rates: Collection[ast.AST],
    is_never_run: Callable[[ast.stmt], bool],
) -> Comparison:
    """Returns what a function does that BERT's recipe does not.

    Args:
        source: The file.
        function: The function.
        adam: The call in it that makes the optimizer.
        rates: The statements that compute the rate.
        is_never_run: Whether a statement stands in a branch that is refused.
    """
    body = _Body(source, function, adam)
    switches: dict[str, None] = {}
    for statement in _leaves(function.body):
        if statement in rates:
            body.forget(statement)
            continue
        if is_never_run(statement) or only_tells(source, statement):
            continue
        if statement is function.body[0] and ast.get_docstring(function) is not None:
            continue
        if body.is_known(statement):
            continue
        switch = _switch(source, function, statement)
        if not switch:
            return Comparison(shortened(body.shown(statement), _SHOWN))
        switches[switch] = None
    other = "" if body.returned == "train op" else "return"
    return Comparison(other, tuple(switches))


def _switch(source: Source, function: ast.FunctionDef, statement: ast.stmt) -> str:
    """Returns the parameter without which a statement is not run by default, or ""."""
    defaults = parameters(function)
    assigned = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    }
    inner: ast.AST = statement
    while inner is not function:
        around = source.parents[inner]
        if isinstance(around, ast.If) and inner in around.body:
            test = around.test
            if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
                test = test.values[0]
            match test:
                case ast.Name(id=name) if name not in assigned:
                    default = defaults.get(name)
                    if isinstance(default, ast.Constant) and not default.value:
                        return name
        inner = around
    return ""


def parameters(function: ast.FunctionDef) -> dict[str, ast.expr | None]:
    """Returns the positional parameters of a function, and their default values."""
    positional = [*function.args.posonlyargs, *function.args.args]
    defaults: list[ast.expr | None] = [None] * len(positional)
    if function.args.defaults:
        defaults[-len(function.args.defaults) :] = function.args.defaults
    return dict(zip((p.arg for p in positional), defaults, strict=True))


def only_tells(source: Source, statement: ast.stmt) -> bool:
    """Returns whether a statement only writes to a log."""
    match statement:
        case ast.Expr(value=ast.Call(func=function)):
            path = source.path_of(function) or ast.unparse(function)
            return path == "print" or "logging." in path or ".summary." in path
    return False


def _leaves(statements: list[ast.stmt]) -> list[ast.stmt]:
    """Returns the statements that are no `if` or loop, also those inside of them."""
    found = []
    for statement in statements:
        if isinstance(statement, ast.If | ast.For):
            found += _leaves(statement.body) + _leaves(statement.orelse)
        else:
            found.append(statement)
    return found


class _Body:
    """What each name is so far: the variables, their gradients, the train op."""

    def __init__(self, source: Source, function: ast.FunctionDef, adam: ast.Call):
        self._source = source
        self._function = function
        self._adam = adam
        parameters = [*function.args.posonlyargs, *function.args.args]
        self._roles = {parameters[0].arg: "loss"} if parameters else {}
        self._clips = any(
            last_name(node) == "clip_by_global_norm" for node in ast.walk(function)
        )
        self.returned = ""

    def forget(self, statement: ast.stmt) -> None:
        """Notes that a statement of the rate gives names another meaning."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self._roles.pop(node.id, None)
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if role := self._role(value):
                    self._roles[name] = role

    def shown(self, statement: ast.stmt) -> str:
        """Returns a statement with the test that it stands behind."""
        around = self._source.parents[statement]
        text = ast.unparse(statement)
        if isinstance(around, ast.If) and statement in around.body:
            return f"if {ast.unparse(around.test)}: {text}"
        return text

    def is_known(self, statement: ast.stmt) -> bool:
        """Returns whether a statement is one of the recipe's, and notes its names."""
        is_inside = statement not in self._function.body
        match statement:
            case ast.Pass():
                return True
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                role = self._role(value)
                if role == "wrapper":
                    role = "optimizer"
                elif is_inside and not self._is_adam_of_a_branch(value):
                    return False
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name(id=name), ast.Name()])], value=value
            ):
                role = "clipped" if self._is_clip(value) else ""
                if is_inside:
                    return False
            case ast.Return(value=ast.expr() as value):
                self.returned = self._role(value)
                return self.returned == "train op" and not is_inside
            case _:
                return False
        self._roles[name] = role
        return bool(role)

    def _is_adam_of_a_branch(self, node: ast.expr) -> bool:
        return node is self._adam and self._source.enclosing(node, ast.For) is None

    def _role(self, node: ast.expr) -> str:
        """Returns what an expression is in the recipe, or ""."""
        if node is self._adam:
            return "optimizer"
        match node:
            case ast.Name(id=name):
                return self._roles.get(name, "")
            case ast.BinOp(left=step, op=ast.Add(), right=ast.Constant(value=1)):
                return "next step" if self._role(step) == "step" else ""
            case ast.Call(func=function, args=args, keywords=keywords):
                pass
            case _:
                return ""
        path = self._source.path_of(function) or ""
        name = path.rpartition(".")[2] if path.startswith("tensorflow.") else ""
        roles = [self._role(argument) for argument in args]
        if name in STEP_GETTERS:
            return "step"
        if name == "trainable_variables" and not args and not keywords:
            return "variables"
        if name == "gradients" and roles == ["loss", "variables"]:
            # Where they are computed is nothing to their values.
            placed = {keyword.arg for keyword in keywords} <= {_COLOCATION}
            return "gradients" if placed else ""
        if name == "CrossShardOptimizer" and roles == ["optimizer"] and not keywords:
            return "wrapper"
        if name == "group" and len(args) == 2 and not keywords:
            return "train op" if roles[0] == "update" and self._adds(args[1]) else ""
        if isinstance(function, ast.Attribute) and function.attr == "apply_gradients":
            if self._role(function.value) == "optimizer":
                return "update" if self._are_all(args, keywords) else ""
        return ""

    def _is_clip(self, node: ast.expr) -> bool:
        match node:
            case ast.Call(func=function, args=[gradients, *rest], keywords=keywords):
                path = self._source.path_of(function) or ""
                names = [keyword.arg for keyword in keywords]
                return (
                    path.startswith("tensorflow.")
                    and path.endswith("clip_by_global_norm")
                    and self._role(gradients) == "gradients"
                    and (len(rest), names) in ((1, []), (0, ["clip_norm"]))
                )
        return False

    def _are_all(self, args: list[ast.expr], keywords: list[ast.keyword]) -> bool:
        """Returns whether all gradients are applied to all variables."""
        wanted = "clipped" if self._clips else "gradients"
        pairs = args[0] if args else None
        match pairs:
            case ast.Call(func=ast.Name(id="list"), args=[inner], keywords=[]):
                pairs = inner
        match pairs:
            case ast.Call(func=ast.Name(id="zip"), args=args_of_zip, keywords=[]):
                roles = [self._role(argument) for argument in args_of_zip]
            case _:
                return False
        rest = [*args[1:], *(k.value for k in keywords if k.arg == "global_step")]
        is_plain = len(args) + len(keywords) == 1 + len(rest) and len(rest) <= 1
        is_step = all(self._role(argument) == "step" for argument in rest)
        return roles == [wanted, "variables"] and is_plain and is_step

    def _adds(self, node: ast.expr) -> bool:
        """Returns whether an expression adds one to the step."""
        match node:
            case ast.List(elts=[inner]) | ast.Tuple(elts=[inner]):
                node = inner
        match node:
            case ast.Call(
                func=ast.Attribute(value=step, attr="assign"), args=[new], keywords=[]
            ):
                return self._role(step) == "step" and self._role(new) == "next step"
            case ast.Call(
                func=ast.Attribute(value=step, attr="assign_add"),
                args=[ast.Constant(value=1)],
                keywords=[],
            ):
                return self._role(step) == "step"
        return False
