"""Norms of gradients, dense and sparse, and their scaling.

The formulas of the global norm are those of `tf.clip_by_global_norm`, operation for
operation, since its results are the reference that they are held against bit by bit.
A sparse gradient is a `tf.IndexedSlices`, as embeddings have them on TensorFlow.
"""

from collections.abc import Callable
from typing import Any
from typing import Literal
from typing import TypeAlias
from typing import get_args

import keras
import numpy as np
from keras import ops

# A tensor, or the `tf.IndexedSlices` of an embedding.
Gradient: TypeAlias = Any

SparseNorm = Literal["raw", "dedup"]
SPARSE_NORMS = get_args(SparseNorm)

# From here on squares may overflow float32; their sum does at a norm of 2**64.
_LARGE_NORM = np.float32(2.0**60)
# Brings all norms that float32 can hold to where it can hold their squares.
_SMALL = np.float32(2.0**-70)
# Brings the largest norms of finite numbers near to 1; a limit over them is not 0.
_SMALLER = np.float32(2.0**-126)
# Numbers up to here can be squared, and 2**64 of the squares added.
_LARGE_NUMBER = np.float32(2.0**32)
# Limits have these and their reciprocals in the normal numbers of float32.
LEAST_LIMIT = np.float32(2.0**-126)
GREATEST_LIMIT = np.float32(2.0**126)


def is_sparse(gradient: Gradient) -> bool:
    """Whether `gradient` is a `tf.IndexedSlices`."""
    # torch gives every tensor `indices` and `values`.
    return hasattr(gradient, "indices") and hasattr(gradient, "dense_shape")


def values_of(gradient: Gradient) -> Any:
    """Returns the numbers of a gradient: a sparse one's rows, a dense one itself."""
    return gradient.values if is_sparse(gradient) else gradient


def map_values(function: Callable[..., Any], gradient: Gradient) -> Gradient:
    """Returns the gradient with `function` applied to its numbers; sparse stays so."""
    values = function(values_of(gradient))
    if is_sparse(gradient):
        return type(gradient)(values, gradient.indices, gradient.dense_shape)
    return values


def deduplicated(gradient: Gradient) -> Gradient:
    """Returns a sparse gradient with the rows of one index added up into one row."""
    if not is_sparse(gradient):
        return gradient
    import tensorflow as tf

    indices, position = tf.unique(gradient.indices)
    rows = tf.math.unsorted_segment_sum(gradient.values, position, tf.shape(indices)[0])
    return tf.IndexedSlices(rows, indices, gradient.dense_shape)


def _at_least_float32(values: Any) -> Any:
    # Squares of float16 overflow beyond 256.
    if keras.backend.standardize_dtype(values.dtype) in ("float16", "bfloat16"):
        return ops.cast(values, "float32")
    return values


def _half_squared_norm(values: Any) -> Any:
    values = _at_least_float32(values)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The one op that TF1's global norm uses; a sum of squares rounds differently.
        half = tf.nn.l2_loss(values)
    else:
        half = ops.sum(ops.square(values)) / 2
    return ops.cast(half, "float32")


def norms(gradients: list) -> Any:
    """Returns the L2 norm of each gradient, in one float32 vector."""
    halves = ops.stack([_half_squared_norm(values_of(g)) for g in gradients])
    plain = ops.sqrt(ops.multiply(halves, np.float32(2)))
    return ops.cond(
        ops.any(ops.greater(plain, _LARGE_NORM)),
        lambda: ops.where(
            ops.greater(plain, _LARGE_NORM),
            ops.stack(
                [
                    _large_global_norm([g], plain[number])
                    for number, g in enumerate(gradients)
                ]
            ),
            plain,
        ),
        lambda: plain,
    )


