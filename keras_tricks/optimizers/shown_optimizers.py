"""Optimizers of Keras's, which have no `repr` of their own, as they are made."""

import keras

from keras_tricks.optimizers import keras_hooks
from keras_tricks.schedules.display import shown


def shown_optimizer(optimizer: keras.optimizers.Optimizer) -> str:
    """Returns an optimizer as it is made, by class and rate; a group by its parts."""
    if hasattr(optimizer, "phases"):
        return repr(optimizer)
    if hasattr(optimizer, "optimizers"):
        # Those that are known: a function may choose them when it is built.
        parts = ", ".join(map(shown_optimizer, optimizer.optimizers))
        return f"{type(optimizer).__name__}([{parts}])"
    if hasattr(optimizer, "inner_optimizer"):
        inner = shown_optimizer(optimizer.inner_optimizer)
        return f"{type(optimizer).__name__}({inner})"
    rate = keras_hooks.given_rate(optimizer)
    return shown.call(type(optimizer).__name__, [("learning_rate", rate)])
