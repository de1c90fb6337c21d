"""What a table's columns are, and how their values become numbers or keys."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

__all__ = [
    "KIND_PARAMETERS",
    "as_table",
    "column_kind",
    "elapsed_days",
    "find_kinds",
    "parse_dates",
    "resolve_columns",
    "to_floats",
    "to_strings",
]

#: The parameter by which a user gives columns a kind.
KIND_PARAMETERS = {
    "category": "categorical_features",
    "number": "numeric_features",
    "text": "text_features",
}
#: How many distinct values of a string column are looked at to tell its kind.
_SAMPLE = 1000
#: A string column is free text when its values have, on average, more words than
#: this and more than half of them are distinct.
_TEXT_WORDS = 3.5
_ISO_DATE = (
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z|[+-]\d{2}:?\d{2})?"
)


def as_table(X: Any) -> pd.DataFrame | sparse.csr_matrix:
    """Bring any table to a DataFrame, or to a CSR matrix when it is sparse.

    Parameters
    ----------
    X : DataFrame (pandas, Polars, PyArrow, ...), array-like or sparse matrix of \
            shape (n_rows, n_columns)
        The table as the user has it.

    Returns
    -------
    table : pandas.DataFrame or scipy.sparse.csr_matrix
        The same values; columns of arrays are numbered from 0.

    Raises
    ------
    ValueError
        If the table is empty, has a wrong number of dimensions, complex numbers, or
        two columns of one name.
    """
    if sparse.issparse(X):
        X = check_array(
            X, accept_sparse="csr", dtype=np.float32, ensure_all_finite=False
        )
        return sparse.csr_matrix(X)
    if not isinstance(X, pd.DataFrame):
        frame = nw.from_native(X, eager_only=True, pass_through=True)
        X = frame.to_pandas() if isinstance(frame, nw.DataFrame) else _from_array(X)
    if not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()].unique().tolist()
        raise ValueError(f"X has more than one column of the name {twice}")
    for axis, what in ((0, "sample(s)"), (1, "feature(s)")):
        if X.shape[axis] == 0:
            raise ValueError(
                f"Found array with 0 {what} (shape={X.shape}) while a minimum of 1 is "
                "required."
            )
    return X


def _from_array(X: Any) -> pd.DataFrame:
    """Wrap a 2-D array or nested list; columns of strings that spell numbers are."""
    if isinstance(X, (list, tuple)):
        # Through `object`, so that [1, "a"] stays a number and a string.
        X = np.array(X, dtype=object)
    array = check_array(X, dtype=None, ensure_all_finite=False, ensure_min_features=0)
    frame = pd.DataFrame(array)
    if array.dtype == object:
        return frame.infer_objects()
    if array.dtype.kind in "US":
        return frame.apply(_numbers_if_all_are)
    return frame


def _numbers_if_all_are(values: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    return values if numbers.isna().any() else numbers


def resolve_columns(
    frame: pd.DataFrame, columns: Iterable[Hashable] | None, parameter: str
) -> list[Hashable]:
    """Turn names, positions or a boolean mask into column labels of `frame`.

    Parameters
    ----------
    frame : DataFrame
        The table.
    columns : iterable of str or int, boolean mask of shape (n_columns,), or None
        What the user gave.
    parameter : str
        The name of the parameter, for messages.

    Returns
    -------
    labels : list
        Column labels, in the order given.

    Raises
    ------
    ValueError
        If a column does not exist.
    """
    if columns is None:
        return []
    columns = list(columns)
    if columns and all(isinstance(column, (bool, np.bool_)) for column in columns):
        if len(columns) != frame.shape[1]:
            raise ValueError(
                f"{parameter} is a mask of {len(columns)} columns, but X has "
                f"{frame.shape[1]}"
            )
        return frame.columns[columns].tolist()
    labels = []
    for column in columns:
        if column in frame.columns:
            labels.append(column)
        elif isinstance(column, (int, np.integer)) and column < frame.shape[1]:
            labels.append(frame.columns[column])
        else:
            near = difflib.get_close_matches(str(column), map(str, frame.columns), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{parameter} names column {column!r}, which X does not have{hint} "
                f"X has the columns {_shortened(frame.columns.tolist())}"
            )
    return labels


def _shortened(names: Sequence[Hashable], n: int = 20) -> str:
    shown = ", ".join(repr(name) for name in names[:n])
    return f"[{shown}{', ...' if len(names) > n else ''}]"


def column_kind(values: pd.Series) -> str:
    """Tell a column's kind from its dtype and content.

    Parameters
    ----------
    values : Series of shape (n_rows,)
        The column.

    Returns
    -------
    kind : {"number", "category", "datetime", "text"}
        Numbers, booleans, decimals and durations are numbers. Strings are datetimes
        when all of a sample are ISO 8601 dates, text when they are many words long
        and mostly distinct, else categories. Values of mixed types are categories.

    Raises
    ------
    ValueError
        If the column holds complex numbers.
    TypeError
        If the column holds values that are no keys, such as lists or dicts.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(dtype, pd.PeriodDtype) or pd.api.types.is_datetime64_any_dtype(dtype):
        return "datetime"
    content = pd.api.types.infer_dtype(values, skipna=True)
    if pd.api.types.is_complex_dtype(dtype) or content == "complex":
        raise ValueError(
            f"Complex data not supported: column {values.name!r} holds complex numbers"
        )
    if pd.api.types.is_numeric_dtype(dtype) or content in _NUMBERS:
        return "number"
    if content in ("datetime", "datetime64", "date", "period"):
        return "datetime"
    if content == "string":
        return _string_kind(values)
    try:
        pd.factorize(values)
    except TypeError as error:
        raise TypeError(
            f"column {values.name!r} holds values that cannot be told apart "
            f"({error}); the argument must be a string or a number"
        ) from error
    return "category"


