"""Rewrites of updates: an optimizer, its clipping and `apply_gradients`."""

import ast
from collections.abc import Callable

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.reading.arguments import argument_node
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError
from keras_tricks.tf1.lint.rewrites.rewrite_comments import call_text
from keras_tricks.tf1.lint.rewrites.rewrite_comments import edit_above

_PRIORITY = 2
_TODO = (
    "a Keras optimizer counts its own iterations, and updates at once. Call this with "
    "gradients of tf.GradientTape in a training loop, or compile the model "
    "with the optimizer and call fit"
)


def optimizer(
    context: Context, call: ast.Call, text: Callable[[str], str], needed: list[Import]
) -> Rewrite:
    """Returns the rewrite of an optimizer and of its updates in the same function.

    Args:
        context: The file.
        call: The call that makes TF1's optimizer.
        text: From the learning rate to the call that makes Keras's.
        needed: The names in that.

    Raises:
        UncertainError: If it might change what the code does.
    """
    source = context.source
    parent = source.parents[call]
    match parent:
        case ast.Assign(targets=[ast.Name(id=name) as target]):
            pass
        case _:
            raise UncertainError("it is not assigned to a name")
    if len(source.bindings(target)) != 1:
        raise UncertainError(f"`{name}` may be one of several things")
    applied = _applied(context, target)
    clip = _clip_of(context, applied)
    rate = argument_node(call, 0, "learning_rate")
    if rate is None:
        raise UncertainError("its rate is not given")
    definitions = {
        n.id: context.flows.definition(n)
        for n in ast.walk(rate)
        if isinstance(n, ast.Name)
    }
    rewrite_checks.check_plain(context, rate, definitions)
    made = text(ast.unparse(rate))
    imports = list(needed)
    edits: list[Edit] = []
    spans = [source.span(call), source.span(applied)]
    if clip is not None:
        clip_edits, limit = _unclipped(context, clip)
        edits += clip_edits
        spans.append(source.span(clip.node))
        start = source.line_start(parent.lineno)
        indent = source.text[start : source.span(parent)[0]]
        before = len(name) + len(" = ")
        parts = [made, f"global_clipnorm={limit}"]
        made = call_text("ClippedOptimizer", parts, indent, before)
        module = "keras_tricks.optimizers"
        rewrite_checks.check_name(source, "ClippedOptimizer", module)
        imports.append(Import(module, "ClippedOptimizer", "ClippedOptimizer"))
    if "#" in source.text[slice(*source.span(call))]:
        raise UncertainError("there are comments among its arguments")
    edits.append(Edit(*source.span(call), made))
    edits += _without_step(context, applied)
    statement = source.enclosing(applied, ast.stmt)
    assert isinstance(statement, ast.stmt)
    edits.append(edit_above(source, statement, _TODO))
    return Rewrite(tuple(sorted(spans)), tuple(edits), tuple(imports), _PRIORITY)


def _applied(context: Context, target: ast.Name) -> ast.Call:
    """Returns the one call of `apply_gradients` that an optimizer is used by."""
    source = context.source
    found = []
    for use in source.names[target.id]:
        if not isinstance(use.ctx, ast.Load):
            continue
        if source.bindings(use) != source.bindings(target):
            continue
        attribute = source.parents[use]
        call = source.parents[attribute]
        is_call = isinstance(call, ast.Call) and call.func is attribute
        if not is_call or last_name(attribute) != "apply_gradients":
            raise UncertainError("it is used as an optimizer of TF1 here")
        assert isinstance(call, ast.Call)
        found.append(call)
    if len(found) != 1:
        raise UncertainError("its gradients are not applied here, or twice")
    return found[0]


def _clip_of(context: Context, applied: ast.Call) -> Definition | None:
    """Returns the clipping of the gradients that are applied, if there is one."""
    pairs = applied.args[0] if applied.args else None
    if isinstance(pairs, ast.Call) and last_name(pairs.func) == "list" and pairs.args:
        pairs = pairs.args[0]
    match pairs:
        case ast.Call(func=ast.Name(id="zip"), args=[ast.Name() as gradients, _]):
            pass
        case _:
            raise UncertainError("it is unclear which gradients are applied")
    definition = context.flows.definition(gradients)
    if definition is None or not isinstance(definition.node, ast.Assign):
        return None
    value = definition.value
    if isinstance(value, ast.Call) and definition.element == 0:
        path = context.source.path_of(value.func) or ""
        if path.startswith("tensorflow.") and path.endswith("clip_by_global_norm"):
            return definition
        raise UncertainError("it is unclear which gradients are applied")
    return None


def _unclipped(context: Context, clip: Definition) -> tuple[list[Edit], str]:
    """Returns the edits that leave gradients as they are, and the limit."""
    source = context.source
    statement, call = clip.node, clip.value
    assert isinstance(statement, ast.Assign)
    assert isinstance(call, ast.Call)
    gradients = argument_node(call, 0, "t_list")
    limit = argument_node(call, 1, "clip_norm")
    if gradients is None or limit is None or len(call.args) + len(call.keywords) != 2:
        raise UncertainError("it is unclear what is clipped")
    rewrite_checks.check_plain(
        context,
        limit,
        {
            n.id: context.flows.definition(n)
            for n in ast.walk(limit)
            if isinstance(n, ast.Name)
        },
    )
    match statement.targets:
        case [ast.Tuple(elts=[ast.Name(id=name), ast.Name(id=norm)])]:
            uses = source.names.get(norm, [])
            if any(isinstance(use.ctx, ast.Load) for use in uses):
                raise UncertainError("the norm of the gradients is used")
        case _:
            raise UncertainError("it is unclear what is clipped")
    if "#" in source.text[slice(*source.span(statement))]:
        raise UncertainError("there are comments among its arguments")
    text = source.text[slice(*source.span(gradients))]
    return [Edit(*source.span(statement), f"{name} = {text}")], ast.unparse(limit)


def _without_step(context: Context, applied: ast.Call) -> list[Edit]:
    """Returns the edit that takes the global step out of `apply_gradients`."""
    edits = []
    every: list[ast.expr | ast.keyword] = [*applied.args, *applied.keywords]
    for position, given in enumerate(every):
        name = given.arg if isinstance(given, ast.keyword) else None
        if name == "global_step" or (name is None and position == 1):
            edits.append(rewrite_checks.removal(context.source, applied, given))
        elif name is not None or position > 1:
            raise UncertainError(
                f"apply_gradients has an argument `{name or position}`"
            )
    return edits
