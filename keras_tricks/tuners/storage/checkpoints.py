"""Checkpoints: files of a model's weights, which are whole or not there."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import keras

from keras_tricks.tuners import errors
from keras_tricks.tuners.storage import files


class _NamedBuffer(io.BytesIO):
    """Memory that Keras takes for a file of weights, since it is called like one."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def write_weights(path: str | os.PathLike[str], model: keras.Model) -> None:
    """Writes a model's weights as `Model.save_weights` does, by way of memory.

    HDF5 brings the process down where it cannot write the end of a file.

    Raises:
        StorageError: If the folder cannot be written, for instance a full disk.
    """
    if type(model).save_weights is not keras.Model.save_weights:
        # What a user's own method makes of a path is unknown.
        with files.atomic_write(path) as temporary:
            model.save_weights(temporary)
        return
    buffer = _NamedBuffer()
    model.save_weights(buffer)
    files.write_bytes(path, buffer.getbuffer())


def check(path: Path, trial_id: str, digest: str) -> None:
    """Checks that a file is the one that a trial has saved.

    Args:
        path: The file.
        trial_id: The trial's ID.
        digest: The file's size and SHA-256 when the trial ended; see `digest_of`.

    Raises:
        DamagedFileError: If it is not, or if there is none.
    """
    try:
        found = f"{path.stat().st_size} bytes"
        if digest.startswith(f"{found}, "):  # Else there is no need to read it.
            found = f"{found}, SHA-256 {files.sha256(path)}"
    except FileNotFoundError:
        raise errors.DamagedFileError(
            f"{path} is missing: trial {trial_id} has saved its weights, and they were "
            "deleted since, as those of all but the best `keep_checkpoints` are"
        ) from None
    except OSError as error:
        raise errors.DamagedFileError(f"{path} is damaged ({error})") from error
    if found != digest:
        raise errors.DamagedFileError(
            f"{path} is not the file that trial {trial_id} has saved: it was changed, "
            f"or is another trial's (expected {digest}, found {found})"
        )


def digest_of(path: Path) -> str | None:
    """Returns size and SHA-256 of a file of weights, or None where there is none."""
    try:
        return f"{path.stat().st_size} bytes, SHA-256 {files.sha256(path)}"
    except OSError:
        return None


class AtomicCheckpoint(keras.callbacks.Callback):
    """KerasTuner's `SaveBestEpoch`, whose file is whole or not there.

    A process that is killed while it saves leaves the weights of the best epoch before.

    Args:
        inner: The `SaveBestEpoch`, which is to call `save` in the place of its own.
    """

    def __init__(self, inner: Any):
        super().__init__()
        self.inner = inner

    @property
    def filepath(self) -> str:
        """The file."""
        return self.inner.filepath

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.inner.set_model(model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.inner.on_epoch_end(epoch, logs)

    def save(self) -> None:
        """Called by the inner callback when an epoch was the best one."""
        strategy = getattr(self.model, "distribute_strategy", None)
        extended = getattr(strategy, "extended", None)
        # Only strategies of several processes have the attribute.
        if getattr(extended, "should_save_checkpoint", True):
            write_weights(self.filepath, self.model)
        else:
            # Of several workers one writes, and all take part in reading variables.
            self.model.save_weights(_NamedBuffer())
