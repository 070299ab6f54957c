"""What the rows of a table that are trained on say to the encoding of all rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_tricks.hypermodels.table.columns import Column
from keras_tricks.hypermodels.table.columns import Table
from keras_tricks.hypermodels.table.columns import known_keys
from keras_tricks.hypermodels.tasks.arrays import refuse

# Bins of a piecewise-linear encoding, at most; any other number divides it.
MOST_BINS = 64


class Fitted(NamedTuple):
    """What is known of the rows that are trained on.

    Attributes:
        medians: Of each number, in the place of a gap.
        means: Of each number.
        deviations: Of each number; 0 where it is constant.
        quantiles: `(numbers, MOST_BINS + 1)`, from the least to the largest.
        keys: For each column of categories `(categories, 4)`.
    """

    medians: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    quantiles: np.ndarray
    keys: tuple[np.ndarray, ...]


def fitted(
    table: Table, columns: tuple[Column, ...], num_rows: int, max_categories: int
) -> Fitted:
    """Returns what the first rows of a table say.

    Args:
        table: The table.
        columns: Its columns.
        num_rows: How many rows are trained on.
        max_categories: The largest `size` of a column.

    Raises:
        keras_tuner.errors.FatalValueError: If a column has more categories than were
            known when the network was thought of; it is a `ValueError`.
    """
    keys = []
    with_categories = [column for column in columns if column.size]
    for column, found in zip(with_categories, table.categories, strict=True):
        known = known_keys(found, num_rows)
        if len(known) > column.size < max_categories:
            refuse(
                f"The column {column.name!r} must have no more categories than "
                "`features`, from which the hypermodel knows the table.",
                "Give `HyperTable` all rows that will be trained on.",
                f"{len(known)} categories, {column.size} in `features`",
            )
        keys.append(known[: column.size])
    present = [_present(column[:num_rows]) for column in table.numbers.T]
    shares = np.linspace(0, 1, MOST_BINS + 1)
    quantiles = [np.quantile(numbers, shares) for numbers in present]
    return Fitted(
        medians=np.array([np.median(numbers) for numbers in present], "float32"),
        means=np.array([numbers.mean() for numbers in present], "float32"),
        deviations=np.array([_deviation(numbers) for numbers in present], "float32"),
        quantiles=np.array(quantiles, "float32").reshape(len(present), len(shares)),
        keys=tuple(keys),
    )


def _present(column: np.ndarray) -> np.ndarray:
    """Returns the numbers of a column, and a 0 where all are missing."""
    numbers = column[~np.isnan(column)].astype("float64")
    return numbers if len(numbers) else np.zeros(1)


def _deviation(numbers: np.ndarray) -> float:
    # Equal numbers may have a mean that is another by rounding.
    return float(numbers.std()) if numbers.min() < numbers.max() else 0.0


def arrays(table: Table, keys: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """Returns what the network takes.

    Args:
        table: The table.
        keys: The known keys of each column of categories.

    Returns:
        `numbers`, float32 with NaN for gaps, and `codes`, int32: 0 for a category that
        is not known, or the place of its key, counted from 1.
    """
    found = {}
    if table.numbers.shape[1]:
        found["numbers"] = table.numbers
    if table.categories:
        columns = zip(table.categories, keys, strict=True)
        found["codes"] = np.stack(
            [_codes(cells.keys, known)[cells.rows] for cells, known in columns], axis=1
        )
    return found


def _codes(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    numbers = {key.tobytes(): number for number, key in enumerate(known, start=1)}
    return np.array([numbers.get(key.tobytes(), 0) for key in keys], "int32")
