"""The last layer of regressions: from standardised numbers to the data's units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_tricks import _validation
from keras_tricks.hypermodels.layers import PACKAGE
from keras_tricks.hypermodels.layers import GivenValues


@keras.saving.register_keras_serializable(PACKAGE, name="TargetScale")
class TargetScale(keras.layers.Layer):
    """Multiplies each output by a deviation and adds a mean; neither is trained.

    Takes and returns `(batch, outputs)`. Both are weights, so that they are saved with
    the others.

    Args:
        mean: The mean of each output, or one for all.
        deviation: The deviation of each, > 0, or one for all.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If a deviation is not positive.

    Example:

    >>> import keras
    >>> from keras_tricks.hypermodels.tasks.target_scale import TargetScale
    >>> scale = TargetScale(mean=[100.0], deviation=[10.0])
    >>> scale(keras.ops.convert_to_tensor([[-1.0], [0.0]])).numpy().ravel().tolist()
    [90.0, 100.0]
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.0,),
        deviation: Sequence[float] = (1.0,),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self._set(mean, deviation)

    def _set(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        low = -_validation.GREATEST
        self.start_mean = _validation.check_floats("mean", mean, minimum=low)
        self.start_deviation = _validation.check_floats(
            "deviation", deviation, exclusive=True
        )

    def build(self, input_shape: Any) -> None:
        for name, values in (
            ("mean", self.start_mean),
            ("deviation", self.start_deviation),
        ):
            weight = self.add_weight(
                shape=(input_shape[-1],),
                initializer=GivenValues(values),
                trainable=False,
                name=name,
            )
            setattr(self, name, weight)

    def set(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Sets both in a layer that is there already."""
        self._set(mean, deviation)
        if self.built:
            self.mean.assign(self.start_mean)
            self.deviation.assign(self.start_deviation)

    def call(self, inputs: Any) -> Any:
        return inputs * self.deviation + self.mean

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mean": self.start_mean,
            "deviation": self.start_deviation,
        }