_NUMBERS = frozenset(
    [
        "integer",
        "floating",
        "mixed-integer-float",
        "decimal",
        "boolean",
        "timedelta",
        "timedelta64",
        "integer-na",
        "empty",
    ]
)


def _string_kind(values: pd.Series) -> str:
    head = values.dropna()
    sample = pd.Series(head.iloc[: 10 * _SAMPLE].unique()[:_SAMPLE], dtype=object)
    if sample.str.fullmatch(_ISO_DATE).all():
        try:
            pd.to_datetime(sample, format="ISO8601", utc=True)
        except ValueError:  # such as 2024-13-45
            return "category"
        return "datetime"
    words = sample.str.count(r"\s+").mean() + 1
    if words > _TEXT_WORDS and head.nunique() > len(head) / 2:
        return "text"
    return "category"


def find_kinds(
    table: pd.DataFrame, given: dict[str, Iterable[Hashable] | None]
) -> pd.Series:
    """Find the kind of each column, where it is not given.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The table.
    given : dict of str to columns
        Columns of kind "category", "number" and "text" that the user named.

    Returns
    -------
    kinds : Series of shape (n_columns,)
        Kinds by column label.

    Raises
    ------
    ValueError
        If a column does not exist or is given two kinds.
    """
    kinds: dict[Hashable, str] = {}
    for kind, columns in given.items():
        parameter = KIND_PARAMETERS[kind]
        for label in resolve_columns(table, columns, parameter):
            if kinds.setdefault(label, kind) != kind:
                raise ValueError(
                    f"{parameter} names column {label!r}, which "
                    f"{KIND_PARAMETERS[kinds[label]]} names as well"
                )
    found = [
        kinds[label] if label in kinds else column_kind(table[label])
        for label in table.columns
    ]
    return pd.Series(found, index=table.columns, dtype=object)


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
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiub":
        return values.to_numpy(np.float64)
    content = pd.api.types.infer_dtype(values, skipna=True)
    if content.startswith("timedelta"):
        return (pd.to_timedelta(values) / pd.Timedelta(days=1)).to_numpy(
            np.float64, na_value=np.nan
        )
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    floats = pd.to_numeric(values.astype(object), errors="coerce")
    strange = floats.isna() & values.notna()
    if strange.any():
        warnings.warn(
            f"column {values.name!r} is a column of numbers, but {int(strange.sum())} "
            f"of its values are not, such as {values[strange].iloc[0]!r}; they are "
            "taken as missing",
            UserWarning,
            stacklevel=2,
        )
    return floats.to_numpy(np.float64, na_value=np.nan)


def parse_dates(table: pd.DataFrame, labels: list[Hashable]) -> pd.DataFrame:
    """Return the table with some columns as datetimes."""
    if not labels:
        return table
    table = table.copy(deep=False)
    for label in labels:
        table[label] = _to_datetimes(table[label])
    return table


def _to_datetimes(values: pd.Series) -> pd.Series:
    """Convert a column of dates to naive datetimes; what is no date becomes NaT.

    Time zones are kept as wall-clock time, so that an hour means the same hour of
    the day in every zone; strings with offsets are brought to UTC.
    """
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        texts = values.astype(object)
        values = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
        strange = values.isna() & texts.notna()
        if strange.any():
            warnings.warn(
                f"column {texts.name!r} is a column of dates, but {int(strange.sum())} "
                f"of its values are not, such as {texts[strange].iloc[0]!r}; they are "
                "taken as missing",
                UserWarning,
                stacklevel=2,
            )
    if isinstance(values.dtype, pd.ArrowDtype):
        values = values.astype("datetime64[us]")
    return values if values.dt.tz is None else values.dt.tz_localize(None)


def elapsed_days(dates: pd.Series) -> pd.Series:
    """Return the days since 1970-01-01 of a column of datetimes."""
    return (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)


def to_strings(values: pd.Series) -> np.ndarray:
    """Convert a column of text to strings; missing values become empty ones."""
    texts = values.astype(object).where(values.notna(), "")
    return texts.map(str).to_numpy(object)
