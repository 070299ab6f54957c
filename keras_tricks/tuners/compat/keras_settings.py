"""Keras's global settings, as each build of a search finds them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from keras_tricks.tuners.compat import keras_hooks


@dataclasses.dataclass(frozen=True)
class KerasSettings:
    """Dtype policy, float type, epsilon and image format of Keras.

    KerasTuner clears the session before each trial, and with it the policy. What one
    trial's build sets would be in force in the next.

    Attributes:
        dtype_policy: The policy; None where it is that of `floatx`.
        floatx: The float type.
        epsilon: The small number of Keras's divisions.
        image_data_format: Where images have their channels.
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
            keras_hooks.dtype_policy_that_was_set(),
            config.floatx(),
            config.epsilon(),
            config.image_data_format(),
        )

    @classmethod
    @contextlib.contextmanager
    def kept(cls) -> Iterator[None]:
        """Puts those in force again after a block, whatever was built in it."""
        settings = cls.now()
        # A policy that was read counts as set, and would stay where `floatx` is set.
        settings.apply()
        try:
            yield
        finally:
            settings.apply()

    def apply(self) -> None:
        """Puts them in force."""
        keras.config.set_floatx(self.floatx)
        keras.config.set_epsilon(self.epsilon)
        keras.config.set_image_data_format(self.image_data_format)
        keras_hooks.set_dtype_policy(self.dtype_policy)
