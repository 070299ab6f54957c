"""Exact arithmetic on the counter of optimizer updates.

A float32 counter cannot tell neighbouring steps apart above 2**24, so boundaries
are compared as integers, and only ratios of steps become floats.
"""

import keras
import numpy as np
from keras import ops


def as_step(step):
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


def ratio(step, total: int):
    """Returns `step / total` in float32: cast first, then divide, as TF1 does."""
    return ops.divide(ops.cast(step, "float32"), np.float32(total))
