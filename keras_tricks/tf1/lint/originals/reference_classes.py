"""The Transformer tutorial's schedule class, known by its formula."""

import ast
import math

from keras_tricks.tf1.lint.originals import formulas
from keras_tricks.tf1.lint.originals.formulas import UnknownFormError
from keras_tricks.tf1.lint.originals.formulas import symbol
from keras_tricks.tf1.lint.rates import schedule_formulas
from keras_tricks.tf1.lint.reading.source import Source

# The steps, and the values of d_model and warmup_steps, that formulas are compared at.
COMPARED_STEPS = (1, 2, 5, 19, 20, 21, 60, 99, 100, 101, 300, 999, 1000, 1001, 9999)
_SAMPLES = ((128, 100), (512, 1000), (61, 20))


def methods(definition: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    """Returns the methods that a class itself defines."""
    return {n.name: n for n in definition.body if isinstance(n, ast.FunctionDef)}


def is_transformer_schedule(source: Source, definition: ast.ClassDef) -> bool:
    """Returns whether a schedule class is the Transformer tutorial's.

    Its `__call__` must have the formula
    `rsqrt(d_model) * min(rsqrt(step), step * warmup_steps**-1.5)`, its constructor the
    arguments `d_model` and `warmup_steps=4000`, and nothing else may be in it. The
    formula is compared at `COMPARED_STEPS`.
    """
    found = methods(definition)
    rest = [s for s in definition.body if s not in found.values()]
    if not all(is_documentation(statement) for statement in rest):
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
    names, defaults = signature(init)
    if names[1:] != ["d_model", "warmup_steps"] or len(signature(call)[0]) != 2:
        return False
    if defaults not in ({}, {"warmup_steps": 4000}):
        return False
    names_of_init = ("d_model", "warmup_steps")
    environment = {name: symbol(name) for name in names_of_init}
    try:
        formulas.follow(source, init.body, environment)
        own = {k: v for k, v in environment.items() if k.startswith("self.")}
        own[signature(call)[0][1]] = symbol("step")
        rate = formulas.follow(source, call.body, own)
        return rate is not None and all(_is_noam(rate, *pair) for pair in _SAMPLES)
    except (UnknownFormError, ArithmeticError):
        return False


def _is_noam(rate: formulas.Form, d_model: int, warmup_steps: int) -> bool:
    """Returns whether a formula has the rates of the paper at the steps compared."""
    right = schedule_formulas.noam(d_model, warmup_steps)
    values = {"d_model": d_model, "warmup_steps": warmup_steps}
    return all(
        math.isclose(
            formulas.evaluate(rate, {**values, "step": step}), right(step), rel_tol=1e-9
        )
        for step in COMPARED_STEPS
    )


def is_documentation(statement: ast.stmt) -> bool:
    """Returns whether a statement does nothing."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def signature(function: ast.FunctionDef) -> tuple[list[str], dict[str, object]]:
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
