"""Parts of the data for a first, quick search: fewer rows, or fewer classes."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks.data import confusion
from keras_tricks.data import rows
from keras_tricks.data import stratify
from keras_tricks.data.labels import Labels
from keras_tricks.data.labels import labels_of


def stratified_subset(
    x: Any,
    y: Any,
    size: float,
    *,
    seed: int | None,
    groups: Any = None,
    labels: Any = None,
    sample_weight: Any = None,
) -> tuple[Any, ...]:
    """Returns some of the rows, in which classes are as frequent as in all of them.

    Of class `c` with `n_c` of the `n` rows, `size * n_c / n` are drawn without
    replacement, rounded so that there are `size` in all, and at least one of each
    class. Rows that have several labels, a 0/1 matrix, are drawn by iterative
    stratification, so that each label keeps its share as nearly as may be. The rows
    stay in their order.

    Use it on training data, to search on a sample first: settings that matter on a
    tenth of the rows mostly matter on all of them.

    Args:
        x: An array, a frame, a tensor, or a list, tuple or dictionary of them. Or a
            `tf.data.Dataset` of `(x, y)` or `(x, y, weights)`, in batches or single
            examples, of known size; it is read once, into memory.
        y: The labels: class numbers or texts of shape `(rows,)` or `(rows, 1)`, one-hot
            rows, or a 0/1 matrix of several labels a row. None with a dataset.
        size: How many rows: a count from 1, as an integer, or a share up to 1.0, as a
            float. With `groups` as nearly as whole groups allow.
        seed: Seed of the draws, an integer from 0; None draws others each time.
        groups: The group of each row, such as a patient: all of a group's rows are
            kept, or none.
        labels: One label for each row to go by instead of `y`: bins of numbers, or one
            of several outputs.
        sample_weight: A weight for each row.

    Returns:
        `(x, y)`, of the types that were given, or `(x, y, sample_weight)` if there are
        weights; `(dataset, None)` for a dataset, batched as it was.

    Raises:
        TypeError: If the data have no rows or no labels.
        ValueError: If there are fewer rows than classes, labels that are missing or no
            classes, or a dataset of unknown size.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.data import stratified_subset
    >>> x, y = np.arange(100), np.repeat([0, 1, 2], [70, 29, 1])
    >>> _, part = stratified_subset(x, y, 0.1, seed=0)
    >>> np.bincount(part).tolist()
    [7, 2, 1]

    Reference:
        Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data",
        2011 (several labels a row).
    """
    seed = _validation.check_seed("seed", seed)
    _check_size(size)
    examples = rows.read(x, y, sample_weight)
    found = labels_of(examples, labels)
    number = _number_of(size, examples.num_rows, int((found.counts > 0).sum()))
    generator = np.random.default_rng(seed)
    if groups is not None:
        chosen = _by_groups(found, groups, number, generator)
    elif found.members is not None:
        chosen = stratify.by_members(found.members, number, generator)
    else:
        assert found.codes is not None
        chosen = stratify.by_classes(found.codes, number, generator)
    return examples.at(np.sort(chosen))


def fewer_classes(
    x: Any,
    y: Any,
    classes: int | Sequence[Any] = 2,
    *,
    model: Any = None,
    relabel: bool = True,
    labels: Any = None,
    sample_weight: Any = None,
) -> tuple[Any, ...]:
    """Returns the rows of some classes: the named, most frequent or most confused ones.

    A search for the settings of a classifier may begin on two of ten classes.

    Args:
        x: See `stratified_subset`.
        y: The labels, one class a row; see `stratified_subset`.
        classes: Which classes: a list of them, or how many, from 2. Those are the most
            frequent ones, and of equally frequent ones the first; with `model` those
            that it confuses most.
        model: A trained `keras.Model` that gives a number for each class (the first for
            the first of the sorted classes), of which the greatest counts. Of the
            shares `c[i, j]` of class `i` that it takes for `j`, the pair with the
            greatest `c[i, j] + c[j, i]` is taken; each further class is the one that is
            confused most with those before.
        relabel: Whether the numbers of the classes that are left become 0, 1, ... in
            their order, and one-hot labels lose the columns of the others: what a
            model of so many classes needs. Texts stay as they are.
        labels: See `stratified_subset`. `y` is then left as it is.
        sample_weight: A weight for each row.

    Returns:
        See `stratified_subset`.

    Raises:
        TypeError: If the data have no rows or no labels.
        ValueError: If there are no such classes, or rows have several labels.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.data import fewer_classes
    >>> x, y = np.arange(6), np.array([7, 3, 7, 5, 3, 7])
    >>> fewer_classes(x, y)  # 7 is there three times, 3 twice.
    (array([0, 1, 2, 4, 5]), array([1, 0, 1, 0, 1]))
    >>> fewer_classes(x, y, [5, 3], relabel=False)[1].tolist()
    [3, 5, 3]
    """
    relabel = _validation.check_flag("relabel", relabel)
    count = _check_classes(classes)
    confusion.check_model(model, is_counted=count is not None)
    examples = rows.read(x, y, sample_weight)
    found = labels_of(examples, labels)
    if found.codes is None:
        raise ValueError(
            "`y` must have one label a row. Of several labels take columns: "
            "`y[:, [0, 3]]`. "
            f"Received: rows of {len(found.names)} labels, several in some"
        )
    if count is None:
        named: Any = classes
        kept = sorted({found.index_of("classes", name) for name in named})
    else:
        kept = _counted(found, count, model, examples)
    if len(kept) < 2:
        raise ValueError(
            "`classes` must be at least 2 classes. "
            f"{_validation.received('classes', classes)}"
        )
    if relabel and labels is None:
        examples = examples.replaced(_relabelled(examples.y, found, kept))
    return examples.at(np.flatnonzero(np.isin(found.codes, kept)))


def _counted(found: Labels, count: int, model: Any, examples: Any) -> list[int]:
    if count > len(found.names):
        raise ValueError(
            f"`classes` must be at most the {len(found.names)} classes that there are. "
            f"{_validation.received('classes', count)}"
        )
    if model is not None:
        return confusion.most_confused(model, examples, found, count)
    return sorted(np.argsort(-found.counts, kind="stable")[:count].tolist())


def _check_size(size: Any) -> None:
    value = _validation.plain(size)
    if not _validation.is_number(value):
        raise TypeError(
            "`size` must be a number of rows or a share of them. "
            f"{_validation.received('size', size, True)}"
        )
    is_share = not isinstance(value, numbers.Integral) and 0 < value <= 1
    if not is_share and not (value >= 1 and value == value // 1):
        raise ValueError(
            "`size` must be a whole number of rows from 1, or a share of them above 0 "
            f"and up to 1.0. {_validation.received('size', size)}"
        )


def _number_of(size: Any, num_rows: int, num_classes: int) -> int:
    """Returns how many rows `size` means."""
    value = _validation.plain(size)
    is_share = not isinstance(value, numbers.Integral) and value <= 1
    number = max(1, round(value * num_rows)) if is_share else int(value)
    if number > num_rows:
        raise ValueError(
            f"`size` must be at most the {num_rows} rows that there are. "
            f"{_validation.received('size', size)}"
        )
    if number < num_classes:
        which = f", which is {number} of {num_rows} rows" if is_share else ""
        raise ValueError(
            f"`size` must be at least {num_classes} rows, one of each class. "
            f"{_validation.received('size', size)}{which}"
        )
    return number


def _by_groups(
    found: Labels, groups: Any, number: int, generator: np.random.Generator
) -> np.ndarray:
    array = np.asarray(groups)
    members = found.members
    if members is None:
        assert found.codes is not None
        members = found.codes[:, None] == np.arange(len(found.names))
    if array.shape != (len(members),):
        raise ValueError(
            f"`groups` must be one group for each of the {len(members)} rows. "
            f"Received: shape={array.shape}"
        )
    try:
        _, group_of_row = np.unique(array, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            "`groups` must be numbers or texts, none of them missing. "
            f"{_validation.received('groups', groups)}"
        ) from error
    return stratify.by_groups(members, group_of_row, number, generator)


def _check_classes(classes: Any) -> int | None:
    """Returns how many classes are asked for, None where they are named."""
    if _validation.is_number(_validation.plain(classes)):
        return _validation.check_int("classes", classes, minimum=2)
    is_array = isinstance(classes, np.ndarray) and classes.ndim == 1
    if not isinstance(classes, list | tuple | set | frozenset | range) and not is_array:
        raise TypeError(
            "`classes` must be a number of classes, or a list of them. "
            f"{_validation.received('classes', classes, True)}"
        )
    return None


def _relabelled(y: Any, found: Labels, kept: list[int]) -> Any:
    """Returns labels in which the kept classes are the first ones."""
    place = np.zeros(len(found.names), int)
    place[kept] = np.arange(len(kept))
    columns = found.names[kept] if found.is_one_hot else None

    def renamed(leaf: Any) -> Any:
        if columns is not None:
            return _columns(leaf, columns)
        if found.names.dtype.kind not in "fiu":
            return leaf
        assert found.codes is not None
        return _in_form_of(leaf, place[found.codes])

    return rows.map_leaves(renamed, y)


def _columns(leaf: Any, columns: np.ndarray) -> Any:
    if isinstance(leaf, list | tuple):
        return [[row[column] for column in columns] for row in leaf]
    if hasattr(leaf, "iloc"):
        return leaf.iloc[:, columns]
    if hasattr(leaf, "toarray"):
        leaf = leaf.toarray()
    return _in_form_of(leaf, np.asarray(leaf)[:, columns])


def _in_form_of(leaf: Any, values: np.ndarray) -> Any:
    """Returns numbers as an array, a tensor, a list or a column like another one."""
    if isinstance(leaf, list | tuple):
        return type(leaf)(values.tolist())
    if hasattr(leaf, "iloc"):
        import pandas as pd

        if isinstance(leaf, pd.DataFrame):
            return pd.DataFrame(values, leaf.index, leaf.columns).astype(leaf.dtypes)
        is_plain = isinstance(leaf.dtype, np.dtype) and leaf.dtype.kind in "fiu"
        dtype = leaf.dtype if is_plain else values.dtype
        return pd.Series(values, leaf.index, dtype, leaf.name)
    array = np.asarray(leaf)
    if values.ndim < array.ndim:
        values = values.reshape(array.shape)
    dtype = values.dtype if array.dtype.kind == "O" else array.dtype
    values = values.astype(dtype)
    if type(leaf).__module__.startswith("tensorflow."):
        import tensorflow as tf

        return tf.constant(values)
    return values
