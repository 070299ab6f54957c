"""Steps as graphs: what was traced of a model, compared and run.

Whatever decides in Python what a step computes (closures, attributes, globals, the
state of any object) has done so when the step has been traced: it is in the graph, as
an operation or as a constant. Two models whose steps are one graph train by one
program. Constants that are single floats need not even agree: they become arguments, so
that a loss that closes over a hyperparameter shares a program, too.

Here the program runs the graph that was compared, and does not trace the model again:
what Python would decide at another time, with other globals say, does not matter.
"""

import hashlib
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.parameters.keras_hooks import all_layers
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled.functional_model import FunctionalModel
from keras_tricks.training.compiled.functional_model import State
from keras_tricks.training.compiled.functional_model import Steps
from keras_tricks.training.compiled.functional_model import UnsupportedModelError

# They call functions, and have a state if these do.
_CALLS = frozenset({"If", "While", "Case", "StatefulPartitionedCall"})
# The value of their inputs decides on the shape of what they return.
_SHAPED_BY_VALUE = frozenset({"Range", "LinSpace"})
# What TensorFlow notes of an operation; it does not change what the operation computes.
_NOTES = frozenset(
    {"_gradient_op_type", "_output_shapes", "_class", "_XlaHasReferenceVars"}
)


class _Graph(NamedTuple):
    """A traced function.

    Attributes:
        traced: The function; while it lives TensorFlow knows the functions that the
            graph calls.
        definition: Its graph, without the nodes that stand for the arguments, which XLA
            would want to compile.
        read: Names of the tensors of these nodes that are used.
        inputs: Names of the tensors that are its arguments.
        outputs: Names of the tensors that it returns.
        structure: Of what it returns.
        shapes: Of the tensors that it returns.
        fed: Names of the constants that are fed, each with its dtype.
        numbers: Their values.
        captured: Tensors from outside of it, by the names that they have inside.
        digest: The same for two graphs that differ in nothing but names and `numbers`.
    """

    traced: Any
    definition: Any
    read: set[str]
    inputs: list[str]
    outputs: list[str]
    structure: Any
    shapes: list[Any]
    fed: dict[str, Any]
    numbers: list[float]
    captured: dict[str, Any]
    digest: str

    def run(self, arguments: Any, numbers: Any) -> Any:
        """Returns what the function returns, within a function that is traced.

        Args:
            arguments: The arguments, in any nest.
            numbers: What to feed in the place of `numbers`, a vector.
        """
        flat = tf.nest.flatten(arguments)
        given = dict(zip(self.inputs, map(_in_graph, flat), strict=True))
        given |= {name: tf.constant(value) for name, value in self.captured.items()}
        given = {name: value for name, value in given.items() if name in self.read}
        if self.fed:
            parts = tf.unstack(numbers, num=len(self.fed))
            given |= {
                name: tf.cast(part, dtype)
                for (name, dtype), part in zip(self.fed.items(), parts, strict=True)
            }
        outputs = tf.graph_util.import_graph_def(
            self.definition, input_map=given, return_elements=self.outputs, name="step"
        )
        for output, shape in zip(outputs, self.shapes, strict=True):
            output.set_shape(shape)  # The graph alone may not tell.
        return tf.nest.pack_sequence_as(self.structure, outputs)


