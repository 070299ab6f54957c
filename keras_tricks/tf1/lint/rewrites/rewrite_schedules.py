"""Rewrites of rates: a schedule in the place of a decay and of its warmup."""

import ast
from collections.abc import Iterable
from collections.abc import Sequence

from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.rates import candidates
from keras_tricks.tf1.lint.rates.candidates import Names
from keras_tricks.tf1.lint.rates.candidates import Schedule
from keras_tricks.tf1.lint.rates.rate_chain import Link
from keras_tricks.tf1.lint.rates.schedule_advice import Advice
from keras_tricks.tf1.lint.rates.tf1_functions import DECAYS
from keras_tricks.tf1.lint.rates.values import Items
from keras_tricks.tf1.lint.rates.values import Value
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.rewrites import rewrite
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError
from keras_tricks.tf1.lint.rewrites.removal import Removal
from keras_tricks.tf1.lint.rewrites.rewrite_comments import block
from keras_tricks.tf1.lint.rewrites.rewrite_comments import call_text

_PRIORITY = 1


def chain(
    context: Context, start: ast.expr, advice: Advice, as_object: bool = False
) -> Rewrite:
    """Returns the rewrite of a rate into the schedule that has its values.

    The schedule is called with the step, so that the rate stays a tensor. What only the
    rate was computed from goes.

    Args:
        context: The file.
        start: The decay or the warmup.
        advice: What the rates are.
        as_object: Whether the name of the rate becomes one of the schedule, not called.

    Raises:
        UncertainError: If it might change what the code does.
    """
    assert advice.schedule is not None
    final = advice.chain[-1]
    is_decay = isinstance(start, ast.Call) and start in [d.node for d in advice.decays]
    is_polynomial = is_decay and advice.decays[0].name == "polynomial_decay"
    if is_polynomial and final.node is start and not as_object:
        assert isinstance(start, ast.Call)
        return rewrite.polynomial_decay(context.source, start)
    check_conditions(advice)
    if advice.decays and not as_object:
        if final.node is start:
            rewrite_checks.check_graph_mode(context.source)
        else:
            rewrite_checks.check_not_eager(context.source)
    made = _chain(context, final, advice, as_object)
    _check_unnamed(context, advice, made)
    return made


def _chain(context: Context, final: Link, advice: Advice, as_object: bool) -> Rewrite:
    is_returned = isinstance(final.statement, ast.Return)
    if len(advice.chain) == 1 and final.definition is None and not is_returned:
        return _expression(context, final, advice)
    branches = _branches(context, advice)
    if branches and as_object:
        raise UncertainError("it is one of several")
    if branches:
        return _in_branches(context, final, branches)
    return _at_end(context, final, advice, as_object)


def _check_unnamed(context: Context, advice: Advice, made: Rewrite) -> None:
    """Refuses a rewrite with which nodes of the graph go that have names."""
    source = context.source
    parts = [link.node for link in advice.chain]
    parts += [one.value for one in advice.used if one.value is not None]
    for call in (node for part in parts for node in ast.walk(part)):
        if not isinstance(call, ast.Call) or not _is_named(source, call):
            continue
        start = source.span(call)[0]
        if any(first <= start < last for first, last in made.spans):
            raise UncertainError("other code may look its graph node up by `name`")


def _is_named(source: Source, call: ast.Call) -> bool:
    is_tf1 = (source.path_of(call.func) or "").startswith("tensorflow.")
    names = [k.value for k in call.keywords if k.arg == "name"]
    return is_tf1 and any(not isinstance(n, ast.Constant) or n.value for n in names)


def chosen_schedule(
    context: Context, advice: Advice
) -> tuple[Definition | None, Rewrite] | None:
    """Returns the schedules of the branches of an `if`, where a rate comes from those.

    Returns:
        What holds the schedule below the `if`, and the rewrite; `None` if it is one.
    """
    if advice.schedule is None or advice.conditions or advice.assumed:
        return None
    branches = _branches(context, advice)
    if not branches:
        return None
    final = advice.chain[-1]
    held = context.flows.at(branches[0][0].name, final.statement)
    return held, _in_branches(context, final, branches)


