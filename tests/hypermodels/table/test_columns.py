"""Frames of other people: what their columns are taken for, and what is refused."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from keras_tricks.hypermodels.table.columns import columns_of
from keras_tricks.hypermodels.table.columns import table_of
from keras_tricks.hypermodels.table.fitted import arrays
from keras_tricks.hypermodels.table.fitted import fitted

MOST = 1000


def encoded(features, later=None, kinds=None, num_rows=None, max_categories=MOST):
    """The arrays of a later frame, by what the first rows of another say."""
    columns = columns_of(features, kinds, max_categories)
    table = table_of(features, columns, "`x`")
    num_rows = len(table) if num_rows is None else num_rows
    keys = fitted(table, columns, num_rows, max_categories).keys
    return arrays(table if later is None else table_of(later, columns, "`later`"), keys)


def numbers(column, **options):
    """Of one column, in the unit of the data again."""
    found = encoded({"a": column}, **options)["numbers"]
    scales = columns_of({"a": column}, options.get("kinds"), MOST)[0].scales
    return [
        values.astype("float64") * unit + origin
        for values, (origin, unit) in zip(found.T, scales, strict=True)
    ]


def codes(column, later=None, **options):
    later = None if later is None else {"a": later}
    return encoded({"a": column}, later, **options)["codes"][:, 0].tolist()


BOOLEANS = pd.array([True, False, None], dtype="boolean")
DAYS = pd.to_datetime(["2024-01-01", "2024-02-29", None])
KINDS = {
    "floats": (np.array([1.5, np.nan]), "number"),
    "float16": (np.array([1.5, 2], "float16"), "number"),
    "Int64 with a gap": (pd.array([1, None], dtype="Int64"), "number"),
    "ints and None": (np.array([1, None], object), "number"),
    "decimals": (np.array([decimal.Decimal("1.5"), None], object), "number"),
    "spans": (pd.to_timedelta(["1D", None]), "number"),
    "bools": (np.array([True, False]), "boolean"),
    "boolean with a gap": (BOOLEANS, "boolean"),
    "bools and None": (np.array([True, None], object), "boolean"),
    "texts": (np.array(["a", "b"]), "category"),
    "string with a gap": (pd.array(["a", None], dtype="string"), "category"),
    "texts and numbers": (np.array(["a", 1, None, np.nan], object), "category"),
    "categorical": (pd.Categorical([1, 2, None]), "category"),
    "dates": (DAYS, "date"),
    "dates of Python": (np.array([datetime.date(2024, 1, 1), None], object), "date"),
    "a time zone": (DAYS.tz_localize("Asia/Tokyo"), "date"),
    "periods": (pd.period_range("2024-01", periods=2, freq="M"), "date"),
    "no text at all": (np.array([None, None], object), "category"),
    "no number at all": (np.array([np.nan, np.nan]), "number"),
}


@pytest.mark.parametrize(("column", "kind"), KINDS.values(), ids=KINDS)
def test_each_type_of_column_has_its_kind(column, kind):
    frame = pd.DataFrame({"a": column})
    [found] = columns_of(frame, None, MOST)
    assert found.kind == kind
    assert found.has_gaps == frame["a"].isna().any()
    # And it can be read.
    assert len(table_of(frame, (found,), "`x`")) == len(frame)


def test_a_kind_may_be_given():
    assert codes([1, 2, 2, 1, 1], kinds={"a": "category"}) == [1, 2, 2, 1, 1]
    assert numbers(["2024-03-01"], kinds={"a": "date"})[2] == [3]


def test_numbers_are_exact_to_seven_digits_of_their_range():
    """Seconds since 1970, which float32 has in steps of 128."""
    seconds = np.array([1_700_000_000, 1_700_000_001, 1_700_000_060])
    np.testing.assert_allclose(numbers(seconds)[0] - seconds[0], [0, 1, 60], rtol=1e-6)


def test_gaps_of_numbers_stay_gaps():
    found = encoded({"a": pd.array([1, None, 3], dtype="Int64")})["numbers"]
    assert np.isnan(found)[:, 0].tolist() == [False, True, False]


def test_a_date_is_six_numbers_in_its_own_time_zone():
    """By hand: 23:30 UTC on 31 December 2023 is 8:30 on New Year's Monday in Tokyo."""
    dates = pd.to_datetime(["2023-12-31 23:30", "2024-03-02 00:00"], utc=True)
    days, *parts = numbers(dates.tz_convert("Asia/Tokyo"))
    np.testing.assert_allclose(days, [19722 + 23.5 / 24, 19784])
    expected = [[2024, 2024], [1, 3], [1, 2], [0, 5], [8.5, 9]]
    np.testing.assert_allclose(parts, expected)


