"""The rate of SGD that SWATS finds in the steps of another optimizer."""

from typing import Any

import keras
from keras import ops

from keras_tricks.optimizers import gradients as gradient_ops
from keras_tricks.optimizers import state


class ProjectedRate:
    """The mean of the projected rates; see `SwitchedOptimizer` for the formula.

    Args:
        owner: The optimizer whose state it is part of.
        decay: Decay of the mean.
    """

    def __init__(self, owner: keras.optimizers.Optimizer, decay: float):
        self._decay = float(decay)
        self._mean = state.scalar(owner, "projected_rate", 0.0)
        # The decay to the power of the number of rates that are in the mean.
        self._left = state.scalar(owner, "projected_rate_left", 1.0)
        self._count = state.scalar(owner, "projected_rates", 0, "int")

    def record(self, changes: list, gradients: list) -> tuple[Any, Any, Any]:
        """Takes a step into the mean.

        Args:
            changes: What the step has added to the weights.
            gradients: Its gradients.

        Returns:
            The mean without bias, how far the step's own rate is from it, and how many
            rates are in it.
        """
        squares, products = zip(*map(_products, changes, gradients), strict=True)
        square, product = sum(squares), -sum(products)
        is_rate = ops.not_equal(product, 0)
        own = square / ops.where(is_rate, product, 1.0)
        is_rate = ops.logical_and(is_rate, ops.isfinite(own))
        own = ops.where(is_rate, own, 0.0)
        mean, left = (ops.convert_to_tensor(v) for v in (self._mean, self._left))
        count = ops.convert_to_tensor(self._count)
        mean = ops.where(is_rate, self._decay * mean + (1 - self._decay) * own, mean)
        left = ops.where(is_rate, self._decay * left, left)
        count = count + ops.cast(is_rate, count.dtype)
        self._mean.assign(mean)
        self._left.assign(left)
        self._count.assign(count)
        rate = _without_bias(mean, left)
        distance = ops.where(is_rate, ops.absolute(rate - own), float("inf"))
        return rate, distance, count

    def rate(self) -> Any:
        """Returns the mean without bias; 0 before the first step."""
        return _without_bias(*map(ops.convert_to_tensor, (self._mean, self._left)))


def _products(change: Any, gradient: Any) -> tuple[Any, Any]:
    change = ops.cast(change, "float32")
    gradient = ops.cast(gradient_ops.dense(gradient), "float32")
    return ops.sum(ops.square(change)), ops.sum(change * gradient)


def _without_bias(mean: Any, left: Any) -> Any:
    return mean / ops.maximum(1 - left, 1e-30)