def global_norm(gradients: list) -> Any:
    """Returns the L2 norm of all gradients together, a float32 scalar.

    `sqrt(2 * sum(sum(g**2) / 2 for g in gradients))`, the sums taken in float32 at
    least. Of a sparse gradient the rows count as they are; see `deduplicated`.
    """
    halves = ops.stack([_half_squared_norm(values_of(g)) for g in gradients])
    norm = ops.sqrt(ops.multiply(ops.sum(halves), np.float32(2)))
    return ops.cond(
        # False for NaN, which is what the plain norm is then to report.
        ops.greater(norm, _LARGE_NORM),
        lambda: _large_global_norm(gradients, norm),
        lambda: norm,
    )


def _large_global_norm(gradients: list, plain_norm: Any) -> Any:
    """The same, with a power of two taken out before squaring, which rounds nothing."""
    power = _not_folded(_SMALL, plain_norm)
    return ops.divide(_plain_norm(_times_power(gradients, power)), power)


def _plain_norm(all_values: list) -> Any:
    halves = ops.stack([_half_squared_norm(values) for values in all_values])
    return ops.sqrt(ops.multiply(ops.sum(halves), np.float32(2)))


def _times_power(gradients: list, power: Any) -> list:
    """Returns the numbers of each gradient times a power of two."""
    wide = [_at_least_float32(values_of(gradient)) for gradient in gradients]
    return [ops.multiply(values, ops.cast(power, values.dtype)) for values in wide]


def _not_folded(power: Any, norm: Any) -> Any:
    """Returns `power` for a norm above 0, as a number that XLA does not know.

    Of `(c * x)**2` for a single number `x` it would make `c**2 * x**2`, which are 0 and
    infinite in float32.
    """
    return ops.where(ops.greater(norm, np.float32(0)), power, np.float32(1))


def global_norm_scale(norm: Any, limit: Any) -> Any:
    """Returns the factor that brings gradients of global norm `norm` to `limit`.

    `limit * min(1 / norm, 1 / limit)`: 1 up to rounding below the limit, and 0 for a
    limit of 0. A norm that is not finite makes it NaN, so that the fault shows.
    """
    one = np.float32(1)
    inverse = ops.minimum(ops.divide(one, norm), ops.divide(one, limit))
    scale = _zero_for_limit_0(ops.multiply(limit, inverse), limit)
    return ops.add(scale, ops.subtract(norm, norm))


def with_norm_in_range(
    gradients: list, scale: Any, norm: Any, limit: Any
) -> tuple[list, Any]:
    """Returns gradients and their scale, mended where the scale is NaN or rounds to 0.

    That is where the norm of finite gradients, or its reciprocal, is beyond float32. A
    power of two is then taken out of the gradients first, which leaves them their
    direction. All others stay as they are: only their product with the scale, which XLA
    fuses with what comes next, has the bits that it always had.

    Args:
        gradients: Gradients, all finite.
        scale: Their `global_norm_scale(norm, limit)`.
        norm: Their global norm, a float32 scalar.
        limit: Their limit, a float32 scalar.
    """

    def mended() -> tuple[list, Any]:
        small = _times_power(gradients, _not_folded(_SMALLER, norm))
        small_norm = _plain_norm(small)
        values = [
            ops.cast(new, values_of(gradient).dtype)
            for new, gradient in zip(small, gradients, strict=True)
        ]
        return values, ops.divide(limit, small_norm)

    values, scale = ops.cond(
        ops.greater(norm, GREATEST_LIMIT),
        mended,
        lambda: ([values_of(gradient) for gradient in gradients], scale),
    )
    in_range = [
        map_values(lambda _, new=new: new, gradient)
        for gradient, new in zip(gradients, values, strict=True)
    ]
    return in_range, scale


def separate_scales(norms: Any, limits: Any) -> Any:
    """Returns the factors that bring gradients of given norms to their limits.

    `limit / max(norm, limit)`, and 0 for a limit of 0.

    Args:
        norms: Float32 tensor of norms.
        limits: Their limits, a scalar or a tensor of the same shape.
    """
    # The quotient is 1 below the limit, but 0 / 0 is NaN, as is inf / inf.
    scales = ops.where(norms <= limits, np.float32(1), ops.divide(limits, norms))
    return _zero_for_limit_0(scales, limits)


