"""Copies of rows of small classes."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from keras_tricks import _validation
from keras_tricks.data import rows
from keras_tricks.data.labels import Labels
from keras_tricks.data.labels import labels_of


def oversample(
    x: Any,
    y: Any,
    *,
    to: str | float | dict[Any, int] = "majority",
    seed: int | None,
    labels: Any = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    sampler: Any = None,
) -> tuple[Any, ...]:
    """Returns the rows, and copies of those of small classes, in an order of chance.

    Of class `c` with `n_c` rows there are as many as `to` says; each row is there
    `floor(to / n_c)` times or once more, so that none is left out.

    It is for training data only. Split first: where rows are copied before, copies of
    what a model was trained on are among what it is validated on, and the score says
    nothing. `fit`'s `validation_split` and the `splits` of a search split afterwards;
    give `validation_data` instead, or use `BalancedBatches`.

    Args:
        x: See `stratified_subset`.
        y: The labels, one class a row; see `stratified_subset`.
        to: How many rows each class has afterwards: `"majority"`, as many as the
            largest; a share of that, above 0 and up to 1; or a dictionary from classes
            to counts, in which a class that is not named keeps its rows. No class loses
            rows.
        seed: Seed of the draws, an integer from 0; None draws others each time.
        labels: See `stratified_subset`.
        sample_weight: A weight for each row.
        validation_data: `(x, y)` or a dataset that the model will be validated on; a
            warning tells of rows that are in both.
        sampler: A sampler of imbalanced-learn's that chooses rows (its
            `RandomOverSampler`, `NearMiss`, `TomekLinks`, ...) instead of `to` and the
            draws by `seed`, which is then the seed of the order alone. It sees `x` as
            one table of numbers. Those that make new rows, such as `SMOTE`, do not
            suit.

    Returns:
        See `stratified_subset`.

    Raises:
        TypeError: If the data have no rows or no labels, or `sampler` is none.
        ValueError: If there are no such classes, if rows have several labels, or if a
            count is below the rows that there are.

    Warns:
        UserWarning: If rows are in `validation_data`, too.

    Example:

    >>> import numpy as np
    >>> from keras_tricks.data import oversample
    >>> x, y = np.arange(6), np.array(["a", "a", "a", "a", "b", "b"])
    >>> more_x, more_y = oversample(x, y, seed=0)
    >>> np.unique(more_x, return_counts=True)[1].tolist()
    [1, 1, 1, 1, 2, 2]

    Reference:
        Japkowicz and Stephen, "The class imbalance problem: A systematic study", 2002.
    """
    seed = _validation.check_seed("seed", seed)
    to = _checked_goal(to)
    _check_sampler(sampler, to)
    examples = rows.read(x, y, sample_weight)
    found = labels_of(examples, labels)
    if found.codes is None:
        raise ValueError(
            "`y` must have one label a row: a copy for one of several labels is one "
            "for the others, too. `BalancedBatches` balances several labels. "
            f"Received: rows of {len(found.names)} labels, several in some"
        )
    if validation_data is not None:
        _warn_of_leaks(examples, validation_data)
    generator = np.random.default_rng(seed)
    if sampler is not None:
        chosen = _by_sampler(sampler, examples, found)
    else:
        chosen = _copied(found, _goals(to, found), generator)
    return examples.at(generator.permutation(chosen))


def _checked_goal(to: Any) -> Any:
    if isinstance(to, dict):
        return {
            name: _validation.check_int("to", count, minimum=1)
            for name, count in to.items()
        }
    if _validation.is_number(_validation.plain(to)):
        return _validation.check_float("to", to, exclusive=True, maximum=1)
    return _validation.check_choice("to", to, ("majority",))


def _check_sampler(sampler: Any, to: Any) -> None:
    if sampler is None:
        return
    if isinstance(sampler, type) or not hasattr(sampler, "fit_resample"):
        raise TypeError(
            "`sampler` must be a sampler of imbalanced-learn's, which has "
            "`fit_resample`. `pip install imbalanced-learn`, or the extra "
            "`imbalance` of keras_tricks, brings them. "
            f"{_validation.received('sampler', sampler, True)}"
        )
    if to != "majority":
        raise ValueError(
            "`to` must be left out with a `sampler`, which has a `sampling_strategy`. "
            f"{_validation.received('to', to)}"
        )


def _goals(to: Any, labels: Labels) -> np.ndarray:
    """Returns how many rows each class is to have."""
    goals = labels.counts.copy()
    if not isinstance(to, dict):
        share = 1.0 if to == "majority" else to
        return np.maximum(goals, math.ceil(share * goals.max()))
    for name, count in to.items():
        index = labels.index_of("to", name)
        if count < goals[index]:
            raise ValueError(
                f"`to` must be at least the {goals[index]} rows of class {name!r}: "
                "`stratified_subset` takes fewer rows. "
                f"{_validation.received('to', to)}"
            )
        goals[index] = count
    return goals


def _copied(
    labels: Labels, goals: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    chosen = []
    for code, goal in enumerate(goals):
        own = np.flatnonzero(labels.codes == code)
        copies, rest = divmod(int(goal), len(own))
        chosen += [np.repeat(own, copies), generator.choice(own, rest, replace=False)]
    return np.concatenate(chosen)


def _by_sampler(sampler: Any, examples: rows.Examples, labels: Labels) -> np.ndarray:
    leaves = rows.leaves(examples.parts[0])
    if len(leaves) != 1:
        raise ValueError(
            "`x` must be one table of numbers with a `sampler`. "
            f"Received: {len(leaves)} arrays"
        )
    table = leaves[0]
    if not hasattr(table, "iloc"):
        table = np.asarray(table).reshape(examples.num_rows, -1)
    sampler.fit_resample(table, labels.codes)
    if not hasattr(sampler, "sample_indices_"):
        raise ValueError(
            "`sampler` must choose rows, and tell which in `sample_indices_`; one that "
            "makes new rows is called by itself: `sampler.fit_resample(x, y)`. "
            f"{_validation.received('sampler', sampler)}"
        )
    return np.asarray(sampler.sample_indices_)


def _warn_of_leaks(examples: rows.Examples, validation_data: Any) -> None:
    held_out = _read_held_out(validation_data)
    known = set(_fingerprints(examples))
    leaked = sum(each in known for each in _fingerprints(held_out))
    if leaked:
        warnings.warn(
            f"{leaked} of the {held_out.num_rows} rows of `validation_data` are among "
            "the rows that are copied: a model is then validated on what it was "
            "trained on. Split the data before they are oversampled.",
            stacklevel=3,
        )


def _read_held_out(validation_data: Any) -> rows.Examples:
    is_tuple = isinstance(validation_data, tuple | list)
    if is_tuple and len(validation_data) in (2, 3):
        return rows.read(*validation_data)
    if rows.is_dataset(validation_data):
        return rows.read(validation_data)
    raise TypeError(
        "`validation_data` must be `(x, y)`, `(x, y, weights)`, a dataset or None. "
        f"{_validation.received('validation_data', validation_data, True)}"
    )


def _fingerprints(examples: rows.Examples) -> list[int]:
    """Returns a number for each row that equal inputs have in common."""
    columns = []
    for leaf in rows.leaves(examples.parts[0]):
        array = leaf.toarray() if hasattr(leaf, "toarray") else np.asarray(leaf)
        array = array.reshape(len(array), -1)
        if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
            array = array.astype("float32")
        elif array.dtype.kind in "iub":
            array = array.astype("int64")
        else:
            columns.append([hash(tuple(map(repr, row))) for row in array.tolist()])
            continue
        columns.append([hash(row.tobytes()) for row in array])
    return [hash(row) for row in zip(*columns, strict=True)]
