"""The private Keras names that this package uses, and why.

Everything else in the package uses public Keras only. Each name below has a test of
its own, so that a Keras release that moves one of them fails there, by name.

| private name | seen in Keras | why no public one serves |
|---|---|---|
| `Optimizer._all_reduce_sum_gradients` (TensorFlow) | 3.11 to 3.15 | Keras sums gradients over the replicas within the update; a wrapper that acts on the sum must take it first, and sum once |
| `Optimizer._iterations`, `_learning_rate`, `_variables` | 3.11 to 3.15 | a wrapper must not keep, save or count steps of its own beside the inner optimizer's |
| `Optimizer._model_variables_moving_average` | 3.11 to 3.15 | `keras.callbacks.SwapEMAWeights` takes them from there |
| `Optimizer._learning_rate`, once more | 3.11 to 3.15 | the public `learning_rate` is the rate of the current step; a callback that scales or records a schedule needs the schedule itself |
| `tf.__internal__.distribute.interim.maybe_merge_call`, `strategy_supports_no_merge_call` | 3.11 to 3.15, which call them too | the one way to update variables, or to decide on an update, for all replicas together |
| `Variable._value` | 3.11 to 3.15 | the public `value` draws a placeholder, as large as the variable, where only a shape is known |
| `Optimizer._check_variables_are_known`, `_get_variable_index`, `_accumulated_gradients`, `_trainable_variables` | 3.11 to 3.15 | what Keras's base class keeps for its subclasses, of which `ClippedOptimizer` and `AdamWeightDecay` are two |
| `Optimizer._apply_weight_decay` | 3.11 to 3.15 | Keras subtracts decay before the update, BERT adds it to the update; `AdamWeightDecay` overrides it |
"""  # noqa: E501

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks.schedules.tensorflow_hooks import compiled_by_xla


def leaf_optimizers(optimizer: keras.optimizers.Optimizer) -> list:
    """Returns the optimizers that make the updates, within wrappers and groups."""
    if hasattr(optimizer, "inner_optimizer"):
        return leaf_optimizers(optimizer.inner_optimizer)
    for name in ("optimizers", "phases"):
        if hasattr(optimizer, name):
            parts = getattr(optimizer, name)
            return [leaf for part in parts for leaf in leaf_optimizers(part)]
    return [optimizer]


def check_scope(trainable_variables: list, optimizers: dict) -> None:
    """Raises unless all was made in the scope of the `tf.distribute` strategy in use.

    Variables of another strategy either fail far from the cause, or count each update
    once per replica.

    Args:
        trainable_variables: Those that the optimizers update.
        optimizers: What to call an optimizer -> one variable of it.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()

    def foreign(variable: Any) -> bool:
        if isinstance(variable, keras.Variable):
            variable = variable._value
        if variable is None:
            return False  # Only its shape is known: it is in no scope.
        return not strategy.extended.variable_created_in_scope(variable)

    outside = [name for name, variable in optimizers.items() if foreign(variable)]
    if any(foreign(variable) for variable in trainable_variables):
        outside.append("the model")
    if outside:
        in_use = type(strategy).__name__ if tf.distribute.has_strategy() else "none"
        raise ValueError(
            "The model and all optimizers, those inside of others too, must be made "
            "within the scope of the same strategy: `with strategy.scope(): model = "
            "...; model.compile(ClippedOptimizer(keras.optimizers.Adam(1e-3), ...))`. "
            f"Received: made outside the scope in use ({in_use}): {', '.join(outside)}"
        )


def take_over_reduction(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes `optimizer` expect gradients that are summed over the replicas already.

    Whoever takes over calls `reduced_over_replicas` first. Only TensorFlow's
    optimizers sum; on JAX and torch gradients come summed.
    """
    if keras.backend.backend() == "tensorflow":
        # object.__setattr__: a function is no state that Keras should track.
        object.__setattr__(optimizer, "_all_reduce_sum_gradients", list)
        for leaf in leaf_optimizers(optimizer):
            object.__setattr__(leaf, "_all_reduce_sum_gradients", list)


