"""How much memory a pack will take, from counts of parameters."""

import os

import tensorflow as tf

from keras_tricks.training import keras_hooks
from keras_tricks.training.steps import FunctionalModel

# Of what is free; the rest is for activations, which counts do not tell.
USABLE_SHARE = 0.5
# Bytes of a trial's weights and slots, about what a core's own cache holds.
LARGEST_VECTORIZED = 2**20


def bytes_per_trial(functional: FunctionalModel) -> int:
    """Returns the bytes that one trial's weights and what goes with them take.

    Weights, their gradients, the optimizer's slots, the new values beside the old ones
    during a step, and the best epoch's copy. Activations are not in it.
    """
    start = functional.start
    trainable, state = _num_bytes(start.trainable), _num_bytes(start)
    kept = trainable + _num_bytes(start.non_trainable)
    return 2 * state + trainable + kept


def bytes_of_weights(functional: FunctionalModel) -> int:
    """Returns the bytes of one trial's weights: what it holds before it trains."""
    return _num_bytes([functional.start.trainable, functional.start.non_trainable])


def available_bytes() -> int:
    """Returns the bytes of memory that are free: the first GPU's, or the computer's."""
    devices = tf.config.list_logical_devices("GPU")
    if devices:
        limit = keras_hooks.gpu_memory()
        if limit is not None:
            return limit - tf.config.experimental.get_memory_info("GPU:0")["current"]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def largest_pack(functional: FunctionalModel, memory_limit: int | None = None) -> int:
    """Returns how many trials fit together, at least 1.

    Args:
        functional: The model.
        memory_limit: Bytes that may be used; None is half of what is free.
    """
    if memory_limit is None:
        memory_limit = int(USABLE_SHARE * available_bytes())
    return max(1, memory_limit // max(1, bytes_per_trial(functional)))


def is_worth_vectorizing(functional: FunctionalModel) -> bool:
    """Whether a step of several trials is quicker than a step of each.

    It is on a GPU, and where a step's operations take less time than it takes to begin
    them. On a processor, weights of several trials that no longer fit into its cache
    take longer than those of one after the other.
    """
    if tf.config.list_logical_devices("GPU"):
        return True
    start = functional.start
    updated = start.trainable + start.optimizer
    return _num_bytes(updated) <= LARGEST_VECTORIZED


def _num_bytes(tensors) -> int:
    return sum(
        tensor.dtype.size * tensor.shape.num_elements()
        for tensor in tf.nest.flatten(tensors)
    )