def made_at(
    context: Context, advice: Advice, place: ast.stmt
) -> tuple[str, tuple[Import, ...]]:
    """Returns the call that makes a schedule in a statement, and the names in it.

    Raises:
        UncertainError: If it might be another one there.
    """
    assert advice.schedule is not None
    _check_numbers(context, advice.schedule)
    _check_names(context, advice.schedule.names(), place, ())
    imports = _imports(context, advice.schedule)
    return advice.schedule.text(with_module=False), imports


def check_conditions(advice: Advice) -> None:
    """Refuses a schedule that has the rates only if something holds."""
    if advice.conditions or advice.assumed:
        raise UncertainError(f"it is {advice.check} only")


def _imports(context: Context, schedule: Schedule) -> tuple[Import, ...]:
    imports = []
    for module, name in sorted(schedule.modules()):
        if module == candidates.KERAS:
            rewrite_checks.check_module(context.source, "keras")
            imports.append(Import("keras", "", "keras"))
        else:
            rewrite_checks.check_name(context.source, name, module)
            imports.append(Import(module, name, name))
    if "math.exp(" in schedule.text():
        rewrite_checks.check_module(context.source, "math")
        imports.append(Import("math", "", "math"))
    return tuple(dict.fromkeys(imports))


def _check_numbers(context: Context, schedule: Schedule) -> list[str]:
    """Refuses arguments that may be tensors.

    Returns:
        Those that may be no whole number of steps, which the schedule refuses itself.
    """
    fractions = []
    for name, value in schedule.arguments:
        if isinstance(value, Schedule):
            fractions += _check_numbers(context, value)
        elif isinstance(value, Items | Value):
            definitions = dict(value.names)
            assert value.expression is not None
            rewrite_checks.check_plain(context, value.expression, definitions)
            is_steps = len(name) in (1, 2) and not name.strip()
            if is_steps and schedule.module == candidates.OURS:
                found = rewrite_checks.fraction(value.expression, definitions)
                fractions += [found] if found else []
    return fractions


def _remark(context: Context, fractions: Sequence[str], place: ast.stmt) -> str:
    """Returns the comment above a schedule, with the white space of the next line."""
    if not fractions:
        return ""
    named = " and ".join(f"`{text}`" for text in dict.fromkeys(fractions))
    indent = _indent(context, place)
    todo = f"{named} must be a whole number; a fraction raises an error here"
    return block(todo, indent).removeprefix(indent) + indent


def _check_names(
    context: Context, names: Names, place: ast.stmt, removed: Iterable[Definition]
) -> None:
    """Refuses if a name means something else where it is to be written."""
    gone = set(removed)
    flows = context.flows
    for name, definition in names:
        found = flows.at(name, place)
        while found is not definition and found in gone:
            assert found is not None
            scope = flows.function_of(found.node)
            if found.options:
                break
            found = flows.of(scope).at(name, flows.place(found.node, scope))
        if found is not definition:
            raise UncertainError(f"`{name}` is something else where the rate is made")


def _step(context: Context, advice: Advice, place: ast.stmt) -> tuple[str, Names]:
    """Returns the step as the code calls it, and its names."""
    flows = context.flows
    found: list[tuple[float, str, Names]] = []
    for node in advice.step:
        names = frozenset(
            (inner.id, flows.definition(inner))
            for inner in ast.walk(node)
            if isinstance(inner, ast.Name) and context.source.path_of(inner) is None
        )
        try:
            _check_names(context, names, place, ())
        except UncertainError:
            continue
        # The first that was there; others are conversions of it.
        lines = [getattr(d.node, "lineno", 0) for _, d in names if d is not None]
        is_call = isinstance(node, ast.Call)
        order = (max(lines, default=0) if names else node.lineno) + is_call * 0.5
        found.append((order, ast.unparse(node), names))
    if not found:
        raise UncertainError("the step has no name where the rate is made")
    _, text, names = min(found, key=lambda one: one[0])
    return text, names


