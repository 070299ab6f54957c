"""The memory that a step of training takes, from its graph and before it runs."""

from __future__ import annotations

import collections
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_tricks.probes.kept_model import variables_of

# The sizes at which a step is traced, so large that it is the activations that count;
# what it takes is a line through the two.
_TRACED = 2048, 4096
# A loop keeps what its steps need for the gradients in lists, of no known size.
_LOOPS = ("While", "StatelessWhile")


def predicted_bytes(model: keras.Model, batch: Any) -> tuple[int, float] | None:
    """Returns the bytes that a step takes whatever its batch is, and those an example.

    The first are weights, their gradients and the optimizer's state, the second the
    inputs and the activations that wait for their gradients. The step is traced for two
    sizes of the batch, and its tensors are counted as they are needed one after the
    other. What XLA fuses, and what a kernel takes for itself, is not seen.

    Args:
        model: A compiled model.
        batch: `(x, y)` or `(x, y, weights)` as tensors, of at least one example.

    Returns:
        None where the step cannot be traced, or has a loop, as recurrent layers do.
    """
    try:
        small, large = (_peak_of_step(model, batch, size) for size in _TRACED)
    except Exception:  # The model's own code, of whatever kind.
        return None
    if small is None or large is None:
        return None
    per_example = max(0.0, (large - small) / (_TRACED[1] - _TRACED[0]))
    fixed = max(0.0, small - per_example * _TRACED[0])
    state = sum(_bytes(v.shape, v.dtype) for v in variables_of(model))
    return int(state + fixed), per_example


def _peak_of_step(model: keras.Model, batch: Any, size: int) -> int | None:
    specs = tf.nest.map_structure(
        lambda each: tf.TensorSpec([size, *each.shape[1:]], each.dtype), batch
    )

    @tf.function(autograph=False)
    def step(data: Any) -> Any:
        return model.distribute_strategy.run(model.train_step, args=(data,))

    graph = step.get_concrete_function(specs).graph
    if any(operation.type in _LOOPS for operation in graph.get_operations()):
        return None
    return peak_bytes(graph)


def peak_bytes(graph: tf.Graph) -> int:
    """Returns the most bytes that the tensors of a graph take at one time.

    Operations run in the order in which they were made, and a tensor is there until its
    last reader has run. Tensors of unknown size, and variables, count nothing.

    Example:

    >>> import tensorflow as tf
    >>> from keras_tricks.probes.step_memory import peak_bytes
    >>> graph = tf.Graph()
    >>> with graph.as_default():
    ...     chain = tf.zeros([256])  # 1 KiB; three in a row, of which two are needed.
    ...     for _ in range(3):
    ...         chain = tf.sin(chain)
    >>> peak_bytes(graph)
    2048
    """
    operations = graph.get_operations()
    last_reader: dict[int, int] = {}
    for number, operation in enumerate(operations):
        for tensor in (*operation.outputs, *operation.inputs):
            last_reader[id(tensor)] = number
    freed: dict[int, int] = collections.defaultdict(int)
    held = peak = 0
    for number, operation in enumerate(operations):
        for tensor in operation.outputs:
            size = _bytes(tensor.shape, tensor.dtype)
            held += size
            freed[last_reader[id(tensor)]] += size
        peak = max(peak, held)
        held -= freed[number]
    return peak


def _bytes(shape: Any, dtype: Any) -> int:
    """Returns the bytes of a tensor, 0 where they are not known."""
    shape = tf.TensorShape(shape)
    if not shape.is_fully_defined():
        return 0
    size = tf.as_dtype(dtype).size or 0  # Resources and variants have none.
    return int(np.prod(shape.as_list(), dtype="int64")) * size
