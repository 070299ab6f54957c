"""Recipes: functions that make BERT's optimizer, as arguments of `create_optimizer`."""

import ast
import copy
import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.originals import recipe_body
from keras_tricks.tf1.lint.originals import reference_optimizers
from keras_tricks.tf1.lint.rates import step_origin
from keras_tricks.tf1.lint.rates.schedule_advice import Advice
from keras_tricks.tf1.lint.rates.schedule_advice import branches_around
from keras_tricks.tf1.lint.reading import modules
from keras_tricks.tf1.lint.reading.arguments import argument_node
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.source import last_name

CREATE = "create_optimizer"
_CLASS = "AdamWeightDecayOptimizer"
# From the argument of BERT's class to that of ours, with the value ours has by default.
_ADAM = {
    "weight_decay_rate": ("weight_decay_rate", "0.01"),
    "beta_1": ("adam_beta1", "0.9"),
    "beta_2": ("adam_beta2", "0.999"),
    "epsilon": ("adam_epsilon", "1e-06"),
    "exclude_from_weight_decay": (
        "exclude_from_weight_decay",
        "['LayerNorm', 'layer_norm', 'bias']",
    ),
}
_SCHEDULE = ("init_lr", "num_train_steps", "num_warmup_steps")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a function makes an optimizer of.

    Attributes:
        parameters: Its parameters, and their default values.
        arguments: Those of this package's `create_optimizer`, as expressions of the
            parameters.
        conditions: Parameters and the values without which it does not hold.
        tests: Tests that must be true or false.
        check: How its rates were checked.
        advice: The advice on its rates; `None` for a function that is not at hand.
        adam: The call that makes the optimizer.
        clip: The call that clips the gradients.
        other: The first statement that BERT's recipe has not.
    """

    parameters: Mapping[str, ast.expr | None]
    arguments: Mapping[str, ast.expr]
    conditions: tuple[tuple[str, Any], ...] = ()
    tests: tuple[tuple[ast.expr, bool], ...] = ()
    check: str = ""
    advice: Advice | None = None
    adam: ast.Call | None = None
    clip: ast.Call | None = None
    other: str = ""


def _names(*names: str) -> dict[str, ast.expr]:
    return {name: ast.Name(name, ast.Load()) for name in names}


# BERT's own, for calls of a module `optimization` that is not at hand.
BERT = Recipe(
    dict.fromkeys(("loss", *_SCHEDULE, "use_tpu")),
    _names(*_SCHEDULE),
    check="if it is BERT's",
)


def of(context: Context, function: ast.FunctionDef) -> Recipe | None:
    """Returns the recipe of a function, if it makes BERT's optimizer on its rates."""
    source = context.source
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    adams = [call for call in calls if last_name(call.func) == _CLASS]
    clips = [call for call in calls if last_name(call.func) == "clip_by_global_norm"]
    if len(adams) != 1 or len(clips) > 1:
        return None
    [adam] = adams
    variant = reference_optimizers.variant_of(source, adam.func)
    rate = argument_node(adam, 0, "learning_rate")
    if variant.kind not in ("bert", "layer-wise") or rate is None:
        return None
    advice = context.advisor.of_value(rate)
    schedule = advice.schedule
    if schedule is None or schedule.name != "WarmupPolynomialDecay":
        return None
    arguments: dict[str, ast.expr] = {}
    position = 0
    for name, value in schedule.arguments:
        if name == "join":
            arguments["join"] = ast.Constant(value)
        elif not name.strip():
            arguments[_SCHEDULE[position]] = _inlined(context, value)
            position += 1
        elif name == "power":
            arguments["power"] = _inlined(context, value)
        else:
            return None
    order = list(reference_optimizers.ADAM_DEFAULTS.items())
    for place, (old, default) in enumerate(order, 1):
        given = argument_node(adam, place, old)
        # A literal, though its type is that of any default.
        usual_value: Any = default
        value = ast.Constant(usual_value) if given is None else given
        new, usual = _ADAM[old]
        if not _is_written(value, usual):
            arguments[new] = value
    if not clips:
        arguments["adam_global_clipnorm"] = ast.Constant(None)
    elif not _is_written(argument_node(clips[0], 1, "clip_norm"), "1.0"):
        limit = argument_node(clips[0], 1, "clip_norm")
        if limit is None:
            return None
        arguments["adam_global_clipnorm"] = limit
    # The optimizer may be one of several, chosen by an argument.
    chosen = branches_around(source, adam)
    decided = {**advice.taken, **dict(advice.assumed), **chosen}
    compared = recipe_body.compared(
        source,
        function,
        adam,
        {definition.node for definition in advice.used},
        lambda s: _is_never_run(context, s, function, advice, decided),
    )
    other = compared.other
    if not other:
        # The recipe counts the global step; its rate must be of that.
        others = [
            ast.unparse(step)
            for step in advice.step
            if not _is_global_step(context, step, decided)
        ]
        other = min(others, key=len, default="") or _warmup_left_out(advice)
    tests = [*advice.assumed, *advice.taken.items(), *chosen.items()]
    switches = [(ast.Name(name, ast.Load()), False) for name in compared.switches]
    return Recipe(
        recipe_body.parameters(function),
        arguments,
        advice.conditions,
        (
            *((n.test, t) for n, t in tests if isinstance(n, ast.If | ast.IfExp)),
            *switches,
        ),
        advice.check,
        advice,
        adam,
        clips[0] if clips else None,
        other,
    )


