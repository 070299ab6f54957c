"""Whether an update counts the step of its rate once, as Keras's optimizers do."""

import ast
import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.rates import step_origin
from keras_tricks.tf1.lint.reading.arguments import argument_node
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites.edits import UncertainError

# BERT's class leaves the counting to a statement of its own.
_UNCOUNTING = "AdamWeightDecayOptimizer"
# Where functions that update have the step that they count.
_UPDATES = {
    "minimize": 1,
    "apply_gradients": 1,
    "optimize_loss": 1,
    "create_train_op": 2,
}
_ASSIGNMENTS = ("assign", "assign_add")


def check(
    context: Context,
    optimizer: ast.Call,
    others: Sequence[ast.Call],
    applied: ast.Call,
    steps: Sequence[ast.expr],
) -> None:
    """Refuses an update that does not add one to the step of a rate, and no more.

    Args:
        context: The file.
        optimizer: The call that makes the optimizer.
        others: The calls that make it in the branches of an `if`.
        applied: The update.
        steps: What the rate takes for the step.

    Raises:
        UncertainError: If the step may be another one, or counted otherwise.
    """
    counted = argument_node(applied, 1, "global_step")
    is_counting = last_name(optimizer.func) != _UNCOUNTING
    if is_counting and (counted is None or _is_none(counted)):
        raise UncertainError("its step is not counted")
    origins = step_origin.origins(context.source, context.flows, steps)
    if len(origins) != 1:
        raise UncertainError("it is unclear which step its rate is of")
    [(name, step)] = origins.items()
    if is_counting and counted is not None and _origin(context, counted) != step:
        text = f"`{ast.unparse(counted)}`, and its rate is of `{name}`"
        raise UncertainError(f"it counts {text}")
    is_of_branches = any(last_name(one.func) == _UNCOUNTING for one in others)
    found = []
    for counter in _counters(context):
        if counter.step != step or exclude_each_other(
            context.source, counter.node, applied
        ):
            continue
        if exclude_each_other(context.source, counter.node, optimizer):
            continue
        is_conditional = context.source.enclosing(counter.node, ast.If) is not None
        if is_counting and is_of_branches and counter.is_assigned and is_conditional:
            # Such a statement counts for the other optimizer.
            continue
        if counter.node is not applied or is_counting:
            found.append(counter)
    if not found:
        raise UncertainError("its step is not counted")
    if len(found) > 1:
        lines = sorted({counter.node.lineno for counter in found})
        places = " and ".join(map(str, lines))
        raise UncertainError(f"its step is counted more than once, in line {places}")
    if not found[0].is_by_one:
        text = ast.unparse(found[0].node)
        raise UncertainError(f"`{text}` counts the step otherwise than by one")
    if context.source.enclosing(found[0].node, ast.For, ast.While) is not None:
        raise UncertainError("its step is counted in a loop")


def _origin(context: Context, node: ast.expr) -> object:
    return step_origin.origin(context.source, context.flows, node)


def exclude_each_other(source: Source, one: ast.AST, other: ast.AST) -> bool:
    """Returns whether two nodes stand in the two branches of an `if`."""
    sides: dict[str | ast.AST, bool] = {}
    for node, is_first in ((one, True), (other, False)):
        inner = node
        while (around := source.parents.get(inner)) is not None:
            if isinstance(around, ast.If) and inner is not around.test:
                is_body = inner in around.body
                if is_first:
                    sides[around] = is_body
                elif sides.get(around, is_body) is not is_body:
                    return True
            inner = around
    return False


@dataclasses.dataclass(frozen=True)
class _Counter:
    """What changes a step.

    Attributes:
        node: The call.
        step: The step.
        is_by_one: Whether it adds one.
        is_assigned: Whether it is an assignment, and no update of weights.
    """

    node: ast.Call
    step: object
    is_by_one: bool = True
    is_assigned: bool = False


def _counters(context: Context) -> Iterator[_Counter]:
    """Yields all that changes a step in a file."""
    for node in ast.walk(context.source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = last_name(node.func)
        if name in _UPDATES:
            step = argument_node(node, _UPDATES[name], "global_step")
            if step is not None and not _is_none(step):
                if not _is_of_bert(context.source, node):
                    yield _Counter(node, _origin(context, step))
        elif name in _ASSIGNMENTS and isinstance(node.func, ast.Attribute):
            path = context.source.path_of(node.func) or ""
            given = [*node.args, *(k.value for k in node.keywords if k.arg == "value")]
            if not path.startswith("tensorflow."):
                given = [node.func.value, *given]
            if len(given) < 2:
                continue
            step_of = _origin(context, given[0])
            is_by_one = _is_one(given[1])
            if name == "assign":
                is_by_one = _is_next(context, given[1], step_of)
            yield _Counter(node, step_of, is_by_one, True)


def _is_of_bert(source: Source, update: ast.Call) -> bool:
    """Returns whether an update is one of BERT's optimizer alone."""
    receiver = getattr(update.func, "value", None)
    calls = [receiver]
    if isinstance(receiver, ast.Name):
        calls = [binding.value for binding in source.bindings(receiver)]
    makers = [last_name(c.func) for c in calls if isinstance(c, ast.Call)]
    makers = [name for name in makers if name != "CrossShardOptimizer"]
    return bool(makers) and set(makers) == {_UNCOUNTING}


def _is_next(context: Context, node: ast.expr, step: object) -> bool:
    """Returns whether an expression is the step and one."""
    if isinstance(node, ast.Name):
        definition = context.flows.definition(node)
        value = definition.value if definition is not None else None
        return value is not None and _is_next(context, value, step)
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            pass
        case ast.Call(func=function, args=[left, right]) if (
            context.source.path_of(function) or ""
        ).endswith(".add"):
            pass
        case _:
            return False
    pairs = ((left, right), (right, left))
    return any(_is_one(b) and _origin(context, a) == step for a, b in pairs)


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
