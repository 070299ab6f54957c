"""Training tricks for Keras 3: exact, serializable, and safe to compile.

Importing the package registers its schedules, optimizers and losses with Keras, so that
`keras.models.load_model` needs no `custom_objects`. The other folders are imported
when they are first used; models of hypermodels load once `keras_tricks.hypermodels` is
imported. The commands `keras-tricks`, `python -m keras_tricks` and
`python -m keras_tricks.tf1` alone, which need no model, register nothing, so that they
start without Keras.
"""

import importlib
import itertools
import os
import sys
import types
import typing

if typing.TYPE_CHECKING:
    from keras_tricks import analysis
    from keras_tricks import callbacks
    from keras_tricks import commands
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

__version__ = "0.2.0"

__all__ = [
    "analysis",
    "callbacks",
    "commands",
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


def _starts_a_command() -> bool:
    """Returns whether this import is the start of one of the package's commands.

    While Python looks for the module of `-m`, and then only, `sys.argv` begins with
    "-m" (as its documentation says); which module, only `sys.orig_argv` has.
    """
    if sys.argv[:1] != ["-m"]:
        # The script that pip has made. Its name on Windows ends with ".exe".
        script = os.path.basename(sys.argv[0]) if sys.argv else ""
        return script.removesuffix(".exe") == "keras-tricks"
    given, commands = sys.orig_argv, ("keras_tricks", "keras_tricks.tf1")
    return any(f"-m{command}" in given for command in commands) or any(
        option.startswith("-") and option.endswith("m") and module in commands
        for option, module in itertools.pairwise(given)
    )


if not _starts_a_command():
    for _name in ("losses", "optimizers", "schedules"):
        importlib.import_module(f"{__name__}.{_name}")