def _is_global_step(
    context: Context, step: ast.expr, decided: Mapping[ast.AST, bool]
) -> bool:
    """Returns whether a step is the global one, in the branches that are decided."""
    found = step_origin.origin(context.source, context.flows, step)
    while isinstance(found, Definition) and found.node in decided:
        option = found.options[0 if decided[found.node] else 1]
        value = option.value if option is not None else None
        if value is None:
            return False
        found = step_origin.origin(context.source, context.flows, value)
    return found == step_origin.GLOBAL_STEP


def _warmup_left_out(advice: Advice) -> str:
    """Returns the test of a warmup that the rates were taken to be without, or ""."""
    for node, is_true in advice.assumed:
        if isinstance(node, ast.If) and not is_true:
            body = " ".join(map(ast.unparse, node.body))
            if "warm" in body.lower():
                return f"if {ast.unparse(node.test)}"
    return ""


def _is_never_run(
    context: Context,
    statement: ast.stmt,
    function: ast.FunctionDef,
    advice: Advice,
    decided: Mapping[ast.AST, bool],
) -> bool:
    """Returns whether a statement stands in a branch that the recipe refuses."""
    if isinstance(statement, ast.Raise):
        return True
    conditions = {name: ast.Constant(value) for name, value in advice.conditions}
    inner: ast.AST = statement
    while inner is not function:
        around = context.source.parents[inner]
        if isinstance(around, ast.If):
            is_body = inner in around.body
            if around in decided and decided[around] is not is_body:
                return True
            known = _constant(_filled_in(around.test, conditions))
            if known is not None and bool(known[0]) is not is_body:
                return True
        inner = around
    return False


def _is_written(node: ast.expr | None, usual: str) -> bool:
    if node is None:
        return False
    return ast.dump(node) == ast.dump(ast.parse(usual, mode="eval").body)


def _inlined(context: Context, value: Any) -> ast.expr:
    """Returns an expression in which only parameters are left."""
    known = dict(value.names)
    return _Inlining(context, known).visit(copy.deepcopy(value.expression))


class _Inlining(ast.NodeTransformer):
    def __init__(self, context: Context, known: Mapping[str, Definition | None]):
        self._context = context
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        definition = self._known.get(node.id)
        if definition is None or definition.is_parameter or definition.value is None:
            return node
        flows = self._context.flows
        inner = {
            name.id: flows.definition(name)
            for name in ast.walk(definition.value)
            if isinstance(name, ast.Name)
        }
        value = copy.deepcopy(definition.value)
        return _Inlining(self._context, inner).visit(value)


def called(context: Context, call: ast.Call, path: str) -> Recipe | None:
    """Returns the recipe of the function that a call calls, if it is at hand.

    Args:
        context: The file.
        call: The call.
        path: The imported thing that it calls; empty for a function of the file.
    """
    source = context.source
    if isinstance(call.func, ast.Name):
        bindings = source.bindings(call.func)
        if len(bindings) == 1 and isinstance(bindings[0].node, ast.FunctionDef):
            return of(context, bindings[0].node)
    module, _, name = path.rpartition(".")
    other = modules.imported(source, module)
    if other is None:
        return BERT if module.split(".")[-1] == "optimization" else None
    for node in other.tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return of(Context.of(other), node)
    return None


class UnclearCallError(Exception):
    """A call whose arguments do not go into the recipe; the message says why."""


