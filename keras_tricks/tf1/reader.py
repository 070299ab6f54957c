"""Reading the files of a TF1 checkpoint."""

import os
import re
from typing import Any

import numpy as np

from keras_tricks import _validation

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class CheckpointReader:
    """The variables of a TF1 checkpoint by name.

    Args:
        checkpoint: The prefix of its files, such as `"model.ckpt-400"`, or a directory
            whose latest checkpoint is meant.

    Attributes:
        path: `checkpoint` as a string.
        shapes: Name -> shape, as a tuple, in the order of the names.

    Raises:
        OSError: If it cannot be read; if there is none, a `FileNotFoundError`.
        TypeError: If `checkpoint` is no path.
        ValueError: If it was not written by TF1's `Saver`.
    """

    def __init__(self, checkpoint: str | os.PathLike):
        # Here, since all of the package but this works without TensorFlow on JAX.
        import tensorflow as tf

        if not isinstance(checkpoint, str | os.PathLike):
            raise TypeError(
                "`checkpoint` must be a path. "
                f"{_validation.received('checkpoint', checkpoint, True)}"
            )
        self.path = os.fspath(checkpoint)
        if re.search(r"\.(index|meta|data-\d+-of-\d+)$", self.path):
            raise ValueError(
                "`checkpoint` must be the prefix that a checkpoint's files have in "
                f"common, {self.path.rpartition('.')[0]!r}. "
                f"{_validation.received('checkpoint', self.path)}"
            )
        # What the native reader raises depends on where the file ends.
        self._errors = (tf.errors.OpError, LookupError, RuntimeError, ValueError)
        self._sliced = tf.errors.UnimplementedError
        prefix: str | None = self.path
        if tf.io.gfile.isdir(self.path):
            prefix = tf.train.latest_checkpoint(self.path)
        if prefix is None or not self._exists(prefix, tf.io.gfile):
            raise FileNotFoundError(
                "`checkpoint` must be the prefix of a checkpoint's files, such as "
                "'model.ckpt-400' where 'model.ckpt-400.index' is one of them, or a "
                "directory with a file 'checkpoint' that names the latest one. There "
                f"is none. {_validation.received('checkpoint', self.path)}"
            )
        self._prefix = prefix
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            shapes = self._reader.get_variable_to_shape_map()
            self._types = self._reader.get_variable_to_dtype_map()
        except self._errors as error:
            raise OSError(
                f"The checkpoint {self.path!r} cannot be read: its index is cut off or "
                "damaged, or this is not the prefix of a checkpoint's files. "
                f"({_first_line(error)})"
            ) from error
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        if _OBJECT_GRAPH in self.shapes:
            raise ValueError(
                "`checkpoint` must have been written by tf.compat.v1.train.Saver, "
                "which saves variables under their names. This one was written by "
                "tf.train.Checkpoint, or by save_weights of TF2. "
                f"{_validation.received('checkpoint', self.path)}"
            )

    @staticmethod
    def _exists(prefix: str, files: Any) -> bool:
        # The first saver of TF1 wrote one file, or shards, without an index.
        if files.exists(f"{prefix}.index") or files.exists(prefix):
            return True
        return bool(files.glob(f"{prefix}-?????-of-?????"))

    def dtype(self, name: str) -> np.dtype:
        """Returns the NumPy dtype of a variable."""
        return np.dtype(self._types[name].as_numpy_dtype)

    def read(self, name: str) -> np.ndarray:
        """Returns the value of a variable.

        Raises:
            OSError: If the files do not hold it whole.
        """
        try:
            try:
                return np.asarray(self._reader.get_tensor(name))
            except self._sliced:
                return self._read_slices(name)
        except self._errors as error:
            raise OSError(
                f"The checkpoint {self.path!r} cannot be read: the data of {name!r} "
                f"are missing, cut off or damaged. ({_first_line(error)})"
            ) from error

    def _read_slices(self, name: str) -> np.ndarray:
        """Returns a partitioned variable of TF1's first format of checkpoints."""
        import tensorflow as tf

        with tf.init_scope():
            value = tf.raw_ops.Restore(
                file_pattern=self._prefix, tensor_name=name, dt=self._types[name]
            )
            return value.numpy()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
