"""The number of parameters of whatever has some."""

import inspect
import logging
import math
import operator
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import TypeAlias
from typing import TypeVar

import keras

from keras_tricks import _validation
from keras_tricks.parameters import keras_hooks
from keras_tricks.parameters.abstract_build import built_abstractly

Result = TypeVar("Result")

# A layer, a list of variables, a `tf.Module`, a TF1 graph, or what returns the first.
Countable: TypeAlias = Any

logger = logging.getLogger(__name__)


def count_parameters(
    what: Countable,
    trainable: bool | None = True,
    *,
    input_shape: Any = None,
    log: bool = False,
) -> int:
    """Returns the number of parameters of a model, without allocating any.

    `sum(prod(shape) for shape of each variable)`; a variable that several layers share
    counts once. What is built already is counted as it is. What is not is built with
    variables that have shapes and no values, in a thread of its own, which leaves no
    trace: neither weights nor names nor draws from the random generators.

    Args:
        what: A Keras model or layer; a list of variables, Keras's or TensorFlow's; a
            `tf.Module`; a `tf.compat.v1.Graph`; or a function without arguments that
            returns the first or the second, such as `lambda: hypermodel.build(hp)`.
            The function must make the layers that it returns, since those are of no
            use afterwards.
        trainable: `True` counts the variables that training changes, `False` the other
            ones, `None` all. Counters of an optimizer or a metric, and the states of
            random generators, are no parameters of a layer, as in Keras's
            `count_params()`.
        input_shape: The shape of the inputs, batch axis included, such as `(None, 64)`,
            or a list or dict of shapes. Needed for a model or layer that does not know
            it, and only for that.
        log: Whether to write the number to this module's logger, at level `INFO`.

    Raises:
        TypeError: If `what` is none of those, or `trainable` is not a bool or None.
        ValueError: If `what` is not built and its input shape is not known, if it
            cannot be copied, or if a variable's shape is not known.

    Example:

    >>> import keras
    >>> from keras_tricks.parameters import count_parameters
    >>> count_parameters(keras.Sequential([keras.layers.Dense(10)]), input_shape=(1, 64))
    650
    >>> def large():
    ...     layers = [keras.layers.Dense(1_000_000) for _ in range(3)]
    ...     return keras.Sequential([keras.Input((1_000_000,)), *layers])
    >>> count_parameters(large)  # 12 TB of weights
    3000003000000
    """  # noqa: E501
    trainable = _validation.plain(trainable)
    if trainable is not None and not isinstance(trainable, bool):
        raise TypeError(
            "`trainable` must be True, False or None (for all). "
            f"{_validation.received('trainable', trainable)}"
        )
    log = _validation.check_flag("log", log)
    count = with_weights(
        what, lambda weighty: _total(variables_of(weighty, trainable)), input_shape
    )
    if log:
        kind = {True: "trainable ", False: "non-trainable ", None: ""}[trainable]
        name = getattr(what, "name", None) or getattr(what, "__name__", "model")
        logger.info("%s has %s %sparameters", name, f"{count:,}", kind)
    return count


def with_weights(
    what: Countable, use: Callable[[Any], Result], input_shape: Any = None
) -> Result:
    """Returns `use(what)`, or of what `what` makes, once it has its variables.

    `use` may look at shapes and dtypes, not at values.
    """
    if isinstance(what, keras.Layer):
        if what.built:
            return use(what)
        if input_shape is None:
            raise _unknown_input_shape(what)
        return built_abstractly(lambda: use(_built(_copy(what), input_shape)))
    if _has_variables(what) or not callable(what):
        return use(what)

    def build_and_use() -> Result:
        made = what()
        if not isinstance(made, keras.Layer | list | tuple):
            raise TypeError(
                "The function must return a Keras model or layer, or a list of "
                f"variables. Received: {made!r} (of type {type(made).__name__})"
            )
        return use(_built(made, input_shape))

    return built_abstractly(build_and_use)


def check_countable(name: str, what: Any) -> None:
    """Raises `TypeError`, by the caller's name, where nothing could be counted."""
    is_list = isinstance(what, list | tuple) and all(map(_is_variable, what))
    is_counted = isinstance(what, keras.Layer) or _has_variables(what)
    if not (is_counted or is_list or callable(what)):
        raise TypeError(
            f"`{name}` must be a Keras model or layer, a list of variables, a "
            "tf.Module, a tf.compat.v1.Graph, or a function that returns a model. "
            f"{_validation.received(name, what, True)}"
        )


