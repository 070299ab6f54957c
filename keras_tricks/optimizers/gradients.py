"""Norms and scaling of lists of gradients, dense and sparse.

The formulas are those of `tf.clip_by_global_norm`, operation for operation, since
its results are the reference that they are compared with bit by bit.
"""

import keras
import numpy as np
from keras import ops


def is_sparse(gradient) -> bool:
    """Whether `gradient` is a `tf.IndexedSlices`, as embeddings have them."""
    return hasattr(gradient, "indices") and hasattr(gradient, "values")


def values_of(gradient):
    """Returns the numbers of a gradient: a sparse one's rows, a dense one itself."""
    return gradient.values if is_sparse(gradient) else gradient


def scaled(gradients: list, scale) -> list:
    """Returns each `gradient * scale` in its own dtype; sparse ones stay sparse."""
    products = [
        ops.multiply(values_of(g), ops.cast(scale, values_of(g).dtype))
        for g in gradients
    ]
    products = _rounded_before_use(products)
    return [
        type(gradient)(product, gradient.indices, gradient.dense_shape)
        if is_sparse(gradient)
        else product
        for gradient, product in zip(gradients, products, strict=True)
    ]


def _rounded_before_use(products: list) -> list:
    """Keeps TensorFlow from reordering `(gradient * scale) * learning_rate`.

    Grappler would fold the two factors into one and round differently from TF1; an
    identity over several tensors at once is something that it does not look through.
    """
    if keras.backend.backend() != "tensorflow":
        return products
    import tensorflow as tf

    # Grappler does look through the identity of a single tensor.
    return list(tf.identity_n([*products, products[0]]))[:-1]


def _half_squared_norm(gradient):
    # Squares of float16 overflow beyond 256, so at least float32 is summed.
    values = values_of(gradient)
    dtype = keras.backend.standardize_dtype(values.dtype)
    if dtype in ("float16", "bfloat16"):
        values = ops.cast(values, "float32")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The one op that TF1's global norm uses; ops.sum rounds differently.
        half = tf.nn.l2_loss(values)
    else:
        half = ops.sum(ops.square(values)) / 2
    return ops.cast(half, "float32")


def global_norm(gradients):
    """Returns the L2 norm of all gradients together, a float32 scalar.

    `sqrt(2 * sum(sum(g**2) / 2 for g in gradients))`, the sums taken in float32 at
    least. Of a sparse gradient the raw rows count, as in TF1: rows with the same
    index are not added up first.
    """
    halves = ops.stack([_half_squared_norm(gradient) for gradient in gradients])
    return ops.sqrt(ops.multiply(ops.sum(halves), np.float32(2)))


def global_norm_scale(norm, limit):
    """Returns the factor that brings gradients of global norm `norm` to `limit`.

    `limit * min(1 / norm, 1 / limit)`: 1 up to rounding below the limit. A norm that
    is not finite makes it NaN, so that the fault shows.
    """
    limit = ops.cast(limit, "float32")
    one = np.float32(1)
    scale = ops.multiply(
        limit, ops.minimum(ops.divide(one, norm), ops.divide(one, limit))
    )
    return ops.add(scale, ops.subtract(norm, norm))
