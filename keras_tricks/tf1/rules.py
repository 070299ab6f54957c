"""The TF1 code that this package replaces, and what to write instead."""

import ast
import dataclasses
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from keras_tricks.tf1 import reference_classes
from keras_tricks.tf1 import rewrite
from keras_tricks.tf1.edits import Rewrite
from keras_tricks.tf1.source import Source

_SCHEDULES, _OPTIMIZERS = "keras_tricks.schedules", "keras_tricks.optimizers"
_STEP_GETTERS = ("get_or_create_global_step", "create_global_step", "get_global_step")
_CHOICES = ("cond", "where", "where_v2")
_SHAPE_NAMES = ("shape", "get_shape", "num_elements")
_PRODUCTS = ("prod", "reduce_prod", "reduce", "num_elements", "size")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One place with code that this package replaces.

    Attributes:
        line: Line in the file, counted from 1.
        column: Character in the line, counted from 1.
        what: What stands there.
        instead: What to write instead.
        rewrite: The rewrite, where it is certain.
        why_not: Why a rewrite that there is in principle is not certain here.
    """

    line: int
    column: int
    what: str
    instead: str
    rewrite: Rewrite | None = None
    why_not: str = ""


def findings(source: Source) -> list[Finding]:
    r"""Returns what this package replaces in a file, in the order of the text.

    Example:

    >>> from keras_tricks.tf1.rules import findings
    >>> from keras_tricks.tf1.source import Source
    >>> text = "import tensorflow as tf\nstep = tf.train.get_global_step()"
    >>> [(f.line, f.column, f.what) for f in findings(Source(text))]
    [(2, 8, 'tf.train.get_global_step')]
    """
    found: list[Finding] = []
    for node in ast.walk(source.tree):
        for check in (_check_reference, _check_mask, _check_count, _check_class):
            found += check(source, node)
    return sorted(found, key=lambda f: (f.line, f.column))


def _finding(
    source: Source,
    node: ast.AST,
    what: str,
    instead: str,
    rewriter: Callable | None = None,
) -> Finding:
    line, column = source.place(node)
    if rewriter is None:
        return Finding(line, column, what, instead)
    try:
        return Finding(line, column, what, instead, rewriter(source, node))
    except rewrite.UncertainError as reason:
        return Finding(line, column, what, instead, None, str(reason))


def _check_reference(source: Source, node: ast.AST) -> Iterator[Finding]:
    """Functions of TensorFlow, and BERT's optimizer, wherever they are named."""
    if not isinstance(node, ast.Name | ast.Attribute):
        return
    if not isinstance(node.ctx, ast.Load):
        return
    parent = source.parents[node]
    call = parent if isinstance(parent, ast.Call) and parent.func is node else None
    path = source.path_of(node) or ""
    name = path.rpartition(".")[2]
    if path.startswith("tensorflow."):
        shown = ast.unparse(node)
        if name == "polynomial_decay":
            new = f"{_SCHEDULES}.WarmupPolynomialDecay{_decay_arguments(call)}"
            rewriter = rewrite.polynomial_decay if call else None
            yield _finding(source, call or node, shown, new, rewriter)
        elif name == "clip_by_global_norm":
            limit = _argument(call, 1, "clip_norm") or "..."
            new = f"{_OPTIMIZERS}.ClippedOptimizer(optimizer, global_clipnorm={limit})"
            yield _finding(source, node, shown, new)
        elif name in _STEP_GETTERS:
            new = "optimizer.iterations (a schedule in an optimizer is given the step)"
            yield _finding(source, node, shown, new)
    elif "AdamWeightDecayOptimizer" in (name, _last_name(node)):
        around = source.enclosing(node, ast.ClassDef)
        if getattr(around, "name", "") != "AdamWeightDecayOptimizer":
            new = f"{_OPTIMIZERS}.AdamWeightDecay{_adam_arguments(call)}"
            rewriter = rewrite.bert_optimizer if call else None
            what = "AdamWeightDecayOptimizer"
            yield _finding(source, call or node, what, new, rewriter)


