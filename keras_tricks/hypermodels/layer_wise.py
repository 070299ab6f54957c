"""Optimizers whose learning rate differs from weight to weight."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import keras
from keras import ops

from keras_tricks.hypermodels.layers import PACKAGE
from keras_tricks.optimizers import AdamWeightDecay
from keras_tricks.optimizers import ClippedOptimizer

if TYPE_CHECKING:
    from keras.optimizers import Optimizer as _MixedInto
else:
    _MixedInto = object


def layer_wise(
    optimizer: ClippedOptimizer, factors: Sequence[float]
) -> ClippedOptimizer:
    """Returns an optimizer such as `optimizer`, whose rate has a factor by weight.

    Args:
        optimizer: What `hyper_optimizer` returns.
        factors: The factor of each weight, in the order of `trainable_variables`.

    Returns:
        A `ClippedOptimizer` of the same limit. Its inner optimizer is that of
        `optimizer` with the factors.

    Raises:
        ValueError: If the inner optimizer is none of `hyper_optimizer`'s.
    """
    inner = optimizer.inner_optimizer
    if type(inner) not in _LAYER_WISE:
        known = ", ".join(cls.__name__ for cls in _LAYER_WISE)
        raise ValueError(
            f"Rates that differ by layer are made for the optimizers {known}. "
            f"Received: {type(inner).__name__}"
        )
    config = inner.get_config() | {"factors": list(factors)}
    scaled = _LAYER_WISE[type(inner)].from_config(config)
    return ClippedOptimizer(scaled, global_clipnorm=optimizer.global_clipnorm)


class _LayerWise(_MixedInto):
    """Adds `factors` to an optimizer class.

    By place, not by name: a saved model that is loaded names its weights anew.
    """

    def __init__(self, *args: Any, factors: Sequence[float], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.factors = [float(factor) for factor in factors]

    def build(self, variables: Any) -> None:
        variables = list(variables)
        if len(variables) != len(self.factors):
            raise ValueError(
                "`factors` must hold one factor a weight, of which there are "
                f"{len(variables)}. Received: {len(self.factors)} factors"
            )
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype)
        rate = rate * ops.cast(self.factors[index], variable.dtype)
        super().update_step(gradient, variable, rate)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "factors": list(self.factors)}


@keras.saving.register_keras_serializable(PACKAGE, name="LayerWiseAdam")
class LayerWiseAdam(_LayerWise, keras.optimizers.Adam):
    """Adam with `factors`."""


@keras.saving.register_keras_serializable(PACKAGE, name="LayerWiseNadam")
class LayerWiseNadam(_LayerWise, keras.optimizers.Nadam):
    """Nadam with `factors`."""


@keras.saving.register_keras_serializable(PACKAGE, name="LayerWiseSGD")
class LayerWiseSGD(_LayerWise, keras.optimizers.SGD):
    """SGD with `factors`."""


@keras.saving.register_keras_serializable(PACKAGE, name="LayerWiseAdamWeightDecay")
class LayerWiseAdamWeightDecay(_LayerWise, AdamWeightDecay):
    """AdamWeightDecay with `factors`, which count for the decay, too."""


_LAYER_WISE: dict[type, type[keras.optimizers.Optimizer]] = {
    keras.optimizers.Adam: LayerWiseAdam,
    keras.optimizers.Nadam: LayerWiseNadam,
    AdamWeightDecay: LayerWiseAdamWeightDecay,
    keras.optimizers.SGD: LayerWiseSGD,
}
