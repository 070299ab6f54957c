"""An interpreter of TF1 arithmetic: what a learning rate is at some steps.

An expression is followed back through the assignments that it comes from, and computed
at several steps at once, in double precision. Quantities that the file does not know,
such as flags and parameters, have sample values; what is computed from them keeps its
expression, so that advice can name it.
"""

import ast
import dataclasses
import math
import re
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_tricks.tf1.lint.rates.samples import DEFAULT_SAMPLE
from keras_tricks.tf1.lint.rates.samples import SAMPLES
from keras_tricks.tf1.lint.rates.samples import is_flag
from keras_tricks.tf1.lint.rates.samples import is_rate
from keras_tricks.tf1.lint.rates.samples import sample_value
from keras_tricks.tf1.lint.rates.tf1_functions import BUILTINS
from keras_tricks.tf1.lint.rates.tf1_functions import CONVERSIONS
from keras_tricks.tf1.lint.rates.tf1_functions import DECAYS
from keras_tricks.tf1.lint.rates.tf1_functions import FUNCTIONS
from keras_tricks.tf1.lint.rates.tf1_functions import MAX_BITS
from keras_tricks.tf1.lint.rates.tf1_functions import OPERATORS
from keras_tricks.tf1.lint.rates.tf1_functions import REQUIRED
from keras_tricks.tf1.lint.rates.tf1_functions import STEP_ARGUMENTS
from keras_tricks.tf1.lint.rates.values import Decay
from keras_tricks.tf1.lint.rates.values import Items
from keras_tricks.tf1.lint.rates.values import Other
from keras_tricks.tf1.lint.rates.values import Value
from keras_tricks.tf1.lint.reading.flow import Definition
from keras_tricks.tf1.lint.reading.flow import Flows
from keras_tricks.tf1.lint.reading.source import STEP_GETTERS
from keras_tricks.tf1.lint.reading.source import Source
from keras_tricks.tf1.lint.reading.source import last_name

_MAX_DEPTH = 40

# Of a warmup, in the formulas of schedules that fall with the root of the step.
_WARMUP_POWERS = (-1.5, 0.5)
_COMPARISONS = ("less", "less_equal", "greater", "greater_equal")
_STEP_NAME = re.compile(
    r"^(global|current|cur|train|training|curr)?_*(step|iteration|iter)"
    r"(_*(int|float|f|tensor|op|num|var|cast))?$|^global_*steps?(_\w+)?$"
)


def is_of_presence(node: ast.AST) -> bool:
    """Returns whether an `if` only asks whether there is a warmup, or a decay."""
    if not isinstance(node, ast.If):
        return False
    for other in node.orelse:
        match other:
            case ast.Assign(value=ast.Constant(value=0)):
                continue
        return False
    match node.test:
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return True
        case ast.Compare(
            left=ast.Name() | ast.Attribute() | ast.Subscript(),
            ops=[ast.Gt() | ast.NotEq() | ast.IsNot()],
            comparators=[ast.Constant(value=0 | None)],
        ):
            return True
    return False


class UnknownValueError(Exception):
    """An expression that is more than arithmetic; the message is what stands there."""