def _last_name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _argument(call: ast.Call | None, position: int, name: str) -> str | None:
    """Returns an argument of a call as it is written, if that is clear."""
    if call is None:
        return None
    for keyword in call.keywords:
        if keyword.arg == name:
            return ast.unparse(keyword.value)
    before = call.args[: position + 1]
    if len(before) <= position or any(isinstance(a, ast.Starred) for a in before):
        return None
    return ast.unparse(before[position])


def _decay_arguments(call: ast.Call | None) -> str:
    arguments = [
        _argument(call, 0, "learning_rate") or "initial_learning_rate",
        _argument(call, 2, "decay_steps") or "decay_steps",
        f"end_learning_rate={_argument(call, 3, 'end_learning_rate') or '0.0001'}",
        f"power={_argument(call, 4, 'power') or '1.0'}",
        f"cycle={_argument(call, 5, 'cycle') or 'False'}",
    ]
    defaults = ("end_learning_rate=0.0", "power=1.0", "cycle=False")
    return f"({', '.join(a for a in arguments if a not in defaults)})"


def _adam_arguments(call: ast.Call | None) -> str:
    renamed = {"weight_decay_rate": "weight_decay"}
    arguments = [_argument(call, 0, "learning_rate") or "learning_rate"]
    for position, (name, default) in enumerate(
        reference_classes.ADAM_DEFAULTS.items(), 1
    ):
        value = _argument(call, position, name) or repr(default)
        if name == "exclude_from_weight_decay" and value == "None":
            value = "()"
        if name.startswith("beta") or name == "epsilon":
            if value == repr(default):
                continue
        arguments.append(f"{renamed.get(name, name)}={value}")
    return f"({', '.join(arguments)})"


def _check_mask(source: Source, node: ast.AST) -> Iterator[Finding]:
    """`(1 - is_warmup) * a + is_warmup * b`, and `tf.cond` or `tf.where` for it."""
    what = ""
    if isinstance(node, ast.BinOp | ast.Call):
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
    if what:
        new = (
            f"{_SCHEDULES}.WarmupPolynomialDecay(initial_learning_rate, decay_steps, "
            'warmup_steps), or Warmup(schedule, warmup_steps, join="overlap") for '
            "another decay"
        )
        yield _finding(source, node, what, new)


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
        name = _last_name(inner) or getattr(inner, "arg", None) or ""
        if "warm" in name.lower():
            return True
        value = source.definition(inner) if depth else None
        if value is not None and _tells_of_warmup(source, value, depth - 1):
            return True
    return False


def _check_count(source: Source, node: ast.AST) -> Iterator[Finding]:
    """A loop or a comprehension that multiplies up the shapes of the variables."""
    if isinstance(node, ast.For):
        place: ast.AST = node
        counts = _is_over_variables(source, node.iter) and _multiplies_shapes(
            _names(node.target), [*node.body]
        )
    elif isinstance(node, ast.ListComp | ast.GeneratorExp):
        clause = node.generators[0]
        around = source.enclosing(node, ast.Call, ast.stmt)
        place = around if isinstance(around, ast.Call) else node
        counts = _is_over_variables(source, clause.iter) and _multiplies_shapes(
            _names(clause.target), [node.elt]
        )
    else:
        return
    if counts:
        new = "keras_tricks.parameters.count_parameters(model)"
        yield _finding(source, place, "parameter count", new)


