"""BERT's optimizer class and its variants, known by their formulas."""

import ast
import dataclasses

from keras_tricks.tf1.lint.originals import formulas
from keras_tricks.tf1.lint.originals import reference_exclusions
from keras_tricks.tf1.lint.originals.formulas import UnknownFormError
from keras_tricks.tf1.lint.originals.formulas import difference
from keras_tricks.tf1.lint.originals.formulas import number
from keras_tricks.tf1.lint.originals.formulas import power
from keras_tricks.tf1.lint.originals.formulas import product
from keras_tricks.tf1.lint.originals.formulas import quotient
from keras_tricks.tf1.lint.originals.formulas import symbol
from keras_tricks.tf1.lint.originals.formulas import total
from keras_tricks.tf1.lint.originals.reference_classes import is_documentation
from keras_tricks.tf1.lint.originals.reference_classes import methods
from keras_tricks.tf1.lint.originals.reference_classes import signature
from keras_tricks.tf1.lint.reading import modules
from keras_tricks.tf1.lint.reading.arguments import argument_node
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name

# BERT's arguments in their order, with the defaults where they have one.
ADAM_DEFAULTS: dict[str, object] = {
    "weight_decay_rate": 0.0,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-6,
    "exclude_from_weight_decay": None,
}
ADAM_ARGUMENTS = ("learning_rate", *ADAM_DEFAULTS, "name")
_INCLUDES = "include_in_weight_decay"
_REQUIRED = {"__init__", "apply_gradients", "_do_use_weight_decay"}
_METHODS = {*_REQUIRED, "_apply_gradients", "_get_variable_name"}


@dataclasses.dataclass(frozen=True)
class Variant:
    """What an `AdamWeightDecayOptimizer` is.

    Attributes:
        kind: "bert"; "include" for XLNet's, which also has patterns of weights that
            decay after all; "layer-wise" for ELECTRA's, whose rate may be a dictionary;
            "other" for another class, "unknown" for one that is not at hand.
        included: The default value of XLNet's patterns, as it is written.
    """

    kind: str
    included: str = ""


def variant(source: Source, definition: ast.ClassDef) -> Variant:
    """Returns which variant of BERT's optimizer a class is.

    The constructor must have BERT's arguments and defaults and keep them, the loop of
    `apply_gradients` must assign BERT's formulas to `m`, `v` and each weight and return
    all assignments, and `_do_use_weight_decay` must search for the patterns as BERT's.
    """
    other = Variant("other")
    found = methods(definition)
    if not _REQUIRED <= set(found) <= _METHODS:
        return other
    names, defaults = signature(found["__init__"])
    defaults.pop("name", None)
    kind, included = "bert", ""
    if _INCLUDES in names:
        kind = "include"
        included = _default_text(found["__init__"], _INCLUDES)
        names.remove(_INCLUDES)
        defaults.pop(_INCLUDES, None)
    if tuple(names[1:]) != ADAM_ARGUMENTS or defaults != ADAM_DEFAULTS:
        return other
    if reference_exclusions.kind_of(source, found["_do_use_weight_decay"]) != kind:
        return other
    apply = found["apply_gradients"]
    kept = [*ADAM_DEFAULTS, "learning_rate", *([_INCLUDES] if included else [])]
    own = {name: symbol(name) for name in (*kept, "name")}
    try:
        formulas.follow(source, found["__init__"].body, own)
        own = {k: v for k, v in own.items() if k.startswith("self.")}
        if any(own.get(f"self.{name}") != symbol(name) for name in kept):
            return other
        if "_apply_gradients" in found and kind == "bert":
            kind, apply = "layer-wise", found["_apply_gradients"]
            if signature(apply)[0][2:] != ["learning_rate"]:
                return other
            own["learning_rate"] = symbol("learning_rate")
            if not _is_grouped(source, found["apply_gradients"].body[-1]):
                return other
        loop = _only_loop(source, apply)
        getter = found.get("_get_variable_name")
        if loop is None or not all(
            _updates(source, loop, dict(own), decays, getter) == _bert_updates(decays)
            for decays in (True, False)
        ):
            return other
    except UnknownFormError:
        return other
    return Variant(kind, included)


def variant_of(source: Source, function: ast.expr) -> Variant:
    """Returns which variant a class is by the expression that names it."""
    if isinstance(function, ast.Name):
        bindings = source.bindings(function)
        if len(bindings) == 1 and isinstance(bindings[0].node, ast.ClassDef):
            return variant(source, bindings[0].node)
    path = source.path_of(function)
    if path is None:
        return Variant("unknown")
    module, _, name = path.rpartition(".")
    other = modules.imported(source, module)
    if other is not None:
        for node in other.tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return variant(other, node)
    return Variant("unknown")


def _default_text(function: ast.FunctionDef, name: str) -> str:
    positional = [*function.args.posonlyargs, *function.args.args]
    first = len(positional) - len(function.args.defaults)
    for parameter, default in zip(
        positional[first:], function.args.defaults, strict=True
    ):
        if parameter.arg == name:
            return ast.unparse(default)
    return ""


@dataclasses.dataclass(frozen=True)
class _Loop:
    """The loop over gradients and weights.

    Attributes:
        node: The loop.
        gathered: The list in which it gathers all assignments.
    """

    node: ast.For
    gathered: str


def _only_loop(source: Source, method: ast.FunctionDef) -> _Loop | None:
    """Returns the loop over the argument, if the method does nothing else."""
    body = [s for s in method.body if not is_documentation(s)]
    match body:
        case [
            ast.Assign(targets=[ast.Name(id=gathered)], value=ast.List(elts=[])),
            ast.For(iter=ast.Name(id=name), orelse=[]) as loop,
            ast.Return(value=ast.expr() as value) as end,
        ] if name in signature(method)[0]:
            if ast.unparse(value) == gathered or _is_grouped(source, end, gathered):
                return _Loop(loop, gathered)
    return None


