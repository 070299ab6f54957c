"""Static proof that two models train by the same program, from their whole state.

A program is what Python does with a model while a step is traced. Where all code that
takes part is Keras's or this package's, that is a function of the objects' attributes;
so two models whose attributes agree, but for what is fed, have the same program. All
attributes count, not what `get_config` tells of them. An object of any other class, a
function that is not Keras's own, anything whose kind is not known here: then nothing is
proven, and `captured` compares what was traced.
"""

import enum
import hashlib
import inspect
import re
import sys
import types
from collections.abc import Iterable
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_tricks._runtime_scalars import RuntimeScalars
from keras_tricks.optimizers.keras_hooks import leaf_optimizers
from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled import runtime_scalars

# Classes of Keras's whose whole state is in attributes of the kinds that are known
# here. A test holds them against tracing; others are traced.
LAYERS = frozenset(
    """
    Activation Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D
    AveragePooling2D AveragePooling3D BatchNormalization Bidirectional Concatenate
    Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D
    Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU
    EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
    GroupedQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization
    LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN ReLU
    RepeatVector Rescaling Reshape SeparableConv1D SeparableConv2D SimpleRNN
    SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
    StackedRNNCells Subtract TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()
)
OPTIMIZERS = frozenset(
    "SGD Adam AdamW Nadam Adamax RMSprop Adagrad Adadelta Lion Ftrl".split()
)
PENALTIES = frozenset(
    "L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm".split()
)
# Modules of Keras's all of whose classes are known: losses and metrics, the operations
# of functional models, and what belongs to a model itself.
_MODULES = (
    "keras.src.losses.",
    "keras.src.metrics.",
    "keras.src.ops.",
    "keras.src.dtype_policies.",
    "keras.src.trainers.compile_utils",
    "keras.src.models.sequential",
    "keras.src.models.functional",
    "keras.src.layers.input_spec",
    "keras.src.random.seed_generator",
    "keras.src.activations.",
)
# Attributes that no step reads: what Keras notes of an object, and names. Names that
# a step may go by are taken up apart.
_UNREAD = frozenset(
    """
    _tracker _tracked _lock _auto_config build quantize name seed _initial_seed
    _inbound_nodes _outbound_nodes _path _parent_path _build_shapes_dict _losses
    _loss_ids _losses_override _call_signature call_signature_parameters _called
    _saved_model_inputs_spec _saved_model_arg_spec _compile_config
    _compiled_trainable_state _distribution_strategy _distribute_strategy
    output_names input_names _nodes _nodes_by_depth _operations_by_depth _inputs
    _outputs _learning_rate _build_input_shape _variables _given_limit
    _trainable_variables_indices history _exclude_from_weight_decay_cache
    """.split()
)
# Attributes of a model that come from `compile`, and what is taken up of it instead.
_COMPILED = frozenset(
    "optimizer loss _compile_loss _compile_metrics _loss_tracker".split()
)
_OTHERS_COMPILED = ("metrics", "weighted_metrics")
# Methods of a model in the place of which something of this package may stand.
_OURS = frozenset({"fit", "make_train_function", "make_test_function"})
_OWN = "keras_tricks."
# Where the methods of a class may come from, if nobody has replaced them.
_HOMES = ("keras.", "tensorflow.", "keras_tricks.", "abc", "builtins", "contextlib")


class _NotProven(Exception):
    """Something of the model is not known here."""


class Signature(NamedTuple):
    """What all models have in common that are proven to train by one program.

    Two models with one signature differ, for what a step computes, in nothing but the
    values of variables and the numbers of `fed_numbers`.

    Attributes:
        network: Digest of the model itself.
        compiled: Digest of what it was compiled with.
    """

    network: str
    compiled: str


def signature(model: keras.Model, specs: Any) -> Signature | None:
    """Returns the signature of a model, or None if nothing is proven of it.

    Args:
        model: A built and compiled model that was not trained.
        specs: Kind and shape of the batches; metrics are made for them.
    """
    compiled = compiled_signature(
        model, {"optimizer": model.optimizer, **keras_hooks.compiled_with(model)}
    )
    network = None if compiled is None else _network(model, specs)
    return None if network is None else Signature(network, str(compiled))


def _network(model: keras.Model, specs: Any, *, by_value: bool = False) -> str | None:
    fed = [] if by_value else runtime_scalars.penalty_places(model)
    walk = _Walk(model, fed, by_value=by_value)
    try:
        walk.tell(_global_settings(), repr(specs))
        walk.add(model)
        walk.add(_output_names(model))
    except _NotProven:
        return None
    return walk.digest()


def exact_signature(model: keras.Model, specs: Any) -> Signature | None:
    """Returns the signature of a model and of all its numbers, or None.

    Two models with one such signature differ, for what a step computes, in nothing but
    the values of variables: their steps are one graph, with the same constants.

    Args:
        model: See `signature`.
        specs: See there.
    """
    compiled = compiled_signature(
        model,
        {"optimizer": model.optimizer, **keras_hooks.compiled_with(model)},
        by_value=True,
    )
    network = None if compiled is None else _network(model, specs, by_value=True)
    return None if network is None else Signature(network, f"{compiled} by value")


def compiled_signature(
    model: keras.Model, arguments: dict[str, Any], *, by_value: bool = False
) -> str | None:
    """Returns the digest of what `model` is compiled with, or None.

    Args:
        model: A built model.
        arguments: What `compile` is given; the optimizer is an object, not built.
        by_value: Whether numbers that are fed, or were chosen, are taken up.
    """
    optimizer, loss = arguments["optimizer"], arguments["loss"]
    fed = [] if by_value else runtime_scalars.places(optimizer, loss)
    walk = _Walk(model, fed, optimizer, by_value=by_value)
    try:
        if by_value:
            walk.add(arguments.get("loss_weights"))
        elif arguments.get("loss_weights") is not None:
            return None
        for name in ("optimizer", "loss", *_OTHERS_COMPILED):
            walk.tell(name)
            walk.add(arguments.get(name))
        leaves = leaf_optimizers(optimizer)
        # A rate that no schedule makes is a variable, which is saved with the others.
        walk.tell([isinstance(keras_hooks.rate_of(o), keras.Variable) for o in leaves])
        if any(map(keras_hooks.goes_by_names, leaves)):
            walk.add([variable.path for variable in model.trainable_variables])
    except _NotProven:
        return None
    return walk.digest()


def _global_settings() -> list[Any]:
    return [*keras_hooks.settings(), keras.config.is_flash_attention_enabled()]


def _output_names(model: keras.Model) -> list[str]:
    """Returns the names under which losses of several outputs are logged."""
    names = getattr(model, "output_names", None) or []
    return list(names) if len(names) > 1 else []


class _Walk:
    """Takes up all that can be reached from a model, each object once.

    Args:
        model: The model.
        fed: Where the numbers are that are fed.
        optimizer: The optimizer, if it is to be taken up.
        by_value: Whether a number that was chosen is taken up, too.
    """

    def __init__(
        self,
        model: keras.Model,
        fed: list[runtime_scalars.AttributeRef],
        optimizer: Any = None,
        *,
        by_value: bool = False,
    ):
        self._by_value = by_value
        self._hash = hashlib.sha256()
        self._fed = {(id(place.owner), place.key) for place in fed}
        self._seen: dict[int, int] = {}
        self._variables = {
            id(variable): (kind, number)
            for kind, variables in (
                ("trainable", model.trainable_variables),
                ("non-trainable", model.non_trainable_variables),
                ("optimizer", [] if optimizer is None else optimizer.variables),
            )
            for number, variable in enumerate(variables)
        }
        self._checked: set[type] = set()
        self._in_metric = False

    def digest(self) -> str:
        return self._hash.hexdigest()

    def tell(self, *parts: Any) -> None:
        """Takes up plain values."""
        self._hash.update(repr(parts).encode())

    def add(self, value: Any) -> None:
        """Takes up a value of any kind, or raises `_NotProven`."""
        if value is None or isinstance(
            value, bool | int | float | complex | str | bytes
        ):
            if type(value).__module__ not in ("builtins", "numpy"):
                raise _NotProven(type(value))
            self.tell(type(value).__name__, value)
        elif isinstance(value, keras.Variable):
            self._add_variable(value)
        elif isinstance(value, np.ndarray | np.generic | tf.Tensor):
            self._add_array(value)
        elif isinstance(value, dict):
            self._add_items(type(value), sorted(value.items(), key=_by_name))
        elif isinstance(value, list | tuple | set | frozenset):
            ordered = (
                sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            )
            self._add_items(type(value), enumerate(ordered))
        elif isinstance(value, enum.Enum):
            self.tell(type(value).__qualname__, value.name)
        elif isinstance(value, keras.KerasTensor):
            self._add_symbol(value)
        elif isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
            self._add_code(value)
        elif isinstance(value, tf.DType | np.dtype | slice | type(Ellipsis) | range):
            self.tell(repr(value))
        elif isinstance(value, keras.initializers.Initializer):
            self.tell("initializer")  # The variables that it filled are there.
        elif isinstance(value, re.Pattern):
            # Keras joins the names that do not decay as a set has them, in any order.
            self.tell("pattern", sorted(str(value.pattern).split("|")), value.flags)
        elif isinstance(value, types.ModuleType) and value.__name__.startswith(
            "keras."
        ):
            self.tell("module", value.__name__)
        else:
            self._add_object(value)

    def _add_items(self, kind: type, items: Iterable[tuple[Any, Any]]) -> None:
        items = list(items)
        # Keras's and TensorFlow's own lists stand for lists.
        self.tell("dict" if issubclass(kind, dict) else "list", len(items))
        for key, item in items:
            if not isinstance(key, str | int):
                raise _NotProven(f"a key of type {type(key).__name__}")
            self.tell(key)
            self.add(item)

    def _add_array(self, value: Any) -> None:
        if tf.is_symbolic_tensor(value):
            raise _NotProven("a symbolic tensor")
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise _NotProven("an array of objects")
        self.tell("array", array.dtype.str, array.shape)
        self._hash.update(np.ascontiguousarray(array).tobytes())

    def _add_variable(self, variable: keras.Variable) -> None:
        place = self._variables.get(id(variable))
        if place is None and self._in_metric:
            # A metric that waits for the first batch; it begins with what it resets to.
            place = "metric", self._number(variable)
        if place is None:
            raise _NotProven("a variable that the model hides")
        self.tell("variable", place)
        if self._is_new(variable):
            self.tell(tuple(variable.shape), variable.dtype, variable.trainable)
            self.tell(keras_hooks.is_autocast(variable))
            self.add(variable.constraint)
            self.add(variable.regularizer)

    def _add_symbol(self, tensor: keras.KerasTensor) -> None:
        self.tell("symbol", self._number(tensor), tuple(tensor.shape), tensor.dtype)
        self._is_new(tensor)  # From now on it has its number.
        self.tell(tensor.sparse, getattr(tensor, "ragged", False))

    def _add_code(self, value: Any) -> None:
        module = getattr(value, "__module__", None) or ""
        name = getattr(value, "__qualname__", "")
        home: Any = sys.modules.get(module)
        for part in name.split("."):
            home = getattr(home, part, None)
        if home is not value or not module.startswith(("keras.", _OWN, "builtins")):
            raise _NotProven(f"the function {name}")
        if getattr(value, "__closure__", None):
            raise _NotProven(f"the closure {name}")
        self.tell(module, name)

    def _add_object(self, value: Any) -> None:
        kind = type(value)
        if not _is_known(kind):
            raise _NotProven(kind)
        self.tell(kind.__module__, kind.__qualname__, self._number(value))
        if not self._is_new(value):
            return
        self._check_methods(kind)
        was_in_metric = self._in_metric
        self._in_metric |= isinstance(value, keras.metrics.Metric)
        self._add_attributes(value)
        self._in_metric = was_in_metric
        if isinstance(value, keras.Model):
            self._add_graph(value)

    def _add_attributes(self, value: Any) -> None:
        held = value.fed_by_variables if isinstance(value, RuntimeScalars) else ()
        for key, item in sorted(vars(value).items()):
            if isinstance(value, keras.Model) and key in _COMPILED:
                continue
            if isinstance(value, keras.optimizers.Optimizer) and (
                key == "_trainable_variables"
            ):
                continue  # The model's, or one vector of them.
            if key == "name" and isinstance(value, keras.metrics.Metric):
                self.tell(item)  # Under which its numbers are logged.
            if key in _UNREAD or key.startswith("_self_") or key.lstrip("_") in held:
                continue
            if isinstance(value, keras.Model) and key in _OURS and _is_ours(item):
                continue
            self.tell(key)
            if (id(value), key) in self._fed:
                self.tell("fed")
            elif item is keras_hooks.keyword_arguments(value):
                for name in sorted(item):
                    self.tell(name)
                    if (id(item), name) in self._fed:
                        self.tell("fed")
                    else:
                        self._add_argument(type(value), name, item[name])
            else:
                self._add_argument(type(value), key, item)

    def _add_argument(self, kind: type, name: str, value: Any) -> None:
        """Takes up an attribute that may be an argument of the constructor.

        A float that somebody chose may be another one in the next trial. Where steps
        are traced, both share a program; by its value, each would have its own. (An
        `epsilon` is chosen once.)
        """
        is_number = isinstance(value, float | np.floating) or (
            kind.__name__ in PENALTIES and isinstance(value, tf.Tensor)
        )
        is_free = is_number and name != "epsilon" and not self._by_value
        if is_free and not _is_default(kind, name, value):
            raise _NotProven(f"{kind.__name__}.{name} was chosen")
        self.add(value)

    def _add_graph(self, model: keras.Model) -> None:
        """Takes up which operation of a functional model feeds which."""
        for depth, nodes in sorted(keras_hooks.nodes_by_depth(model).items()):
            self.tell("depth", depth, len(nodes))
            for node in nodes:
                self.add(node.operation)
                constants = keras.tree.flatten(
                    [*node.arguments.args, *node.arguments.kwargs.values()]
                )
                is_float = any(isinstance(each, float) for each in constants)
                if is_float and not self._by_value:
                    raise _NotProven("a number in a call")
                self.add([*node.arguments.args])
                self.add(dict(node.arguments.kwargs))
                self.add(list(node.outputs))

    def _check_methods(self, kind: type) -> None:
        """Raises if a method was replaced by somebody else's."""
        for owner in kind.__mro__:
            if owner in self._checked:
                continue
            self._checked.add(owner)
            for name, value in vars(owner).items():
                if inspect.isfunction(value) and not value.__module__.startswith(
                    _HOMES
                ):
                    raise _NotProven(f"{owner.__name__}.{name} was replaced")

    def _number(self, value: Any) -> int:
        return self._seen.get(id(value), len(self._seen))

    def _is_new(self, value: Any) -> bool:
        is_new = id(value) not in self._seen
        self._seen.setdefault(id(value), len(self._seen))
        return is_new


def _is_default(kind: type, name: str, value: Any) -> bool:
    """Whether a float is what the constructor has for it, or none of its arguments."""
    if isinstance(value, tf.Tensor):
        return False
    defaults = keras_hooks.constructor_defaults(kind)
    known = defaults.get(name, defaults.get(name.lstrip("_"), value))
    # Layers make others of theirs with a rate of 0.
    return known == value or (known is inspect.Parameter.empty and value == 0)


def _by_name(item: tuple[Any, Any]) -> str:
    return str(item[0])


def _is_ours(value: Any) -> bool:
    return type(value).__module__.startswith(_OWN)


def _is_known(kind: type) -> bool:
    module = kind.__module__
    if module.startswith(_OWN):
        return True
    if not module.startswith("keras.src."):
        return False
    if issubclass(kind, keras.optimizers.Optimizer):
        return kind.__name__ in OPTIMIZERS
    known = kind.__name__ in LAYERS or kind.__name__ in PENALTIES
    return known or (module + ".").startswith(_MODULES)
