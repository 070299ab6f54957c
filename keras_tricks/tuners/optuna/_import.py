"""Optuna, where it is installed."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from keras_tricks import _validation
from keras_tricks.tuners import errors


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


def check_place(storage: Any, study_name: Any) -> None:
    """Checks what a study can be kept in, and its name.

    Raises:
        TypeError: If the storage is neither a path, nor a URL, nor an Optuna storage,
            nor None, or if the name is no text.
        ValueError: If one of them is empty.
    """
    kinds = str | os.PathLike | optuna().storages.BaseStorage | None
    if not isinstance(storage, kinds):
        raise TypeError(
            "`storage` must be a path, a URL, an Optuna storage or None. "
            f"{_validation.received('storage', storage, True)}"
        )
    if isinstance(storage, str):
        _validation.check_text("storage", storage)
    if study_name is not None:
        _validation.check_text("study_name", study_name)


@contextlib.contextmanager
def failures_named(storage: Any) -> Iterator[None]:
    """Has a database that fails end the search by an error that names it.

    Args:
        storage: A path, a URL, or an Optuna storage.

    Raises:
        StorageError: If it does.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_a_database(error):
            raise
        first = str(error.__cause__ or error).partition("\n")[0]
        raise errors.StorageError(
            f"The storage of the study, {_shown(storage)}, failed: {first}. Once it "
            "can be used again, run the search again: it goes on from there"
        ) from error


def _is_of_a_database(error: BaseException) -> bool:
    if isinstance(error, optuna().exceptions.StorageInternalError):
        return True
    # Optuna brings SQLAlchemy, and imports it for databases alone.
    module = sys.modules.get("sqlalchemy.exc")
    return module is not None and isinstance(error, module.SQLAlchemyError)


def _shown(storage: Any) -> str:
    """Returns what a storage is known by, without a password."""
    storage = getattr(storage, "_backend", storage)  # Optuna's cache around it.
    url = str(getattr(storage, "url", storage))
    return re.sub(r"(://[^/:@]*):[^@/]*@", r"\1:***@", url)


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
