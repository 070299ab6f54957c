"""Exact arithmetic on the counter of optimizer updates.

A float32 counter cannot tell neighbouring steps apart above 2**24, so boundaries
are compared as integers, and only ratios of steps become floats.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.schedules import tensorflow_hooks


def as_step(step: Any) -> Any:
    """Returns `step` as an integer tensor, negative steps clamped to 0.

    Args:
        step: Python int, NumPy array, tensor or `keras.Variable`, of any shape and
            of an integer or float dtype (a fraction is cut off).

    Returns:
        Tensor of the same shape: int64 on TensorFlow, int32 on JAX and torch, which
        is the dtype of the counter of Keras's optimizers there.
    """
    dtype = keras.backend.standardize_dtype("int")
    if isinstance(step, int):
        # Without a dtype a Python int becomes int32 and overflows at 2**31.
        step = ops.convert_to_tensor(step, dtype=dtype)
    return ops.maximum(ops.cast(step, dtype), 0)


def count(number: int) -> Any:
    """Returns a number of steps in the dtype of steps.

    Where that is int32 a larger number becomes the largest one, which no counter there
    goes beyond.
    """
    dtype = keras.backend.standardize_dtype("int")
    largest = np.iinfo(dtype).max
    return ops.convert_to_tensor(min(number, largest), dtype=dtype)


def ratio(step: Any, total: Any) -> Any:
    """Returns `step / total` in float32: cast first, then divide, as TF1 does.

    Args:
        step: Integer tensor.
        total: A Python int, or a float32 tensor.
    """
    step = ops.cast(step, "float32")
    if isinstance(total, int):
        total = np.float32(total)
        if tensorflow_hooks.compiled_by_xla():
            # XLA replaces the division by a constant with a product with its
            # reciprocal, up to 30 times less exact; it does not know that this is one.
            # TF1's graph rewriter does the same, but its bits are what a graph of
            # TensorFlow shall have.
            total = ops.add(ops.multiply(step, np.float32(0)), total)
    return ops.divide(step, total)


def share_left(step: Any, total: int) -> Any:
    """Returns `max(1 - step / total, 0)` in float32, exactly 0 from `total` on.

    Args:
        step: Integer tensor, never negative.
        total: Steps of the whole, >= 1.
    """
    left = ops.subtract(np.float32(1), ratio(step, total))
    # TensorFlow's graph rewriter divides by multiplying with the reciprocal. Where that
    # misses 1 at the end, the steps that are left, 1 or more before the end, mend it.
    whole = np.float32(total)
    if np.float32(1) / whole * whole != 1:
        left = ops.minimum(left, ops.subtract(whole, ops.cast(step, "float32")))
    return ops.maximum(left, np.float32(0))
