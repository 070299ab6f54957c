"""The place of `ClassificationLoss` in version 0.1."""

from typing import Any

from keras_tricks._deprecation import warn_renamed
from keras_tricks.losses import classification


def __getattr__(name: str) -> Any:
    if name == "ClassificationLoss":
        old, new = f"{__name__}.{name}", f"keras_tricks.losses.{name}"
        warn_renamed(old, new, removed_in="0.4.0")
        return classification.ClassificationLoss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
