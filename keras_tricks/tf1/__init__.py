"""TF1: its checkpoints, and its code, brought to Keras 3."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from keras_tricks.tf1.checkpoint import restore_optimizer
    from keras_tricks.tf1.checkpoint import restore_weights
    from keras_tricks.tf1.conversions import Rename
    from keras_tricks.tf1.conversions import Reshape
    from keras_tricks.tf1.conversions import Split
    from keras_tricks.tf1.conversions import Transpose
    from keras_tricks.tf1.joining import Join

__all__ = [
    "Join",
    "Rename",
    "Reshape",
    "Split",
    "Transpose",
    "restore_optimizer",
    "restore_weights",
]


def __getattr__(name: str) -> typing.Any:
    # The check of code is read without TensorFlow, which checkpoints need.
    if name in __all__:
        module = "checkpoint" if name.startswith("restore_") else "conversions"
        module = "joining" if name == "Join" else module
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
