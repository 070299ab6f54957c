"""The private Keras and TensorFlow names that `training` uses, and why.

| private name | seen in Keras | why no public one serves |
|---|---|---|
| `Optimizer._apply_weight_decay`, `_backend_update_step`, `_var_key` | 3.11 to 3.15 | on TensorFlow `Optimizer.stateless_apply` raises, since these three expect `tf.Variable`s; the base class's, which JAX uses, do not |
| `Optimizer._learning_rate` | 3.11 to 3.15 | a rate that is fed takes the place of a variable or a schedule |
| `Optimizer._exclude_from_weight_decay`, `_exclude_from_weight_decay_pattern` | 3.11 to 3.15 | what `exclude_from_weight_decay` was told is in no configuration |
| `Functional._nodes_by_depth` | 3.11 to 3.15 | the configuration of a functional model does not tell of every argument of a call |
| `TFEpochIterator` | 3.11 to 3.15 | `fit` begins more readings of a dataset than it has epochs, and each moves the order in which `Dataset.shuffle` goes on |
| `object_name_uids` of Keras's global state | 3.11 to 3.15 | `clear_session` begins names anew, too, but empties much else |
| `stateless_scope` of Keras's global state | 3.11 to 3.15 | tells whether `clear_session`, which empties the state of all threads, was called while a step was traced |
| `Trainer._loss_tracker`, `Layer._call_has_training_arg`, `Variable._autocast` | 3.11 to 3.15 | `Trainer.train_step` and layers go by them |
| `Layer._losses`, `_trainable_variables`, `_non_trainable_variables`, `Trainer._distribute_strategy` | 3.11 to 3.15 | what was added by `add_loss` outside of a call, a layer's own weights whether it is frozen or not, and the strategy of a model have no public name |
| `Variable._initialize`, `_initialize_with_initializer`, `_value` | 3.11 to 3.15 | a variable whose value nobody reads need not be made; Keras's own `_deferred_initialize` serves stateless scopes alone |
| `_unique_id` of `tf.Variable` | TensorFlow 2.19 to 2.21 | nothing else tells whether a variable was there before a model was built |
| `Loss._fn_kwargs` | 3.11 to 3.15 | where Keras's losses keep `label_smoothing` and the like |
| `_pfor_converter_registry`, `wrap` of `tensorflow.python.ops.parallel_for.pfor` | TensorFlow 2.19 to 2.21 | `tf.vectorized_map` has no public place for conversions of further operations |
| `tensorflow.python.framework.op_def_registry` | TensorFlow 2.19 to 2.21 | whether an operation inside of a function has a state is told nowhere else |
| `tensorflow.python.eager.context`: `_seed` and `_rng` of its context, `list_function_names`, `get_function_def` | TensorFlow 2.19 to 2.21 | `tf.random.set_seed` sets the first two, and empties the cache of kernels, which holds the programs; the functions tell whether that is needed |
| `tensorflow.python.framework.random_seed.get_seed` | TensorFlow 2.19 to 2.21 | all operations that draw by a state of their own ask it for their seed |
| `tensorflow.python.client.device_lib` | TensorFlow 2.19 to 2.21 | the public functions tell what of a GPU's memory is in use, not how much there is |

A test names each, so that a Keras release that moves one of them fails there.
"""  # noqa: E501

import collections
import contextlib
import copy
import functools
import inspect
import itertools
import random
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.tensorflow.trainer import TFEpochIterator

from keras_tricks import _keras_state
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers.keras_hooks import leaf_optimizers

_NAMES = "object_name_uids"

_ANY_BACKEND = next(
    parent
    for parent in keras.optimizers.Optimizer.__mro__
    if parent.__name__ == "BaseOptimizer"
)


class _Functional(keras.optimizers.Optimizer):
    """Keras's optimizer as it is on JAX: it sets variables by the stateless scope.

    It goes between an optimizer's own class and Keras's base class, so that the
    optimizer's own methods stay in force.
    """

    def assign(self, variable: keras.Variable, value: Any) -> None:
        variable.assign(tf.convert_to_tensor(value))

    def assign_add(self, variable: keras.Variable, value: Any) -> None:
        variable.assign(variable.value + tf.convert_to_tensor(value))

    def assign_sub(self, variable: keras.Variable, value: Any) -> None:
        variable.assign(variable.value - tf.convert_to_tensor(value))

    _apply_weight_decay = _ANY_BACKEND._apply_weight_decay
    _backend_update_step = _ANY_BACKEND._backend_update_step
    _var_key = _ANY_BACKEND._var_key


def make_functional(optimizer: keras.optimizers.Optimizer) -> None:
    """Changes `optimizer`, for good, so that it works in a `keras.StatelessScope`."""
    for part in _wrappers_and_leaves(optimizer):
        own = type(part)
        part.__class__ = type(f"Functional{own.__name__}", (own, _Functional), {})


