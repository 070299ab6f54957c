"""The four ways to clip, each a function of final gradients.

Each returns the clipped gradients and whether the limit changed any of them, a boolean
scalar. The names are those of `ClippedOptimizer`'s arguments; of finite gradients, as
`nonfinite="zero"` leaves them, there is a global norm beyond float32 too.
"""

from typing import Any
from typing import TypeAlias

import numpy as np
from keras import ops

from keras_tricks.optimizers import gradients as gradient_ops

# The clipped gradients, and whether the limit changed any of them.
Clipped: TypeAlias = tuple[list, Any]

# NFNets' floor under the norm of a unit's weights, so that new zeros can move at all.
_LEAST_UNIT_NORM = np.float32(1e-3)


def global_clipnorm(gradients: list, variables: list, norm: Any, limit: Any) -> Clipped:
    """All gradients by one factor, so that their global norm is at most `limit`."""
    scale = gradient_ops.global_norm_scale(norm, limit)
    return gradient_ops.scaled(gradients, scale), norm > limit


def global_clipnorm_of_finite(
    gradients: list, variables: list, norm: Any, limit: Any
) -> Clipped:
    """As `global_clipnorm`, for gradients that are finite, whatever their norm is."""
    scale = gradient_ops.global_norm_scale(norm, limit)
    gradients, scale = gradient_ops.with_norm_in_range(gradients, scale, norm, limit)
    return gradient_ops.scaled(gradients, scale), norm > limit


def clipnorm(gradients: list, variables: list, norm: Any, limit: Any) -> Clipped:
    """Each gradient by a factor of its own: `limit / max(its norm, limit)`."""
    norms = gradient_ops.norms(gradients)
    scales = gradient_ops.separate_scales(norms, limit)
    each = [scales[number] for number in range(len(gradients))]
    return gradient_ops.scaled(gradients, each), ops.any(norms > limit)


def clipvalue(gradients: list, variables: list, norm: Any, limit: Any) -> Clipped:
    """Each number to the range from `-limit` to `limit`."""

    def clip(values: Any) -> Any:
        bound = ops.cast(limit, values.dtype)
        # XLA's clip ignores a bound that is NaN.
        return ops.where(ops.isnan(bound), bound, ops.clip(values, -bound, bound))

    clipped = [gradient_ops.map_values(clip, gradient) for gradient in gradients]
    beyond = [
        ops.any(ops.abs(gradient_ops.values_of(g)) > ops.cast(limit, g.dtype))
        for g in gradients
    ]
    return clipped, ops.any(ops.stack(beyond))


def adaptive_clip(gradients: list, variables: list, norm: Any, limit: Any) -> Clipped:
    """Each unit's gradient to at most `limit` times the norm of the unit's weights."""
    scales, beyond = [], []
    for gradient, variable in zip(gradients, variables, strict=True):
        sparse = gradient_ops.is_sparse(gradient)
        weights = ops.convert_to_tensor(variable)
        if sparse:
            weights = ops.take(weights, gradient.indices, axis=0)
        unit_norms = gradient_ops.unit_norms
        largest = limit * ops.maximum(
            unit_norms(weights, sparse_rows=sparse), _LEAST_UNIT_NORM
        )
        norms = unit_norms(gradient_ops.values_of(gradient), sparse_rows=sparse)
        scales.append(gradient_ops.separate_scales(norms, largest))
        beyond.append(ops.any(norms > largest))
    return gradient_ops.scaled(gradients, scales), ops.any(ops.stack(beyond))
