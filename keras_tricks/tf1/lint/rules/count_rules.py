"""Rules for parameter counts: loops and sums over the shapes of the variables."""

import ast
import re
from collections.abc import Iterator
from collections.abc import Sequence

from keras_tricks.tf1.lint import finding
from keras_tricks.tf1.lint.context import Context
from keras_tricks.tf1.lint.finding import Finding
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name
from keras_tricks.tf1.lint.rewrites import rewrite_checks
from keras_tricks.tf1.lint.rewrites.edits import Edit
from keras_tricks.tf1.lint.rewrites.edits import Import
from keras_tricks.tf1.lint.rewrites.edits import Rewrite
from keras_tricks.tf1.lint.rewrites.edits import UncertainError

_SHAPE_NAMES = ("shape", "get_shape", "num_elements")
_PRODUCTS = ("prod", "reduce_prod", "reduce", "num_elements", "size")


def check(context: Context, node: ast.AST) -> Iterator[Finding]:
    """Yields a loop or a comprehension that multiplies up the variables' shapes."""
    source = context.source
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
        lost = _lost(source, node)
        if lost:
            new += f"; without `{lost}`, which it has no counterpart of"
        yield finding.make(
            source, place, "parameter count", new, lambda: _counted(source, node)
        )


def _lost(source: Source, node: ast.AST) -> str:
    """Returns what makes a count one of other than all trainable weights."""
    iterable = getattr(node, "iter", None)
    for clause in getattr(node, "generators", []):
        iterable = clause.iter
        if clause.ifs:
            return f"if {ast.unparse(clause.ifs[0])}"
    call = source.definition(iterable) if iterable is not None else None
    call = call or iterable
    if isinstance(call, ast.Call) and (call.args or call.keywords):
        return ast.unparse(call)
    for inner in ast.walk(node):
        if isinstance(inner, ast.If):
            return f"if {ast.unparse(inner.test)}"
    size = getattr(node, "elt", None)
    return ast.unparse(size) if isinstance(size, ast.BinOp) else ""


def _counted(source: Source, node: ast.AST) -> Rewrite:
    """Returns the rewrite of a sum of products of shapes.

    Raises:
        UncertainError: If it is no such sum, and nothing more.
    """
    total = source.parents[node]
    if lost := _lost(source, node):
        raise UncertainError(f"it is a count with `{lost}`")
    match node:
        case (
            ast.ListComp(elt=ast.Call() as size, generators=[clause])
            | ast.GeneratorExp(elt=ast.Call() as size, generators=[clause])
        ) if not clause.ifs and isinstance(clause.target, ast.Name):
            pass
        case _:
            raise UncertainError("it is a loop")
    if not isinstance(total, ast.Call) or len(total.args) != 1 or total.keywords:
        raise UncertainError("it is no sum")
    function = source.path_of(total.func) or ast.unparse(total.func)
    size_of = (source.path_of(size.func) or "").rpartition(".")[2]
    shape = rf"{re.escape(clause.target.id)}\.(shape|get_shape\(\))(\.as_list\(\))?"
    is_shape = len(size.args) == 1 and re.fullmatch(shape, ast.unparse(size.args[0]))
    if (
        function not in ("sum", "numpy.sum")
        or size_of not in ("prod", "product")
        or not is_shape
    ):
        raise UncertainError("it is no sum of products of shapes")
    name, module = "count_parameters", "keras_tricks.parameters"
    rewrite_checks.check_name(source, name, module)
    span = source.span(total)
    text = f"{name}({ast.unparse(clause.iter)})"
    return Rewrite((span,), (Edit(*span, text),), (Import(module, name, name),))


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
            last_name(inner) in _SHAPE_NAMES for inner in ast.walk(node)
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
                name = last_name(function)
                whole = name in ("size", "num_elements") and _names(inner) & variables
                if name in _PRODUCTS and (whole or of_shape(inner)):
                    return True
    return False