def variables_of(what: Any, trainable: bool | None = None) -> list[Any]:
    """Returns the distinct variables of a built layer, module, list or graph."""
    if isinstance(what, keras.Layer):
        # Keras's own lists: a frozen layer's variables may say that they are trainable.
        everything, trained = what.weights, what.trainable_weights
    elif hasattr(what, "get_collection"):
        # A variable may be in a local collection and trained nevertheless.
        trained = what.get_collection("trainable_variables")
        everything = [*trained, *what.get_collection("variables")]
    elif _has_variables(what):
        everything, trained = what.variables, what.trainable_variables
    elif isinstance(what, list | tuple) and all(map(_is_variable, what)):
        everything, trained = what, [v for v in what if v.trainable]
    else:
        raise TypeError(
            "`what` must be a Keras model or layer, a list of variables, a tf.Module, "
            "a tf.compat.v1.Graph, or a function that returns a model. "
            f"{_validation.received('what', what, True)}"
        )
    distinct = {id(variable): variable for variable in everything}
    trained_ids = {id(variable) for variable in trained}
    return [
        variable
        for key, variable in distinct.items()
        if trainable in (None, key in trained_ids)
    ]


def size_of(variable: Any) -> int:
    """Returns the number of a variable's elements."""
    shape = variable.shape
    if getattr(shape, "rank", 0) is None or any(size is None for size in shape):
        raise ValueError(
            f"The shape of each variable must be known. Received: {variable!r}"
        )
    return math.prod(shape)


def _total(variables: Iterable[Any]) -> int:
    return sum(size_of(variable) for variable in variables)


def _is_variable(what: Any) -> bool:
    return hasattr(what, "shape") and hasattr(what, "trainable")


def _has_variables(what: Any) -> bool:
    """Whether it is a `tf.Module`, a TF1 graph or the like."""
    if isinstance(what, type):
        return False  # A class has the properties, and no variables.
    return hasattr(what, "get_collection") or (
        hasattr(what, "trainable_variables") and hasattr(what, "variables")
    )


def _built(made: Any, input_shape: Any) -> Any:
    if isinstance(made, keras.Layer) and not made.built:
        if input_shape is None:
            raise _unknown_input_shape(made)
        # Unlike `build`, a call also builds the layers that are made in a call.
        made(_inputs(input_shape))
    return made


def _inputs(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: _inputs(inner) for name, inner in shape.items()}
    if not isinstance(shape, tuple | list):
        raise TypeError(
            "`input_shape` must be a tuple of sizes, batch axis included, such as "
            f"(None, 64), or a list or dict of those. Received: {shape!r}"
        )
    if any(isinstance(inner, tuple | list | dict) for inner in shape):
        return [_inputs(inner) for inner in shape]
    sizes = (None if size is None else operator.index(size) for size in shape)
    return keras.Input(batch_shape=tuple(sizes))


def _copy(layer: keras.Layer) -> keras.Layer:
    """Returns an unbuilt layer of the same configuration, frozen where it is."""
    remedy = (
        "Give a function that makes it instead: "
        "count_parameters(lambda: make_model(), input_shape=...)."
    )
    try:
        copy = type(layer).from_config(_accepted_config(layer))
    except Exception as error:
        raise ValueError(
            f"{layer.name} is not built, and its configuration, from which a copy of "
            f"it would be made, cannot be had ({type(error).__name__}). {remedy}"
        ) from error
    originals, copies = map(keras_hooks.all_layers, (layer, copy))
    if [type(inner) for inner in originals] != [type(inner) for inner in copies]:
        raise ValueError(
            f"{layer.name} is not built, and its configuration does not tell all of "
            f"its layers. {remedy}"
        )
    for original, copied in zip(originals, copies, strict=True):
        copied.trainable = original.trainable
    return copy


def _accepted_config(layer: keras.Layer) -> dict[str, Any]:
    """Returns the configuration without what a short `__init__` does not take."""
    config = layer.get_config()
    taken = inspect.signature(type(layer).__init__).parameters
    if any(taken[name].kind is inspect.Parameter.VAR_KEYWORD for name in taken):
        return config
    everywhere = {"name", "trainable", "dtype"}
    return {k: v for k, v in config.items() if k in taken or k not in everywhere}


def _unknown_input_shape(layer: keras.Layer) -> ValueError:
    return ValueError(
        f"{layer.name} is not built and its input shape is not known. Start the model "
        "with keras.Input(shape), call its build(input_shape), or pass it here: "
        "count_parameters(model, input_shape=(None, ...))."
    )
