"""Advice on schedules: the one that has the rates of TF1 code, found by comparing them.

Advice is given only where the rates of the code and of the schedule are equal at all
steps that tell them apart: at the beginning and around the ends of warmup and decay.
"""

import ast
import dataclasses
import math
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_tricks.tf1.lint.rates import rate_chain
from keras_tricks.tf1.lint.rates import step_origin
from keras_tricks.tf1.lint.rates.candidates import Schedule
from keras_tricks.tf1.lint.rates.candidates import candidates
from keras_tricks.tf1.lint.rates.candidates import fault_of
from keras_tricks.tf1.lint.rates.interpreter import Interpreter
from keras_tricks.tf1.lint.rates.interpreter import UnknownValueError
from keras_tricks.tf1.lint.rates.interpreter import is_of_presence
from keras_tricks.tf1.lint.rates.rate_chain import Link
from keras_tricks.tf1.lint.rates.samples import SAMPLES
from keras_tricks.tf1.lint.rates.tf1_functions import DECAYS
from keras_tricks.tf1.lint.rates.values import Decay
from keras_tricks.tf1.lint.rates.values import Items
from keras_tricks.tf1.lint.rates.values import Value
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.flow import Flows
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import shortened

_TOLERANCE = 1e-9
_FIRST_STEPS = (range(4),) * SAMPLES
_MAX_STEPS = 60
_MAX_FOLLOWED = 8


