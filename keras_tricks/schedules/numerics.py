"""Functions whose float32 kernels give a vector other bits than a scalar.

TensorFlow's kernels compute them by one method for the packets of a vector and by
another for a single number, up to 3 ulp apart. In float64 they differ too, but float32
does not show it. JAX has no float64 by default, and computes scalars as it does
vectors.
"""

import math
from typing import Any

import keras
from keras import ops


def _widest() -> str:
    return "float32" if keras.backend.backend() == "jax" else "float64"


def raised_cosine(share: Any) -> Any:
    """Returns `(1 - cos(pi * share)) / 2`, which goes from 0 to 1 as `share` does.

    Args:
        share: Float32 tensor.
    """
    # The square of the sine is the same, and exact to its last digit near 0.
    angle = ops.multiply(ops.cast(share, _widest()), math.pi / 2)
    return ops.cast(ops.square(ops.sin(angle)), "float32")


def power_of_step(base: float, step: Any) -> Any:
    """Returns `base**step` as float32, `base` being as close to 1 as it may be.

    Args:
        base: A positive Python float. In float32 0.999999999 would be 1, its logarithm
            is not 0.
        step: Integer tensor.
    """
    exponent = ops.multiply(ops.cast(step, _widest()), math.log(base))
    return ops.cast(ops.exp(exponent), "float32")
