"""An optimizer wrapper that clips gradients once, where they are final."""

import keras

from keras_tricks.optimizers import gradients as gradient_ops
from keras_tricks.optimizers import keras_hooks
from keras_tricks.optimizers import limits


@keras.saving.register_keras_serializable(package="keras_tricks")
class ClippedOptimizer(keras.optimizers.Optimizer):
    """Clips the gradients of another optimizer by their global norm.

    `gradient * global_clipnorm / max(norm, global_clipnorm)` for every gradient,
    where `norm = sqrt(sum of the squares of all gradients)`, computed as
    `tf.clip_by_global_norm` does.

    It acts once, on the gradients that the update uses: unscaled, accumulated, and
    summed over all replicas. Keras's own `global_clipnorm` acts on each replica
    before the sum, so that the result depends on the number of replicas; this
    wrapper's does not. All else is the inner optimizer's: its learning rate, step
    counter, weight decay, moving averages and saved state.

    Args:
        inner_optimizer: The Keras optimizer that makes the updates. It must not clip
            by itself.
        global_clipnorm: The largest global norm that is let through, > 0, or `None`
            to let every gradient through unchanged.
        name: Name of the wrapper.

    Raises:
        TypeError: If `inner_optimizer` is not an optimizer, or the limit not a
            number.
        ValueError: If the limit is 0, negative, NaN or infinite, or if the inner
            optimizer clips or scales the loss already.

    Example:

    >>> import keras
    >>> from keras_tricks.optimizers import ClippedOptimizer
    >>> weight = keras.Variable([0.0, 0.0])
    >>> optimizer = ClippedOptimizer(keras.optimizers.SGD(1.0), global_clipnorm=1.0)
    >>> optimizer.apply([keras.ops.array([3.0, 4.0])], [weight])
    >>> print(weight.numpy().round(4))
    [-0.6 -0.8]

    Reference:
        Pascanu et al., "On the difficulty of training recurrent neural networks",
        2013; `tf.clip_by_global_norm`.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        *,
        global_clipnorm: float | None = None,
        name: str = "clipped_optimizer",
    ):
        _check_inner_optimizer(inner_optimizer)
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        if global_clipnorm is not None:
            global_clipnorm = limits.positive_limit("global_clipnorm", global_clipnorm)
        self.global_clipnorm = global_clipnorm
        keras_hooks.share_counters(self, inner_optimizer)
        keras_hooks.on_final_gradients(inner_optimizer, self._clip)

    def _clip(self, gradients: list) -> list:
        if self.global_clipnorm is None:
            return gradients
        norm = gradient_ops.global_norm(gradients)
        scale = gradient_ops.global_norm_scale(norm, self.global_clipnorm)
        return gradient_ops.scaled(gradients, scale)

    def build(self, variables):
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        if not self.built and trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        self.inner_optimizer.apply(grads, trainable_variables)

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def save_own_variables(self, store):
        # The inner optimizer is saved as a child; storing its variables here too
        # would double the file and clash on loading.
        for index, variable in enumerate(self._variables):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store):
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])

    def get_config(self) -> dict:
        return {
            "inner_optimizer": keras.saving.serialize_keras_object(
                self.inner_optimizer
            ),
            "global_clipnorm": self.global_clipnorm,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        config = dict(config)
        config["inner_optimizer"] = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects=custom_objects
        )
        return cls(**config)


def _check_inner_optimizer(inner) -> None:
    if not isinstance(inner, keras.optimizers.Optimizer):
        raise TypeError(
            "`inner_optimizer` must be a Keras optimizer, such as "
            "ClippedOptimizer(keras.optimizers.Adam(1e-3), global_clipnorm=1.0). "
            f"Received: inner_optimizer={inner!r}"
        )
    if isinstance(inner, ClippedOptimizer):
        raise ValueError(
            "`inner_optimizer` must not be a ClippedOptimizer: the norm of clipped "
            "gradients says nothing. Use one wrapper with the smaller limit. "
            f"Received: {inner.name}"
        )
    if isinstance(inner, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "`inner_optimizer` must not scale the loss, or scaled gradients would "
            "be clipped. Write LossScaleOptimizer(ClippedOptimizer(...)) instead."
        )
    for argument in ("clipnorm", "clipvalue", "global_clipnorm"):
        limit = getattr(inner, argument, None)
        if limit is not None:
            raise ValueError(
                "`inner_optimizer` must not clip by itself. Leave out "
                f"`{argument}` of {type(inner).__name__} and give the limit to "
                f"ClippedOptimizer. Received: {argument}={limit!r}"
            )