class CapturedModel(Steps):
    """The steps of a compiled Keras model, as they were traced once.

    Args:
        functional: The model, without fed numbers. This object takes its place.
        feeds: Whether constants are fed, or must agree.

    Attributes:
        key: What models have in common that may share a program.
        numbers: This model's own constants, float64.

    Raises:
        UnsupportedModelError: If a step does what a program cannot repeat for
            other models.
    """

    def __init__(self, functional: FunctionalModel, *, feeds: bool):
        self.model = functional.model
        self.layout = functional.layout
        self.before_build = functional.before_build
        self.variables = functional.variables
        self.start = functional.start
        self.drawing_layers = []
        self.programs = {}
        batch, validation = functional.specs
        state = tf.nest.map_structure(_spec, functional.start)
        carried = state._replace(trainable=list(map(_spec, self.layout.variables)))
        rate = tf.TensorSpec((), tf.float32)

        def train(state: State, rate: Any, batch: Any) -> State:
            return functional.train_step(state, None, rate, batch)

        def test(state: State, batch: Any) -> Any:
            after = functional.test_step(state, None, batch)
            return after.non_trainable, after.metrics

        def results(metrics: list) -> dict[str, Any]:
            return functional.results(metrics, None)

        self._train = _captured(train, (carried, rate, batch), feeds)
        self._test = None
        if validation is not None:
            self._test = _captured(test, (state, validation), feeds)
        self._results = _captured(results, (state.metrics,), feeds)
        graphs = [g for g in (self._train, self._test, self._results) if g is not None]
        # Branches and loops that have come with a graph cannot be converted.
        self.vectorizes = not any(g.definition.library.function for g in graphs)
        self.numbers = np.array([n for g in graphs for n in g.numbers], "float64")
        self.key = (
            *(graph.digest for graph in graphs),
            repr(self._results.structure),
            repr(functional.specs),
            bool(self.model.jit_compile),
            _saved_as(self.model),
        )

    def check(self) -> None:
        pass  # Nothing is traced anew.

    def train_step(
        self, state: State, numbers: Any, rate: Any, batch: Any, draws: Any = None
    ) -> State:
        return self._train.run((state, rate, batch), self._part(numbers, self._train))

    def test_step(self, state: State, numbers: Any, batch: Any) -> State:
        assert self._test is not None
        non_trainable, metrics = self._test.run(
            (state, batch), self._part(numbers, self._test)
        )
        return state._replace(non_trainable=non_trainable, metrics=metrics)

    def results(self, metrics: list, numbers: Any) -> dict[str, Any]:
        return self._results.run((metrics,), self._part(numbers, self._results))

    def _part(self, numbers: Any, graph: _Graph) -> Any:
        """Returns those of the fed numbers that belong to one of the graphs."""
        first = 0
        for other in (self._train, self._test, self._results):
            if other is graph:
                break
            first += len(other.numbers) if other is not None else 0
        return numbers[first : first + len(graph.numbers)]


def _in_graph(tensor: Any) -> Any:
    return tensor if tf.is_symbolic_tensor(tensor) else tf.identity(tensor)


