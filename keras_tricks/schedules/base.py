"""The base class of schedules: saving, loading and the handling of steps."""

import inspect
from typing import Any

import keras

from keras_tricks.schedules import steps
from keras_tricks.schedules.display import shown


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Base class: a schedule is its constructor's arguments and a formula.

    A subclass keeps each constructor argument as an attribute of the same name and
    implements `rate(step)` with `keras.ops`. Saving, loading (schedules inside
    schedules too) and the handling of steps are done here.
    """

    def rate(self, step: Any) -> Any:
        """Returns the float32 learning rate of `step`.

        Args:
            step: Integer tensor of any shape, never negative.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `rate(step)`.")

    def __call__(self, step: Any) -> Any:
        return self.rate(steps.as_step(step))

    def get_config(self) -> dict:
        return {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in inspect.signature(type(self)).parameters
        }

    @classmethod
    def from_config(cls, config: dict) -> "Schedule":
        arguments = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
        }
        return cls(**arguments)

    def __repr__(self) -> str:
        return shown.made(self)

    def _repr_html_(self) -> str:
        from keras_tricks.schedules.display import thumbnail  # Only notebooks need it.

        return thumbnail.as_html(self)
