"""Training tricks for Keras 3: exact, serializable, and safe to compile.

Importing the package registers its schedules, optimizers and losses with Keras, so that
`keras.models.load_model` needs no `custom_objects`. The other folders are imported
when they are first used; models of hypermodels load once `keras_tricks.hypermodels` is
imported.
"""

import importlib
import types
import typing

from keras_tricks import losses
from keras_tricks import optimizers
from keras_tricks import schedules

if typing.TYPE_CHECKING:
    from keras_tricks import callbacks
    from keras_tricks import hypermodels
    from keras_tricks import parameters
    from keras_tricks import tf1
    from keras_tricks import training
    from keras_tricks import tuners

__version__ = "0.1.0"

__all__ = [
    "callbacks",
    "hypermodels",
    "losses",
    "optimizers",
    "parameters",
    "schedules",
    "tf1",
    "training",
    "tuners",
]


def __getattr__(name: str) -> types.ModuleType:
    if name in __all__:  # And not imported yet.
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
