"""The exceptions of searches."""

import keras_tuner


class InfeasibleTrialError(keras_tuner.errors.FailedTrialError):
    """Raised in a trial whose settings are of no use: it is not tried again.

    The tuners of this package list the trial as infeasible, KerasTuner's own as failed.
    A hypermodel may raise it in `build` or in `fit`.

    Args:
        message: Why, for the leaderboard's reader.
        parameters: Trainable parameters of the model, where they are the reason.

    Example:

    >>> from keras_tricks.tuners import InfeasibleTrialError
    >>> def build(hp):
    ...     filters, size = hp.Int("filters", 8, 512), hp.Int("size", 32, 512)
    ...     if filters * size**2 > 1e7:
    ...         raise InfeasibleTrialError("the activations would not fit")
    """

    def __init__(self, message: str, parameters: int | None = None):
        super().__init__(message)
        self.parameters = parameters


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


class StorageError(keras_tuner.errors.FatalError, OSError):
    """The search's folder cannot be written. It ends the search, not only a trial.

    Example:

    >>> from keras_tricks.tuners import StorageError
    >>> def search_and_wait_for_space(tuner, *args, **kwargs):
    ...     while True:
    ...         try:
    ...             return tuner.search(*args, **kwargs)
    ...         except StorageError as error:  # What was saved before is intact.
    ...             input(f"{error}. Make space, then press Enter.")
    """


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
