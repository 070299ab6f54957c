"""The private Keras and TensorFlow names that `training` uses, and why.

| private name | seen in Keras | why no public one serves |
|---|---|---|
| `Optimizer._apply_weight_decay`, `_backend_update_step`, `_var_key` | 3.11 to 3.15 | on TensorFlow `Optimizer.stateless_apply` raises, since these three expect `tf.Variable`s; the base class's, which JAX uses, do not |
| `Optimizer._learning_rate` | 3.11 to 3.15 | a rate that is fed takes the place of a variable or a schedule |
| `Optimizer._exclude_from_weight_decay`, `_exclude_from_weight_decay_pattern` | 3.11 to 3.15 | what `exclude_from_weight_decay` was told is in no configuration |
| `Loss._fn_kwargs` | 3.11 to 3.15 | where Keras's losses keep `label_smoothing` and the like |
| `Layer._flatten_layers` | 3.11 to 3.15 | a layer's own layers have no public name |
| `_pfor_converter_registry`, `wrap` of `tensorflow.python.ops.parallel_for.pfor` | TensorFlow 2.19 to 2.21 | `tf.vectorized_map` has no public place for conversions of further operations |
| `tensorflow.python.client.device_lib` | TensorFlow 2.19 to 2.21 | the public functions tell what of a GPU's memory is in use, not how much there is |

A test names each, so that a Keras release that moves one of them fails there.
"""  # noqa: E501

import contextlib
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_tricks.optimizers.keras_hooks import leaf_optimizers

_ONE_AT_A_TIME = threading.RLock()

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

    def assign(self, variable, value):
        variable.assign(tf.convert_to_tensor(value))

    def assign_add(self, variable, value):
        variable.assign(variable.value + tf.convert_to_tensor(value))

    def assign_sub(self, variable, value):
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

    with _ONE_AT_A_TIME:
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

    with _ONE_AT_A_TIME:
        original = dict(registry)
        registry.update({name: registered(c) for name, c in by_name.items()})
        try:
            yield
        finally:
            registry.clear()
            registry.update(original)


def excluded_from_decay(optimizer: keras.optimizers.Optimizer) -> str | None:
    """Returns the pattern of names that were excluded from weight decay, if any."""
    pattern = vars(optimizer).get("_exclude_from_weight_decay_pattern")
    # Keras joins the names as a set has them, in any order.
    return None if pattern is None else "|".join(sorted(pattern.pattern.split("|")))


def excludes_variables_from_decay(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether variables themselves, which no other model has, were excluded."""
    return bool(vars(optimizer).get("_exclude_from_weight_decay"))


def keyword_arguments(loss: keras.losses.Loss) -> dict[str, Any]:
    """Returns the arguments that a loss of Keras's passes to its function; mutable."""
    return getattr(loss, "_fn_kwargs", {})


def all_layers(model: keras.Model) -> list[keras.Layer]:
    """Returns `model` and all layers in it, containers before contents."""
    return model._flatten_layers(include_self=True, recursive=True)


def _wrappers_and_leaves(optimizer: keras.optimizers.Optimizer) -> list:
    inner = getattr(optimizer, "inner_optimizer", None)
    return [optimizer, *(_wrappers_and_leaves(inner) if inner is not None else ())]


def gpu_memory() -> int | None:
    """Returns the bytes of the first GPU that TensorFlow may use, if there is one."""
    from tensorflow.python.client import device_lib

    for device in device_lib.list_local_devices():
        if device.device_type == "GPU":
            return int(device.memory_limit)
    return None
