"""Rewrites of updates: an optimizer, its clipping and `apply_gradients`."""

import ast
import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.rates.schedule_advice import Advice
from keras_tricks.tf1.lint.reading.arguments import argument_node
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.reading.source import shortened
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites import rewrite_schedules
from keras_tricks.tf1.lint.rewrites import step_counts
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError
from keras_tricks.tf1.lint.rewrites.rewrite_comments import call_text
from keras_tricks.tf1.lint.rewrites.rewrite_comments import edit_above

# From the call of TF1's optimizer to a function from the rate to the call that makes
# Keras's, and the names in that.
Maker = Callable[[ast.Call], tuple[Callable[[str], str], list[Import]]]

_PRIORITY = 2
_MAX_BRANCHES = 12
_MAX_SHOWN = 300
_TODO = (
    "a Keras optimizer counts its own iterations, and updates at once. Make it once, "
    "before the training loop: a new one begins anew. In the loop apply gradients of "
    "tf.GradientTape, or compile the model with it and call fit"
)
_NO_GRADIENTS = (
    "Keras's optimizers compute no gradients. In a training loop these pairs are "
    "zip(tape.gradient(loss, variables), variables) of a tf.GradientTape"
)
_NO_TRAIN_OP = (
    "a Keras optimizer, and no train op. model.compile({}, loss) and model.fit train "
    "with it; they take the place of the Estimator or the session"
)


def optimizer(context: Context, call: ast.Call, maker: Maker) -> Rewrite:
    """Returns the rewrite of an optimizer and of its updates in the same function.

    An optimizer may be one of several, which the branches of an `if` give its name;
    they are rewritten together.

    Args:
        context: The file.
        call: The call that makes TF1's optimizer.
        maker: From such a call to what makes Keras's.

    Raises:
        UncertainError: If it might change what the code does.
    """
    source = context.source
    parent = source.parents[call]
    if isinstance(parent, ast.Attribute):
        return _minimized_at_once(context, call, parent, maker)
    match parent:
        case ast.Assign(targets=[ast.Name(id=name) as target]):
            pass
        case _:
            raise UncertainError("it is not assigned to a name")
    calls = _constructors(context, target)
    applied, computed = _applied(context, target)
    statement = source.enclosing(applied, ast.stmt)
    assert isinstance(statement, ast.stmt)
    is_minimized = last_name(applied.func) == "minimize"
    clip = None if is_minimized or computed else _clip_of(context, applied)
    edits, spans, imports = [], [source.span(applied)], []
    if clip is not None:
        _check_only_applied(context, clip, applied)
        clip_edits, limit = _unclipped(context, clip)
        edits += clip_edits
        spans.append(source.span(clip.node))
        module = "keras_tricks.optimizers"
        rewrite_checks.check_name(source, "ClippedOptimizer", module)
        imports.append(Import(module, "ClippedOptimizer", "ClippedOptimizer"))
    for one in calls:
        rate = _rate(context, one, applied, calls)
        text, needed = maker(one)
        assignment = source.parents[one]
        assert isinstance(assignment, ast.Assign)
        start = source.line_start(assignment.lineno)
        indent = source.text[start : source.span(assignment)[0]]
        before = len(name) + len(" = ")
        if clip is not None:
            parts = [text(rate.text), f"global_clipnorm={limit}"]
            made = call_text("ClippedOptimizer", parts, indent, before)
        else:
            made = _wrapped(text(rate.text), indent, before)
        if "#" in source.text[slice(*source.span(one))]:
            raise UncertainError("there are comments among its arguments")
        edits += [*rate.edits, Edit(*source.span(one), made)]
        spans += [*rate.spans, source.span(one)]
        imports += [*rate.imports, *needed]
    if is_minimized:
        edits.append(Edit(*source.span(applied), name))
        edits.append(
            edit_above(source, statement, _no_train_op(context, name, applied))
        )
    else:
        edits += _without_step(context, applied)
        edits.append(edit_above(source, statement, _TODO))
    for statement in computed:
        edits.append(edit_above(source, statement, _NO_GRADIENTS))
    return Rewrite(
        tuple(sorted(set(spans))),
        tuple(dict.fromkeys(edits)),
        tuple(dict.fromkeys(imports)),
        _PRIORITY,
    )


