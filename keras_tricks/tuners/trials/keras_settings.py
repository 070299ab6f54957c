"""Settings of Keras with which a search begins, and each of its builds."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class KerasSettings:
    """Dtype policy, float type, epsilon and image format of Keras.

    KerasTuner clears the session before each trial, and with it the policy. What one
    trial's build sets would be in force in the next.
    """

    dtype_policy: Any
    floatx: str
    epsilon: float
    image_data_format: str

    @classmethod
    def now(cls) -> KerasSettings:
        """Returns the settings in force."""
        config = keras.config
        return cls(
            config.dtype_policy(),
            config.floatx(),
            config.epsilon(),
            config.image_data_format(),
        )

    def apply(self) -> None:
        """Puts them in force."""
        keras.config.set_floatx(self.floatx)
        keras.config.set_epsilon(self.epsilon)
        keras.config.set_image_data_format(self.image_data_format)
        keras.config.set_dtype_policy(self.dtype_policy)
