"""What a table's columns are: their names and kinds."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Sequence
from numbers import Number
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from sklearn_memgen.tables.values import to_float

__all__ = [
    "KIND_PARAMETERS",
    "as_table",
    "column_kind",
    "find_kinds",
    "resolve_columns",
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
    """Wrap a 2-D array or nested list."""
    if isinstance(X, (list, tuple)):
        # Through `object`, so that [1, "a"] stays a number and a string.
        X = np.array(X, dtype=object)
    array = check_array(X, dtype=None, ensure_all_finite=False, ensure_min_features=0)
    return pd.DataFrame(array).infer_objects()


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
    columns, n_columns = list(columns), frame.shape[1]
    if columns and all(isinstance(column, (bool, np.bool_)) for column in columns):
        if len(columns) != n_columns:
            raise ValueError(
                f"{parameter} is a mask of {len(columns)} columns, but X has "
                f"{n_columns}"
            )
        return frame.columns[columns].tolist()
    labels = []
    for column in columns:
        if not isinstance(column, list) and column in frame.columns:
            labels.append(column)
        elif isinstance(column, (int, np.integer)) and -n_columns <= column < n_columns:
            labels.append(frame.columns[column])
        else:
            near = difflib.get_close_matches(str(column), map(str, frame.columns), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{parameter} names column {column!r}, which X does not have.{hint} "
                f"X has the columns {_shortened(frame.columns.tolist())}"
            )
    return labels


def _shortened(names: Sequence[Hashable], n: int = 20) -> str:
    shown = ", ".join(repr(name) for name in names[:n])
    return f"[{shown}{', ...' if len(names) > n else ''}]"


def column_kind(values: pd.Series, *, spelled: bool = False) -> str:
    """Tell a column's kind from its dtype and content.

    Parameters
    ----------
    values : Series of shape (n_rows,)
        The column.
    spelled : bool, default=False
        Whether strings that all spell numbers are numbers.

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
        raise _complex_error(values)
    if pd.api.types.is_numeric_dtype(dtype) or content in _NUMBERS:
        return "number"
    if content in ("datetime", "datetime64", "date", "period"):
        return "datetime"
    if content == "string":
        return _string_kind(values, spelled)
    return _mixed_kind(values)


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


def _string_kind(values: pd.Series, spelled: bool) -> str:
    head = values.dropna()
    if head.empty:
        return "category"
    if spelled and head.astype(object).map(to_float).notna().all():
        return "number"
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


def _mixed_kind(values: pd.Series) -> str:
    objects = values.astype(object).dropna()
    types = objects.map(type).unique()
    if any(issubclass(t, (complex, np.complexfloating)) for t in types):
        raise _complex_error(values)
    if all(issubclass(t, Number) for t in types):  # such as decimals and integers
        return "number"
    try:
        pd.factorize(objects)
    except TypeError as error:
        raise TypeError(
            f"column {values.name!r} holds values that cannot be told apart "
            f"({error}); the argument must be a string or a number"
        ) from error
    return "category"


def _complex_error(values: pd.Series) -> ValueError:
    return ValueError(
        f"Complex data not supported: column {values.name!r} holds complex numbers"
    )


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
        If a column does not exist, is given two kinds, or holds complex numbers.
    TypeError
        If a column holds values that are no keys, such as lists or dicts.
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
    # A table without column names was an array, and an array of numbers and strings
    # holds the numbers as strings, too.
    spelled = not any(isinstance(label, str) for label in table.columns)
    # Given columns are looked at as well, since some content has no kind at all.
    found = [column_kind(table[label], spelled=spelled) for label in table.columns]
    chosen = [
        kinds.get(label, kind) for label, kind in zip(table.columns, found, strict=True)
    ]
    return pd.Series(chosen, index=table.columns, dtype=object)
