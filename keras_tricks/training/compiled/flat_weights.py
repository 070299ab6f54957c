"""Layouts of a step's weights: each by itself, or all in one vector."""

import keras
import tensorflow as tf

from keras_tricks.optimizers import ClippedOptimizer
from keras_tricks.parameters.keras_hooks import all_layers

# They update each number by itself, whichever weight it belongs to.
_BY_NUMBER = (
    keras.optimizers.SGD,
    keras.optimizers.Adam,
    keras.optimizers.Nadam,
    keras.optimizers.Adamax,
    keras.optimizers.RMSprop,
    keras.optimizers.Adagrad,
    keras.optimizers.Adadelta,
    keras.optimizers.Lion,
)
_CLIPS_BY_WEIGHT = ("clipnorm", "adaptive_clip")


class SeparateWeights:
    """Each weight by itself, as the model has them."""

    def __init__(self, variables: list):
        self.variables = variables

    def join(self, weights: list, num_leading_axes: int = 0) -> list:
        """Returns what a step carries.

        Args:
            weights: In the order of the model.
            num_leading_axes: 1 if there is an axis of trials, else 0.
        """
        return weights

    def part(self, carried: list, num_leading_axes: int = 0) -> list:
        """Returns the weights of what a step carries."""
        return carried


class FlatWeights:
    """One vector of all weights: a fraction of the operations, for the same numbers.

    Args:
        variables: The model's weights.

    Attributes:
        variables: The variable, a single one, that the optimizer is to update.

    Example:

    >>> import keras, numpy
    >>> from keras_tricks.training.compiled.flat_weights import FlatWeights
    >>> weights = [keras.Variable([[1.0], [2.0]]), keras.Variable([3.0])]
    >>> layout = FlatWeights(weights)
    >>> joined = layout.join([weight.numpy() for weight in weights])
    >>> joined[0].numpy().tolist()
    [1.0, 2.0, 3.0]
    >>> [part.numpy().tolist() for part in layout.part(joined)]
    [[[1.0], [2.0]], [3.0]]
    """

    def __init__(self, variables: list):
        self._shapes = [tuple(variable.shape) for variable in variables]
        self._sizes = [tf.TensorShape(shape).num_elements() for shape in self._shapes]
        self.variables = [
            keras.Variable(
                tf.zeros(sum(self._sizes)), dtype=variables[0].dtype, name="weights"
            )
        ]

    def join(self, weights: list, num_leading_axes: int = 0) -> list:
        """See `SeparateWeights.join`."""
        flat = [
            tf.reshape(weight, [*weight.shape[:num_leading_axes], size])
            for weight, size in zip(weights, self._sizes, strict=True)
        ]
        return [tf.concat(flat, axis=-1)]

    def part(self, carried: list, num_leading_axes: int = 0) -> list:
        """See `SeparateWeights.part`."""
        (joined,) = carried
        leading = joined.shape[:num_leading_axes]
        return [
            tf.reshape(part, [*leading, *shape])
            for part, shape in zip(
                tf.split(joined, self._sizes, axis=-1), self._shapes, strict=True
            )
        ]


def layout_of(
    model: keras.Model, may_join: bool = True
) -> SeparateWeights | FlatWeights:
    """Returns how the steps of a compiled model are to carry its weights.

    Args:
        model: The model.
        may_join: Whether they may be one vector.
    """
    variables = model.trainable_variables
    if (
        may_join
        and _updates_by_number(model.optimizer)
        and _may_be_joined(model, variables)
    ):
        return FlatWeights(variables)
    return SeparateWeights(variables)


def _updates_by_number(optimizer: keras.optimizers.Optimizer) -> bool:
    if isinstance(optimizer, ClippedOptimizer):
        by_weight = any(getattr(optimizer, kind) for kind in _CLIPS_BY_WEIGHT)
        return not by_weight and _updates_by_number(optimizer.inner_optimizer)
    return (
        type(optimizer) in _BY_NUMBER
        and optimizer.clipnorm is None
        # It leaves weights alone that have a certain name, or no gradient.
        and not optimizer.weight_decay
    )


def _may_be_joined(model: keras.Model, variables: list) -> bool:
    return (
        len(variables) > 1
        and len({variable.dtype for variable in variables}) == 1
        and all(variable.constraint is None for variable in variables)
        # Their gradients are sparse, and mostly larger than all the rest.
        and not any(
            isinstance(layer, keras.layers.Embedding) for layer in all_layers(model)
        )
    )