def is_taken_over(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether `optimizer` gets gradients that are summed over the replicas already."""
    return "_all_reduce_sum_gradients" in vars(optimizer)


def reduced_over_replicas(gradients: list) -> list:
    """Returns the gradients summed over all replicas, as Keras sums them."""
    if keras.backend.backend() != "tensorflow":
        return gradients
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    return list(replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients))


def assign_per_replica(variables: list, values: list) -> None:
    """Assigns to each replica's copy of `variables` that replica's own values."""
    if keras.backend.backend() != "tensorflow":
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return
    import tensorflow as tf

    def assign_all(distribution: Any, variables: list, values: list) -> None:
        for variable, value in zip(variables, values, strict=True):
            distribution.extended.update(
                variable, lambda v, new: v.assign(new), args=(value,), group=False
            )

    tf.__internal__.distribute.interim.maybe_merge_call(
        assign_all,
        tf.distribute.get_strategy(),
        [variable.value for variable in variables],
        values,
    )


def update_if(
    predicate: Any,
    update: Callable[[list], None],
    gradients: list,
    variables: list,
) -> None:
    """Calls `update(gradients)` if `predicate`, on all replicas alike.

    Args:
        predicate: Boolean scalar, the same on every replica.
        update: Function that updates variables.
        gradients: What it is given; on each replica, that replica's.
        variables: All variables that it may change.
    """
    update_either(predicate, update, lambda gradients: None, gradients, variables)


def update_either(
    predicate: Any,
    update: Callable[[list], None],
    otherwise: Callable[[list], None],
    gradients: list,
    variables: list,
) -> None:
    """Calls `update(gradients)` if `predicate`, and else `otherwise(gradients)`.

    Args:
        predicate: See `update_if`.
        update: Function that updates variables.
        otherwise: Another one.
        gradients: See `update_if`.
        variables: All variables that either may change.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        _tensorflow_update_either(predicate, update, otherwise, gradients)
    elif backend == "jax":
        # Updates on JAX are values until the step ends: the old ones are still there.
        before = [variable.value for variable in variables]
        update(gradients)
        updated = [variable.value for variable in variables]
        for variable, old in zip(variables, before, strict=True):
            variable.assign(old)
        otherwise(gradients)
        for variable, new in zip(variables, updated, strict=True):
            variable.assign(ops.where(predicate, new, variable.value))
    else:
        (update if bool(predicate) else otherwise)(gradients)


def raise_unless(condition: Any, message: str, *, required: bool = False) -> None:
    """Raises, within a step, unless `condition` holds.

    What XLA or JAX compiles cannot raise: there this does nothing, or raises now if it
    is `required`.
    """
    if keras.backend.backend() == "tensorflow" and not compiled_by_xla():
        import tensorflow as tf

        tf.debugging.Assert(condition, [message])
    elif keras.backend.backend() == "torch":
        if not bool(condition):
            raise FloatingPointError(message)
    elif required:
        raise ValueError(
            '`nonfinite="raise"` is not possible with jit_compile=True, which Keras '
            "chooses by itself on a GPU: what XLA compiles cannot raise. Use "
            'compile(jit_compile=False), or nonfinite="skip" with '
            "max_consecutive_skips=1 and the callback GradientMonitor."
        )


def _tensorflow_update_either(
    predicate: Any,
    update: Callable[[list], None],
    otherwise: Callable[[list], None],
    gradients: list,
) -> None:
    import tensorflow as tf

    def decide(distribution: Any, predicate: Any, gradients: list) -> None:
        # A condition within a replica may not hold what talks to other replicas, as
        # updates do; so all replicas decide together, and each goes on by itself.
        first = distribution.experimental_local_results(predicate)[0]

        def by_each(function: Callable[[list], None]) -> Callable[[], None]:
            def run() -> None:
                distribution.extended.call_for_each_replica(function, args=(gradients,))

            return run

        ops.cond(first, by_each(update), by_each(otherwise))

    distribute = tf.__internal__.distribute
    if tf.distribute.in_cross_replica_context() or (
        not tf.distribute.has_strategy() or distribute.strategy_supports_no_merge_call()
    ):
        ops.cond(predicate, lambda: update(gradients), lambda: otherwise(gradients))
    else:
        tf.distribute.get_replica_context().merge_call(
            decide, args=(predicate, gradients)
        )


def share_counters(
    wrapper: keras.optimizers.Optimizer, inner: keras.optimizers.Optimizer
) -> None:
    """Gives `wrapper` the step counter and the rate of `inner` for its own.

    The variables that Keras made for the wrapper stay in its list, for
    `tf.train.Checkpoint` refuses a list that shrank; see `own_variables`.
    """
    object.__setattr__(wrapper, "_iterations", inner._iterations)
    object.__setattr__(wrapper, "_learning_rate", inner._learning_rate)


def share_averages(
    wrapper: keras.optimizers.Optimizer, inner: keras.optimizers.Optimizer
) -> None:
    """Shows the moving averages of the weights in `inner`, if it keeps any.

    `SwapEMAWeights` looks for them one level below a `LossScaleOptimizer`, and no
    deeper.
    """
    averages = getattr(inner, "_model_variables_moving_average", None)
    if averages is not None:
        object.__setattr__(wrapper, "_model_variables_moving_average", averages)


def own_variables(wrapper: keras.optimizers.Optimizer) -> list:
    """Returns the state of a wrapper that `share_counters` was called with.

    That is without the counter and the rate that every optimizer makes first of all.
    """
    return wrapper._variables[2:]


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


def rate_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Returns the variable that holds the rate, or `None` where it is no number.

    Args:
        optimizer: An optimizer that is not a wrapper.
    """
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.Variable) else None


def given_rate(optimizer: keras.optimizers.Optimizer) -> object:
    """Returns the rate as it was given: a schedule, a function, or a number now.

    Args:
        optimizer: An optimizer that is not a wrapper.
    """
    rate = optimizer._learning_rate
    if callable(rate):
        return rate
    # The shortest number that is the same in float32: 0.1, not 0.10000000149.
    return float(str(np.float32(ops.convert_to_numpy(rate))))