def _is_over_variables(source: Source, node: ast.expr) -> bool:
    node = source.definition(node) or node
    if not isinstance(node, ast.Call):
        return False
    path = source.path_of(node.func) or ""
    return path.startswith("tensorflow.") and path.endswith(".trainable_variables")


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _multiplies_shapes(variables: set[str], body: Sequence[ast.AST]) -> bool:
    """Returns whether code multiplies what comes from the shapes of variables."""
    shapes: set[str] = set()

    def of_shape(node: ast.AST) -> bool:
        of_variable = bool(_names(node) & variables) and any(
            _last_name(inner) in _SHAPE_NAMES for inner in ast.walk(node)
        )
        return of_variable or bool(_names(node) & shapes)

    inside = [inner for statement in body for inner in ast.walk(statement)]
    for inner in sorted(inside, key=lambda n: getattr(n, "lineno", 0)):
        match inner:
            case ast.Assign(targets=[target], value=value) if of_shape(value):
                shapes |= _names(target)
            case ast.For(target=target, iter=iterable) if of_shape(iterable):
                shapes |= _names(target)
    for inner in inside:
        match inner:
            case ast.AugAssign(op=ast.Mult(), value=value) if of_shape(value):
                return True
            case ast.BinOp(op=ast.Mult()) if of_shape(inner):
                return True
            case ast.Call(func=function):
                name = _last_name(function)
                whole = name in ("size", "num_elements") and _names(inner) & variables
                if name in _PRODUCTS and (whole or of_shape(inner)):
                    return True
    return False


def _check_class(source: Source, node: ast.AST) -> Iterator[Finding]:
    """BERT's optimizer class, and schedule classes that Keras 3 has trouble with."""
    if not isinstance(node, ast.ClassDef):
        return
    if node.name == "AdamWeightDecayOptimizer":
        new = f"from {_OPTIMIZERS} import AdamWeightDecay"
        yield _finding(source, node, "definition of AdamWeightDecayOptimizer", new)
    bases = [source.path_of(base) or "" for base in node.bases]
    if not any(base.endswith(".LearningRateSchedule") for base in bases):
        return
    methods = reference_classes.methods(node)
    call = methods.get("__call__")
    ours = reference_classes.is_transformer_schedule(source, node)
    new = f"from {_SCHEDULES} import CustomSchedule"
    if call is not None:
        for root in _roots_of_the_step(source, call):
            what = f"{node.name}.__call__: {ast.unparse(root)} without a cast"
            mended = f'{ast.unparse(root.func)}(tf.cast(step, "float32"))'
            if ours:
                line, column = source.place(root)
                whole = _finding(source, node, what, new, rewrite.schedule_class)
                yield dataclasses.replace(whole, line=line, column=column)
            else:
                yield _finding(source, root, what, mended)
    # With another base it may be inherited.
    if "get_config" not in methods and call is not None and len(bases) == 1:
        what = f"{node.name} without get_config"
        rewriter = rewrite.schedule_class if ours else None
        mended = "def get_config(self) that returns the constructor's arguments"
        yield _finding(source, node, what, new if ours else mended, rewriter)


def _roots_of_the_step(source: Source, call: ast.FunctionDef) -> Iterator[ast.Call]:
    """Yields TensorFlow's `rsqrt` of what is still the integer step."""
    parameters = [a.arg for a in call.args.args[1:2]]
    if not parameters:
        return
    [step] = parameters
    casts = [
        statement.lineno
        for statement in ast.walk(call)
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
        and any(isinstance(n, ast.Name) and n.id == step for n in _targets(statement))
    ]
    for node in ast.walk(call):
        match node:
            case ast.Call(func=function, args=[root]):
                path = source.path_of(function) or ""
                if (
                    not path.startswith("tensorflow.")
                    or _last_name(function) != "rsqrt"
                ):
                    continue
                todo: list[ast.AST] = [root]
                while todo:
                    inner = todo.pop()
                    # Any call may be a cast.
                    if isinstance(inner, ast.BinOp | ast.UnaryOp):
                        todo += ast.iter_child_nodes(inner)
                    elif isinstance(inner, ast.Name) and inner.id == step:
                        if not any(line < node.lineno for line in casts):
                            yield node


def _targets(
    statement: ast.Assign | ast.AnnAssign | ast.AugAssign,
) -> Sequence[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target]