def _is_grouped(source: Source, end: ast.stmt, gathered: str = "") -> bool:
    """Returns whether a statement returns the group of all that a list holds."""
    match end:
        case ast.Return(
            value=ast.Call(
                func=function, args=[ast.Starred(value=ast.Name(id=name))]
            ) as call
        ):
            path = source.path_of(function) or ""
            names = [keyword.arg for keyword in call.keywords]
            is_whole = name == (gathered or name) and names in ([], ["name"])
            return path == "tensorflow.group" and is_whole
    return False


def _bert_updates(decays: bool) -> dict[str, formulas.Form]:
    def own(name: str) -> formulas.Form:
        return symbol(name)

    gradient, weight = symbol("gradient"), symbol("weight")
    moments = {}
    for name, beta, new in (
        ("m", own("beta_1"), gradient),
        ("v", own("beta_2"), power(gradient, 2)),
    ):
        kept = product(beta, symbol(name))
        moments[name] = total(kept, product(difference(number(1), beta), new))
    root = total(power(moments["v"], 0.5), own("epsilon"))
    update = quotient(moments["m"], root)
    if decays:
        update = total(update, product(own("weight_decay_rate"), weight))
    moved = product(own("learning_rate"), update)
    return {**moments, "weight": difference(weight, moved)}


def _updates(
    source: Source,
    loop: _Loop,
    environment: formulas.Environment,
    decays: bool,
    getter: ast.FunctionDef | None,
) -> dict[str, formulas.Form]:
    """Returns what the loop over gradients and weights assigns to each variable."""
    match loop.node.target:
        case ast.Tuple(elts=[ast.Name(id=gradient), ast.Name(id=weight)]):
            environment[gradient] = symbol("gradient")
            environment[weight] = symbol("weight")
            skipped = (f"{gradient} is None", f"{weight} is None")
        case _:
            raise UnknownFormError(ast.unparse(loop.node.target))
    assigned: dict[str, formulas.Form] = {}
    names = {f"{weight}.name", f"{weight}.op.name"}
    for statement in loop.node.body:
        match statement:
            case ast.If(test=test, body=[ast.Continue()], orelse=[]):
                tests = test.values if isinstance(test, ast.BoolOp) else [test]
                if any(ast.unparse(t) not in skipped for t in tests):
                    raise UnknownFormError(ast.unparse(test))
                if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
                    raise UnknownFormError(ast.unparse(test))
            case ast.If(orelse=[]) if (body := _decaying(statement, names)) is not None:
                if decays:
                    _follow(source, body, environment)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
                reference_exclusions.is_name_of(source, value, weight, getter)
            ):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if (
                moment := _created_moment(call)
            ):
                environment[name] = symbol(moment)
                names.discard(name)
            case ast.Expr(value=ast.Call() as call):
                for variable, value in _assignments(call, loop.gathered):
                    target = environment.get(variable, ("opaque",))
                    if target[0] != "symbol" or target[1] in assigned:
                        raise UnknownFormError(variable)
                    assigned[target[1]] = formulas.form(source, value, environment)
            case _:
                _follow(source, [statement], environment)
                if isinstance(statement, ast.Assign):
                    names -= {ast.unparse(target) for target in statement.targets}
    return assigned


def _follow(
    source: Source, statements: list[ast.stmt], environment: formulas.Environment
) -> None:
    if formulas.follow(source, statements, environment) is not None:
        raise UnknownFormError("return")


def _decaying(statement: ast.If, names: set[str]) -> list[ast.stmt] | None:
    """Returns what is done with a weight that decays, if a test is whether it does."""
    match statement:
        case ast.If(body=[ast.If(orelse=[]) as inner]) if (
            ast.unparse(statement.test) == "self.weight_decay_rate > 0"
        ):
            statement = inner
    tests = {f"self._do_use_weight_decay({name})" for name in names}
    return statement.body if ast.unparse(statement.test) in tests else None


def _created_moment(call: ast.Call) -> str | None:
    """Returns "m" or "v" for the `get_variable` that makes BERT's slot."""
    if not ast.unparse(call.func).endswith("get_variable"):
        return None
    initializer = argument_node(call, 3, "initializer")
    if isinstance(initializer, ast.Call):
        initializer = initializer.func
    if initializer is None or "zeros" not in last_name(initializer).lower():
        return None
    for node in ast.walk(call):
        match node:
            case ast.Constant(value=str(name)) if name.endswith(("adam_m", "adam_v")):
                return name[-1]
    return None


def _assignments(call: ast.Call, gathered: str) -> list[tuple[str, ast.expr]]:
    """Returns the variable and the value of each `variable.assign(value)` gathered.

    Raises:
        UnknownFormError: If something else is done.
    """
    match call:
        case ast.Call(func=function, args=[ast.List(elts=added)], keywords=[]) if (
            ast.unparse(function) == f"{gathered}.extend"
        ):
            pass
        case ast.Call(func=function, args=[one], keywords=[]) if (
            ast.unparse(function) == f"{gathered}.append"
        ):
            added = [one]
        case _:
            raise UnknownFormError(ast.unparse(call))
    found = []
    for one in added:
        match one:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="assign"),
                args=[value],
                keywords=[],
            ):
                found.append((name, value))
            case _:
                raise UnknownFormError(ast.unparse(one))
    return found
