"""BERT's optimizer class and its variants, known by their formulas."""

import ast
import dataclasses

from keras_tricks.tf1.lint.originals import formulas
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

    The constructor must have BERT's arguments and defaults, and the loop of
    `apply_gradients` must assign BERT's formulas to `m`, `v` and the weight.
    """
    other = Variant("other")
    found = methods(definition)
    required = {"__init__", "apply_gradients", "_do_use_weight_decay"}
    if not required <= set(found):
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
    excludes = ast.unparse(found["_do_use_weight_decay"])
    if "re.search(" not in excludes or "exclude_from_weight_decay" not in excludes:
        return other
    if (kind == "include") != _includes_first(found["_do_use_weight_decay"]):
        return other
    apply = found["apply_gradients"]
    own = {name: symbol(name) for name in ADAM_ARGUMENTS}
    try:
        formulas.follow(source, found["__init__"].body, own)
        own = {k: v for k, v in own.items() if k.startswith("self.")}
        if "_apply_gradients" in found and kind == "bert":
            kind, apply = "layer-wise", found["_apply_gradients"]
            if signature(apply)[0][2:] != ["learning_rate"]:
                return other
            own["learning_rate"] = symbol("learning_rate")
        loop = _only_loop(apply)
        if loop is None or not all(
            _updates(source, loop, dict(own), decays) == _bert_updates(decays)
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


def _includes_first(function: ast.FunctionDef) -> bool:
    """Returns whether patterns of weights that decay are searched before others."""
    for statement in function.body:
        text = ast.unparse(statement)
        if isinstance(statement, ast.For | ast.If) and "exclude_from" in text:
            return False
        if isinstance(statement, ast.For | ast.If) and _INCLUDES in text:
            return "return True" in text
    return False


def _only_loop(method: ast.FunctionDef) -> ast.For | None:
    """Returns the loop over the argument, if the method does nothing else."""
    loops = []
    for statement in method.body:
        match statement:
            case ast.For(iter=ast.Name(id=name)) if name in signature(method)[0]:
                loops.append(statement)
            case ast.Assign(value=ast.List(elts=[])) | ast.Return():
                continue
            case _:
                if not is_documentation(statement):
                    return None
    return loops[0] if len(loops) == 1 else None


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
    source: Source, loop: ast.For, environment: formulas.Environment, decays: bool
) -> dict[str, formulas.Form]:
    """Returns what the loop over gradients and weights assigns to each variable."""
    match loop.target:
        case ast.Tuple(elts=[ast.Name(id=gradient), ast.Name(id=weight)]):
            environment[gradient] = symbol("gradient")
            environment[weight] = symbol("weight")
        case _:
            raise UnknownFormError(ast.unparse(loop.target))
    assigned: dict[str, formulas.Form] = {}
    for statement in loop.body:
        match statement:
            case ast.If(body=[ast.Continue()], orelse=[]):
                continue
            case ast.If(test=ast.Call(func=test), orelse=[]) if (
                ast.unparse(test) == "self._do_use_weight_decay"
            ):
                if decays:
                    formulas.follow(source, statement.body, environment)
            case ast.If(
                test=ast.Compare(), body=[ast.If(test=ast.Call(func=test)) as inner]
            ) if (
                ast.unparse(statement.test) == "self.weight_decay_rate > 0"
                and ast.unparse(test) == "self._do_use_weight_decay"
            ):
                if decays:
                    formulas.follow(source, inner.body, environment)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if (
                moment := _created_moment(call)
            ):
                environment[name] = symbol(moment)
            case ast.Expr(value=ast.Call() as call):
                for variable, value in _assignments(call):
                    target = environment.get(variable, ("opaque",))
                    if target[0] != "symbol" or target[1] in assigned:
                        raise UnknownFormError(variable)
                    assigned[target[1]] = formulas.form(source, value, environment)
            case _:
                formulas.follow(source, [statement], environment)
    return assigned


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


def _assignments(call: ast.Call) -> list[tuple[str, ast.expr]]:
    """Returns the variable and the value of each `variable.assign(value)` inside."""
    return [
        (node.func.value.id, node.args[0])
        for node in ast.walk(call)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "assign"
        and isinstance(node.func.value, ast.Name)
        and len(node.args) == 1
    ]
