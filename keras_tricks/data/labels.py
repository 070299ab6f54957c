"""Labels by which rows are chosen: classes, or a 0/1 matrix of several labels a row."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks.data import rows

_SEVERAL_AXES = 2


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of all rows.

    Attributes:
        names: The classes that there are, sorted: numbers or texts; of one-hot labels
            and of several labels a row the numbers of the columns.
        codes: The class of each row, as an index into `names`; None where rows have
            several labels.
        members: Matrix of bools, `(rows, labels)`, where rows have several labels.
        is_one_hot: Whether the classes are columns.
    """

    names: np.ndarray
    codes: np.ndarray | None = None
    members: np.ndarray | None = None
    is_one_hot: bool = False

    @property
    def counts(self) -> np.ndarray:
        """How many rows have each label."""
        if self.members is not None:
            return self.members.sum(axis=0)
        assert self.codes is not None
        return np.bincount(self.codes, minlength=len(self.names))

    def index_of(self, argument: str, name: Any) -> int:
        """Returns the place of a class in `names`.

        Args:
            argument: The argument in which it is named, for the message.
            name: The class.

        Raises:
            ValueError: If there is no such class.
        """
        wanted = _validation.plain(name)
        wanted = wanted.decode() if isinstance(wanted, bytes) else wanted
        is_plain = isinstance(wanted, str | numbers.Number)
        for index, known in enumerate(self.names.tolist() if is_plain else ()):
            # True is no class 1, and "1" is none.
            if isinstance(known, str | bool) == isinstance(wanted, str | bool):
                if known == wanted:
                    return index
        known_names = ", ".join(repr(each) for each in self.names[:10].tolist())
        raise ValueError(
            f"`{argument}` must name classes that there are: {known_names}"
            f"{' ...' if len(self.names) > 10 else ''}. "
            f"{_validation.received(argument, name)}"
        )


def labels_of(examples: rows.Examples, labels: Any = None) -> Labels:
    """Returns the labels of examples: `labels` if they are given, else `y`.

    Raises:
        TypeError: If there are none.
        ValueError: If they are no labels of classes, or some are missing.
    """
    name = "y" if labels is None else "labels"
    given = examples.y if labels is None else labels
    if given is None:
        raise TypeError(
            "`y` must be given, or `labels`, by which rows are chosen; the elements of "
            "a dataset must be `(x, y)`, or `labels` be given. Received: y=None"
        )
    found = rows.leaves(given)
    if len(found) != 1:
        raise ValueError(
            f"`{'y' if labels is None else name}` must be one array of labels; where "
            "there are several outputs, give `labels` by which rows are chosen. "
            f"Received: {len(found)} arrays"
        )
    return _read(name, _as_array(name, found[0], examples.num_rows))


def one_column(labels: np.ndarray | None) -> np.ndarray | None:
    """Returns labels as one column, also where they are one-hot."""
    if labels is None or labels.ndim != _SEVERAL_AXES:
        return labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    return labels.argmax(axis=1) if is_one_hot(labels) else labels


def is_one_hot(labels: np.ndarray) -> bool:
    """Whether each row of a matrix has a single 1, and zeros."""
    return labels.dtype.kind in "fiub" and bool(
        np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
    )


def _as_array(name: str, leaf: Any, num_rows: int) -> np.ndarray:
    if hasattr(leaf, "toarray"):  # A sparse matrix of scipy.
        leaf = leaf.toarray()
    array = np.asarray(leaf)
    if array.dtype.kind == "V" or array.dtype.name == "bfloat16":
        array = array.astype("float32")
    if array.ndim == 0:
        raise TypeError(
            f"`{name}` must be an array of labels. "
            f"{_validation.received(name, leaf, True)}"
        )
    if len(array) != num_rows:
        raise ValueError(
            f"`{name}` must have one label for each of the {num_rows} rows. "
            f"Received: {len(array)} labels"
        )
    _check_none_missing(name, array)
    if array.dtype.kind == "O":
        array = _of_one_type(name, array)
    return np.char.decode(array) if array.dtype.kind == "S" else array


def _check_none_missing(name: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "fOM":
        return
    import pandas as pd

    is_missing = pd.isna(array).reshape(len(array), -1).any(axis=1)
    if is_missing.any():
        row = int(np.argmax(is_missing))
        raise ValueError(
            f"`{name}` must have no missing labels: leave out rows without one. "
            f"Received: {_validation.shown(array[row])} in row {row}, and "
            f"{int(is_missing.sum())} missing labels in all"
        )


def _of_one_type(name: str, array: np.ndarray) -> np.ndarray:
    """Returns objects as the numbers or texts that they are."""
    values = array.tolist()
    flat = array.ravel().tolist()
    kinds = {type(_validation.plain(each)) for each in flat}
    if kinds <= {int, float, bool} or len(kinds) == 1:
        made = np.asarray(values)
        if made.dtype.kind != "O":
            return made
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(
        f"`{name}` must be labels of one kind, numbers or texts. Received: {names}"
    )


def _read(name: str, array: np.ndarray) -> Labels:
    if array.ndim == _SEVERAL_AXES and array.shape[1] > 1:
        return _read_matrix(name, array)
    if array.ndim > 1 and array.size != len(array):
        raise ValueError(
            f"`{name}` must have one label a row, or a row of zeros and ones; for "
            "other labels give `labels` by which rows are chosen. "
            f"Received: shape={array.shape}"
        )
    array = array.reshape(len(array))
    if array.dtype.kind == "f" and (array != np.floor(array)).any():
        raise ValueError(
            f"`{name}` must be classes; numbers with fractions are none. Give `labels` "
            "by which rows are chosen, such as bins: `labels=numpy.digitize(y, edges)`."
            f" Received: {float(array[array != np.floor(array)][0])!r} among them"
        )
    names, codes = np.unique(array, return_inverse=True)
    return Labels(names, codes)


def _read_matrix(name: str, array: np.ndarray) -> Labels:
    if array.dtype.kind not in "fiub" or not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"`{name}` must have one label a row, or a row of zeros and ones. Give "
            "`labels` by which rows are chosen: `labels=y.argmax(axis=-1)` for "
            f"probabilities. Received: shape={array.shape}, dtype={array.dtype}, with "
            "other numbers"
        )
    if is_one_hot(array):
        names, codes = np.unique(array.argmax(axis=1), return_inverse=True)
        return Labels(names, codes, is_one_hot=True)
    return Labels(np.arange(array.shape[1]), members=array.astype(bool))