@dataclasses.dataclass(frozen=True)
class Filled:
    """A recipe with the arguments of a call.

    Attributes:
        arguments: Those of this package's `create_optimizer`.
        conditions: What must hold for it, as it is written.
    """

    arguments: Mapping[str, ast.expr]
    conditions: tuple[str, ...]

    def text(self, name: str = f"keras_tricks.optimizers.{CREATE}") -> str:
        """Returns the call of this package's function."""
        return f"{name}({', '.join(written(self.arguments))})"


def written(arguments: Mapping[str, ast.expr]) -> list[str]:
    """Returns arguments as a call has them."""
    parts = []
    for name, value in arguments.items():
        text = ast.unparse(value)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text = f'"{value.value}"'
        parts.append(text if name in _SCHEDULE else f"{name}={text}")
    return parts


def filled(recipe: Recipe, call: ast.Call) -> Filled:
    """Returns what a call of a recipe's function makes.

    Raises:
        UnclearCallError: If it is not clear which argument is which.
    """
    given: dict[str, ast.expr] = {}
    if recipe.other:
        others = [k.arg for k in call.keywords if k.arg not in BERT.parameters]
        named = "".join(f"BERT's has no argument `{name}`, and " for name in others)
        reason = f"{named}its definition has `{recipe.other}`, which BERT's has not"
        raise UnclearCallError(reason)
    if any(isinstance(a, ast.Starred) for a in call.args) or any(
        keyword.arg is None for keyword in call.keywords
    ):
        raise UnclearCallError("it has *arguments or **arguments")
    if len(call.args) > len(recipe.parameters):
        raise UnclearCallError("it has more arguments than BERT's")
    given |= zip(recipe.parameters, call.args, strict=False)
    for keyword in call.keywords:
        if keyword.arg not in recipe.parameters:
            raise UnclearCallError(f"BERT's has no argument `{keyword.arg}`")
        given[str(keyword.arg)] = keyword.value
    values = {n: given.get(n, default) for n, default in recipe.parameters.items()}
    arguments = {n: _filled_in(e, values) for n, e in recipe.arguments.items()}
    usual = {"power": "1.0", **dict(_ADAM.values())}
    arguments = {
        n: e for n, e in arguments.items() if not _is_written(e, usual.get(n, "..."))
    }
    conditions = []
    for name, wanted in recipe.conditions:
        value = values.get(name)
        if not isinstance(value, ast.Constant):
            shown = ast.unparse(value) if value is not None else name
            conditions.append(f"{shown} is {wanted!r}")
        elif value.value != wanted:
            raise UnclearCallError(f"`{name}` is {value.value!r}, not {wanted!r}")
    for test, is_true in recipe.tests:
        tested = _filled_in(test, values)
        known = _constant(tested)
        if known is None:
            conditions.append(f"`{ast.unparse(tested)}` is {is_true}")
        elif bool(known[0]) is not is_true:
            shown = ast.unparse(test if isinstance(test, ast.Name) else tested)
            raise UnclearCallError(f"`{shown}` is {bool(known[0])}")
    return Filled(arguments, tuple(dict.fromkeys(conditions)))


def _filled_in(expression: ast.expr, values: Mapping[str, ast.expr | None]) -> ast.expr:
    class Filling(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            value = values.get(node.id)
            return node if value is None else value

        def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
            self.generic_visit(node)
            for side in (node.left, node.right):
                if isinstance(node.op, ast.Mult) and isinstance(side, ast.Constant):
                    if side.value == 0:
                        return ast.Constant(0)
            return node

    return Filling().visit(copy.deepcopy(expression))


def _constant(node: ast.expr) -> tuple[Any] | None:
    """Returns the value of a test of literals, if it is one."""
    match node:
        case ast.Constant(value=value):
            return (value,)
        case ast.UnaryOp(
            op=ast.USub(), operand=ast.Constant(value=int() | float() as n)
        ):
            return (-n,)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            sides = [_constant(left), _constant(right)]
            if None in sides:
                return None
            a, b = (side[0] for side in sides if side is not None)
            try:
                match op:
                    case ast.Eq():
                        return (a == b,)
                    case ast.NotEq():
                        return (a != b,)
                    case ast.Gt():
                        return (a > b,)
                    case ast.Lt():
                        return (a < b,)
            except TypeError:
                return None
    return None


def parameters_in(expressions: Iterable[ast.expr]) -> set[str]:
    """Returns the names in expressions."""
    return {
        node.id
        for expression in expressions
        for node in ast.walk(expression)
        if isinstance(node, ast.Name)
    }
