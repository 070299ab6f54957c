"""TF1's functions of numbers: arithmetic, conversions and decays, with formulas."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from keras_tricks.tf1.lint.rates import schedule_formulas

CONVERSIONS = {
    "cast",
    "constant",
    "convert_to_tensor",
    "identity",
    "stop_gradient",
    "to_double",
    "to_float",
    "to_int32",
    "to_int64",
    "float32",
    "float64",
    "int32",
    "int64",
}


# Number of bits of the largest float; beyond it integers take ever more time.
MAX_BITS = 1024


def _power(base: float, exponent: float) -> float:
    """Returns a power as TensorFlow does: of 0 it may be infinite.

    Raises:
        OverflowError: If it is an integer beyond all floats, as those are.
    """
    if isinstance(base, int) and isinstance(exponent, int):
        if base.bit_length() * exponent > MAX_BITS:
            raise OverflowError
    return math.inf if base == 0 and exponent < 0 else base**exponent


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "add": operator.add,
    "ceil": math.ceil,
    "cos": math.cos,
    "div": operator.truediv,
    "divide": operator.truediv,
    "equal": operator.eq,
    "exp": math.exp,
    "floor": math.floor,
    "floor_div": operator.floordiv,
    "floordiv": operator.floordiv,
    "floormod": operator.mod,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "less": operator.lt,
    "less_equal": operator.le,
    "log": math.log,
    "logical_and": lambda a, b: bool(a and b),
    "logical_not": operator.not_,
    "logical_or": lambda a, b: bool(a or b),
    "maximum": max,
    "minimum": min,
    "mod": operator.mod,
    "multiply": operator.mul,
    "negative": operator.neg,
    "pow": _power,
    "reciprocal": lambda a: 1 / a,
    "rsqrt": lambda a: _power(a, -0.5),
    "scalar_mul": operator.mul,
    "sqrt": math.sqrt,
    "square": lambda a: a * a,
    "subtract": operator.sub,
    "truediv": operator.truediv,
}
BUILTINS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "float": float,
    "int": int,
    "max": max,
    "min": min,
    "pow": _power,
    "round": round,
}
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
REQUIRED = object()


def _decay(formula: Callable[..., Any], *required: str, **optional: Any) -> Any:
    parameters = dict.fromkeys(required, REQUIRED) | optional | {"name": None}
    return parameters, formula


_BY_RATE = ("learning_rate", "global_step", "decay_steps", "decay_rate")
# TF1's decays: their arguments in order, the step among them, and their formulas.
DECAYS: dict[str, tuple[dict[str, Any], Callable[..., Any]]] = {
    "cosine_decay": _decay(schedule_formulas.cosine_decay, *_BY_RATE[:3], alpha=0.0),
    "cosine_decay_restarts": _decay(
        schedule_formulas.cosine_decay_restarts,
        *_BY_RATE[:2],
        "first_decay_steps",
        t_mul=2.0,
        m_mul=1.0,
        alpha=0.0,
    ),
    "exponential_decay": _decay(
        schedule_formulas.exponential_decay, *_BY_RATE, staircase=False
    ),
    "inverse_time_decay": _decay(
        schedule_formulas.inverse_time_decay, *_BY_RATE, staircase=False
    ),
    "natural_exp_decay": _decay(
        schedule_formulas.natural_exp_decay, *_BY_RATE, staircase=False
    ),
    "piecewise_constant": _decay(
        schedule_formulas.piecewise_constant, "x", "boundaries", "values"
    ),
    "polynomial_decay": _decay(
        schedule_formulas.polynomial_decay,
        *_BY_RATE[:3],
        end_learning_rate=0.0001,
        power=1.0,
        cycle=False,
    ),
}
DECAYS["piecewise_constant_decay"] = DECAYS["piecewise_constant"]
STEP_ARGUMENTS = ("global_step", "x")
