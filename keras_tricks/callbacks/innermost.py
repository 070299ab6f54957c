"""The optimizer that makes the updates, inside its wrappers."""

import keras


def innermost_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """Returns the optimizer that holds the learning rate and counts the updates.

    `LossScaleOptimizer` and `ClippedOptimizer` pass both on to `inner_optimizer`.

    Raises:
        ValueError: If there are several, as in Keras's `MultiOptimizer`.
    """
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    if hasattr(optimizer, "optimizers"):
        raise ValueError(
            "The model's optimizer must have one learning rate for all variables. "
            f"Received: {type(optimizer).__name__} with "
            f"{len(optimizer.optimizers)} optimizers"
        )
    return optimizer
