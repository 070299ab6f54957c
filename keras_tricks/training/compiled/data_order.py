"""The order in which an epoch shows the examples: the same for all trials."""

import operator

import numpy as np

from keras_tricks import _validation


def epoch_order(order_seed: int | None, epoch: int, num_examples: int) -> np.ndarray:
    """Returns the order of the examples in one epoch, a permutation.

    It depends on nothing but the arguments, so that trials are compared on common
    batches, whoever trains them, together or alone.

    Args:
        order_seed: Seed of the search, >= 0; None leaves the examples as they are.
        epoch: Number of the epoch, counted from 0.
        num_examples: Number of examples.

    Returns:
        Int32 array of shape `(num_examples,)`.

    Raises:
        TypeError: If the seed is neither an integer nor None.
        ValueError: If it is negative.

    Example:

    >>> from keras_tricks.training.compiled.data_order import epoch_order
    >>> bool((epoch_order(0, 3, 10) == epoch_order(0, 3, 10)).all())
    True
    >>> epoch_order(None, 3, 4).tolist()
    [0, 1, 2, 3]
    """
    if order_seed is None:
        return np.arange(num_examples, dtype="int32")
    if operator.index(order_seed) < 0:
        raise ValueError(
            "`order_seed` must be at least 0. "
            f"{_validation.received('order_seed', order_seed)}"
        )
    generator = np.random.default_rng([operator.index(order_seed), epoch])
    return generator.permutation(num_examples).astype("int32")


def known_length(num_examples: int, batch_size: int) -> int | None:
    """Returns the length of all batches of arrays, None if the last one is shorter.

    It is what the code of a model reads as `x.shape[0]`, in `fit` as here.
    """
    return None if num_examples % batch_size else batch_size
