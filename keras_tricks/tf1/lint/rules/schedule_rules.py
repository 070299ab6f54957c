"""Rules for schedules: TF1's decays, and warmups by a mask, a choice or a factor."""

import ast
from collections.abc import Iterator

from keras_tricks.tf1.lint import finding
from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.rates.tf1_functions import DECAYS
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites import rewrite_schedules

# Decays of TF1 that no schedule has.
_OTHER_DECAYS = ("linear_cosine_decay", "noisy_linear_cosine_decay")
_CHOICES = ("cond", "where", "where_v2")
_MINIMA = ("minimum", "min", "clip_by_value")
NO_ADVICE = "no advice"


def check(context: Context, node: ast.AST) -> Iterator[Finding]:
    """Yields a decay or a warmup, with the schedule that has the same rates."""
    yield from _check_decay(context, node)
    if isinstance(node, ast.BinOp | ast.Call | ast.AugAssign):
        yield from _check_warmup(context, node)


def _check_decay(context: Context, node: ast.AST) -> Iterator[Finding]:
    if not isinstance(node, ast.Name | ast.Attribute):
        return
    source = context.source
    path = source.path_of(node) or ""
    name = path.rpartition(".")[2]
    if not path.startswith("tensorflow.") or ".keras" in path:
        return
    if not isinstance(node.ctx, ast.Load):
        return
    if name not in DECAYS and name not in _OTHER_DECAYS:
        return
    parent = source.parents[node]
    call = parent if isinstance(parent, ast.Call) and parent.func is node else None
    what = ast.unparse(node)
    if name in _OTHER_DECAYS:
        reason = "no schedule of Keras's or of this package has its rates"
        yield finding.make(source, call or node, what, f"{NO_ADVICE}: {reason}")
    elif call is None:
        reason = "it is not called here, so that its rates are unknown"
        yield finding.make(source, node, what, f"{NO_ADVICE}: {reason}")
    else:
        yield made(context, call, what)


def made(context: Context, node: ast.expr, what: str) -> Finding:
    """Returns the finding of what computes a rate."""
    every = context.advisor.all_of(node)
    advice = every[0]
    if advice.schedule is None:
        instead = f"{NO_ADVICE}: {advice.reason}"
        return finding.make(context.source, node, what, instead)
    return finding.make(
        context.source,
        node,
        what,
        " or ".join(dict.fromkeys(a.schedule.text() for a in every if a.schedule)),
        lambda: rewrite_schedules.chain(context, node, advice),
        advice.check,
    )


def _check_warmup(context: Context, node: ast.AST) -> Iterator[Finding]:
    """`(1 - is_warmup) * a + is_warmup * b`, `tf.cond`, `tf.where` and factors."""
    source = context.source
    what = ""
    place: ast.expr | None = None
    if isinstance(node, ast.BinOp | ast.Call):
        place = node
        if _operands(source, node, ast.Add, "add"):
            parent = source.parents[node]
            if not _operands(source, parent, ast.Add, "add"):
                what = "warmup mask" if _is_mask(source, node) else ""
        elif isinstance(node, ast.Call):
            path = source.path_of(node.func) or ""
            library, _, name = path.rpartition(".")
            if library.startswith("tensorflow") and name in _CHOICES:
                condition = node.args[0] if node.args else None
                for keyword in node.keywords:
                    if keyword.arg in ("pred", "condition"):
                        condition = keyword.value
                if condition is not None and _tells_of_warmup(source, condition):
                    what = f"warmup by {ast.unparse(node.func)}"
            elif _is_least_of_roots(source, node):
                what = "warmup before a decay by the root of the step"
    for factor in _factors(source, node):
        if _is_warmup_factor(source, factor):
            what, place = "warmup by a factor", factor
    if what and place is not None:
        yield made(context, place, what)