def test_dates_of_another_time_zone_are_the_same_moments():
    here = pd.DataFrame({"a": pd.to_datetime(["2024-05-01"] * 2, utc=True)})
    there = here["a"].dt.tz_convert("America/New_York").to_frame()
    expected = encoded(here)["numbers"]
    np.testing.assert_array_equal(encoded(here, there)["numbers"], expected)


def test_categories_are_numbered_by_their_frequency():
    assert codes(["b", "a", "a", "b", "a"]) == [2, 1, 1, 2, 1]


def test_what_occurs_once_or_never_or_only_in_validation_is_unknown():
    assert codes(["a", "a", "once"], ["a", "once", "never", None]) == [1, 0, 0, 0]
    assert codes(["a", "a", "b", "b"], num_rows=2) == [1, 1, 0, 0]


def test_a_gap_is_a_category():
    missing = np.array([None, "a", np.nan, "a", pd.NA, ""], object)
    assert codes(missing) == [1, 2, 1, 2, 1, 0]


def test_a_category_is_the_same_in_another_type():
    """A gap makes floats of ints, and files make objects of anything."""
    whole = pd.Series([1, 1, 2, 2, 2])
    for other in (
        whole.astype("float64"),
        whole.astype("Int64"),
        whole.astype(object),
        whole.astype("category"),
    ):
        assert codes(whole, other, kinds={"a": "category"}) == [2, 2, 1, 1, 1]
    flags = pd.Series([True, True, False, False, False])
    for other in (flags.astype(int), flags.astype(object), flags.astype("boolean")):
        assert codes(flags, other) == [2, 2, 1, 1, 1]
    assert codes(["1", "1"], [1, "1"], kinds={"a": "category"}) == [0, 1]


def test_the_most_frequent_categories_are_told_apart():
    column = [*"aaabbbccdd"]
    assert codes(column, [*"abcd"], max_categories=2) == [1, 2, 0, 0]


def test_columns_are_found_by_their_names():
    features = pd.DataFrame({"a": [1.0, 2.0], 7: [3.0, 5.0]}, index=[9, 9])
    later = pd.DataFrame({7: [3.0, 5.0], "other": ["?", "!"], "a": [1.0, 2.0]})
    expected = encoded(features)["numbers"]
    np.testing.assert_array_equal(encoded(features, later)["numbers"], expected)


def test_an_array_and_a_dictionary_are_tables():
    array = np.array([[1.0, 2.0], [3.0, 5.0]])
    expected = encoded({0: [1.0, 3.0], 1: [2.0, 5.0]})["numbers"]
    np.testing.assert_array_equal(encoded(array)["numbers"], expected)


