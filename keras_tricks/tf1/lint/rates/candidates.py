"""Candidates: the schedules that the numbers of a rate could make, and their texts."""

import ast
import dataclasses
import math
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_tricks.tf1.lint.rates import schedule_formulas
from keras_tricks.tf1.lint.rates.interpreter import Interpreter
from keras_tricks.tf1.lint.rates.tf1_functions import DECAYS
from keras_tricks.tf1.lint.rates.values import Decay
from keras_tricks.tf1.lint.rates.values import Items
from keras_tricks.tf1.lint.rates.values import Value
from keras_tricks.tf1.lint.reading.flow import Definition

OURS, KERAS = "keras_tricks.schedules", "keras.optimizers.schedules"
_JOINS = ("overlap", "shift", "lower", "multiply")
_MAX_CANDIDATES = 6

Names = frozenset[tuple[str, Definition | None]]
Argument = Value | Items


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A schedule object that might be advised.

    Attributes:
        module: Where its class comes from.
        name: Its class.
        arguments: Names, blank for those by position, and what they are: numbers, a
            schedule, or a text.
        rate: From its arguments at one sample to its formula.
    """

    module: str
    name: str
    arguments: tuple[tuple[str, Any], ...]
    rate: Callable[[Mapping[str, Any], int], schedule_formulas.Rate]

    def text(self, with_module: bool = True) -> str:
        """Returns the call that makes it."""
        parts = []
        for name, value in self.arguments:
            if isinstance(value, Schedule):
                written = value.text(with_module)
            else:
                written = repr(value) if isinstance(value, str) else value.text
                written = written.replace("'", '"') if name == "join" else written
            parts.append(f"{name}={written}" if name.strip() else written)
        prefix = f"{self.module}." if with_module else ""
        if not with_module and self.module == KERAS:
            prefix = f"{KERAS}."
        return f"{prefix}{self.name}({', '.join(parts)})"

    def names(self) -> Names:
        """Returns the names in the call and what they have their values from."""
        found: set[tuple[str, Definition | None]] = set()
        for _, value in self.arguments:
            if isinstance(value, Schedule):
                found |= value.names()
            elif not isinstance(value, str):
                found |= value.names
        return frozenset(found)

    def modules(self) -> set[tuple[str, str]]:
        """Returns the module and the name of each class in the call."""
        found = {(self.module, self.name)}
        for _, value in self.arguments:
            if isinstance(value, Schedule):
                found |= value.modules()
        return found


def fault_of(schedule: Schedule) -> str:
    """Returns why the call that makes a schedule cannot be written, or ""."""
    names = [name for name, _ in schedule.names()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f"`{twice[0]}` has two values in {schedule.text(with_module=False)}"
    for name, value in schedule.arguments:
        if isinstance(value, Schedule):
            if inner := fault_of(value):
                return inner
        elif schedule.module == OURS and isinstance(value, Value) and not value.names:
            number = value.lanes[0]
            is_steps = len(name) in (1, 2) and not name.strip()
            if is_steps and number % 1:
                return f"{schedule.name} takes whole numbers of steps, not {value.text}"
            if name == "power" and number <= 0:
                return f"{schedule.name} takes a positive power, not {value.text}"
    return ""


def candidates(computed: Interpreter) -> Iterator[Schedule]:
    """Yields the schedules that the numbers of a chain could make."""
    lengths = list(computed.lengths.values())[:_MAX_CANDIDATES]
    decays = list(computed.decays.values())
    arguments = [a for decay in decays for a in decay.arguments.values()]
    if len(decays) > 1 or any(argument.expression is None for argument in arguments):
        return
    if not decays:
        numbers = [n for n in computed.numbers.values() if _is_rate(n)]
        for number in numbers[:_MAX_CANDIDATES]:
            for length in lengths:
                for join in ("shift", "multiply"):
                    yield from _warmups(number, length, join, numbers)
        for length in lengths:
            for schedule in _inverse_square_roots(numbers[:_MAX_CANDIDATES], length):
                yield schedule
                yield _shifted(schedule, len(length.lanes))
        return
    [decay] = decays
    if decay.name == "polynomial_decay":
        yield _polynomial(decay, decay.arguments["decay_steps"], None, "overlap")
        for length in lengths:
            whole = decay.arguments["decay_steps"]
            for decay_steps in (whole, _sum(whole, length)):
                for join in _JOINS:
                    yield _polynomial(decay, decay_steps, length, join)
    inner = _of_keras(decay)
    if inner is None:
        return
    if decay.name != "polynomial_decay":
        yield inner
    numbers = [n for n in computed.numbers.values() if _is_rate(n)]
    for length in lengths:
        for join in _JOINS:
            yield from _warmups(inner, length, join, numbers)


def _is_rate(number: Value) -> bool:
    return not isinstance(number.lanes[0], bool) and number.lanes[0] > 0


def _sum(left: Argument, right: Value) -> Argument:
    """Returns the sum of two numbers; that of `a - b` and `b` is `a`."""
    if not isinstance(left, Value):
        return left
    lanes = tuple(a + b for a, b in zip(left.lanes, right.lanes, strict=True))
    names = left.names | right.names
    match left.expression, right.expression:
        case ast.BinOp(left=whole, op=ast.Sub(), right=part), _ if (
            ast.unparse(part) == right.text
        ):
            return Value(lanes, whole, names)
        case (
            ast.Constant(value=int() | float() as a),
            ast.Constant(value=int() | float() as b),
        ):
            return Value(lanes, ast.Constant(a + b), names)
    assert left.expression is not None
    assert right.expression is not None
    return Value(lanes, ast.BinOp(left.expression, ast.Add(), right.expression), names)


def _at(argument: Any, lane: int) -> Any:
    """Returns an argument of a schedule at a lane: a number, numbers, a formula."""
    if isinstance(argument, Schedule):
        return argument.rate(dict(argument.arguments), lane)
    if isinstance(argument, Items):
        return [value.lanes[lane] for value in argument.values]
    if isinstance(argument, Value):
        return argument.lanes[lane]
    return argument


def _polynomial(
    decay: Decay, decay_steps: Argument, length: Value | None, join: str
) -> Schedule:
    given = decay.arguments
    arguments: list[tuple[str, Any]] = [
        ("", given["learning_rate"]),
        (" ", decay_steps),
    ]
    if length is not None:
        arguments.append(("  ", length))
    for name, default in (("end_learning_rate", 0), ("power", 1), ("cycle", False)):
        value = given[name]
        if not (
            isinstance(value.expression, ast.Constant)
            and value.expression.value == default
        ):
            arguments.append((name, value))
    if length is not None and join != "overlap":
        arguments.append(("join", join))
    order = ("initial_learning_rate", "decay_steps", "warmup_steps")

    def rate(values: Mapping[str, Any], lane: int) -> schedule_formulas.Rate:
        named = {
            order[len(name)] if not name.strip() else name: _at(value, lane)
            for name, value in values.items()
        }
        return schedule_formulas.warmup_polynomial_decay(**named)

    return Schedule(OURS, "WarmupPolynomialDecay", tuple(arguments), rate)


def _warmups(
    inner: Schedule | Value, length: Value, join: str, numbers: Sequence[Value]
) -> Iterator[Schedule]:
    """Yields warmups from 0, and from each number that might be their start."""
    starts: list[Value | None] = [None]
    if join != "multiply":
        starts += [n for n in numbers[:_MAX_CANDIDATES] if n is not inner]

    def rate(values: Mapping[str, Any], lane: int) -> schedule_formulas.Rate:
        first = _at(values[""], lane)
        decay = first if callable(first) else schedule_formulas.constant(first)
        start = _at(values["start"], lane) if "start" in values else 0.0
        return schedule_formulas.warmup(
            decay, _at(values[" "], lane), start=start, join=join
        )

    for start in starts:
        arguments: list[tuple[str, Any]] = [("", inner), (" ", length)]
        if start is not None:
            arguments.append(("start", start))
        if join != "shift":
            arguments.append(("join", join))
        yield Schedule(OURS, "Warmup", tuple(arguments), rate)


def _inverse_square_roots(
    numbers: Sequence[Value], length: Value
) -> Iterator[Schedule]:
    """Yields schedules that fall with the root of the step, by a peak or by a width."""
    for number in numbers:
        arguments: tuple[tuple[str, Any], ...] = (("", number), (" ", length))
        yield Schedule(
            OURS,
            "InverseSquareRoot",
            arguments,
            lambda values, lane: schedule_formulas.inverse_square_root(
                *(_at(value, lane) for value in values.values())
            ),
        )
        for scale in (None, *numbers):
            if scale is number:
                continue
            scaled = () if scale is None else (("scale", scale),)
            yield Schedule(
                OURS,
                "NoamSchedule",
                (*arguments, *scaled),
                lambda values, lane: schedule_formulas.noam(
                    *(_at(value, lane) for value in values.values())
                ),
            )


def _shifted(schedule: Schedule, lanes: int) -> Schedule:
    """Returns a schedule that counts the first update as step 1."""
    one = Value((1,) * lanes, ast.Constant(1))

    def rate(values: Mapping[str, Any], lane: int) -> schedule_formulas.Rate:
        return schedule_formulas.shifted(_at(values[""], lane), 1)

    return Schedule(OURS, "Shifted", (("", schedule), (" ", one)), rate)


_KERAS_CLASSES: dict[str, tuple[str, tuple[str, ...], Callable[..., Any]]] = {
    "exponential_decay": (
        "ExponentialDecay",
        ("learning_rate", "decay_steps", "decay_rate", "staircase"),
        schedule_formulas.exponential_decay,
    ),
    "natural_exp_decay": (
        "ExponentialDecay",
        ("learning_rate", "decay_steps", "decay_rate", "staircase"),
        schedule_formulas.exponential_decay,
    ),
    "inverse_time_decay": (
        "InverseTimeDecay",
        ("learning_rate", "decay_steps", "decay_rate", "staircase"),
        schedule_formulas.inverse_time_decay,
    ),
    "cosine_decay": (
        "CosineDecay",
        ("learning_rate", "decay_steps", "alpha"),
        schedule_formulas.cosine_decay,
    ),
    "cosine_decay_restarts": (
        "CosineDecayRestarts",
        ("learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha"),
        schedule_formulas.cosine_decay_restarts,
    ),
    "piecewise_constant": (
        "PiecewiseConstantDecay",
        ("boundaries", "values"),
        schedule_formulas.piecewise_constant,
    ),
}
_KERAS_CLASSES["piecewise_constant_decay"] = _KERAS_CLASSES["piecewise_constant"]
_POSITIONAL = ("learning_rate", "decay_steps", "first_decay_steps", "decay_rate")


def _of_keras(decay: Decay) -> Schedule | None:
    """Returns the schedule that has a decay's own formula."""
    if decay.name == "polynomial_decay":
        return _polynomial(decay, decay.arguments["decay_steps"], None, "overlap")
    if decay.name not in _KERAS_CLASSES:
        return None
    name, parameters, formula = _KERAS_CLASSES[decay.name]
    given = dict(decay.arguments)
    if decay.name == "natural_exp_decay":
        given["decay_rate"] = _exponential(given["decay_rate"])
    arguments: list[tuple[str, Any]] = []
    keys: list[str] = []
    for parameter in parameters:
        value = given[parameter]
        default = DECAYS[decay.name][0].get(parameter)
        is_default = (
            isinstance(value, Value)
            and isinstance(value.expression, ast.Constant)
            and value.expression.value == default
        )
        if is_default:
            continue
        by_position = parameter in _POSITIONAL or isinstance(value, Items)
        arguments.append((" " * len(keys) if by_position else parameter, value))
        keys.append(parameter)

    def rate(values: Mapping[str, Any], lane: int) -> schedule_formulas.Rate:
        pairs = zip(keys, values.values(), strict=True)
        return formula(**{key: _at(value, lane) for key, value in pairs})

    return Schedule(KERAS, name, tuple(arguments), rate)


def _exponential(rate: Value) -> Value:
    """Returns `exp(-rate)`."""
    lanes = tuple(math.exp(-lane) for lane in rate.lanes)
    assert rate.expression is not None
    negative = ast.UnaryOp(ast.USub(), rate.expression)
    function = ast.Attribute(ast.Name("math", ast.Load()), "exp", ast.Load())
    return Value(lanes, ast.Call(function, [negative], []), rate.names)