@dataclasses.dataclass(frozen=True)
class Advice:
    """What the rates of a chain are.

    Attributes:
        schedule: The schedule with these rates, if one has them.
        chain: The statements that compute the rate.
        steps: The number of steps at which both were compared.
        conditions: Values of parameters without which it does not hold.
        reason: Why there is no schedule.
        decays: The decays in the chain.
        taken: The branches of `if` that the chain goes through.
        assumed: The other tests that were taken to be true or false.
        defaults: The parameters with defaults that it depends on.
        used: The definitions that it comes from.
        step: What in the code is the step.
        rate: The rates of the code.
    """

    schedule: Schedule | None
    chain: tuple[Link, ...] = ()
    steps: int = 0
    conditions: tuple[tuple[str, Any], ...] = ()
    reason: str = ""
    decays: tuple[Decay, ...] = ()
    taken: Mapping[ast.AST, bool] = dataclasses.field(default_factory=dict)
    assumed: tuple[tuple[ast.AST, bool], ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    used: tuple[Definition, ...] = ()
    step: tuple[ast.expr, ...] = ()
    rate: Value | None = None

    @property
    def check(self) -> str:
        """How it was checked, as it is printed."""
        if self.schedule is None:
            return ""
        where = [f"{name}={value!r}" for name, value in self.conditions]
        for node, is_true in self.assumed:
            test = (
                ast.unparse(node.test) if isinstance(node, ast.If | ast.IfExp) else ""
            )
            where.append(f"`{test}`" if is_true else f"not `{test}`")
        condition = f" for {' and '.join(where)}" if where else ""
        return f"equal at {self.steps} steps{condition}"


class Advisor:
    """Advice on the rates of a file, each chain computed once.

    Args:
        source: The file.
        flows: Its definitions.
    """

    def __init__(self, source: Source, flows: Flows):
        self._source = source
        self._flows = flows
        self._by_start: dict[ast.AST, Advice] = {}
        # The advice on the chains that an expression is in.
        self._by_part: dict[ast.AST, list[Advice]] = {}
        self._has_decays = False

    def of(self, node: ast.expr) -> Advice:
        """Returns the advice on the rate that is computed from a decay or a warmup."""
        return self.all_of(node)[0]

    def all_of(self, node: ast.expr) -> list[Advice]:
        """Returns the advice on a rate, for each branch that its decay stands in."""
        if not self._has_decays:
            self._has_decays = True
            for call in ast.walk(self._source.tree):
                if isinstance(call, ast.Call) and self._is_decay(call):
                    self._by_start[call] = self._computed(call)
        if node in self._by_start:
            return [self._by_start[node]]
        inner: ast.AST = node
        while isinstance(inner, ast.expr):
            if inner in self._by_part:
                return self._by_part[inner]
            inner = self._source.parents[inner]
        self._by_start[node] = self._computed(node)
        return [self._by_start[node]]

    def _is_decay(self, call: ast.Call) -> bool:
        path = self._source.path_of(call.func) or ""
        name = path.rpartition(".")[2]
        is_tf1 = path.startswith("tensorflow.") and ".keras" not in path
        return is_tf1 and name in DECAYS

    def _computed(self, start: ast.expr) -> Advice:
        chain = rate_chain.links(self._source, self._flows, start)
        taken = branches_around(self._source, start)
        for link in chain:
            taken |= {
                k: v
                for k, v in branches_around(self._source, link.node).items()
                if k not in taken
            }
        reason = rate_chain.changed_elsewhere(self._source, self._flows, chain)
        if reason:
            return Advice(None, tuple(chain), reason=reason, taken=taken)
        # Where the whole is unknown, what is before the end may be known.
        shorter = {len(chain) - 1, 1} - {0} if len(chain) <= _MAX_FOLLOWED else set()
        for length in sorted({len(chain), *shorter}, reverse=True):
            advice = self._try(chain[:length], taken)
            if advice.schedule is not None and self._is_passed_over(start, advice):
                advice = dataclasses.replace(
                    advice, schedule=None, reason="a test chooses it or another rate"
                )
            if advice.schedule is not None and length == len(chain):
                for link in chain:
                    self._by_part.setdefault(link.node, []).append(advice)
                return advice
            if not reason:
                reason = advice.reason
                failed = advice
            if advice.schedule is not None:
                later = ast.unparse(chain[length].statement)
                return dataclasses.replace(
                    failed,
                    reason=f"{reason}; before `{shortened(later)}` the rate is that of "
                    f"{advice.schedule.text()}",
                )
        return dataclasses.replace(failed, reason=reason)

    def _is_passed_over(self, start: ast.expr, advice: Advice) -> bool:
        """Returns whether a decay is in the branch that its advice is not about."""
        is_decay = isinstance(start, ast.Call) and self._is_decay(start)
        return is_decay and start not in [decay.node for decay in advice.decays]

    def of_value(self, node: ast.expr) -> Advice:
        """Returns the advice on what an expression is as a rate."""
        statement = self._source.enclosing(node, ast.stmt)
        assert isinstance(statement, ast.stmt)
        taken = branches_around(self._source, node)
        return self._try([Link(node, statement, None)], taken)

    def _try(self, chain: Sequence[Link], taken: Mapping[ast.AST, bool]) -> Advice:
        advice = self._compared(chain, taken, ())
        if advice.schedule is not None or not advice.defaults:
            return advice
        kept = dict(advice.defaults)
        by_default = self._compared(chain, taken, kept)
        if by_default.schedule is None:
            return advice
        # As few conditions as will do.
        for name in list(kept):
            fewer = {k: v for k, v in kept.items() if k != name}
            without = self._compared(chain, taken, fewer)
            if without.schedule is not None:
                kept, by_default = fewer, without
        return dataclasses.replace(by_default, conditions=tuple(kept.items()))

    def _compared(
        self,
        chain: Sequence[Link],
        taken: Mapping[ast.AST, bool],
        defaults: Collection[str],
    ) -> Advice:
        failed = Advice(None, tuple(chain), taken=taken)
        try:
            first = self._interpret(chain[-1], _FIRST_STEPS, taken, defaults)[1]
            counts = first.counts()
            if any(text in first.quantities for text in counts):
                # Their values were those of other quantities so far.
                last = chain[-1]
                first = self._interpret(last, _FIRST_STEPS, taken, defaults, counts)[1]
            steps = _telling_steps(first)
            rate, computed = self._interpret(chain[-1], steps, taken, defaults, counts)
        except UnknownValueError as error:
            reason = f"`{shortened(str(error))}` is more than arithmetic"
            return dataclasses.replace(failed, reason=reason)
        failed = dataclasses.replace(
            failed,
            decays=tuple(computed.decays.values()),
            defaults=tuple(computed.defaults.items()),
            assumed=(
                *computed.assumed.items(),
                *_other_branches(self._source, chain[0].node, taken),
            ),
            used=tuple(computed.used),
            step=tuple(computed.step_expressions),
            rate=rate,
        )
        if rate.expression is not None:
            return dataclasses.replace(failed, reason="it depends on no step")
        steps_of_it = step_origin.origins(self._source, self._flows, failed.step)
        if len(steps_of_it) > 1:
            named = " and ".join(f"`{text}`" for text in steps_of_it)
            return dataclasses.replace(failed, reason=f"{named} may be two steps")
        for schedule in candidates(computed) if _has_sound_samples(computed) else ():
            if _is_equal(schedule, rate, steps):
                if fault := fault_of(schedule):
                    return dataclasses.replace(failed, reason=fault)
                return dataclasses.replace(
                    failed, schedule=schedule, steps=len(steps[0])
                )
        return dataclasses.replace(
            failed, reason="no schedule of Keras's or of this package has its rates"
        )

    def _interpret(
        self,
        link: Link,
        steps: Sequence[Sequence[int]],
        taken: Mapping[ast.AST, bool],
        defaults: Collection[str],
        counts: Mapping[str, bool] | None = None,
    ) -> tuple[Value, Interpreter]:
        computed = Interpreter(
            self._source,
            self._flows,
            steps,
            taken=taken,
            defaults=defaults,
            counts=counts,
        )
        if link.definition is not None:
            return computed.defined(link.definition), computed
        return computed.number(link.node), computed


def branches_around(source: Source, node: ast.AST) -> dict[ast.AST, bool]:
    """Returns the branches of `if` in which a node stands."""
    taken: dict[ast.AST, bool] = {}
    inner = node
    while (parent := source.parents.get(inner)) is not None:
        if isinstance(parent, ast.If):
            taken[parent] = inner in parent.body
        elif isinstance(parent, ast.FunctionDef):
            break
        inner = parent
    return taken


def _other_branches(
    source: Source, start: ast.AST, taken: Mapping[ast.AST, bool]
) -> list[tuple[ast.AST, bool]]:
    """Returns the branches of a chain that its start does not stand in."""
    around = branches_around(source, start)
    return [
        (node, is_body)
        for node, is_body in taken.items()
        if node not in around and not is_of_presence(node)
    ]


def _telling_steps(computed: Interpreter) -> list[list[int]]:
    """Returns, for each sample, steps at which different schedules differ."""
    chosen = []
    for sample in range(SAMPLES):
        ends: set[float] = set()
        lengths = [*computed.lengths.values()]
        for decay in computed.decays.values():
            for name, argument in decay.arguments.items():
                if name.endswith("steps") and isinstance(argument, Value):
                    lengths.append(argument)
                elif name == "boundaries" and isinstance(argument, Items):
                    lengths += argument.values
        for length in lengths:
            number = length.lanes[sample * 4]
            if isinstance(number, int | float) and 0 < number < 1e12:
                ends.add(number)
        ends |= {a + b for a in ends for b in ends} if len(ends) <= 3 else set()
        steps = {0, 1, 2}
        edges = sorted({math.ceil(end) for end in ends})
        for low, high in zip(
            [0, *edges], [*edges, 2 * (edges or [50])[-1]], strict=True
        ):
            steps |= {high - 1, high, high + 1, low + (high - low) // 3}
            steps |= {low + (high - low) * 2 // 3}
        ordered = sorted(step for step in steps if step >= 0)
        every = max(1, math.ceil(len(ordered) / _MAX_STEPS))
        told = {edge + offset for edge in edges for offset in (-1, 0, 1)}
        kept = {step for step in ordered if step in told} if len(edges) < 99 else set()
        chosen.append(sorted({*ordered[::every], *kept}))
    width = max(map(len, chosen))
    for steps_of_one in chosen:
        while len(steps_of_one) < width:
            steps_of_one.append(steps_of_one[-1] + 1)
    return chosen


def _has_sound_samples(computed: Interpreter) -> bool:
    """Returns whether each decay takes at least one step with the sample values."""
    return all(
        lane >= 1
        for decay in computed.decays.values()
        for name, argument in decay.arguments.items()
        if name.endswith("steps") and isinstance(argument, Value)
        for lane in argument.lanes
    )


def _is_equal(schedule: Schedule, rate: Value, steps: Sequence[Sequence[int]]) -> bool:
    width = len(steps[0])
    for sample, one in enumerate(steps):
        lanes = rate.lanes[sample * width : (sample + 1) * width]
        if any(isinstance(lane, float) and not math.isfinite(lane) for lane in lanes):
            return False
        try:
            formula = schedule.rate(dict(schedule.arguments), sample * width)
            bound = _TOLERANCE * max(abs(lane) for lane in lanes)
            for left, step in zip(lanes, one, strict=True):
                right = formula(step)
                if isinstance(right, complex) or not abs(left - right) <= bound:
                    return False
        except (ArithmeticError, ValueError, TypeError, IndexError):
            return False
    return True
