"""A function of one trial, computed for all trials of a pack at once.

TensorFlow converts operation by operation. For those here it has no form over several
trials, and takes a loop over them, which is slow in itself and keeps one core waiting.
"""

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_tricks.training.compiled import keras_hooks
from keras_tricks.training.compiled.functional_model import Steps

# Bytes of a trial's weights and slots, about what a core's own cache holds.
LARGEST_VECTORIZED = 2**20


class NotVectorizedError(Exception):
    """TensorFlow cannot compute a function for several trials at once."""


def vectorized(function: Callable[[Any], Any], stacked: Any) -> Any:
    """Returns `function` of each trial, as `tf.vectorized_map` does.

    Args:
        function: Of one trial's tensors, in any nest.
        stacked: The nest, with a first axis of trials.

    Raises:
        NotVectorizedError: If TensorFlow cannot.

    Example:

    >>> import tensorflow as tf
    >>> from keras_tricks.training.compiled.vectorized_map import vectorized
    >>> losses = vectorized(tf.nn.l2_loss, tf.constant([[2.0, 0.0], [2.0, 2.0]]))
    >>> losses.numpy().tolist()
    [2.0, 4.0]
    """
    with keras_hooks.both_branches(), keras_hooks.conversions(_CONVERSIONS):
        try:
            return tf.vectorized_map(function, stacked, warn=False)
        except Exception as error:
            # TensorFlow's own words get lost on the way, where it wants to tell where
            # an operation was made that has come with a graph.
            raise NotVectorizedError(
                f"TensorFlow cannot vectorise an operation ({type(error).__name__})"
            ) from error


def _l2_loss(operation: Any, inputs: list) -> list:
    (values,) = inputs
    axes = list(range(1, len(values.shape)))
    return [tf.reduce_sum(tf.square(values), axes) / 2]


def _bitcast(operation: Any, inputs: list) -> list:
    return [tf.bitcast(inputs[0], operation.outputs[0].dtype)]


def _each(operation: Any, inputs: list) -> list:
    """One operation for each trial: TensorFlow runs them side by side.

    For convolutions on a CPU that is faster than windows and a batched product, whose
    memory traffic costs more than it saves.
    """
    run = getattr(tf.raw_ops, operation.type)
    names = [argument.name for argument in operation.op_def.input_arg]
    attributes = {
        name: operation.get_attr(name)
        for name in inspect.signature(run).parameters
        if name not in (*names, "name")
    }
    (num_trials,) = {t.shape[0] for t, stacked in inputs if stacked}
    each = [_unstacked(t) if stacked else [t] * num_trials for t, stacked in inputs]
    outputs = [
        tf.nest.flatten(run(**dict(zip(names, own, strict=True)), **attributes))
        for own in zip(*each, strict=True)
    ]
    return [tf.stack(output) for output in zip(*outputs, strict=True)]


def _unstacked(tensor: Any) -> list:
    """Returns the parts of a tensor along its first axis."""
    if tensor.dtype != tf.uint64:
        return tf.unstack(tensor)
    # Keys of random generators, which GPUs have no kernel to take apart.
    return [
        tf.bitcast(part, tf.uint64) for part in tf.unstack(tf.bitcast(tensor, tf.int64))
    ]


_ONE_BY_ONE = (
    "Conv2D",
    "Conv2DBackpropInput",
    "Conv2DBackpropFilter",
    # Each trial has a seed of its own.
    "StatelessRandomGetKeyCounter",
    "StatelessRandomUniformV2",
    "StatelessRandomNormalV2",
    "StatelessTruncatedNormalV2",
)

_CONVERSIONS = {
    "L2Loss": keras_hooks.Conversion(_l2_loss),
    "Bitcast": keras_hooks.Conversion(_bitcast),
    **{name: keras_hooks.Conversion(_each, some_stacked=True) for name in _ONE_BY_ONE},
}


def is_worth_vectorizing(functional: Steps) -> bool:
    """Whether a step of several trials can be had, and is quicker than a step of each.

    It is quicker on a GPU, and where operations take less time than it takes to begin
    them. On a processor, weights of several trials that no longer fit into its cache
    take longer than those of one after the other.
    """
    if not functional.vectorizes:
        return False
    if tf.config.list_logical_devices("GPU"):
        return True
    start = functional.start
    updated = start.trainable + start.optimizer
    return num_bytes(updated) <= LARGEST_VECTORIZED


def num_bytes(tensors: Any) -> int:
    """Returns the bytes of all tensors of a nest."""
    return sum(
        tensor.dtype.size * tensor.shape.num_elements()
        for tensor in tf.nest.flatten(tensors)
    )
