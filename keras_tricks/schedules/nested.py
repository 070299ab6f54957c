"""Schedules inside schedules: what is accepted as a child, and its rate."""

from typing import Any

from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _validation
from keras_tricks.schedules import steps
from keras_tricks.schedules.base import Schedule


def schedule(name: str, value: Any) -> LearningRateSchedule | float:
    """Returns `value` if a schedule can hold it, and be saved with it, or raises.

    Args:
        name: The argument's name, for the message.
        value: A Keras schedule (Keras's own, this package's or a user's), or a
            number, which is a constant rate.

    Returns:
        The schedule itself, or the number as a float.

    Raises:
        TypeError: If it is neither (a function, a schedule's class, a tensor), or a
            schedule that cannot be saved since it has no `get_config`.
        ValueError: If it is a number, but negative, NaN or infinite.
    """
    if _validation.is_number(_validation.plain(value)):
        return _validation.check_float(name, value)
    received = _validation.received(name, value, True)
    if not isinstance(value, LearningRateSchedule):
        raise TypeError(
            f"`{name}` must be a `keras.optimizers.schedules.LearningRateSchedule`, "
            "which can be saved with a model (a lambda or another function cannot), "
            f"or a number, which is a constant rate. {received}"
        )
    try:
        value.get_config()
    except NotImplementedError as error:
        raise TypeError(
            f"`{name}` must be a schedule that can be saved with a model: its class "
            f"must implement `get_config`. {received}"
        ) from error
    return value


def evaluate(schedule_or_rate: LearningRateSchedule | float, step: Any) -> Any:
    """Returns the float32 rate of a child, of the shape of `step`.

    Args:
        schedule_or_rate: What `schedule` returned.
        step: Integer tensor of any shape, never negative.
    """
    if isinstance(schedule_or_rate, Schedule):
        return schedule_or_rate.rate(step)
    if not isinstance(schedule_or_rate, LearningRateSchedule):
        return ops.full_like(step, schedule_or_rate, dtype="float32")
    # Keras's own compute in floatx, and a user's may return one number for all.
    rate = ops.cast(schedule_or_rate(step), "float32")
    if len(rate.shape) != len(step.shape):
        rate = ops.broadcast_to(rate, ops.shape(step))
    return rate


def known_rate(
    schedule_or_rate: LearningRateSchedule | float, step: int
) -> float | None:
    """Returns the rate of a child at a step as a number.

    `None` where numbers are not known yet, in a function that is being compiled.
    """
    rate = evaluate(schedule_or_rate, steps.as_step(step))
    try:
        return float(ops.convert_to_numpy(rate))
    except Exception:  # Each backend has an error of its own for its placeholders.
        return None