class Interpreter:
    """Computes expressions of one file at given steps.

    Args:
        source: The file.
        flows: Its definitions.
        steps: The steps, for each of the `SAMPLES` samples of what is not known.
        taken: Branches that are taken: for an `if`, whether its body.
        defaults: The parameters that have their default values and not sample values;
            `None` is all whose default is a number.
        counts: Quantities that are numbers of steps, and whether of a warmup.

    Attributes:
        decays: The calls of decays that were computed.
        lengths: What the step was divided by or compared with.
        numbers: What did not depend on the step.
        defaults: The parameters that have default values, and those.
        quantities: What the file does not know, and which number it is of them.
        assumed: For tests that are not known, or whose branch is more than arithmetic,
            whether they were taken to be true.
        used: The definitions that the numbers come from.
        step_expressions: What in the code is the step.
    """

    def __init__(
        self,
        source: Source,
        flows: Flows,
        steps: Sequence[Sequence[int]],
        *,
        taken: Mapping[ast.AST, bool] | None = None,
        defaults: Collection[str] | None = (),
        counts: Mapping[str, bool] | None = None,
    ):
        self.source = source
        self.flows = flows
        self.steps = steps
        self.decays: dict[ast.Call, Decay] = {}
        self.lengths: dict[str, Value] = {}
        self.numbers: dict[str, Value] = {}
        self.defaults: dict[str, Any] = {}
        self.assumed: dict[ast.AST, bool] = {}
        self.used: dict[Definition, None] = {}
        self.step_expressions: dict[ast.expr, None] = {}
        self._width = len(steps[0])
        self._step = Value(tuple(s for one in steps for s in one), is_step=True)
        self._taken = taken or {}
        self._kept_defaults = defaults
        self._counts = counts or {}
        self.quantities: dict[str, int] = {}
        self._known: dict[ast.AST, Any] = {}
        self._calls: list[dict[Definition | None, Any]] = []
        # The comprehensions around an expression, each variable and what it is.
        self._listing: list[tuple[ast.ListComp, str, Value]] = []
        self._depth = 0
        self._wants_step = False

    def number(self, node: ast.expr) -> Value:
        """Returns the numbers of an expression.

        Raises:
            UnknownValueError: If it is more than arithmetic.
        """
        value = self.value(node)
        if not isinstance(value, Value):
            raise UnknownValueError(ast.unparse(node))
        return value

    def counts(self) -> dict[str, bool]:
        """Returns the quantities that are numbers of steps, and which of a warmup."""
        found: dict[str, bool] = {}
        for decay in self.decays.values():
            for name, argument in decay.arguments.items():
                if name.endswith("steps") and isinstance(argument, Value):
                    found |= dict.fromkeys(self._quantities(argument), False)
                    # What a run is less than the whole by is its warmup.
                    for node in ast.walk(argument.expression or ast.Name("_")):
                        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
                            part = dataclasses.replace(argument, expression=node.right)
                            found |= dict.fromkeys(self._quantities(part), True)
        for length in self.lengths.values():
            for text in self._quantities(length):
                if "total" not in text and "train" not in text:
                    found.setdefault(text, True)
        return found

    def _quantities(self, value: Value) -> list[str]:
        """Returns the quantities in an expression that may stand for counts."""
        if value.expression is None:
            return []
        nodes = [
            node
            for node in ast.walk(value.expression)
            if isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
        ]
        texts = [t for node in nodes if (t := ast.unparse(node)) in self.quantities]
        return [t for t in texts if not is_rate(t.lower())]

    def defined(self, definition: Definition) -> Value:
        """Returns the numbers that an assignment makes of a name.

        Raises:
            UnknownValueError: If they come from more than arithmetic.
        """
        name = ast.Name(definition.name, ast.Load())
        value = self._defined(name, definition)
        if not isinstance(value, Value):
            raise UnknownValueError(definition.name)
        return value

    def value(self, node: ast.expr) -> Any:
        """Returns what an expression is: a `Value`, `Items` or `Other`.

        Raises:
            UnknownValueError: If it is more than arithmetic.
        """
        if not self._calls and node in self._known:
            found = self._known[node]
            if isinstance(found, UnknownValueError):
                raise found
            return found
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._depth -= 1
            raise UnknownValueError(f"{ast.unparse(node)}, which is nested too deeply")
        wants_step = self._wants_step
        # In what is computed from the step, other quantities are not the step.
        self._wants_step = wants_step and self._is_as_it_is(node)
        try:
            found = self._compute(node)
        except UnknownValueError as error:
            if not self._calls:
                self._known[node] = error
            raise
        finally:
            self._depth -= 1
            self._wants_step = wants_step
        if isinstance(found, Value) and found.is_step and not self._calls:
            self.step_expressions[node] = None
        if isinstance(found, Value) and found.expression is not None:
            self.numbers.setdefault(found.text, found)
        if not self._calls:
            self._known[node] = found
        return found

    def _is_as_it_is(self, node: ast.expr) -> bool:
        """Returns whether an expression is a quantity, or a conversion of one."""
        if isinstance(node, ast.Call):
            path = self.source.path_of(node.func) or ""
            return path.rpartition(".")[2] in CONVERSIONS
        return isinstance(node, ast.Name | ast.Attribute | ast.Subscript)

    def _compute(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() as value):
                return Value(self._same(value), node)
            case ast.Constant(value=value):
                return Other(value)
            case ast.Name():
                return self._name(node)
            case ast.Attribute() | ast.Subscript():
                return self._attribute(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                sides = [self.number(left), self.number(right)]
                return self._binary(op, *sides)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
                inner = self.number(operand)
                made = ast.UnaryOp(op, inner.expression or operand)
                return self._elementwise(OPERATORS[type(op)], [inner], made)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._comparison(left, op, right)
            case ast.BoolOp(op=op, values=values):
                return self._connected(op, [self.number(value) for value in values])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self._decides(node, test) else orelse)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return self._items(node, [self.number(part) for part in parts])
            case ast.ListComp(elt=element, generators=[clause]):
                return self._listed(node, element, clause)
            case ast.Lambda():
                return Other(node)
            case ast.Call():
                return self._call(node)
        raise UnknownValueError(ast.unparse(node))

    def _items(self, node: ast.expr, items: Sequence[Value]) -> Items:
        names = frozenset().union(*(item.names for item in items))
        written = [i.expression for i in items if i.expression is not None]
        if len(written) < len(items):
            raise UnknownValueError(ast.unparse(node))
        return Items(tuple(items), ast.List(written, ast.Load()), names)

    def _listed(
        self, node: ast.ListComp, element: ast.expr, clause: ast.comprehension
    ) -> Items:
        """Returns the numbers of `[... for x in numbers]`."""
        numbers = self.value(clause.iter)
        if not isinstance(numbers, Items) or not isinstance(clause.target, ast.Name):
            raise UnknownValueError(ast.unparse(node))
        if clause.ifs or clause.is_async:
            raise UnknownValueError(ast.unparse(node))
        made = []
        for number in numbers.values:
            self._calls.append({})
            self._listing.append((node, clause.target.id, number))
            try:
                made.append(self.number(element))
            finally:
                self._calls.pop()
                self._listing.pop()
        return self._items(node, made)

    def _same(self, value: Any) -> tuple[Any, ...]:
        return (value,) * (self._width * SAMPLES)

    def _name(self, node: ast.Name) -> Any:
        if not self.source.bindings(node):
            return self._leaf(node)
        owner = self.source.owner(node)
        for comprehension, name, number in reversed(self._listing):
            if owner is not None and owner.node is comprehension and name == node.id:
                return number
        definition = self.flows.definition(node)
        for frame in reversed(self._calls):
            if definition in frame:
                return frame[definition]
        path = self.source.path_of(node)
        if path is not None:
            raise UnknownValueError(node.id)
        if definition is None:
            raise UnknownValueError(f"`{node.id}`, which may be one of several things")
        return self._defined(node, definition)

    def _defined(self, node: ast.expr, definition: Definition) -> Any:
        self.used[definition] = None
        if definition.is_parameter:
            return self._leaf(node, definition)
        if isinstance(definition.node, ast.FunctionDef):
            return Other(definition.node)
        if definition.options:
            assert isinstance(definition.node, ast.If)
            return self._either(node, definition, definition.node)
        if definition.operator is not None:
            if definition.previous is None or definition.value is None:
                raise UnknownValueError(definition.name)
            before = self._defined(node, definition.previous)
            after = self.number(definition.value)
            if not isinstance(before, Value):
                raise UnknownValueError(definition.name)
            found = self._binary(definition.operator, before, after)
        elif definition.value is None or definition.element is not None:
            raise UnknownValueError(f"`{definition.name}`")
        else:
            if self._is_step_variable(definition):
                return self._step
            found = self.value(definition.value)
        return self._named(node, definition, found)

    def _either(self, node: ast.expr, definition: Definition, test: ast.If) -> Any:
        """Returns what a name is after an `if`, by the branch that is arithmetic."""
        is_body = self._decides(test, test.test)
        failed: UnknownValueError | None = None
        for taken in (is_body, not is_body):
            option = definition.options[0 if taken else 1]
            try:
                if option is None:
                    raise UnknownValueError(f"`{definition.name}`, which may be unset")
                found = self._defined(node, option)
            except UnknownValueError as error:
                failed = failed or error
                if test in self._taken:
                    break
                continue
            if taken is not is_body:
                self.assumed[test] = taken
            return found
        assert failed is not None
        raise failed

    def _named(self, node: ast.expr, definition: Definition, found: Any) -> Any:
        """Returns a number under its name, unless that is another one's or a tensor."""
        if isinstance(found, Items):
            name = ast.Name(definition.name, ast.Load())
            return Items(found.values, name, frozenset([(definition.name, definition)]))
        if not isinstance(found, Value) or found.expression is None or found.is_tensor:
            return found
        if isinstance(found.expression, ast.Name | ast.Attribute | ast.Subscript):
            return found
        name = ast.Name(definition.name, ast.Load())
        return dataclasses.replace(
            found, expression=name, names=frozenset([(definition.name, definition)])
        )

    def _is_step_variable(self, definition: Definition) -> bool:
        match definition.value:
            case ast.Call(func=function, args=args, keywords=keywords):
                first = args[0] if args else None
                for keyword in keywords:
                    if keyword.arg == "initial_value":
                        first = keyword.value
                path = self.source.path_of(function) or ""
                if path in ("tensorflow.Variable", "tensorflow.placeholder"):
                    is_zero = isinstance(first, ast.Constant) and first.value == 0
                    return is_zero or bool(_STEP_NAME.match(definition.name.lower()))
                if path == "tensorflow.get_variable":
                    return bool(_STEP_NAME.match(definition.name.lower()))
        return False

    def _attribute(self, node: ast.expr) -> Any:
        path = self.source.path_of(node)
        if path in ("math.pi", "numpy.pi"):
            return Value(self._same(math.pi), node)
        if path is not None and path.startswith("tensorflow."):
            if ".flags.FLAGS." in path:
                return self._leaf(node)
            return Other(path)
        return self._leaf(node)

    def _leaf(self, node: ast.expr, definition: Definition | None = None) -> Value:
        """Returns a quantity that the file does not know."""
        text = ast.unparse(node)
        # What is no name is a length, hence a count.
        name = last_name(node).lower() or "num"
        names: frozenset[tuple[str, Definition | None]] = frozenset()
        if isinstance(node, ast.Name):
            names = frozenset([(node.id, definition)])
        else:
            roots = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
            names = frozenset((r.id, self.flows.definition(r)) for r in roots)
            if isinstance(node, ast.Subscript) and not isinstance(
                node.slice, ast.Constant
            ):
                raise UnknownValueError(text)
        if self._wants_step and "epoch" in name:
            raise UnknownValueError(f"`{text}`, which is no step")
        if self._wants_step or _STEP_NAME.match(name):
            return self._step
        if self.flows.changes.is_changed(node):
            raise UnknownValueError(f"`{text}`, which is assigned more than once")
        default = self._default(definition)
        if default is not None:
            self.defaults[text] = default
            kept = self._kept_defaults
        if default is not None and (kept is None or text in kept):
            return Value(self._same(default), node, names)
        number = self.quantities.setdefault(text, len(self.quantities))
        lanes: list[Any] = []
        for sample in range(SAMPLES):
            value = sample_value(name, number, sample, self._counts.get(text))
            if sample == DEFAULT_SAMPLE and default is not None:
                # Of 0 and -1, which say that there is none, no sample is made; but a
                # share or a rate may be 0 as any other number.
                is_usual = default == 0 and is_rate(name) and "power" not in name
                if (default > 0 or is_usual) and not isinstance(default, bool):
                    value = default
            lanes += [value] * self._width
        return Value(tuple(lanes), node, names)

    def _default(self, definition: Definition | None) -> Any:
        if definition is None or not definition.is_parameter:
            return None
        arguments = self.source.parents[definition.node]
        if not isinstance(arguments, ast.arguments):
            return None
        positional = [*arguments.posonlyargs, *arguments.args]
        first = len(positional) - len(arguments.defaults)
        pairs = [
            *zip(positional[first:], arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        for parameter, default in pairs:
            if parameter is definition.node and isinstance(default, ast.Constant):
                if isinstance(default.value, int | float):
                    return default.value
        return None

    def _elementwise(
        self,
        function: Callable[..., Any],
        values: Sequence[Value],
        expression: ast.expr,
    ) -> Value:
        if not values:
            raise UnknownValueError(ast.unparse(expression))
        lanes = []
        for numbers in zip(*(value.lanes for value in values), strict=True):
            try:
                result = function(*numbers)
            except (ArithmeticError, ValueError, TypeError):
                result = math.nan
            if isinstance(result, int) and result.bit_length() > MAX_BITS:
                result = math.nan
            lanes.append(math.nan if isinstance(result, complex) else result)
        if any(value.expression is None for value in values):
            return Value(tuple(lanes))
        names = frozenset().union(*(value.names for value in values))
        is_tensor = any(value.is_tensor for value in values)
        return Value(tuple(lanes), expression, names, is_tensor=is_tensor)

    def _binary(self, op: ast.operator, left: Value, right: Value) -> Value:
        if isinstance(op, ast.Mod) and left.expression is None:
            # Steps beyond those that are compared have rates of their own.
            raise UnknownValueError("a remainder of the step")
        if isinstance(op, ast.Div | ast.FloorDiv) and left.expression is None:
            self._note_length(right)
        if isinstance(op, ast.Pow) and right.lanes[0] in _WARMUP_POWERS:
            self._note_length(left)
        made = ast.BinOp(
            left.expression or ast.Name("_"), op, right.expression or ast.Name("_")
        )
        return self._elementwise(OPERATORS[type(op)], [left, right], made)

    def _note_length(self, value: Value) -> None:
        match value.expression:
            case ast.Call(func=ast.Name(id="float"), args=[number]):
                # Schedules take whole numbers of steps.
                value = dataclasses.replace(value, expression=number)
        if value.expression is not None:
            self.lengths.setdefault(value.text, value)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Value:
        if type(op) not in OPERATORS:
            raise UnknownValueError(ast.unparse(ast.Compare(left, [op], [right])))
        sides = [self.number(left), self.number(right)]
        if isinstance(op, ast.Eq | ast.NotEq):
            self._check_no_step(sides)
        self._note_comparison(sides)
        expressions = [side.expression or ast.Name("_") for side in sides]
        made = ast.Compare(expressions[0], [op], [expressions[1]])
        return self._elementwise(OPERATORS[type(op)], sides, made)

    def _check_no_step(self, sides: Sequence[Value]) -> None:
        """Refuses single steps, which may be beyond those that are compared."""
        if any(side.expression is None for side in sides):
            raise UnknownValueError("a rate at a single step")

    def _note_comparison(self, sides: Sequence[Value]) -> None:
        if sum(side.expression is None for side in sides) == 1:
            for side in sides:
                self._note_length(side)

    def _connected(self, op: ast.boolop, values: Sequence[Value]) -> Value:
        def connect(*numbers: Any) -> Any:
            result = numbers[0]
            for number in numbers[1:]:
                if isinstance(op, ast.And):
                    result = result and number
                else:
                    result = result or number
            return result

        parts = [value.expression or ast.Name("_") for value in values]
        return self._elementwise(connect, values, ast.BoolOp(op, parts))

    def _decides(self, node: ast.AST, test: ast.expr) -> bool:
        """Returns whether the body is taken, not what is behind `else`."""
        if node in self._taken:
            return self._taken[node]
        if not is_flag(test):
            tested: Value | None = None
            try:
                tested = self.number(test)
            except UnknownValueError:
                pass
            if tested is not None:
                is_true = all(tested.lanes)
                if is_true or not any(tested.lanes):
                    if tested.names and not is_of_presence(node):
                        self.assumed[node] = is_true
                    return is_true
                if tested.expression is None:
                    # Python would have to know the step.
                    raise UnknownValueError(f"`if {ast.unparse(test)}`")
        self.assumed[node] = True
        return True

    def _call(self, node: ast.Call) -> Any:
        function = node.func
        path = self.source.path_of(function) or ""
        library, _, name = path.rpartition(".")
        if path.startswith("tensorflow."):
            if name in STEP_GETTERS:
                return self._step
            if name in DECAYS and ".keras" not in library:
                return self._decay(node, name)
            if name in ("cond", "where", "where_v2", "smart_cond"):
                return self._choice(node)
        root = path.split(".")[0]
        if root in ("tensorflow", "numpy", "math", "keras"):
            found = self._library_function(node, name)
            if root != "math" and isinstance(found, Value) and not found.is_step:
                found = dataclasses.replace(found, is_tensor=True)
            return found
        if isinstance(function, ast.Name) and not self.source.bindings(function):
            if function.id == "len":
                return self._leaf(node)
            if function.id in BUILTINS and not node.keywords:
                values = [self.number(argument) for argument in node.args]
                parts = [value.expression or ast.Name("_") for value in values]
                made = ast.Call(ast.Name(function.id, ast.Load()), parts, [])
                kept = self._elementwise(BUILTINS[function.id], values, made)
                return kept
        if not node.args and not node.keywords:
            # In eager mode a decay is a function of no arguments.
            called = self.value(function)
            if isinstance(called, Value):
                if called.expression is not None:
                    raise UnknownValueError(ast.unparse(node))
                return called
            return self._called(called, {})
        if isinstance(function, ast.Attribute) and function.attr in ("get", "value"):
            raise UnknownValueError(ast.unparse(node))
        called = self.value(function) if isinstance(function, ast.Name) else None
        if isinstance(called, Other) and isinstance(called.value, ast.FunctionDef):
            return self._called(called, self._bound(called.value, node))
        raise UnknownValueError(ast.unparse(node))

    def _bound(self, function: ast.FunctionDef, call: ast.Call) -> dict:
        """Returns the values of a function's parameters in a call."""
        parameters = [*function.args.posonlyargs, *function.args.args]
        given: dict[str, ast.expr] = {
            p.arg: a for p, a in zip(parameters, call.args, strict=False)
        }
        given |= {k.arg: k.value for k in call.keywords if k.arg}
        flow = self.flows.of(function)
        bound: dict[Definition | None, Any] = {}
        first = len(parameters) - len(function.args.defaults)
        for index, parameter in enumerate(parameters):
            argument = given.get(parameter.arg)
            if argument is None and index >= first:
                argument = function.args.defaults[index - first]
            if argument is None:
                raise UnknownValueError(ast.unparse(call))
            bound[flow.at(parameter.arg, 1)] = self.value(argument)
        return bound

    def _called(self, function: Any, frame: dict) -> Any:
        """Returns what a function of the file returns."""
        if isinstance(function, Value):
            return function
        node = function.value if isinstance(function, Other) else None
        if len(self._calls) > 4:
            raise UnknownValueError("functions that call each other")
        if isinstance(node, ast.Lambda):
            result: ast.expr | None = node.body
        elif isinstance(node, ast.FunctionDef):
            returns = [s for s in node.body if isinstance(s, ast.Return)]
            result = returns[0].value if len(returns) == 1 else None
        else:
            result = None
        if result is None:
            raise UnknownValueError("a function with several ends")
        self._calls.append(frame)
        try:
            return self.value(result)
        finally:
            self._calls.pop()

    def _choice(self, node: ast.Call) -> Value:
        given: list[Any] = list(node.args)
        names = ("pred", "condition", "true_fn", "fn1", "x", "false_fn", "fn2", "y")
        given += [
            k.value
            for name in names
            for k in node.keywords
            if k.arg == name and k.arg != "name"
        ]
        if len(given) != 3:
            raise UnknownValueError(ast.unparse(node))
        test = self.number(given[0])
        parts = []
        for argument in given[1:]:
            part = self.value(argument)
            parts.append(part if isinstance(part, Value) else self._called(part, {}))
        if not all(isinstance(part, Value) for part in parts):
            raise UnknownValueError(ast.unparse(node))
        return Value(
            tuple(
                a if t else b
                for t, a, b in zip(test.lanes, *(p.lanes for p in parts), strict=True)
            )
        )

    def _library_function(self, node: ast.Call, name: str) -> Any:
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise UnknownValueError(ast.unparse(node))
        keywords = {k.arg: k.value for k in node.keywords if k.arg != "name"}
        if name in CONVERSIONS:
            inner = node.args[0] if node.args else None
            for key in ("x", "value", "input", "tensor"):
                inner = keywords.get(key, inner)
            if inner is None:
                raise UnknownValueError(ast.unparse(node))
            return self.value(inner)
        if name not in FUNCTIONS:
            raise UnknownValueError(ast.unparse(node))
        arguments = [*node.args, *(keywords[k] for k in ("x", "y") if k in keywords)]
        values = [self.number(argument) for argument in arguments]
        if name in ("divide", "div", "truediv", "floordiv") and len(values) == 2:
            return self._binary(ast.Div(), *values)
        if name in ("equal", "not_equal", "mod", "floormod"):
            self._check_no_step(values)
        if name in _COMPARISONS:
            self._note_comparison(values)
        operators = {"add": ast.Add(), "multiply": ast.Mult(), "subtract": ast.Sub()}
        if name in operators and len(values) == 2:
            return self._binary(operators[name], *values)
        made: ast.expr = node
        if name in ("maximum", "minimum"):
            if any(value.is_step for value in values):
                self._note_comparison(values)
            parts = [value.expression or ast.Name("_") for value in values]
            made = ast.Call(ast.Name(name[:3], ast.Load()), parts, [])
        return self._elementwise(FUNCTIONS[name], values, made)

    def _decay(self, node: ast.Call, name: str) -> Value:
        if node in self.decays and not self._calls:
            return self.decays[node].rate
        parameters, formula = DECAYS[name]
        if any(isinstance(argument, ast.Starred) for argument in node.args) or any(
            keyword.arg is None for keyword in node.keywords
        ):
            raise UnknownValueError(ast.unparse(node))
        given = dict(zip(parameters, node.args, strict=False))
        given |= {str(k.arg): k.value for k in node.keywords}
        values: dict[str, Any] = {}
        step: Value | None = None
        for parameter, default in parameters.items():
            if parameter == "name":
                continue
            if parameter not in given:
                if default is REQUIRED:
                    raise UnknownValueError(ast.unparse(node))
                values[parameter] = Value(self._same(default), ast.Constant(default))
            elif parameter in STEP_ARGUMENTS:
                argument = given[parameter]
                # Whatever its name, a bare quantity here is the step.
                self._wants_step = isinstance(argument, ast.Name | ast.Attribute)
                try:
                    step = self.number(argument)
                finally:
                    self._wants_step = False
            else:
                value = self.value(given[parameter])
                if not isinstance(value, Value | Items):
                    raise UnknownValueError(ast.unparse(node))
                values[parameter] = value
        assert step is not None
        if step.expression is not None:
            raise UnknownValueError(ast.unparse(node))
        lanes = []
        made: Callable[[float], float] | None = None
        is_fixed = all(value.expression is not None for value in values.values())
        for lane, number in enumerate(step.lanes):
            try:
                # Within a sample only what depends on the step changes.
                if made is None or not is_fixed or lane % self._width == 0:
                    made = None
                    made = formula(**{k: _lane(v, lane) for k, v in values.items()})
                rate = made(number)
            except (ArithmeticError, ValueError, TypeError, IndexError):
                rate = math.nan
            lanes.append(math.nan if isinstance(rate, complex) else rate)
        rates = Value(tuple(lanes))
        self.decays[node] = Decay(node, name, values, step, rates)
        return rates


def _lane(value: Any, lane: int) -> Any:
    if isinstance(value, Items):
        return [part.lanes[lane] for part in value.values]
    if isinstance(value, Value):
        return value.lanes[lane]
    raise UnknownValueError(str(value))
