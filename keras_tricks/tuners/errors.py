"""The exceptions of searches.

Two of them are KerasTuner's, too, whose import takes seconds: they load when they are
first asked for, so that what only reads files goes without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_tricks.tuners.keras_tuner_errors import InfeasibleTrialError
    from keras_tricks.tuners.keras_tuner_errors import StorageError

__all__ = [
    "DamagedFileError",
    "ForeignFileError",
    "InfeasibleTrialError",
    "ProjectInUseError",
    "StorageError",
    "SupersededError",
    "TooManyFailuresError",
]


def __getattr__(name: str) -> type[Exception]:
    if name not in ("InfeasibleTrialError", "StorageError"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module("keras_tricks.tuners.keras_tuner_errors")
    return getattr(module, name)


class TooManyFailuresError(RuntimeError):
    """As many trials failed one after the other as the search allows.

    Example:

    >>> import tempfile
    >>> import keras, keras_tuner
    >>> from keras_tricks.tuners import RandomSearch, TooManyFailuresError
    >>> class Fails(keras_tuner.HyperModel):
    ...     def build(self, hp):
    ...         hp.Int("units", 1, 8)
    ...         return keras.Sequential()
    ...     def fit(self, hp, model, **kwargs):
    ...         raise ValueError(f"{hp.get('units')} units are too few")
    >>> try:
    ...     RandomSearch(Fails(), directory=tempfile.mkdtemp()).search(verbose=0)
    ... except TooManyFailuresError as error:
    ...     print(str(error).split(",")[0])
    3 trials failed one after the other
    """


class DamagedFileError(ValueError):
    """A file of the search is missing, cut off, or holds something else.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_tricks.tuners import DamagedFileError
    >>> from keras_tricks.tuners.results import records
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "notes.json").write_text('{"0": ')
    >>> try:
    ...     records.read_notes(folder)
    ... except DamagedFileError as error:
    ...     print("notes.json is damaged" in str(error))
    True
    """


class ForeignFileError(DamagedFileError):
    """A file is whole, and another trial's or another search's."""


class ProjectInUseError(RuntimeError):
    """Another process is searching in the same folder.

    Example:

    >>> import tempfile
    >>> from keras_tricks.tuners import ProjectInUseError
    >>> from keras_tricks.tuners.storage import project_lock
    >>> folder = tempfile.mkdtemp()
    >>> with project_lock.ProjectLock(folder):
    ...     try:
    ...         project_lock.ProjectLock(folder).__enter__()
    ...     except ProjectInUseError as error:
    ...         print(str(error).split(" in ")[0])
    this process is searching
    """


class SupersededError(Exception):
    """Another attempt at a trial has taken the place of one's own."""