def feed_learning_rate(
    optimizer: keras.optimizers.Optimizer, rate: Callable[[], Any]
) -> None:
    """Makes `optimizer` take its learning rate from `rate()`, for good."""
    for leaf in leaf_optimizers(optimizer):
        object.__setattr__(leaf, "_learning_rate", rate)


def rate_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns the schedule of `optimizer`, or the variable that its rate is."""
    return optimizer._learning_rate


@contextlib.contextmanager
def both_branches() -> Iterator[None]:
    """Has `keras.ops.cond` compute both branches and take the right one.

    In a step over several trials the branch differs by trial, and what TensorFlow makes
    of that XLA cannot compile. Only this thread is concerned.
    """
    original, this_thread = keras.ops.cond, threading.get_ident()

    def cond(predicate: Any, true_fn: Callable, false_fn: Callable) -> Any:
        if threading.get_ident() != this_thread:
            return original(predicate, true_fn, false_fn)
        return tf.nest.map_structure(
            lambda true, false: tf.where(predicate, true, false), true_fn(), false_fn()
        )

    with _keras_state.LOCK:
        keras.ops.cond = cond
        try:
            yield
        finally:
            keras.ops.cond = original


class Conversion(NamedTuple):
    """How `tf.vectorized_map` is to convert an operation to one over several trials.

    Attributes:
        convert: Function of the operation and its inputs, which returns its outputs.
            All inputs have a first axis of trials.
        some_stacked: Whether inputs may lack it: each is then `(tensor, has it)`.
    """

    convert: Callable[[Any, list], list]
    some_stacked: bool = False


@contextlib.contextmanager
def conversions(by_name: dict[str, Conversion]) -> Iterator[None]:
    """Has `tf.vectorized_map` use these conversions, by type of operation."""
    from tensorflow.python.ops.parallel_for import pfor

    registry = pfor._pfor_converter_registry

    def registered(conversion: Conversion) -> Callable[[Any], Any]:
        def convert(pfor_input: Any) -> Any:
            inputs = [(each.t, each.is_stacked) for each in pfor_input.inputs]
            if not conversion.some_stacked:
                inputs = [tensor for tensor, _ in inputs]
            outputs = conversion.convert(pfor_input.op, inputs)
            return [pfor.wrap(output, True) for output in outputs]

        return convert

    with _keras_state.LOCK:
        original = dict(registry)
        registry.update({name: registered(c) for name, c in by_name.items()})
        try:
            yield
        finally:
            registry.clear()
            registry.update(original)


def goes_by_names(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the names of weights decide on what the optimizer does with them."""
    if isinstance(optimizer, AdamWeightDecay):
        return bool(optimizer.excluded_patterns or optimizer.learning_rate_multipliers)
    return vars(optimizer).get("_exclude_from_weight_decay_pattern") is not None


def nodes_by_depth(model: keras.Model) -> dict[int, list[Any]]:
    """Returns the calls of which a functional model is made; none for another one."""
    return vars(model).get("_nodes_by_depth", {})