class Polars:
    """As polars has it: no frame of pandas, but made into one by a method."""

    def to_pandas(self):
        return pd.DataFrame({"a": [1.0]})


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
WRONG_TABLES = {
    "a list": ([[1.0], [2.0]], "must be a pandas data frame.*Received: builtins.list"),
    "one axis": (np.zeros(3), "a NumPy array of two axes"),
    "polars": (Polars(), r"Its `to_pandas\(\)` is one"),
    "unequal columns": ({"a": [1], "b": [1, 2]}, "Received: dict: .*same length"),
    "a name twice": (FRAME[["a", "a"]], "must differ. Received: 'a' 2 times"),
    "a pair as a name": (
        pd.DataFrame({("a", "b"): [1.0]}),
        r"must be texts or whole numbers. Received: \('a', 'b'\)",
    ),
    "no rows": (FRAME[:0], r"must have rows and columns.*\(0, 2\)"),
    "no columns": (FRAME[[]], r"must have rows and columns.*\(2, 0\)"),
    "an infinite number": (
        {"a": [1.0, -np.inf]},
        "column 'a' must hold finite.*Received: -inf in row 1",
    ),
    "complex numbers": ({"a": np.array([1j])}, "'a' must hold numbers"),
    "lists": (
        {"a": np.array([[1], None, ["x"]], object)},
        r"'a' must hold texts, numbers or dates. Received: \[1\] in row 0",
    ),
}


@pytest.mark.parametrize(("table", "message"), WRONG_TABLES.values(), ids=WRONG_TABLES)
def test_what_is_no_table_is_refused(table, message):
    with pytest.raises((ValueError, TypeError), match=message):
        encoded(table)


WRONG_LATER = {
    "a column is missing": ({"b": ["x"]}, r"Missing: \['a'\].* columns \['b'\]"),
    "a text among numbers": (
        {"a": [1.0, "2"], "b": ["x", "y"]},
        "'a' must hold numbers.*to_numeric.*Received: '2' in row 1",
    ),
    "an infinite number": (
        {"a": [1.0, np.inf], "b": ["x", "y"]},
        "'a' must hold finite numbers.*Received: inf in row 1",
    ),
    "a number too large for float32": (
        {"a": [1e300], "b": ["x"]},
        r"'a' must hold finite numbers.*Received: 1e\+300 in row 0",
    ),
}


@pytest.mark.parametrize(("later", "message"), WRONG_LATER.values(), ids=WRONG_LATER)
def test_a_later_frame_of_another_kind_is_refused_by_row_and_column(later, message):
    with pytest.raises(ValueError, match=message):
        encoded(FRAME, later)


WRONG_CELLS = {
    "a text for a flag": ("boolean", [True, False], [True, "no"], "'no' in row 1"),
    "2 for a flag": ("boolean", [True, False], [0, 2], "2 in row 1"),
    "numbers for dates": ("date", DAYS, [1, 2], "hold dates.*Received: 1 in row 0"),
    "no date": ("date", DAYS, ["2024-01-01", "soon"], "must hold dates.*soon"),
    "a time zone": (
        "date",
        DAYS,
        DAYS.tz_localize("UTC"),
        "must have no time zone.*UTC",
    ),
    "no time zone": (
        "date",
        DAYS.tz_localize("UTC"),
        DAYS,
        "must have a time zone, such as UTC",
    ),
}


@pytest.mark.parametrize(
    ("kind", "column", "later", "message"), WRONG_CELLS.values(), ids=WRONG_CELLS
)
def test_a_cell_of_another_kind_is_refused(kind, column, later, message):
    with pytest.raises(ValueError, match=f"column 'a' .*{message}"):
        encoded({"a": column}, {"a": later}, kinds={"a": kind})


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"c": "number"}, r"columns of `features`: \['a', 'b'\]. Received: 'c'"),
        ({"a": "text"}, "`kinds` must be one of 'number', 'category'"),
        ({"b": "number"}, "column 'b' must hold numbers"),
        (["a"], "`kinds` must be a dictionary"),
    ],
    ids=str,
)
def test_kinds_that_do_not_fit_are_refused(kinds, message):
    with pytest.raises((ValueError, TypeError), match=message):
        columns_of(FRAME, kinds, MOST)


def test_more_categories_than_were_thought_of_are_refused():
    """Somebody gives the head of a frame to say what its columns are."""
    frame = pd.DataFrame({"a": [*"aabbcc"]})
    columns = columns_of(frame[:2], None, MOST)
    table = table_of(frame, columns, "`x`")
    with pytest.raises(ValueError, match=r"all rows.*Received: 3 categories, 1 in"):
        fitted(table, columns, 6, MOST)