def _is_least_of_roots(source: Source, node: ast.Call) -> bool:
    """Returns whether a call is `minimum(step**-0.5, step * warmup_steps**-1.5)`."""
    path = source.path_of(node.func) or ""
    is_minimum = path.startswith("tensorflow.") and path.endswith(".minimum")
    if not is_minimum or len(node.args) != 2 or ".keras" in path:
        return False
    around = source.enclosing(node, ast.ClassDef)
    for base in getattr(around, "bases", []):
        if last_name(base) == "LearningRateSchedule":
            return False
    return all(_has_root(source, side) for side in node.args) and any(
        _tells_of_warmup(source, side) for side in node.args
    )


def _has_root(source: Source, node: ast.expr) -> bool:
    value = source.definition(node) or node
    return any(
        isinstance(inner, ast.Pow) or last_name(inner) in ("rsqrt", "pow", "sqrt")
        for inner in ast.walk(value)
    )


def _factors(source: Source, node: ast.AST) -> list[ast.expr]:
    """Returns what a whole product multiplies."""
    if isinstance(node, ast.AugAssign):
        return [node.value] if isinstance(node.op, ast.Mult) else []
    if isinstance(node, ast.expr) and _operands(source, node, ast.Mult, "multiply"):
        if not _operands(source, source.parents[node], ast.Mult, "multiply"):
            return _flat(source, node, ast.Mult, "multiply")
    return []


def _is_warmup_factor(source: Source, node: ast.expr) -> bool:
    """Returns whether a factor is `minimum(1, step / warmup_steps)`."""
    value = source.definition(node) or node
    if not isinstance(value, ast.Call) or len(value.args) < 2:
        return False
    path = source.path_of(value.func)
    name = (path or last_name(value.func)).rpartition(".")[2]
    if name not in _MINIMA:
        return False
    ones = [a for a in value.args if isinstance(a, ast.Constant) and a.value == 1]
    others = [a for a in value.args if not isinstance(a, ast.Constant)]
    return bool(ones) and any(_tells_of_warmup(source, other) for other in others)


def _operands(
    source: Source, node: ast.AST, operator: type, function: str
) -> list[ast.expr]:
    """Returns the two sides of `a + b`, or of TensorFlow's function for it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [node.left, node.right]
    if isinstance(node, ast.Call) and len(node.args) == 2:
        path = source.path_of(node.func) or ""
        if path.startswith("tensorflow.") and path.endswith(f".{function}"):
            return list(node.args)
    return []


def _flat(
    source: Source, node: ast.expr, operator: type, function: str
) -> list[ast.expr]:
    """Returns all terms of a sum, or all factors of a product."""
    flat, todo = [], [node]
    while todo:
        part = todo.pop()
        inner = _operands(source, part, operator, function)
        if operator is ast.Mult and isinstance(part, ast.BinOp):
            if isinstance(part.op, ast.Div):
                inner = [part.left]
        todo += inner
        flat += [] if inner else [part]
    return flat


def _is_mask(source: Source, node: ast.expr) -> bool:
    """Returns whether a sum has the terms `(1 - m) * a` and `m * b` for a warmup."""
    terms = [
        _flat(source, term, ast.Mult, "multiply")
        for term in _flat(source, node, ast.Add, "add")
    ]
    masks = {
        ast.dump(factor)
        for term in terms
        for factor in term
        if len(term) > 1 and _tells_of_warmup(source, factor)
    }
    for term in terms:
        for factor in term:
            sides = _operands(
                source, source.definition(factor) or factor, ast.Sub, "subtract"
            )
            match sides:
                case [ast.Constant(value=1 | 1.0), mask] if len(term) > 1:
                    if ast.dump(mask) in masks:
                        return True
    return False


def _tells_of_warmup(source: Source, node: ast.AST, depth: int = 3) -> bool:
    """Returns whether a name in an expression, or in what it is defined by, says so."""
    for inner in ast.walk(node):
        name = last_name(inner) or getattr(inner, "arg", None) or ""
        if "warm" in name.lower():
            return True
        value = source.definition(inner) if depth else None
        if value is not None and _tells_of_warmup(source, value, depth - 1):
            return True
    return False