def _spec(tensor: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def _saved_as(model: keras.Model) -> str:
    """Returns what a file of the model's weights is read by."""
    place = {
        id(variable): number
        for number, variable in enumerate(
            [*model.trainable_variables, *model.non_trainable_variables]
        )
    }
    layers = all_layers(model)
    kinds = [(type(each).__module__, type(each).__qualname__) for each in layers]
    weights = [[place.get(id(v)) for v in each.weights] for each in layers]
    return repr((kinds, weights))


def _captured(function: Callable[..., Any], specs: tuple, feeds: bool) -> _Graph:
    """Traces a function and takes its graph apart."""
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    definition = traced.graph.as_graph_def()
    captured = {}
    num_captured = len(traced.captured_inputs)
    inputs = [tensor.name for tensor in traced.inputs]
    arguments = inputs[: len(inputs) - num_captured]
    for name, tensor in zip(
        inputs[len(arguments) :], traced.captured_inputs, strict=True
    ):
        if tensor.dtype in (tf.resource, tf.variant):
            raise UnsupportedModelError(
                "a step uses a table or a variable that the model hides"
            )
        captured[name] = tensor.numpy()
    reading = _Reading(definition, feeds)
    reading.tell([reading.places[name.partition(":")[0]] for name in arguments])
    for name, value in captured.items():
        reading.tell(
            reading.places[name.partition(":")[0]], value.dtype.str, value.shape
        )
        reading.add(value.tobytes() if value.dtype != object else repr(value).encode())
    outputs = tf.nest.flatten(traced.structured_outputs)
    names = [tensor.name for tensor in outputs]
    reading.tell([_placed(name, reading.places) for name in names])
    return _Graph(
        traced,
        *_without(inputs, definition),
        arguments,
        names,
        tf.nest.map_structure(lambda _: 0, traced.structured_outputs),
        [tensor.shape for tensor in outputs],
        reading.fed,
        reading.numbers,
        captured,
        reading.digest(),
    )


def _without(inputs: list[str], definition: Any) -> tuple[Any, set[str]]:
    """Returns a graph without its placeholders, and the names of those it needs."""
    left_out = {name.partition(":")[0] for name in inputs}
    rest = type(definition)()
    rest.CopyFrom(definition)
    del rest.node[:]
    needed: set[str] = set()
    for node in definition.node:
        if node.name in left_out:
            continue
        kept = rest.node.add()
        kept.CopyFrom(node)
        beside = kept.attr["_class"].list.s if "_class" in kept.attr else ()
        if any(place.decode().partition("@")[2] in left_out for place in beside):
            # The gradient of an embedding wants to be where the weights are.
            del kept.attr["_class"]
        # There is nothing to wait for in an argument.
        kept.input[:] = [n for n in node.input if n[:1] != "^" or n[1:] not in left_out]
        needed.update(f"{name}:0" for name in kept.input if name in left_out)
    return rest, needed


def _placed(reference: str, places: dict[str, int]) -> tuple[Any, ...]:
    """Returns an input of a node without the name of the node that it comes from."""
    if reference.startswith("^"):
        return "^", places[reference[1:]]
    name, *rest = reference.split(":")
    # The first output of a node may be written without its number.
    return (places[name], *[part for part in rest if part != "0"])


class _Reading:
    """Reads a graph, with places instead of names, into a digest.

    Args:
        definition: The graph.
        feeds: Whether single floats are to be fed.
    """

    def __init__(self, definition: Any, feeds: bool):
        self._hash = hashlib.sha256()
        self._library = {f.signature.name: f for f in definition.library.function}
        self._known: dict[str, str] = {}
        self.fed: dict[str, Any] = {}
        self.numbers: list[float] = []
        self.places = {node.name: place for place, node in enumerate(definition.node)}
        kept = self._shape_giving(definition) if feeds else set()
        for node in definition.node:
            number = _float_of(node) if feeds and node.name not in kept else None
            if number is not None:
                self.fed[f"{node.name}:0"] = tf.as_dtype(node.attr["dtype"].type)
                self.numbers.append(number)
                self.tell("fed", node.attr["dtype"].type)
                continue
            self._check(node.op)
            self.add(self._node(node, self.places))

    def digest(self) -> str:
        return self._hash.hexdigest()

    def tell(self, *parts: Any) -> None:
        self.add(repr(parts).encode())

    def add(self, content: bytes) -> None:
        self._hash.update(content)

    @staticmethod
    def _shape_giving(definition: Any) -> set[str]:
        """Returns the names of the nodes whose value decides on a shape."""
        return {
            reference.partition(":")[0]
            for node in definition.node
            if node.op in _SHAPED_BY_VALUE
            for reference in node.input
        }

    def _check(self, op: str) -> None:
        if op in _CALLS or op in self._library:
            return
        if keras_hooks.is_stateful(op):
            raise UnsupportedModelError(
                f"a step has an operation with a state of its own ({op})"
            )

    def _node(self, node: Any, places: dict[str, int]) -> bytes:
        references = [_placed(reference, places) for reference in node.input]
        inputs = [r for r in references if r[0] != "^"]
        control = sorted(r[1] for r in references if r[0] == "^")
        attributes = [
            (name, self._attribute(value))
            for name, value in sorted(node.attr.items())
            if name not in _NOTES
        ]
        op = self._function(node.op) if node.op in self._library else node.op
        return repr((op, node.device, inputs, control, attributes)).encode()

    def _attribute(self, value: Any) -> Any:
        kind = value.WhichOneof("value")
        if kind == "func":
            return self._call(value.func)
        if kind == "list" and value.list.func:
            return [self._call(function) for function in value.list.func]
        return hashlib.sha256(value.SerializeToString(deterministic=True)).hexdigest()

    def _call(self, function: Any) -> Any:
        attributes = [
            (name, self._attribute(value))
            for name, value in sorted(function.attr.items())
        ]
        return self._function(function.name), attributes

    def _function(self, name: str) -> str:
        """Returns the digest of a function that the graph calls."""
        if name in self._known:
            return self._known[name]
        function = self._library[name]
        signature = function.signature
        arguments = [argument.name for argument in signature.input_arg]
        places = {name: place for place, name in enumerate(arguments)}
        for node in function.node_def:
            places[node.name] = len(places)
        parts: list[Any] = [[argument.type for argument in signature.input_arg]]
        for node in function.node_def:
            self._check(node.op)
            parts.append(self._node(node, places))
        for result in signature.output_arg:
            parts.append((result.type, _placed(function.ret[result.name], places)))
        parts.append(
            sorted(_placed(f"^{n}", places) for n in function.control_ret.values())
        )
        self._known[name] = hashlib.sha256(repr(parts).encode()).hexdigest()
        return self._known[name]


def _float_of(node: Any) -> float | None:
    """Returns the value of a node that is a single finite float."""
    if node.op != "Const" or node.input:
        return None
    dtype = tf.as_dtype(node.attr["dtype"].type)
    tensor = node.attr["value"].tensor
    if not dtype.is_floating or tensor.tensor_shape.dim:
        return None
    value = float(tf.make_ndarray(tensor))
    return value if np.isfinite(value) else None
