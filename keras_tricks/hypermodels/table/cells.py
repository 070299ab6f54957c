"""The cells of a column of a data frame, as numbers or as keys of categories."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import math
import numbers
from typing import Any
from typing import NamedTuple

import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.tasks.arrays import refuse

# What a date is to a network, in this order.
DATE_PARTS = ("days since 1970", "year", "month", "day", "weekday", "hour")
# A key is a hash of 64 bits in four floats, which every device compares exactly.
KEY_PARTS = 4
_SECONDS_A_DAY = 86400
_DATES = (datetime.date, datetime.time, datetime.timedelta)


class CategoryCells(NamedTuple):
    """The cells of a column of categories.

    Attributes:
        rows: For each row the number of its key.
        keys: `(keys, 4)`; the last one is that of a gap.
    """

    rows: np.ndarray
    keys: np.ndarray


def kind_of(series: Any) -> str:
    """Returns the kind of a column: "number", "category", "boolean" or "date".

    Its type tells. Cells of Python's objects have a kind if they agree in it; any
    others, and a column of gaps alone, are categories.
    """
    import pandas as pd

    dtype, types = series.dtype, pd.api.types
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if types.is_bool_dtype(dtype):
        return "boolean"
    if types.is_numeric_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return "number"
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return "date"
    found = {_kind_of_cell(cell) for cell in series.dropna()}
    return found.pop() if len(found) == 1 else "category"


def _kind_of_cell(cell: Any) -> str:
    if isinstance(cell, bool | np.bool_):
        return "boolean"
    if _is_number(cell):
        return "number"
    return "date" if isinstance(cell, datetime.date) else "category"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, numbers.Real | decimal.Decimal)


def number_cells(series: Any) -> np.ndarray:
    """Returns float64 numbers, NaN for gaps. Spans of time are in days.

    Raises:
        keras_tuner.errors.FatalValueError: If a cell is no number.
    """
    import pandas as pd

    types = pd.api.types
    if types.is_timedelta64_dtype(series.dtype):
        return series.dt.total_seconds().to_numpy("float64") / _SECONDS_A_DAY
    if types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(
        series.dtype
    ):
        return series.to_numpy("float64", na_value=np.nan)
    cells = series.to_numpy(object)
    is_gap = pd.isna(cells)
    _check(
        series,
        [gap or _is_number(cell) for gap, cell in zip(is_gap, cells, strict=True)],
        "must hold numbers",
        "Convert it, with `pandas.to_numeric` for instance, or pass "
        f'`kinds={{{series.name!r}: "category"}}` (or "date").',
    )
    return np.where(is_gap, math.nan, cells).astype("float64")


def date_cells(series: Any, zone: str | None) -> list[np.ndarray]:
    """Returns the numbers of `DATE_PARTS`, each float64 with NaN for gaps.

    Days since 1970 are those of UTC, with the time as a fraction; Monday is weekday 0.
    The other parts are those of the calendar and clock of the time zone.

    Raises:
        keras_tuner.errors.FatalValueError: If a cell is no date, or the column has a
            time zone and `zone` is None, or the other way round.
    """
    import pandas as pd

    dates = as_dates(series)
    if (dates.dt.tz is None) != (zone is None):
        remedy = "`tz_localize` of the column's `dt` gives it one, or takes it away."
        has = "no time zone" if zone is None else f"a time zone, such as {zone}"
        refuse(f"The column {series.name!r} must have {has}.", remedy, str(dates.dtype))
    local = dates if zone is None else dates.dt.tz_convert(zone)
    if zone is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    seconds = (dates - pd.Timestamp("1970-01-01")).dt.total_seconds()
    clock, calendar = local.dt, ("year", "month", "day", "day_of_week")
    parts = [seconds / _SECONDS_A_DAY]
    parts += [getattr(clock, part) for part in calendar]
    parts.append(clock.hour + clock.minute / 60)
    return [part.to_numpy("float64", na_value=np.nan) for part in parts]


def as_dates(series: Any) -> Any:
    """Returns a column as pandas has dates, or refuses it."""
    import pandas as pd

    if isinstance(series.dtype, pd.PeriodDtype):
        return series.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return series
    cells = series.astype(object)
    required = "must hold dates"
    remedy = "`pandas.to_datetime` makes them of numbers and of other texts."
    _check(series, [not _is_number(cell) or cell != cell for cell in cells], required)
    try:
        return pd.to_datetime(cells)
    except (ValueError, TypeError, OverflowError) as error:
        [message, *_] = str(error).splitlines() or [""]
        refuse(f"The column {series.name!r} {required}.", remedy, message)


def category_cells(series: Any, is_boolean: bool = False) -> CategoryCells:
    """Returns the categories of the cells as keys, which any later frame has, too.

    Whole numbers are the same category whether they are ints, floats or bools; the text
    "1" is another one.

    Args:
        series: The column.
        is_boolean: Whether True, False, 1, 0 and gaps alone are allowed.

    Raises:
        keras_tuner.errors.FatalValueError: If a cell is neither a text nor a number nor
            a date.
    """
    import pandas as pd

    if is_boolean:
        cells = series.astype(object)
        _check(
            series,
            [gap or cell in (0, 1) for gap, cell in zip(cells.isna(), cells)],  # noqa: B905
            "must hold True and False",
            f'Pass `kinds={{{series.name!r}: "category"}}`.',
        )
    try:
        rows, values = pd.factorize(series)
        texts = [_text(value) for value in values]
    except TypeError:
        cells = series.astype(object)
        _check(
            series,
            [gap or _is_category(c) for gap, c in zip(cells.isna(), cells)],  # noqa: B905
            "must hold texts, numbers or dates",
        )
        raise
    keys = np.stack([_key(text) for text in [*texts, "a gap"]])
    return CategoryCells(np.where(rows < 0, len(texts), rows), keys)


def _is_category(cell: Any) -> bool:
    try:
        _text(cell)
    except TypeError:
        return False
    return True


def _text(value: Any) -> str:
    """Returns a text that no other category has."""
    import pandas as pd

    if isinstance(value, str):
        return f"text {value}"
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    if isinstance(value, bool | np.bool_) or _is_number(value):
        is_whole = math.isfinite(value) and value == math.floor(value)
        return f"number {int(value) if is_whole else float(value)!r}"
    if isinstance(value, (*_DATES, pd.Interval, pd.Period)):
        return f"{type(value).__name__} {value}"
    raise TypeError(value)


def _key(text: str) -> np.ndarray:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return np.frombuffer(digest.digest(), "<u2").astype("float32")


def _check(series: Any, is_right: list[bool], required: str, remedy: str = "") -> None:
    """Refuses the first cell that is not right, with its row and column."""
    right = np.asarray(is_right, bool)
    if not right.all():
        row = int(np.argmin(right))
        refuse(
            f"The column {series.name!r} {required}.",
            remedy,
            f"{_validation.shown(_validation.plain(series.iloc[row]))} in row {row}",
        )