def _called(
    context: Context, schedule: Schedule, step: str, place: ast.stmt, name: str
) -> str:
    width = len(name) + len(step) + len(" = ()")
    text = call_text(*_parts(schedule), _indent(context, place), width)
    return f"{text}({step})"


def _parts(schedule: Schedule) -> tuple[str, list[str]]:
    text = schedule.text(with_module=False)
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    arguments = [ast.unparse(a) for a in call.args]
    arguments += [f"{k.arg}={ast.unparse(k.value)}" for k in call.keywords]
    arguments = [
        a.replace("join='", 'join="').removesuffix("'") + '"'
        if a.startswith("join='")
        else a
        for a in arguments
    ]
    return ast.unparse(call.func), arguments


def _indent(context: Context, statement: ast.stmt) -> str:
    source = context.source
    start = source.line_start(statement.lineno)
    indent = source.text[start : source.span(statement)[0]]
    if indent.strip():
        raise UncertainError("it has no line of its own")
    return indent


def _expression(context: Context, link: Link, advice: Advice) -> Rewrite:
    """Replaces an expression that is an argument, or is returned."""
    assert advice.schedule is not None
    source = context.source
    _check_numbers(context, advice.schedule)
    _check_names(context, advice.schedule.names(), link.statement, ())
    step, _ = _step(context, advice, link.statement)
    rewrite_checks.check_graph_mode(source)
    span = source.span(link.node)
    text = f"{advice.schedule.text(with_module=False)}({step})"
    imports = _imports(context, advice.schedule)
    return Rewrite((span,), (Edit(*span, text),), imports, _PRIORITY)


def _at_end(
    context: Context, final: Link, advice: Advice, as_object: bool = False
) -> Rewrite:
    """Makes the schedule where the rate was complete."""
    assert advice.schedule is not None
    schedule = advice.schedule
    fractions = _check_numbers(context, schedule)
    place, optional = _place(context, final, advice)
    step, step_names = _step(context, advice, place)
    live = {definition for _, definition in [*schedule.names(), *step_names]}
    removal = Removal(context, final.statement)
    if isinstance(place, ast.If):
        removal.add([final.statement])
        removal.rejoined.add(place)
    else:
        removal.replace([final.statement])
    removal.add_unused(advice.used, live, final.statement)
    gone = removal.definitions
    _check_names(context, schedule.names(), place, gone)
    name = final.definition.name if final.definition is not None else "return"
    text = _called(context, schedule, step, place, name)
    if as_object:
        text = text.removesuffix(f"({step})")
    if optional:
        text = text.replace(optional, f"{optional} or 0", 1)
    remark = _remark(context, fractions, place)
    if final.definition is not None:
        whole = f"{name} = {text}"
    else:
        whole = _with_value(context, final, text)
    edits = removal.edits_with(place, f"{remark}{whole}")
    imports = _imports(context, schedule)
    return Rewrite(removal.spans, edits, imports, _PRIORITY)


def _with_value(context: Context, link: Link, text: str) -> str:
    """Returns a statement, such as a `return`, with another value of its expression."""
    source = context.source
    start, end = source.span(link.statement)
    first, last = source.span(link.node)
    return source.text[start:first] + text + source.text[last:end]


