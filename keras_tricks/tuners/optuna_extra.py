"""Optuna, where it is installed."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any


def optuna() -> Any:
    """Returns the module `optuna`.

    Raises:
        ImportError: If it is not installed. The message says what to install.
    """
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise ImportError(
            "This needs Optuna: python -m pip install optuna cmaes"
        ) from error


def require(module: str, purpose: str) -> None:
    """Checks that a package is there that Optuna itself needs for one purpose.

    Raises:
        ImportError: If it is not.
    """
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Optuna needs the package {module} for {purpose}: "
            f"python -m pip install {module}"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Optuna from telling of each study it makes, and of what is experimental.

    The tuner shows the progress itself, and has chosen what it uses.
    """
    logging = optuna().logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna().exceptions.ExperimentalWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
