"""How the values of a column are read: as numbers, dates, or strings."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from datetime import date, timedelta
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "elapsed_days",
    "read_columns",
    "smooth_values",
    "to_float",
    "to_floats",
    "to_strings",
]


def read_columns(
    table: pd.DataFrame, kinds: pd.Series | dict[Hashable, str]
) -> dict[Hashable, pd.Series]:
    """Convert each column to the values of its kind, once for all uses.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The table, which is left as it is.
    kinds : Series or dict of shape (n_columns,)
        Kinds by column label.

    Returns
    -------
    columns : dict of Series of shape (n_rows,)
        Numbers as float64, dates as naive datetimes, the others as they are.

    Warns
    -----
    UserWarning
        If a column of numbers or dates holds values that are none; they are taken as
        missing.
    """
    columns = {}
    for label, kind in kinds.items():
        values = table[label]
        if kind == "number":
            values = pd.Series(to_floats(values), name=label, copy=False)
        elif kind == "datetime":
            values = _to_datetimes(values)
        columns[label] = values
    return columns


def smooth_values(
    columns: dict[Hashable, pd.Series], kinds: dict[Hashable, str]
) -> Iterator[tuple[Hashable, np.ndarray]]:
    """Yield the columns that go in smoothly: numbers, then dates, in days."""
    for label, kind in kinds.items():
        if kind == "number":
            yield label, columns[label].to_numpy()
    for label, kind in kinds.items():
        if kind == "datetime":
            yield label, elapsed_days(columns[label])


def to_floats(values: pd.Series) -> np.ndarray:
    """Convert a column of numbers to float64; what is no number becomes NaN.

    Parameters
    ----------
    values : Series of shape (n_rows,)
        Numbers of any dtype, nullable and Arrow dtypes, decimals, booleans and
        durations (in days) among them.

    Returns
    -------
    floats : ndarray of shape (n_rows,), float64
        The values, NaN where missing.
    """
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return values.to_numpy(np.float64)
    if dtype.kind == "m":
        values = pd.to_timedelta(values) / _DAY
    if pd.api.types.is_numeric_dtype(values.dtype) and dtype.kind != "c":
        return values.to_numpy(np.float64, na_value=np.nan)
    # Value by value, so that what one row holds never changes how another is read.
    objects = values.astype(object)
    floats = objects.map(to_float)
    _warn_if_lost(objects, floats, "numbers")
    return floats.to_numpy(np.float64)


_DAY = pd.Timedelta(days=1)


def to_float(value: Any) -> float:
    """Read one value as a number; NaN if it is none."""
    if isinstance(value, (timedelta, np.timedelta64)):
        return value / _DAY
    if isinstance(value, np.complexfloating):  # float() would drop its imaginary part
        return np.nan
    try:
        return float(value)
    except Exception:  # whatever the object raises, it is no number
        return np.nan


def _warn_if_lost(values: pd.Series, read: pd.Series, what: str) -> None:
    """Warn of values that were there and could not be read."""
    lost = read.isna() & values.notna()
    if lost.any():
        warnings.warn(
            f"column {values.name!r} is a column of {what}, but {int(lost.sum())} of "
            f"its values are not, such as {values[lost].iloc[0]!r}; they are taken as "
            "missing",
            UserWarning,
            stacklevel=5,
        )


def _to_datetimes(values: pd.Series) -> pd.Series:
    """Convert a column of dates to naive datetimes; what is no date becomes NaT.

    Time zones are kept as wall-clock time, so that an hour means the same hour of
    the day in every zone; strings with offsets are brought to UTC.
    """
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        objects = values.astype(object)
        if pd.api.types.infer_dtype(objects, skipna=True) != "string":
            # pandas would take a number for nanoseconds since 1970.
            is_number = objects.map(lambda value: isinstance(value, Number))
            dates = objects.mask(is_number.astype(bool))
        else:
            dates = objects
        values = pd.to_datetime(dates, errors="coerce", utc=True, format="ISO8601")
        _warn_if_lost(objects, values, "dates")
    if values.dtype.type is not date and values.dt.tz is not None:
        values = values.dt.tz_localize(None)
    if isinstance(values.dtype, pd.ArrowDtype):
        values = values.astype("datetime64[us]")
    return values


def elapsed_days(dates: pd.Series) -> np.ndarray:
    """Return the days since 1970-01-01 of a column of datetimes, NaN where missing."""
    # In microseconds, in which the year 1 and the year 9999 are dates, too.
    elapsed = dates.to_numpy("datetime64[us]") - np.datetime64(0, "us")
    return elapsed / np.timedelta64(1, "D")


def to_strings(values: pd.Series) -> np.ndarray:
    """Convert a column of text to strings; missing values become empty ones."""
    texts = values.astype(object).where(values.notna(), "")
    # Half of a surrogate pair, as a file cut in the middle leaves it, has no bytes
    # that could be hashed.
    clean = [str(text).encode(errors="replace").decode() for text in texts]
    return np.array(clean, dtype=object)
