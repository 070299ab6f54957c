"""GPUs: those of this process, and how they are dealt out to workers."""

from __future__ import annotations

import math
import os

import keras

from keras_tricks import _validation


def checked(gpus_per_trial: float | None) -> float | None:
    """Returns `gpus_per_trial` as a number, or None.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is neither a fraction up to 1 nor a whole number.
    """
    if gpus_per_trial is None:
        return None
    number = _validation.check_float("gpus_per_trial", gpus_per_trial, exclusive=True)
    if number > 1 and number != int(number):
        raise ValueError(
            "`gpus_per_trial` must be a fraction up to 1, or a whole number. "
            f"Received: gpus_per_trial={gpus_per_trial}"
        )
    return number


def visible() -> list[str]:
    """Returns the GPUs of this process, as `CUDA_VISIBLE_DEVICES` names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        return [name for name in names if name not in ("", "-1")]
    if keras.config.backend() != "tensorflow":
        return [str(n) for n, _ in enumerate(keras.distribution.list_devices("gpu"))]
    import tensorflow as tf  # Already loaded, by Keras.

    return [str(n) for n, _ in enumerate(tf.config.list_physical_devices("GPU"))]


def dealt(names: list[str], count: int, per_trial: float | None) -> list[str]:
    """Returns each worker's `CUDA_VISIBLE_DEVICES`; none where all have them all.

    Args:
        names: Those of this process.
        count: How many workers there are.
        per_trial: How many GPUs each has, or which share of one; None deals one to
            each in turn, if there are any.

    Raises:
        ValueError: If there are too few.
    """
    if per_trial is None:
        return [names[slot % len(names)] for slot in range(count)] if names else []
    whole = math.ceil(per_trial)
    # Of a third each, three workers share one, whatever the last bit of 1 / 3 is.
    sharing = 1 if per_trial >= 1 else math.floor(1 / per_trial + 1e-9)
    groups = [
        ",".join(names[first : first + whole])
        for first in range(0, len(names) - whole + 1, whole)
    ]
    if count > sharing * len(groups):
        needed = math.ceil(count / sharing) * whole
        raise ValueError(
            f"`workers` of {per_trial:g} GPUs each must find them: {count} of them "
            f"need {needed}. This process has {len(names)}: "
            f"{', '.join(names) or 'none'}. "
            "Give fewer `workers`, or a smaller `gpus_per_trial`; None shares what "
            f"there is. Received: gpus_per_trial={per_trial:g}, workers={count}"
        )
    return [groups[slot // sharing] for slot in range(count)]
