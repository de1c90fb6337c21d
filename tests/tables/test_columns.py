"""What kind a column is, and how its values are read."""

import datetime
import decimal
import uuid
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from sklearn_memgen.tables.columns import (
    as_table,
    column_kind,
    find_kinds,
    resolve_columns,
)
from sklearn_memgen.tables.values import (
    elapsed_days,
    read_columns,
    to_floats,
    to_strings,
)

UTC = datetime.UTC
DATE, LATER = datetime.date(2020, 1, 1), datetime.date(2021, 3, 5)


def arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


def objects(*values):
    return pd.Series(values, dtype=object)


NUMBERS = {
    "int": pd.Series([1, 2]),
    "uint64": pd.Series([1, 2], dtype="uint64"),
    "float16": pd.Series([1, 2], dtype="float16"),
    "longdouble": pd.Series(np.array([1, 2], dtype=np.longdouble)),
    "Int64": pd.Series([1, 2, None], dtype="Int64"),
    "Float64": pd.Series([1, 2, None], dtype="Float64"),
    "arrow int": arrow([1, 2, None], pa.int32()),
    "arrow float": arrow([1, 2, None], pa.float64()),
    "arrow decimal": arrow([Decimal(1), Decimal(2), None], pa.decimal128(10, 2)),
    "object int": objects(1, 2, None),
    "object float": objects(1.0, 2.0, np.nan),
    "Decimal": objects(Decimal(1), Decimal(2), None),
    "Decimal and int": objects(Decimal(1), 2, None),
    "bool and int": objects(True, 2, pd.NA),
    "sparse": pd.Series(pd.arrays.SparseArray([1.0, 2.0])),
    "timedelta": pd.Series(pd.to_timedelta([1, 2, None], unit="D")),
    "object timedelta": objects(datetime.timedelta(1), datetime.timedelta(2), None),
    "arrow duration": pd.Series(pd.to_timedelta([1, 2, None], unit="D")).astype(
        pd.ArrowDtype(pa.duration("us"))
    ),
}
BOOLEANS = {
    "bool": pd.Series([True, False]),
    "boolean": pd.Series([True, False, None], dtype="boolean"),
    "arrow bool": arrow([True, False, None], pa.bool_()),
    "object bool": objects(True, False, None),
}
CATEGORIES = {
    "str": pd.Series(["a", "b", None], dtype="str"),
    "string": pd.Series(["a", "b", None], dtype="string"),
    "object str": objects("a", "b", np.nan),
    "arrow string": arrow(["a", "b", None], pa.string()),
    "arrow dictionary": arrow(["a", "b", None], pa.dictionary(pa.int8(), pa.string())),
    "category": pd.Series(["a", "b", None], dtype="category"),
    "category of int": pd.Series([1, 2, None], dtype="category"),
    "mixed": objects(1, "a", None, 2.5),
    "bytes": objects(b"a", b"b"),
    "tuple": objects((1, 2), (3, 4)),
    "time": objects(datetime.time(1), datetime.time(2), None),
    "uuid": objects(uuid.UUID(int=1), uuid.UUID(int=2)),
    "interval": pd.Series(pd.interval_range(0, 2)),
    "spelled numbers": pd.Series(["1", "2"]),
    "no real dates": pd.Series(["2024-13-45", "2024-01-01"]),
    "all missing": pd.Series([None, None], dtype="str"),
}
DATES = {
    "naive": pd.Series(pd.to_datetime([DATE, LATER, None])),
    "aware": pd.Series(pd.to_datetime([DATE, LATER, None])).dt.tz_localize(
        "Asia/Tokyo"
    ),
    "str": pd.Series(["2020-01-01", "2021-03-05", None]),
    "str with offset": pd.Series(["2020-01-01T00:00Z", "2021-03-05T02:00+02:00", None]),
    "date": objects(DATE, LATER, None),
    "object datetime": objects(
        datetime.datetime(2020, 1, 1, tzinfo=UTC),
        datetime.datetime(2021, 3, 5, tzinfo=UTC),
        None,
    ),
    "period": pd.Series(pd.PeriodIndex(["2020-01-01", "2021-03-05", None], freq="D")),
    "object period": objects(pd.Period("2020-01-01"), pd.Period("2021-03-05"), None),
    "arrow date": arrow([DATE, LATER, None], pa.date32()),
    "arrow naive": arrow([DATE, LATER, None], pa.timestamp("ns")),
    "arrow aware": pd.Series(pd.to_datetime([DATE, LATER, None]))
    .dt.tz_localize("Asia/Tokyo")
    .astype(pd.ArrowDtype(pa.timestamp("us", tz="Asia/Tokyo"))),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_every_dtype_read_alike(name):
    """Whichever dtype holds 1, 2 and nothing, they are the same floats."""
    values = NUMBERS[name]
    assert column_kind(values) == "number"
    floats = to_floats(values)
    assert floats.dtype == np.float64
    np.testing.assert_array_equal(floats, [1, 2, np.nan][: len(values)])


@pytest.mark.parametrize("name", BOOLEANS)
def test_booleans_are_numbers(name):
    values = BOOLEANS[name]
    assert column_kind(values) == "number"
    np.testing.assert_array_equal(to_floats(values), [1, 0, np.nan][: len(values)])


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_of_every_dtype(name):
    """Strings, mixed types and whatever else can be told apart are categories."""
    assert column_kind(CATEGORIES[name]) == "category"


@pytest.mark.parametrize("name", DATES)
def test_dates_of_every_dtype_read_alike(name):
    """Whichever dtype holds a date, it is the same day and month."""
    values = DATES[name].rename("d")
    assert column_kind(values) == "datetime"
    dates = read_columns(values.to_frame(), pd.Series({"d": "datetime"}))["d"]
    assert dates.dt.month.tolist()[:2] == [1, 3]
    np.testing.assert_array_equal(elapsed_days(dates), [18262, 18691, np.nan])


@pytest.mark.parametrize("content", [[np.nan] * 3, [None] * 3])
def test_column_without_values_is_a_number(content):
    values = pd.Series(content)
    assert column_kind(values) == "number"
    assert np.isnan(to_floats(values)).all()


def test_words_make_text_and_repetition_makes_categories():
    """Long strings are text only while most of them are distinct."""
    sentences = [f"the quick brown fox number {i}" for i in range(50)]
    assert column_kind(pd.Series(sentences)) == "text"
    assert column_kind(pd.Series(sentences[:5] * 10)) == "category"
    assert column_kind(pd.Series([f"id{i}" for i in range(50)])) == "category"


def test_dates_far_away_are_dates():
    """Years beyond the reach of nanoseconds neither fail nor wrap around."""
    dates = read_columns(
        pd.DataFrame({"d": ["0900-01-01", "1970-01-02", "9999-12-31"]}),
        pd.Series({"d": "datetime"}),
    )["d"]
    days = [datetime.date(900, 1, 1), datetime.date(9999, 12, 31)]
    first, last = (
        day.toordinal() - datetime.date(1970, 1, 1).toordinal() for day in days
    )
    np.testing.assert_array_equal(elapsed_days(dates), [first, 1, last])


@pytest.mark.parametrize(
    "values",
    [pd.Series([1j, 2]), objects(1j, 2), objects(np.complex64(1j), "a")],
    ids=["dtype", "object", "mixed"],
)
def test_complex_numbers_are_refused(values):
    with pytest.raises(ValueError, match="Complex data not supported: column 'z'"):
        column_kind(values.rename("z"))


@pytest.mark.parametrize(
    "values",
    [
        objects({"a": 1}, "b"),
        objects([1], [2]),
        objects({1}, 2),
        objects((1, [2]), 3),
        arrow([[1], None], pa.list_(pa.int64())),
        arrow([{"a": 1}, None], pa.struct([("a", pa.int64())])),
    ],
    ids=["dict", "list", "set", "nested", "arrow list", "arrow struct"],
)
def test_values_that_are_no_keys_are_refused(values):
    """The message is the one scikit-learn's checks look for, and names the column."""
    message = "column 'z' .* argument must be a string or a number"
    with pytest.raises(TypeError, match=message):
        column_kind(values.rename("z"))


def test_given_kinds_win_and_may_not_contradict():
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert find_kinds(table, {"category": ["a"], "text": ["b"]}).to_dict() == {
        "a": "category",
        "b": "text",
    }
    with pytest.raises(ValueError, match=r"text_features .*'a'.* categorical_features"):
        find_kinds(table, {"category": ["a"], "text": ["a"]})


def test_given_kinds_do_not_hide_what_no_kind_can_hold():
    table = pd.DataFrame({"z": [1j, 2j], "u": objects([1], [2])})
    with pytest.raises(ValueError, match="Complex data not supported"):
        find_kinds(table[["z"]], {"number": ["z"]})
    with pytest.raises(TypeError, match="told apart"):
        find_kinds(table[["u"]], {"category": ["u"]})


def test_array_of_strings_may_hold_numbers():
    """NumPy turns numbers beside a string into strings; a frame says what is what."""
    array = np.array([[1, "a"], [2.5, "b"]])
    assert find_kinds(as_table(array), {}).tolist() == ["number", "category"]
    named = pd.DataFrame(array, columns=["x", "y"])
    assert find_kinds(named, {}).tolist() == ["category", "category"]


@pytest.mark.parametrize(
    "columns",
    [["c", "a"], [2, 0], [-1, 0], np.array(["c", "a"]), pd.Index(["c", "a"])],
    ids=repr,
)
def test_columns_by_name_and_position(columns):
    frame = pd.DataFrame(columns=["a", "b", "c"])
    assert resolve_columns(frame, columns, "p") == ["c", "a"]


def test_columns_by_mask():
    frame = pd.DataFrame(columns=["a", "b", "c"])
    for mask in ([True, False, True], np.array([True, False, True])):
        assert resolve_columns(frame, mask, "p") == ["a", "c"]
    with pytest.raises(ValueError, match="p is a mask of 2 columns, but X has 3"):
        resolve_columns(frame, [True, False], "p")


def test_names_come_before_positions():
    """In a frame whose names are integers, an integer is a name if it can be."""
    assert resolve_columns(pd.DataFrame(columns=[1, 0]), [1], "p") == [1]


@pytest.mark.parametrize("column", [3, -4, "ages", None, ["a"], 1.5])
def test_unknown_column_names_parameter_and_column(column):
    frame = pd.DataFrame(columns=["age", "b", "c"])
    with pytest.raises(ValueError, match="which X does not have") as info:
        resolve_columns(frame, [column], "p")
    assert str(info.value).startswith(f"p names column {column!r}, which")
    assert "X has the columns ['age', 'b', 'c']" in str(info.value)
    assert ("Did you mean 'age'?" in str(info.value)) == (column == "ages")


def test_many_columns_are_not_all_quoted():
    with pytest.raises(ValueError, match=r"19, \.\.\.\]"):
        resolve_columns(pd.DataFrame(columns=range(1000)), ["x"], "p")


GARBAGE = objects(
    *(
        2.5,
        True,
        "7",
        " 8 ",
        Decimal("1.5"),
        pd.Timedelta(days=3),
        np.timedelta64(2, "D"),
    ),
    *("x", "", None, pd.NA, pd.NaT, 1j, np.complex64(1), {"a": 1}, [1], (1, [2])),
    *(10**400, b"\xff", "\ud800", "\0", DATE, pd.Period("2020"), object(), np.ones(2)),
)


def test_each_value_of_a_number_column_is_read_by_itself():
    """What stands in one row changes no other, and nothing at all raises."""
    with pytest.warns(UserWarning, match="column of numbers, but 15 of its values"):
        together = to_floats(GARBAGE)
    expected = [2.5, 1, 7, 8, 1.5, 3, 2] + [np.nan] * 18
    np.testing.assert_array_equal(together, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [to_floats(GARBAGE.iloc[[i]])[0] for i in range(len(GARBAGE))]
    np.testing.assert_array_equal(alone, together)


def test_numbers_are_no_dates():
    """pandas takes an integer for nanoseconds since 1970; a year is not that."""
    kinds = pd.Series({"d": "datetime"})
    for values in (pd.Series([2020, 2021]), objects(2020, 3.5), objects(True, False)):
        with pytest.warns(UserWarning, match="column of dates, but 2 of its values"):
            dates = read_columns(values.to_frame("d"), kinds)["d"]
        assert dates.isna().all()


def test_garbage_among_dates_is_missing():
    values = pd.concat([GARBAGE, pd.Series(["2020-01-01"])], ignore_index=True)
    table, kinds = values.to_frame("d"), pd.Series({"d": "datetime"})
    with pytest.warns(UserWarning, match="column 'd' is a column of dates"):
        together = elapsed_days(read_columns(table, kinds)["d"])
    assert together[-1] == 18262
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [
            elapsed_days(read_columns(table.iloc[[i]], kinds)["d"])[0]
            for i in range(len(table))
        ]
    np.testing.assert_array_equal(alone, together)


def test_a_clean_column_warns_of_nothing():
    kinds = pd.Series({"n": "number", "d": "datetime"})
    table = pd.DataFrame({"n": objects(1, None), "d": ["2020-01-01", None]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_columns(table, kinds)


def test_zones_keep_their_wall_clock():
    """An hour means the hour on the wall, whatever the zone."""
    noon = pd.Series(pd.to_datetime(["2020-06-01 12:00"])).dt.tz_localize("Asia/Tokyo")
    dates = read_columns(noon.to_frame("d"), pd.Series({"d": "datetime"}))["d"]
    assert dates.dt.hour.tolist() == [12]


def test_text_becomes_plain_strings():
    """Missing text is empty; half a surrogate pair can be hashed."""
    values = objects("a", None, np.nan, 1.5, "\ud800", "😀\0")
    assert to_strings(values).tolist() == ["a", "", "", "1.5", "?", "😀\0"]


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame,
        pl.from_pandas,
        pa.Table.from_pandas,
        lambda frame: frame.to_numpy(object),
        lambda frame: frame.values.tolist(),
    ],
    ids=["pandas", "polars", "pyarrow", "array", "lists"],
)
def test_tables_of_every_make_become_frames(make):
    frame = pd.DataFrame({"n": [1, 2], "s": ["a", "b"]})
    table = as_table(make(frame))
    assert table.to_numpy(object).tolist() == [[1, "a"], [2, "b"]]
    assert find_kinds(table, {}).tolist() == ["number", "category"]


def test_polars_dtypes():
    """Nulls, enums, decimals, dates and durations of Polars find their kinds."""
    frame = pl.DataFrame(
        {
            "int": [1, None],
            "bool": [True, None],
            "str": ["a", None],
            "enum": pl.Series(["a", None], dtype=pl.Enum(["a"])),
            "decimal": [Decimal("1.5"), None],
            "date": [DATE, None],
            "aware": pl.Series([datetime.datetime(2020, 1, 1, tzinfo=UTC), None]),
            "duration": [datetime.timedelta(1), None],
        }
    )
    kinds = find_kinds(as_table(frame), {})
    assert kinds.tolist() == [
        *("number", "number", "category", "category", "number"),
        *("datetime", "datetime", "number"),
    ]


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_input_stays_sparse(kind, form):
    matrix = kind(np.array([[0, 1], [2, 0]])).asformat(form)
    table = as_table(matrix)
    assert table.format == "csr" and table.dtype == np.float32
    assert table.toarray().tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"a": []}), r"0 sample\(s\) \(shape=\(0, 1\)\) while a minimum"),
        (pd.DataFrame(index=[0, 1]), r"0 feature\(s\) \(shape=\(2, 0\)\) while a"),
        (np.empty((0, 2)), r"0 sample\(s\)"),
        (np.empty((2, 0)), r"0 feature\(s\)"),
        (sparse.csr_matrix((0, 2)), r"0 sample\(s\)"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"more than one .*\['a'\]"),
        (np.ones(3), "Expected 2D array"),
        (np.ones((2, 2)) * 1j, "Complex data not supported"),
        (np.ones((2, 2, 2)), "dim 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_table(X, message):
    with pytest.raises(ValueError, match=message):
        as_table(X)


def test_decimal_context_is_not_touched():
    """Reading decimals leaves the user's precision alone."""
    with decimal.localcontext(prec=3):
        to_floats(objects(Decimal("1.23456")))
        assert decimal.getcontext().prec == 3