def _constructors(context: Context, target: ast.Name) -> list[ast.Call]:
    """Returns the calls that make an optimizer, each in a branch of its own."""
    source = context.source
    found = []
    bindings = source.bindings(target)
    if len(bindings) > _MAX_BRANCHES:
        raise UncertainError(f"`{target.id}` may be one of several things")
    for binding in bindings:
        assignment = source.parents[binding.node]
        if not isinstance(assignment, ast.Assign) or not isinstance(
            assignment.value, ast.Call
        ):
            raise UncertainError(f"`{target.id}` may be one of several things")
        if not _is_wrapper(source, assignment.value, target.id):
            found.append(assignment.value)
    for index, call in enumerate(found):
        for other in found[:index]:
            if not step_counts.exclude_each_other(source, call, other):
                raise UncertainError(f"`{target.id}` may be one of several things")
    return found


def _is_wrapper(source: Source, call: ast.Call, name: str) -> bool:
    """Returns whether a call wraps an optimizer for TPUs, which has a comment."""
    return last_name(call.func) == "CrossShardOptimizer" and [
        ast.unparse(argument) for argument in call.args
    ] == [name]


def _wrapped(call: str, indent: str, before: int) -> str:
    """Returns a call with lines that are not too long."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    arguments = [ast.get_source_segment(call, a) or "" for a in node.args]
    for keyword in node.keywords:
        value = ast.get_source_segment(call, keyword.value)
        arguments.append(f"{keyword.arg}={value}")
    return call_text(ast.unparse(node.func), arguments, indent, before)


def _minimized_at_once(
    context: Context,
    call: ast.Call,
    attribute: ast.Attribute,
    maker: Maker,
) -> Rewrite:
    """Returns the rewrite of `tf.train.SomeOptimizer(rate).minimize(loss)`."""
    source = context.source
    minimize = source.parents[attribute]
    if attribute.attr != "minimize" or not isinstance(minimize, ast.Call):
        raise UncertainError("it is used as an optimizer of TF1 here")
    _check_minimize(source, minimize)
    statement = source.parents[minimize]
    match statement:
        case ast.Assign(targets=[ast.Name() | ast.Attribute() as target]):
            name = ast.unparse(target)
        case ast.Return():
            name = "optimizer"
        case _:
            raise UncertainError("its train op is used at once")
    span = source.span(minimize)
    if "#" in source.text[slice(*span)]:
        raise UncertainError("there are comments among its arguments")
    rate = _rate(context, call, minimize, [call])
    text, needed = maker(call)
    start, first = source.line_start(statement.lineno), source.span(statement)[0]
    made = _wrapped(text(rate.text), source.text[start:first], span[0] - first)
    edits = [
        edit_above(source, statement, _no_train_op(context, name, minimize)),
        Edit(*span, made),
        *rate.edits,
    ]
    spans = sorted([span, *rate.spans])
    return Rewrite(tuple(spans), tuple(edits), (*needed, *rate.imports), _PRIORITY)


def _no_train_op(context: Context, name: str, minimize: ast.Call) -> str:
    """Returns the comment on an optimizer in the place of a train op.

    It tells the loss where that is computed here, as none of it is left in the call.
    """
    loss = argument_node(minimize, 0, "loss")
    text = _NO_TRAIN_OP.format(name)
    if loss is None:
        return text
    shown = ast.unparse(loss)
    if isinstance(loss, ast.Name):
        definition = context.flows.definition(loss)
        if definition is None or definition.is_parameter:
            return text
        if definition.value is None or definition.element is not None:
            shown += ", computed above"
        elif definition.operator is not None:
            shown = ast.unparse(definition.node)
        else:
            shown = ast.unparse(definition.value)
    return f"{text}. The loss that was minimized: {shortened(shown, _MAX_SHOWN)}"


def _check_minimize(source: Source, call: ast.Call) -> None:
    """Refuses arguments of `minimize` that `fit` has no counterpart of."""
    loss = argument_node(call, 0, "loss")
    bound = source.bindings(loss) if isinstance(loss, ast.Name) else []
    functions = ast.Lambda | ast.FunctionDef
    if isinstance(loss, functions) or any(isinstance(b.node, functions) for b in bound):
        raise UncertainError("minimize runs eagerly here, and trains at once")
    if len(call.args) > 2 or any(isinstance(a, ast.Starred) for a in call.args):
        raise UncertainError("minimize has more than a loss and a step")
    for keyword in call.keywords:
        is_none = isinstance(keyword.value, ast.Constant) and not keyword.value.value
        if keyword.arg not in ("loss", "global_step", "name") and not is_none:
            raise UncertainError(f"minimize has an argument `{keyword.arg}`")


@dataclasses.dataclass(frozen=True)
class _Rate:
    """The learning rate of a rewritten optimizer.

    Attributes:
        text: What to write for it.
        imports: The names in that.
        spans: The parts of the text elsewhere that become a schedule.
        edits: What is edited there.
    """

    text: str
    imports: tuple[Import, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    edits: tuple[Edit, ...] = ()


def _rate(
    context: Context,
    call: ast.Call,
    applied: ast.Call,
    calls: Sequence[ast.Call],
) -> _Rate:
    """Returns the rate of an optimizer: a number, or the schedule of a TF1 rate.

    Args:
        context: The file.
        call: The call that makes the optimizer.
        applied: Its update.
        calls: The calls that make all optimizers which are rewritten with it.

    Raises:
        UncertainError: If it may be something else.
    """
    rate = argument_node(call, 0, "learning_rate")
    if rate is None:
        raise UncertainError("its rate is not given")
    try:
        rewrite_checks.check_plain(context, rate, context.flows.definitions(rate))
    except UncertainError as reason:
        advice = context.advisor.of_value(rate)
        if advice.schedule is None or not advice.decays:
            raise reason from None
        step_counts.check(context, call, calls, applied, advice.step)
        rates = [argument_node(one, 0, "learning_rate") for one in calls]
        return _schedule(context, call, rate, advice, rates)
    return _Rate(ast.unparse(rate))


def _schedule(
    context: Context,
    call: ast.Call,
    rate: ast.expr,
    advice: Advice,
    rates: Sequence[ast.expr | None],
) -> _Rate:
    """Returns a schedule as a rate, made where TF1's was if nothing else uses that."""
    statement = context.source.enclosing(call, ast.stmt)
    assert isinstance(statement, ast.stmt)
    start = advice.decays[0].node
    whole = context.advisor.of(start)
    definition = context.flows.definition(rate) if isinstance(rate, ast.Name) else None
    if definition is not None and whole.chain[-1].definition is definition:
        chosen = rewrite_schedules.chosen_schedule(context, whole)
        if chosen is not None:
            held, made = chosen
            if held is None or context.flows.at(held.name, statement) is not held:
                raise UncertainError("its schedule has no name where it is made")
            return _Rate(held.name, made.imports, made.spans, made.edits)
    rewrite_schedules.check_conditions(advice)
    if definition is not None:
        known = [link.definition for link in whole.chain]
        is_end = all(one in known for one in definition.options or (definition,))
        uses = context.flows.uses(definition)
        if is_end and whole.schedule and all(use in rates for use in uses):
            made = rewrite_schedules.chain(context, start, whole, as_object=True)
            return _Rate(definition.name, made.imports, made.spans, made.edits)
    if any(definition.options for definition in advice.used):
        raise UncertainError("its rate depends on a test")
    return _Rate(*rewrite_schedules.made_at(context, advice, statement))


