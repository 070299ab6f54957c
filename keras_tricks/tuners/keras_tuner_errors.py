"""The exceptions that KerasTuner knows: they end a trial, or the search."""

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
