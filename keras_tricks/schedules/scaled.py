"""A schedule times a number that can be changed while it is in use."""

from typing import Any

import keras
from keras import ops

from keras_tricks import _validation
from keras_tricks.schedules import nested
from keras_tricks.schedules.base import Schedule
from keras_tricks.schedules.display import shown


@keras.saving.register_keras_serializable(package="keras_tricks")
class Scaled(Schedule):
    """A schedule times a multiplier that can be changed during training.

    `rate(step) = multiplier * schedule(step)`

    The multiplier is a variable, `multiplier`, to which a new value is given with
    `scaled.multiplier.assign(0.5)`. On TensorFlow the change takes effect with the
    next update, in compiled training too, and nothing is traced again. On JAX a
    compiled step holds the value that the multiplier had when it was traced:
    `model.make_train_function(force=True)` takes over a new one, as
    `keras_tricks.callbacks.ReduceScheduleOnPlateau` does by itself.

    The config holds the current value, so that a saved model goes on with it, and
    so does a copy of the schedule. A file with weights alone does not hold it,
    unless `ReduceScheduleOnPlateau` was in use when it was written.

    Args:
        schedule: A Keras schedule, or a number for a constant rate.
        multiplier: The factor to begin with, >= 0.

    Call arguments:
        step: Optimizer updates made so far, counted from 0; a scalar or an array of
            any shape.

    Returns:
        The learning rate as a float32 tensor of the shape of `step`.

    Raises:
        TypeError: If `schedule` is neither a schedule nor a number, or `multiplier`
            not a number.
        ValueError: If `multiplier`, or a constant rate, is negative, NaN or infinite.

    Example:

    >>> from keras_tricks.schedules import WarmupPolynomialDecay
    >>> from keras_tricks.schedules import Scaled
    >>> scaled = Scaled(WarmupPolynomialDecay(0.1, decay_steps=100))
    >>> print(f"{float(scaled(50)):.3f}")
    0.050
    >>> _ = scaled.multiplier.assign(0.5)
    >>> print(f"{float(scaled(50)):.3f}")
    0.025
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule | float,
        multiplier: float = 1.0,
    ):
        super().__init__()
        self.schedule = nested.schedule("schedule", schedule)
        self.multiplier = keras.Variable(
            _validation.check_float("multiplier", multiplier),
            dtype="float32",
            trainable=False,
            # Rates stay float32 in a model of mixed precision.
            autocast=False,
            aggregation="only_first_replica",
            name="learning_rate_multiplier",
        )

    def rate(self, step: Any) -> Any:
        return ops.multiply(self.multiplier, nested.evaluate(self.schedule, step))

    def get_config(self) -> dict:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "multiplier": self._current_multiplier(),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # Variables cannot be pickled on every backend; a copy has one of its own.
        return type(self), (self.schedule, self._current_multiplier())

    def __repr__(self) -> str:
        arguments = {
            "schedule": self.schedule,
            "multiplier": self._current_multiplier(),
        }
        return shown.call("Scaled", arguments.items())

    def _current_multiplier(self) -> float:
        # The shortest number that is the same in float32: 0.1, not 0.10000000149.
        return float(str(ops.convert_to_numpy(self.multiplier)))
