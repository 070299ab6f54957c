"""Clip limits: a number, a schedule, or a percentile of the norms."""

from typing import Any
from typing import TypeAlias

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_tricks import _validation
from keras_tricks.optimizers import gradients as gradient_ops

# The normal numbers of float32, in which limits are kept.
_LEAST, _GREATEST = _validation.LEAST, _validation.GREATEST


def check_limit(name: str, value: Any) -> float:
    """Returns `value` as a float, or raises if it cannot bound a norm."""
    hint = "; leave it out to clip nothing"
    return _validation.check_float(name, value, exclusive=True, hint=hint)


def usable(limit: Any) -> Any:
    """Returns a limit of one update as the formulas can use it.

    A schedule may come down to 0, or by rounding below, and may be infinite while
    nothing is to be clipped. Up to where a norm can be computed, this changes nothing
    else; NaN stays NaN.

    Args:
        limit: Float32 scalar.
    """
    return ops.clip(limit, np.float32(0), gradient_ops.GREATEST_LIMIT)


@keras.saving.register_keras_serializable(package="keras_tricks")
class PercentileLimit:
    """A limit taken from the run itself: a percentile of the latest gradient norms.

    The limit of an update is the smallest of the last `window` gradient norms, the
    update's own among them, that at least `percentile` % of them do not exceed (the
    nearest-rank percentile). Norms that are not finite do not count. In the first
    `min_updates` updates, in which a percentile would say little, nothing is clipped.

    Args:
        percentile: In percent, above 0 and at most 100. The *Deep Learning Tuning
            Playbook* suggests the 90th.
        window: Norms that are remembered, >= 1; each update sorts them.
        min_updates: Updates before the first one is clipped, >= 0.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of its range.

    Example:

    >>> import keras
    >>> from keras_tricks.optimizers import ClippedOptimizer, PercentileLimit
    >>> optimizer = ClippedOptimizer(
    ...     keras.optimizers.Adam(1e-3), global_clipnorm=PercentileLimit(90))

    Reference:
        Seetharaman et al., "AutoClip", 2020; Godbole et al., *Deep Learning Tuning
        Playbook*, 2023.
    """

    def __init__(
        self, percentile: float = 90.0, window: int = 1000, min_updates: int = 10
    ):
        self.percentile = _validation.check_float(
            "percentile", percentile, exclusive=True, maximum=100, hint=", in percent"
        )
        self.window = _validation.check_int("window", window, minimum=1)
        self.min_updates = _validation.check_int("min_updates", min_updates)

    def __repr__(self) -> str:
        return (
            f"PercentileLimit(percentile={self.percentile!r}, window={self.window!r}, "
            f"min_updates={self.min_updates!r})"
        )

    def get_config(self) -> dict:
        return {
            "percentile": self.percentile,
            "window": self.window,
            "min_updates": self.min_updates,
        }

    @classmethod
    def from_config(cls, config: dict) -> "PercentileLimit":
        return cls(**config)

    def remember(self, norm: Any, remembered: Any, num_norms: Any) -> tuple[Any, Any]:
        """Returns the window with `norm` in it, and how many norms have come so far.

        Args:
            norm: The norm of the update, a float32 scalar.
            remembered: Float32 vector of `window` norms.
            num_norms: Integer scalar, the norms that it has been given before.
        """
        finite = ops.isfinite(norm)
        place = ops.equal(ops.arange(self.window, dtype=num_norms.dtype),
                          num_norms % self.window)  # fmt: skip
        updated = ops.where(ops.logical_and(place, finite), norm, remembered)
        return updated, num_norms + ops.cast(finite, num_norms.dtype)

    def limit(self, norm: Any, remembered: Any, num_norms: Any) -> Any:
        """Returns the limit for `norm`, which `remember` has taken in already."""
        known = ops.minimum(num_norms, self.window)
        slots = ops.arange(self.window, dtype=num_norms.dtype)
        ordered = ops.sort(ops.where(slots < known, remembered, np.float32(np.inf)))
        # Rounded up in integers of a hundredth of a percent: 90 % of 10 is 9.
        hundredths = round(self.percentile * 100)
        rank = ops.cast((known * hundredths + 9_999) // 10_000, "int32") - 1
        value = ops.take(ordered, ops.clip(rank, 0, self.window - 1))
        started = num_norms > self.min_updates
        # A norm is not clipped by a limit of its own size or more; and a percentile of
        # 0 says that most gradients were zeros, not that none is to be applied.
        return ops.where(
            ops.logical_and(started, value > 0), value, ops.maximum(norm, np.float32(1))
        )


Limit: TypeAlias = float | LearningRateSchedule | PercentileLimit


def checked_limit(name: str, value: Any) -> Limit:
    """Returns a limit as it is kept: a float, a schedule or a `PercentileLimit`.

    Raises:
        TypeError: If `value` is none of them.
        ValueError: If it is a number that bounds nothing, or a percentile for another
            limit than the global norm's.
    """
    if isinstance(value, PercentileLimit):
        if name != "global_clipnorm":
            raise ValueError(
                "A PercentileLimit is one of global norms: give it as "
                f"`global_clipnorm`. {_validation.received(name, value)}"
            )
        return value
    if isinstance(value, LearningRateSchedule):
        return value
    return check_limit(name, value)