def _zero_for_limit_0(scales: Any, limits: Any) -> Any:
    # Numbers too small for 1 / limit to be finite count as 0, as they do in TensorFlow,
    # which flushes them. Of a NaN the comparison is false, and the NaN stays.
    return ops.where(limits < LEAST_LIMIT, np.float32(0), scales)


def scaled(gradients: list, scales: Any) -> list:
    """Returns each gradient times its scale, in its own dtype; sparse stays sparse.

    Args:
        gradients: Gradients of any float dtypes.
        scales: One scalar for all, or a list of one tensor for each.
    """
    if not isinstance(scales, list):
        scales = [scales] * len(gradients)

    def times(values: Any, scale: Any) -> Any:
        # In float16 a scale below 6e-8 would be 0.
        wide = _at_least_float32(values)
        return ops.cast(ops.multiply(wide, ops.cast(scale, wide.dtype)), values.dtype)

    return [
        map_values(lambda values, scale=scale: times(values, scale), gradient)
        for gradient, scale in zip(gradients, scales, strict=True)
    ]


def zero_where_not_finite(gradients: list) -> list:
    """Returns the gradients with 0 in the place of every NaN and infinity."""

    def zeroed(values: Any) -> Any:
        # A scalar: XLA does not know that as many rows as `tf.unique` leaves are zeros.
        return ops.where(ops.isfinite(values), values, ops.zeros((), values.dtype))

    return [map_values(zeroed, gradient) for gradient in gradients]


def unit_norms(tensor: Any, *, sparse_rows: bool = False) -> Any:
    """Returns the L2 norm of each unit of a weight, its axes kept with length 1.

    A unit is what one output neuron is made from: a vector or scalar as a whole (also
    one with further axes of length 1), the first axis of matrices and 3D tensors, and
    all axes but the last of convolution kernels. Of the rows of an embedding's sparse
    gradient it is each row.
    """
    tensor = ops.cast(_at_least_float32(tensor), "float32")
    rank = len(tensor.shape)
    if sparse_rows:
        axes: tuple[int, ...] | None = tuple(range(1, rank))
    elif sum(length != 1 for length in tensor.shape) <= 1:
        axes = None
    else:
        axes = (0,) if rank <= 3 else tuple(range(rank - 1))
    largest = ops.max(ops.abs(tensor), axis=axes, keepdims=True)
    factor = ops.where(largest > _LARGE_NUMBER, _SMALL, np.float32(1))
    squares = ops.square(ops.multiply(tensor, factor))
    return ops.sqrt(ops.sum(squares, axis=axes, keepdims=True)) / factor


def prevent_constant_folding(gradients: list) -> list:
    """Keeps TensorFlow from reordering `(gradient * scale) * learning_rate`.

    Grappler would fold the two factors into one and round differently from TF1; an
    identity over several tensors at once is something that it does not look through.
    """
    if keras.backend.backend() != "tensorflow":
        return gradients
    import tensorflow as tf

    values = [values_of(gradient) for gradient in gradients]
    # Grappler does look through the identity of a single tensor.
    kept = list(tf.identity_n([*values, values[0]]))[:-1]
    return [
        map_values(lambda _, new=new: new, gradient)
        for gradient, new in zip(gradients, kept, strict=True)
    ]


def dense(gradient: Gradient) -> Any:
    """Returns a gradient as a dense tensor, the rows of one index added up.

    Keras's own operations take a `tf.IndexedSlices` row by row: of a row that comes
    twice they square each part, not the sum.
    """
    if not is_sparse(gradient):
        return gradient
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)


def usable_places(grads: list, variables: list[keras.Variable]) -> list[int]:
    """Returns the places of the gradients that update a variable.

    Args:
        grads: The gradients, `None` where there is none.
        variables: Their variables.
    """
    return [
        place
        for place, (gradient, variable) in enumerate(
            zip(grads, variables, strict=False)
        )
        if gradient is not None
        # float8 training puts statistics, no gradients, in the place of some.
        and not getattr(variable, "overwrite_with_gradient", False)
    ]
