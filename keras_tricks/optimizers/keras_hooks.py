"""The private Keras names that this package uses, and why.

Everything else in the package uses public Keras only. Each name below has a test of
its own, so that a Keras release that moves one of them fails there, by name.

| private name | seen in Keras | why no public one serves |
|---|---|---|
| `Optimizer._all_reduce_sum_gradients` (TensorFlow) | 3.11 to 3.15 | the only place where unscaled, accumulated gradients have been summed over the replicas and no weight has used them yet |
| `Optimizer._clip_gradients` (JAX, torch) | 3.11 to 3.15 | the same place on backends that reduce gradients before the optimizer sees them |
| `Optimizer._iterations`, `_learning_rate`, `_untrack_variable` | 3.11 to 3.15 | a wrapper must not keep, save or count steps of its own beside the inner optimizer's |
| `Optimizer._learning_rate`, once more | 3.11 to 3.15 | the public `learning_rate` is the rate of the current step; a callback that scales or records a schedule needs the schedule itself |
"""  # noqa: E501

from collections.abc import Callable

import keras


def on_final_gradients(optimizer: keras.optimizers.Optimizer, transform: Callable):
    """Makes `optimizer` pass its final gradients through `transform`.

    Final are gradients that have been unscaled, accumulated and summed over the
    replicas, right before the update of the weights.

    Args:
        optimizer: The optimizer, changed in place.
        transform: Function from a list of gradients (none of them `None`) to a list
            of the same length.
    """
    if keras.backend.backend() == "tensorflow":
        reduce_sum = optimizer._all_reduce_sum_gradients

        def reduce_and_transform(grads_and_vars):
            gradients, variables = zip(*reduce_sum(grads_and_vars), strict=True)
            return list(zip(transform(list(gradients)), variables, strict=True))

        # object.__setattr__: the function is no state, so Keras must not track it.
        object.__setattr__(optimizer, "_all_reduce_sum_gradients", reduce_and_transform)
    else:
        object.__setattr__(optimizer, "_clip_gradients", transform)


def share_counters(
    wrapper: keras.optimizers.Optimizer, inner: keras.optimizers.Optimizer
):
    """Gives `wrapper` the step counter and the rate of `inner` for its own.

    The variables that Keras made for the wrapper are dropped, so that they are
    neither saved nor passed to `stateless_apply`.
    """
    wrapper._untrack_variable(wrapper._iterations)
    wrapper._untrack_variable(wrapper._learning_rate)
    object.__setattr__(wrapper, "_iterations", inner._iterations)
    object.__setattr__(wrapper, "_learning_rate", inner._learning_rate)


def schedule_of(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Returns the schedule of `optimizer`, or `None` where its rate is none.

    Args:
        optimizer: An optimizer that is not a wrapper; a wrapper's own rate is unused.
    """
    rate = optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return rate
    return None
