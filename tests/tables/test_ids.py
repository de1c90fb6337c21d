"""Id columns: categories, exact numbers, deciles and parts of dates."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen.tables.ids import CALENDAR, IdColumn


def fit(values, part, weights=None, min_frequency=1):
    values = pd.Series(values, name="a")
    return IdColumn.fit(values, part, weights, min_frequency=min_frequency), values


def test_category():
    column, values = fit(["x", "y", "x", None], "category")
    assert column.name == "a" and len(column) == 4
    assert column.words() == ["a=<unknown>", "a=<missing>", "a=x", "a=y"]
    assert column.encode(values).tolist() == [2, 3, 2, 1]
    assert column.counts.tolist() == [0, 1, 2, 1]


def test_exact_number():
    column, values = fit([7688.0, 0.0, 0.0, np.nan], "exact")
    assert column.name == "a (exact)"
    assert column.words()[2:] == ["a=0", "a=7688"]
    assert column.encode(values).tolist() == [3, 2, 2, 1]
    assert column.encode(pd.Series([7688.5, np.inf])).tolist() == [0, 0]


def test_deciles_split_the_rows_evenly():
    column, values = fit(np.arange(1000.0), "decile")
    assert len(column) == 2 + 10
    np.testing.assert_allclose(column.counts[2:], 100, atol=1)
    words = column.words()
    assert words[column.encode(pd.Series([-5.0]))[0]] == "a (decile)=[-inf, 99)"
    assert words[column.encode(pd.Series([1e9]))[0]] == "a (decile)=[899, inf)"
    assert column.encode(values).min() >= 2


def test_each_value_lies_in_the_decile_that_its_word_names():
    rng = np.random.default_rng(0)
    column, values = fit(rng.lognormal(size=500).round(2), "decile")
    words = column.words()
    for value, id_ in zip(values, column.encode(values), strict=True):
        lower, upper = words[id_].removeprefix("a (decile)=[")[:-1].split(", ")
        assert float(lower) <= value < float(upper)


def test_deciles_of_few_values_and_of_none():
    column, values = fit([0.0] * 50 + [5.0] * 50, "decile")
    assert column.words()[2:] == ["a (decile)=[0, 5)", "a (decile)=[5, inf)"]
    assert column.encode(values).tolist() == [2] * 50 + [3] * 50
    empty, values = fit([np.nan, np.nan], "decile")
    assert empty.encode(values).tolist() == [1, 1]


def test_decile_of_missing_values():
    column, _ = fit([*np.arange(20.0), np.nan], "decile")
    assert column.encode(pd.Series([np.nan])).tolist() == [1]


def test_deciles_count_weights_as_rows():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=200), rng.integers(1, 5, 200)
    weighted, _ = fit(values, "decile", weights.astype(float))
    repeated, _ = fit(values.repeat(weights), "decile")
    np.testing.assert_array_equal(weighted.edges, repeated.edges)
    np.testing.assert_array_equal(weighted.counts, repeated.counts)


@pytest.mark.parametrize(
    ("part", "expected"), [("month", 2), ("day", 29), ("weekday", 3), ("hour", 13)]
)
def test_calendar(part, expected):
    """Thursday, the 29th of February 2024, one o'clock."""
    dates = pd.to_datetime(["2024-02-29 13:00", None])
    column, values = fit(dates, part)
    assert column.name == f"a ({part})"
    assert column.words()[2:] == [f"a ({part})={expected}"]
    assert column.encode(values).tolist() == [2, 1]


@pytest.mark.parametrize("part", CALENDAR)
def test_calendar_matches_with_and_without_missing_dates(part):
    """A missing date turns pandas' integers into floats; the ids stay."""
    dates = pd.Series(pd.to_datetime(["2024-02-29 13:00", "2023-01-01 01:00"]))
    column, _ = fit(dates, part)
    alone = column.encode(dates)
    among = column.encode(pd.concat([dates, pd.Series([pd.NaT])]))
    assert alone.tolist() == among[:2].tolist() and set(alone) == {2, 3}


def test_numbers_given_as_strings_are_said_to_be_unknown():
    """10115 and "10115" are two values; a file read another way must not pass."""
    seen = pd.Series([10115, 10115, 10117, 10117], name="zip")
    column = IdColumn.fit(seen, "category", None, min_frequency=2)
    with pytest.warns(UserWarning, match="column 'zip' .* '10115' now, where .* 10115"):
        ids = column.encode(seen.astype(str))
    assert not ids.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        column.encode(pd.Series([1, 2], name="zip"))  # merely new
        column.encode(pd.Series([None, None], name="zip", dtype=object))
