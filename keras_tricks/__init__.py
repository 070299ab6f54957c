"""Training tricks for Keras 3: exact, serializable, and safe to compile.

Importing the package registers its schedules, optimizers and losses with Keras, so that
`keras.models.load_model` needs no `custom_objects`. The other folders are imported
when they are first used; models of hypermodels load once `keras_tricks.hypermodels` is
imported. The command `python -m keras_tricks.tf1` alone, which reads code and needs no
model, registers nothing, so that it starts without Keras.
"""

import importlib
import itertools
import sys
import types
import typing

if typing.TYPE_CHECKING:
    from keras_tricks import analysis
    from keras_tricks import callbacks
    from keras_tricks import data
    from keras_tricks import diagnosis
    from keras_tricks import hypermodels
    from keras_tricks import losses
    from keras_tricks import optimizers
    from keras_tricks import parameters
    from keras_tricks import probes
    from keras_tricks import schedules
    from keras_tricks import tf1
    from keras_tricks import training
    from keras_tricks import tuners

__version__ = "0.1.0"

__all__ = [
    "analysis",
    "callbacks",
    "data",
    "diagnosis",
    "hypermodels",
    "losses",
    "optimizers",
    "parameters",
    "probes",
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


def _runs_the_check_of_code() -> bool:
    """Returns whether this import is the start of `python -m keras_tricks.tf1`.

    While Python looks for the module of `-m`, and then only, `sys.argv` begins with
    "-m" (as its documentation says); which module, only `sys.orig_argv` has.
    """
    if sys.argv[:1] != ["-m"]:
        return False
    given = sys.orig_argv
    return "-mkeras_tricks.tf1" in given or any(
        option.startswith("-") and option.endswith("m") and module == "keras_tricks.tf1"
        for option, module in itertools.pairwise(given)
    )


if not _runs_the_check_of_code():
    for _name in ("losses", "optimizers", "schedules"):
        importlib.import_module(f"{__name__}.{_name}")