def _applied(context: Context, target: ast.Name) -> tuple[ast.Call, list[ast.stmt]]:
    """Returns what an optimizer is used by.

    Returns:
        The one call of `apply_gradients` or `minimize`, and the statements in which
        gradients are computed by `compute_gradients`.
    """
    source = context.source
    found, computed = [], []
    for use in source.names[target.id]:
        if not isinstance(use.ctx, ast.Load):
            continue
        if source.bindings(use) != source.bindings(target):
            continue
        attribute = source.parents[use]
        if isinstance(attribute, ast.Call) and _is_wrapper(source, attribute, use.id):
            continue
        call = source.parents[attribute]
        method = last_name(attribute)
        if not isinstance(call, ast.Call) or call.func is not attribute:
            raise UncertainError("it is used as an optimizer of TF1 here")
        if method == "compute_gradients":
            statement = source.enclosing(call, ast.stmt)
            assert isinstance(statement, ast.stmt)
            computed.append(statement)
            continue
        if method not in ("apply_gradients", "minimize"):
            raise UncertainError("it is used as an optimizer of TF1 here")
        if method == "minimize":
            _check_minimize(source, call)
            if not isinstance(source.parents[call], ast.Assign | ast.Return):
                raise UncertainError("its train op is used at once")
        found.append(call)
    if len(found) != 1:
        raise UncertainError("its gradients are not applied here, or twice")
    return found[0], list(dict.fromkeys(computed))


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


def _check_only_applied(context: Context, clip: Definition, applied: ast.Call) -> None:
    """Refuses clipped gradients that are changed, or used in another way, too."""
    inside = set(ast.walk(applied))
    for use in context.flows.uses(clip):
        if use not in inside:
            line = use.lineno
            reason = f"the clipped `{clip.name}` are used in line {line}, too"
            raise UncertainError(reason)


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
    rewrite_checks.check_plain(context, limit, context.flows.definitions(limit))
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