def excludes_variables_from_decay(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether variables themselves, which no other model has, were excluded."""
    return bool(vars(optimizer).get("_exclude_from_weight_decay"))


def constructor_arguments(owner: Any) -> list[str]:
    """Returns the names of what an object may be made with, in alphabetical order."""
    kind: Any = type(owner)
    return sorted(constructor_defaults(kind))


@functools.cache
def constructor_defaults(kind: type) -> dict[str, Any]:
    """Returns the arguments of a class's constructors, each with its default."""
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        if "__init__" in vars(owner) and owner is not object:
            parameters = inspect.signature(vars(owner)["__init__"]).parameters
            found |= {name: each.default for name, each in parameters.items()}
    return found


def keyword_arguments(loss: keras.losses.Loss) -> dict[str, Any]:
    """Returns the arguments that a loss of Keras's passes to its function; mutable."""
    return getattr(loss, "_fn_kwargs", {})


def _wrappers_and_leaves(optimizer: keras.optimizers.Optimizer) -> list:
    inner = getattr(optimizer, "inner_optimizer", None)
    return [optimizer, *(_wrappers_and_leaves(inner) if inner is not None else ())]


def settings() -> tuple[Any, ...]:
    """Returns the settings of Keras that it reads while a step is traced."""
    config = keras.config
    return config.floatx(), config.epsilon(), config.image_data_format()


@contextlib.contextmanager
def settings_in_force(wanted: tuple[Any, ...]) -> Iterator[None]:
    """Has Keras work by other settings, those of a model's build for instance."""
    before = settings()
    if wanted == before:
        yield
        return
    try:
        _set(*wanted)
        yield
    finally:
        _set(*before)


def _set(floatx: str, epsilon: float, image_data_format: str) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(epsilon)
    keras.config.set_image_data_format(image_data_format)


def is_distributed(model: keras.Model) -> bool:
    """Whether a model was made within the scope of a `tf.distribute` strategy."""
    return model._distribute_strategy is not None


def has_added_losses(layer: keras.Layer) -> bool:
    """Whether `add_loss` was called on a layer already."""
    return bool(layer._losses)


def weights_that_stay(layer: keras.Layer) -> list[keras.Variable]:
    """Returns those of a frozen layer's own weights that no call changes."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer._trainable_variables + layer._non_trainable_variables
    # The state of a random generator, or a counter, goes on in a frozen layer, too.
    return layer._trainable_variables


# As Keras has them, also while `values_deferred` has others in their place.
_INITIALIZE: Any = keras.Variable._initialize
_INITIALIZE_WITH_INITIALIZER: Any = keras.Variable._initialize_with_initializer


class DeferredVariable(keras.Variable):
    """A variable whose value is made when somebody first reads it.

    From then on it is a `keras.Variable` like any other.

    Attributes:
        initializer: What yields the value, at any time the same: an initializer, or a
            tensor.
    """

    initializer: Any
    _name_scope: str
    _is_constructed: bool

    @property
    def _value(self) -> Any:
        if not self._is_constructed and tf.is_tensor(self.initializer):
            # Its constructor wants to know the shape.
            self._is_constructed = True
            return self.initializer
        initializer, scope = self.initializer, self._name_scope
        del self.initializer, self._name_scope, self._is_constructed
        self.__class__ = keras.Variable
        with tf.init_scope(), tf.name_scope(f"{scope}/" if scope else ""):
            if tf.is_tensor(initializer):
                _INITIALIZE(self, initializer)
            else:
                _INITIALIZE_WITH_INITIALIZER(self, initializer)
        return vars(self)["_value"]


def value_of(variable: keras.Variable) -> tf.Tensor:
    """Returns the value of a variable, which is not made for that alone."""
    if not isinstance(variable, DeferredVariable):
        return tf.convert_to_tensor(variable)
    if tf.is_tensor(variable.initializer):
        return variable.initializer
    return variable.initializer(variable.shape, dtype=variable.dtype)


@contextlib.contextmanager
def values_deferred(is_pure: Callable[[Any], bool]) -> Iterator[None]:
    """Has variables that are made inside, in this thread, wait for their values.

    Args:
        is_pure: Whether an initializer yields the same at any time.
    """
    given = keras.Variable._initialize
    called = keras.Variable._initialize_with_initializer
    this_thread = threading.get_ident()

    def may_wait(variable: keras.Variable) -> bool:
        return (
            type(variable) is keras.Variable
            and threading.get_ident() == this_thread
            and tf.executing_eagerly()
            and not tf.distribute.has_strategy()
        )

    def initialize(self: keras.Variable, value: Any) -> None:
        # What is larger may be an array's memory.
        if may_wait(self) and isinstance(value, tf.Tensor) and not value.shape.rank:
            _defer(self, value)
        else:
            given(self, value)

    def initialize_with(self: keras.Variable, initializer: Callable[..., Any]) -> None:
        if may_wait(self) and is_pure(initializer):
            _defer(self, copy.copy(initializer))
        else:
            called(self, initializer)

    with contextlib.ExitStack() as stack:
        stack.enter_context(_keras_state.LOCK)
        _replace(stack, "_initialize", initialize)
        _replace(stack, "_initialize_with_initializer", initialize_with)
        yield


def _replace(stack: contextlib.ExitStack, name: str, method: Callable) -> None:
    """Replaces a method of `keras.Variable` until `stack` is closed."""
    own = vars(keras.Variable).get(name)
    if own is None:  # It is a parent's.
        stack.callback(delattr, keras.Variable, name)
    else:
        stack.callback(setattr, keras.Variable, name, own)
    setattr(keras.Variable, name, method)


def _defer(variable: keras.Variable, initializer: Any) -> None:
    variable.initializer = initializer
    variable._name_scope = tf.get_current_name_scope()
    variable._is_constructed = False
    variable._deferred_as = next(_deferred)
    variable.__class__ = DeferredVariable


_deferred = itertools.count()


class VariablesBefore:
    """Tells the variables that are there when this object is made from later ones."""

    def __init__(self) -> None:
        self._last = _number_of(tf.Variable(0, trainable=False))
        self._last_deferred = next(_deferred)

    def __contains__(self, variable: keras.Variable) -> bool:
        deferred_as = vars(variable).get("_deferred_as")
        if deferred_as is not None:
            return deferred_as < self._last_deferred
        return _number_of(variable.value) < self._last


def _number_of(variable: tf.Variable) -> int:
    # TensorFlow numbers its variables as they are made.
    return int(variable._unique_id.rpartition("_")[2])


def is_autocast(variable: keras.Variable) -> bool:
    """Whether a layer reads a variable in its own compute dtype."""
    return variable._autocast


def loss_tracker(model: keras.Model) -> keras.metrics.Metric:
    """Returns the metric in which a training adds up its loss."""
    return model._loss_tracker


def compiled_with(model: keras.Model) -> dict[str, Any]:
    """Returns the losses, metrics and weights that `model.compile` was given."""
    losses, metrics = model._compile_loss, model._compile_metrics
    return {
        "loss": getattr(losses, "_user_loss", None),
        "loss_weights": getattr(losses, "_user_loss_weights", None),
        "metrics": getattr(metrics, "_user_metrics", None),
        "weighted_metrics": getattr(metrics, "_user_weighted_metrics", None),
    }


def called(model: keras.Model, x: Any, training: bool) -> Any:
    """Returns the outputs of `model` as `Trainer.train_step` asks for them."""
    if model._call_has_training_arg:
        return model(x, training=training)
    return model(x)


@contextlib.contextmanager
def reading(dataset: tf.data.Dataset) -> Iterator[tf.data.Iterator]:
    """Yields the batches of an epoch, and leaves the dataset as `fit` leaves it."""
    strategy = tf.distribute.get_strategy()
    epoch = iter(TFEpochIterator(x=dataset, distribute_strategy=strategy))
    _, _, batches = next(epoch)
    yield batches
    # Keras counts the batches, which were taken, and begins the next reading. A loop
    # over `epoch` would begin one more.
    while next(epoch, None) is not None:
        pass


def is_in_scope(scope: keras.StatelessScope) -> bool:
    """Whether variables have their values in `scope` now, in this thread."""
    return global_state.get_global_attribute("stateless_scope") is scope


@contextlib.contextmanager
def names_begin_anew() -> Iterator[None]:
    """Has Keras name what is made inside as it would in a new session.

    Where metrics, outputs and weights have names that Keras made up, these are the
    same in every trial, without `clear_session`, which empties much else.
    """
    with _names(collections.defaultdict(int)):
        yield


@contextlib.contextmanager
def names_put_back() -> Iterator[None]:
    """Has Keras name what is made afterwards as if nothing had been made inside."""
    known = global_state.get_global_attribute(_NAMES)
    with _names(collections.defaultdict(int, known or {})):
        yield


@contextlib.contextmanager
def _names(counters: Any) -> Iterator[None]:
    with _keras_state.LOCK:
        original = global_state.get_global_attribute(_NAMES)
        global_state.set_global_attribute(_NAMES, counters)
        try:
            yield
        finally:
            global_state.set_global_attribute(_NAMES, original)


def is_stateful(op: str) -> bool:
    """Whether an operation of TensorFlow's has a state or an effect of its own."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op)
    return definition is None or definition.is_stateful


@contextlib.contextmanager
def kernels_kept() -> Iterator[None]:
    """Has `tf.random.set_seed`, in this thread, leave the cache of kernels as it is."""
    from tensorflow.python.eager import context

    original, this_thread = tf.random.set_seed, threading.get_ident()

    def set_seed(seed: int) -> None:
        if threading.get_ident() != this_thread:
            original(seed)
            return
        eager = context.context()
        eager._seed, eager._rng = seed, random.Random(seed)

    with _keras_state.LOCK:
        tf.random.set_seed = set_seed
        try:
            yield
        finally:
            tf.random.set_seed = original


@contextlib.contextmanager
def draws_noticed() -> Iterator[list[Any]]:
    """Yields a list, which is empty for as long as no operation is given a seed."""
    from tensorflow.python.framework import random_seed

    original = random_seed.get_seed
    noticed: list[Any] = []

    def get_seed(op_seed: Any) -> Any:
        noticed.append(op_seed)
        return original(op_seed)

    with _keras_state.LOCK:
        random_seed.get_seed = get_seed
        try:
            yield noticed
        finally:
            random_seed.get_seed = original


def known_functions() -> set[str]:
    """Returns the names of the functions that TensorFlow knows."""
    from tensorflow.python.eager import context

    return set(context.context().list_function_names())


def has_random_state(function: str) -> bool:
    """Whether a function has an operation that draws by a state of its own.

    Functions are removed as Python collects garbage, perhaps since they were listed.
    One that is gone has no state, nor is its name given again.
    """
    from tensorflow.python.eager import context
    from tensorflow.python.framework import errors

    try:
        nodes = context.context().get_function_def(function).node_def
    except errors.NotFoundError:
        return False
    return any("seed" in node.attr for node in nodes)


def gpu_memory() -> int | None:
    """Returns the bytes of the first GPU that TensorFlow may use, if there is one."""
    from tensorflow.python.client import device_lib

    for device in device_lib.list_local_devices():
        if device.device_type == "GPU":
            return int(device.memory_limit)
    return None