def _place(context: Context, final: Link, advice: Advice) -> tuple[ast.stmt, str]:
    """Returns where the schedule is made, and the warmup that may be `None`.

    In BERT's code the warmup stands below `if num_warmup_steps:`, the decay above.
    """
    around = context.source.parents[final.statement]
    start = advice.chain[0].statement
    if final.statement is start or context.source.parents[start] is around:
        return final.statement, ""
    if (
        not isinstance(around, ast.If)
        or context.source.parents[around] is not (context.source.parents[start])
    ):
        raise UncertainError("the decay and the warmup stand in different branches")
    assert advice.schedule is not None
    lengths = {v.text for _, v in advice.schedule.arguments if isinstance(v, Value)}
    match around.test:
        case ast.Name() | ast.Attribute() as test if ast.unparse(test) in lengths:
            optional = ast.unparse(test)
        case ast.Compare(
            left=test, ops=[ast.Gt() | ast.NotEq()], comparators=[ast.Constant(value=0)]
        ) if ast.unparse(test) in lengths:
            optional = ""
        case _:
            raise UncertainError(f"the warmup depends on `{ast.unparse(around.test)}`")
    if around.orelse:
        raise UncertainError("there is another rate without warmup")
    return around, optional


def _branches(context: Context, advice: Advice) -> list[tuple[Definition, Advice]]:
    """Returns the decays of the branches of an `if`, below which the warmup stands."""
    final = advice.chain[-1]
    start = advice.chain[0]
    if start.definition is None or len(advice.chain) < 2:
        return []
    merged = context.flows.at(start.definition.name, final.statement)
    if merged is None or not merged.options:
        return []
    if (
        context.source.parents[merged.node]
        is not context.source.parents[final.statement]
    ):
        raise UncertainError("the decay and the warmup stand in different branches")
    found = []
    for definition in _options(merged):
        if definition is None or definition.value is None:
            raise UncertainError("in another branch the rate is more than arithmetic")
        calls = [
            node
            for node in ast.walk(definition.value)
            if isinstance(node, ast.Call)
            and (context.source.path_of(node.func) or "").rpartition(".")[2] in DECAYS
        ]
        if len(calls) != 1:
            raise UncertainError("in another branch the rate is no decay")
        other = context.advisor.of(calls[0])
        if other.schedule is None or other.chain[-1].statement is not final.statement:
            raise UncertainError("in another branch no schedule has the rates")
        check_conditions(other)
        found.append((definition, other))
    return found


def _options(definition: Definition | None) -> list[Definition | None]:
    if definition is None or not definition.options:
        return [definition]
    return [inner for option in definition.options for inner in _options(option)]


def _in_branches(
    context: Context, final: Link, branches: Sequence[tuple[Definition, Advice]]
) -> Rewrite:
    """Makes each schedule where its decay was, and calls it where the warmup was."""
    removal = Removal(context, final.statement)
    keeping = [final.statement]
    live: set[Definition | None] = set()
    used: dict[Definition, None] = {}
    made: list[tuple[ast.stmt, str]] = []
    imports: list[Import] = []
    for definition, advice in branches:
        assert advice.schedule is not None
        assert isinstance(definition.node, ast.stmt)
        fractions = _check_numbers(context, advice.schedule)
        _check_names(context, advice.schedule.names(), definition.node, ())
        live |= {d for _, d in advice.schedule.names()}
        live.add(definition)
        used |= dict.fromkeys(advice.used)
        indent = _indent(context, definition.node)
        width = len(definition.name) + len(" = ")
        text = call_text(*_parts(advice.schedule), indent, width)
        remark = _remark(context, fractions, definition.node)
        made.append((definition.node, f"{remark}{definition.name} = {text}"))
        keeping.append(definition.node)
        imports += _imports(context, advice.schedule)
    step, step_names = _step(context, branches[0][1], final.statement)
    live |= {definition for _, definition in step_names}
    removal.replace(keeping)
    removal.add_unused(used, live, final.statement)
    for definition, _ in branches:
        removal.check_no_other_use(definition)
    rate = f"{branches[0][0].name}({step})"
    if final.definition is not None:
        made.append((final.statement, f"{final.definition.name} = {rate}"))
    else:
        made.append((final.statement, _with_value(context, final, rate)))
    edits = tuple(
        edit
        for statement, text in made
        for edit in [Edit(*context.source.span(statement), text)]
    )
    rest = removal.edits_without([statement for statement, _ in made])
    return Rewrite(
        removal.spans, (*edits, *rest), tuple(dict.fromkeys(imports)), _PRIORITY
    )
