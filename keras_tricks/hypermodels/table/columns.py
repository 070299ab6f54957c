"""The columns of a table: their kinds, learned from one frame and read of others."""

from __future__ import annotations

import collections
import dataclasses
import sys
import warnings
from typing import Any
from typing import NamedTuple

import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.table import cells
from keras_tricks.hypermodels.tasks.arrays import refuse

KINDS = ("number", "category", "boolean", "date")
# A category is known if it occurs so often in the rows that are trained on.
LEAST_OCCURRENCES = 2
# A column of categories with more of them in its rows is warned of.
MOST_DIFFERENT = 0.9
FEWEST_ROWS = 20
# True, False, and a gap.
_BOOLEANS = 3


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        kind: One of `KINDS`.
        size: How many categories it may have, a gap among them; 0 if it has none.
        has_gaps: Whether a number or date may be missing.
        scales: For each number that is made of it an origin and a unit, in which
            float32 is exact enough for it.
        zone: Time zone of dates, if they have one.
    """

    name: str | int
    kind: str
    size: int = 0
    has_gaps: bool = False
    scales: tuple[tuple[float, float], ...] = ()
    zone: str | None = None

    def numbers(self, series: Any) -> list[np.ndarray]:
        """Returns the numbers that are made of a column, float64 with NaN for gaps."""
        if self.kind == "date":
            return cells.date_cells(series, self.zone)
        return [cells.number_cells(series)]

    def categories(self, series: Any) -> cells.CategoryCells:
        """Returns the categories of a column."""
        return cells.category_cells(series, is_boolean=self.kind == "boolean")


class Table(NamedTuple):
    """A frame that was read.

    Attributes:
        numbers: `(rows, numbers)`, float32 in each column's unit, NaN for gaps.
        categories: The columns of categories.
    """

    numbers: np.ndarray
    categories: tuple[cells.CategoryCells, ...]

    def __len__(self) -> int:
        return len(self.numbers)


def columns_of(features: Any, kinds: Any, max_categories: int) -> tuple[Column, ...]:
    """Returns the columns of a frame.

    Args:
        features: A frame, a dictionary of columns, or an array of two axes.
        kinds: Kinds of some columns by name, in the place of those that are seen.
        max_categories: The largest `size` of a column.

    Raises:
        TypeError: If it is no frame, or `kinds` is no dictionary.
        ValueError: If it has no rows or columns, or a kind is not known.
        keras_tuner.errors.FatalValueError: If a cell is not of its column's kind; it is
            a `ValueError`.
    """
    frame = frame_of(features, "`features`")
    if kinds is not None and not isinstance(kinds, dict):
        raise TypeError(
            "`kinds` must be a dictionary from columns to kinds, or None. "
            f"{_validation.received('kinds', kinds, True)}"
        )
    for name, kind in (kinds or {}).items():
        _validation.check_choice("kinds", kind, KINDS)
        if name not in frame.columns:
            raise ValueError(
                f"`kinds` must name columns of `features`: {[*frame.columns]}. "
                f"Received: {name!r}"
            )
    if not frame.size:
        raise ValueError(
            "`features` must have rows and columns. Received: features of shape "
            f"{frame.shape}"
        )
    return tuple(
        _column(frame[name], (kinds or {}).get(name), max_categories)
        for name in frame.columns
    )


def _column(series: Any, kind: str | None, max_categories: int) -> Column:
    kind = kind or cells.kind_of(series)
    zone = None
    if kind == "date":
        of_dates = cells.as_dates(series).dt.tz
        zone = None if of_dates is None else str(of_dates)
    name = _validation.plain(series.name)
    column = Column(name, kind, has_gaps=bool(series.isna().any()), zone=zone)
    if kind == "boolean":
        return dataclasses.replace(column, size=_BOOLEANS)
    if kind == "category":
        known = len(known_keys(column.categories(series), len(series)))
        _warn_of_single_values(series, known)
        return dataclasses.replace(column, size=min(max(known, 1), max_categories))
    scales = tuple(map(_scale, column.numbers(series)))
    return dataclasses.replace(column, scales=scales)


def _warn_of_single_values(series: Any, known: int) -> None:
    """Warns of a column of categories that can tell next to nothing."""
    rows = int(series.notna().sum())
    different = int(series.nunique()) if rows else 0
    if rows >= FEWEST_ROWS and different > MOST_DIFFERENT * rows:
        warnings.warn(
            f"The column {series.name!r} has {different} categories in {rows} rows: "
            "those that occur once are unknown to the network. Numbers that are texts "
            "become numbers by `pandas.to_numeric`, dates by `pandas.to_datetime`; a "
            "name or an identifier may be left out.",
            stacklevel=5,
        )


def _scale(numbers: np.ndarray) -> tuple[float, float]:
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return 0.0, 1.0
    origin = float(np.median(finite))
    with np.errstate(over="ignore"):
        unit = float(np.max(np.abs(finite - origin)))
    return origin, unit if 0 < unit < np.inf else 1.0


def known_keys(found: cells.CategoryCells, num_rows: int) -> np.ndarray:
    """Returns the keys of the categories of the first rows, the most frequent first.

    One that occurs once tells nothing of others, and is left out.
    """
    counts = np.bincount(found.rows[:num_rows], minlength=len(found.keys))
    order = np.argsort(-counts, kind="stable")
    return found.keys[order[counts[order] >= LEAST_OCCURRENCES]]


def table_of(x: Any, columns: tuple[Column, ...], place: str) -> Table:
    """Reads a frame. Columns that are none of these, and the order, do not matter.

    Args:
        x: See `columns_of`.
        columns: The columns to be read.
        place: Where the frame is, in words.

    Raises:
        keras_tuner.errors.FatalValueError: If it is no frame, a column is missing, or a
            cell is not of its kind or not finite; it is a `ValueError`.
    """
    frame = frame_of(x, place)
    if not len(frame):
        refuse(f"The table in {place} must have rows.", "", "none")
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing:
        refuse(
            f"The table in {place} must have the columns of `features`.",
            "" if len(columns) < 2 else f"Missing: {missing}.",
            f"the columns {_validation.shown([*frame.columns])}",
        )
    numbers = [
        _scaled(number, scale, column.name)
        for column in columns
        if column.scales
        for number, scale in zip(
            column.numbers(frame[column.name]), column.scales, strict=True
        )
    ]
    return Table(
        np.stack(numbers, axis=1) if numbers else np.zeros((len(frame), 0), "float32"),
        tuple(
            column.categories(frame[column.name]) for column in columns if column.size
        ),
    )


def _scaled(
    numbers: np.ndarray, scale: tuple[float, float], name: str | int
) -> np.ndarray:
    origin, unit = scale
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = ((numbers - origin) / unit).astype("float32")
    is_right = np.isnan(numbers) | np.isfinite(scaled)
    if not is_right.all():
        row = int(np.argmin(is_right))
        refuse(
            f"The column {name!r} must hold finite numbers, or gaps.",
            "`frame.replace([np.inf, -np.inf], np.nan)` makes gaps of infinite ones.",
            f"{float(numbers[row])} in row {row}",
        )
    return scaled


def frame_of(x: Any, place: str) -> Any:
    """Returns a table as a data frame of pandas, or refuses it."""
    required = (
        f"The table in {place} must be a pandas data frame, a dictionary from names to "
        "columns, or a NumPy array of two axes."
    )
    if isinstance(x, dict) or (isinstance(x, np.ndarray) and x.ndim == 2):
        import pandas as pd

        try:
            x = pd.DataFrame(x)
        except (ValueError, TypeError) as error:
            refuse(required, "", f"{type(x).__name__}: {error}")
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(x, pandas.DataFrame):
        remedy = ""
        if hasattr(x, "to_pandas"):
            remedy = "Its `to_pandas()` is one."
        elif hasattr(x, "element_spec"):
            remedy = "Batches of a dataset are not read: give the whole table."
        refuse(required, remedy, f"{type(x).__module__}.{type(x).__qualname__}")
    names = [_validation.plain(name) for name in x.columns]
    counts = collections.Counter(names)
    for name, count in counts.items():
        if not isinstance(name, str | int) or isinstance(name, bool):
            refuse(
                f"The names of the columns in {place} must be texts or whole numbers.",
                "",
                repr(name),
            )
        if count > 1:
            refuse(
                f"The names of the columns in {place} must differ.",
                "",
                f"{name!r} {count} times",
            )
    return x
