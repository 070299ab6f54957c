"""Reference classes: the originals, in a file, of classes that this package ports."""

import ast
from pathlib import Path

from keras_tricks.tf1 import formulas
from keras_tricks.tf1.formulas import UnknownFormError
from keras_tricks.tf1.formulas import difference
from keras_tricks.tf1.formulas import number
from keras_tricks.tf1.formulas import power
from keras_tricks.tf1.formulas import product
from keras_tricks.tf1.formulas import quotient
from keras_tricks.tf1.formulas import symbol
from keras_tricks.tf1.formulas import total
from keras_tricks.tf1.source import Source

# BERT's arguments in their order, with the defaults where they have one.
ADAM_DEFAULTS: dict[str, object] = {
    "weight_decay_rate": 0.0,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-6,
    "exclude_from_weight_decay": None,
}
ADAM_ARGUMENTS = ("learning_rate", *ADAM_DEFAULTS, "name")


def methods(definition: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    """Returns the methods that a class itself defines."""
    return {n.name: n for n in definition.body if isinstance(n, ast.FunctionDef)}


def is_transformer_schedule(source: Source, definition: ast.ClassDef) -> bool:
    """Returns whether a schedule class is the Transformer tutorial's.

    Its `__call__` must have the formula
    `rsqrt(d_model) * min(rsqrt(step), step * warmup_steps**-1.5)`, its constructor the
    arguments `d_model` and `warmup_steps=4000`, and nothing else may be in it.
    """
    found = methods(definition)
    rest = [s for s in definition.body if s not in found.values()]
    if not all(_is_documentation(statement) for statement in rest):
        return False
    if (
        not {"__init__", "__call__"}
        <= set(found)
        <= {
            "__init__",
            "__call__",
            "get_config",
        }
    ):
        return False
    init, call = found["__init__"], found["__call__"]
    if any(method.decorator_list for method in found.values()):
        return False
    names, defaults = _signature(init)
    if names[1:] != ["d_model", "warmup_steps"] or len(_signature(call)[0]) != 2:
        return False
    if defaults not in ({}, {"warmup_steps": 4000}):
        return False
    width, warmup, step = symbol("d_model"), symbol("warmup_steps"), symbol("step")
    try:
        environment = {"d_model": width, "warmup_steps": warmup}
        formulas.follow(source, init.body, environment)
        own = {k: v for k, v in environment.items() if k.startswith("self.")}
        own[_signature(call)[0][1]] = step
        rate = formulas.follow(source, call.body, own)
    except UnknownFormError:
        return False
    climb = product(step, power(warmup, -1.5))
    return rate == product(power(width, -0.5), formulas.least(power(step, -0.5), climb))


def is_bert_optimizer(source: Source, definition: ast.ClassDef) -> bool:
    """Returns whether an optimizer class is BERT's `AdamWeightDecayOptimizer`.

    The constructor must have BERT's arguments and defaults, and the loop of
    `apply_gradients` must assign BERT's formulas to `m`, `v` and the weight.
    """
    found = methods(definition)
    required = {"__init__", "apply_gradients", "_do_use_weight_decay"}
    if not required <= set(found):
        return False
    names, defaults = _signature(found["__init__"])
    defaults.pop("name", None)
    if tuple(names[1:]) != ADAM_ARGUMENTS or defaults != ADAM_DEFAULTS:
        return False
    excludes = ast.unparse(found["_do_use_weight_decay"])
    if "re.search(" not in excludes or "exclude_from_weight_decay" not in excludes:
        return False
    loop = _only_loop(found["apply_gradients"])
    if loop is None:
        return False
    try:
        own = {name: symbol(name) for name in ADAM_ARGUMENTS}
        formulas.follow(source, found["__init__"].body, own)
        own = {k: v for k, v in own.items() if k.startswith("self.")}
        return all(
            _updates(source, loop, dict(own), decays) == _bert_updates(decays)
            for decays in (True, False)
        )
    except UnknownFormError:
        return False


def imported_class(source: Source, path: str) -> bool | None:
    """Returns whether BERT's class stands in the module that an import names.

    Args:
        source: The file with the import.
        path: What the import binds, such as
            `"optimization.AdamWeightDecayOptimizer"`.

    Returns:
        `None` if there is no such module beside the file.
    """
    module, _, name = path.rpartition(".")
    file = Path(source.path).parent / f"{module.lstrip('.').replace('.', '/')}.py"
    try:
        other = Source.read(file)
    except (OSError, SyntaxError, ValueError):
        return None
    for node in other.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return is_bert_optimizer(other, node)
    return None


def _is_documentation(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _signature(function: ast.FunctionDef) -> tuple[list[str], dict[str, object]]:
    """Returns the names of the arguments, and the values of the literal defaults."""
    arguments = function.args
    names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        return ["*"], {}
    first = len(names) - len(arguments.defaults)
    return names, {
        name: getattr(default, "value", ast.dump(default))
        for name, default in zip(names[first:], arguments.defaults, strict=True)
    }


def _only_loop(method: ast.FunctionDef) -> ast.For | None:
    """Returns the loop over the argument, if the method does nothing else."""
    loops = []
    for statement in method.body:
        match statement:
            case ast.For(iter=ast.Name(id=name)) if name in _signature(method)[0]:
                loops.append(statement)
            case ast.Assign(value=ast.List(elts=[])) | ast.Return():
                continue
            case _:
                if not _is_documentation(statement):
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
