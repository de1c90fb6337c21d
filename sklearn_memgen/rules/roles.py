"""What the columns of a table can give to rules: words, thresholds or values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import pandas as pd

from sklearn_memgen.rules.column_values import ColumnValues
from sklearn_memgen.rules.literals import shorten

__all__ = ["ROLES", "find_roles"]

#: Words of texts, thresholds of numbers, values of anything.
ROLES = ("text", "number", "category")

#: Strings are free text if they have more words than the first of these on average,
#: and either more than the second, or more distinct values than this, or than half of
#: the rows.
_MIN_WORDS, _MANY_WORDS = 1.5, 8
_MIN_DISTINCT = 100
_SAMPLE = 1000
_ROLE_OF_KIND = {"numbers": "number", "booleans": "category"}
_KIND_OF_ROLE = {"number": "numbers", "text": "text"}


def find_roles(
    X: pd.DataFrame,
    columns: Iterable[Hashable] | Mapping[Hashable, str] | None = None,
) -> dict[str | int, str]:
    """Return what each column gives to rules.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table.
    columns : list of str or int, or dict of them to a role, default=None
        The columns to look at, and, in a dict, what they are: "text", "number" or
        "category". None for all columns of which conditions can be made.

    Returns
    -------
    roles : dict of str or int to {"text", "number", "category"}
        Of each column that has values, and in none that it was not asked for.

    Raises
    ------
    TypeError
        If `X` is no DataFrame, or a column that is asked for holds what no condition
        is for, such as dates, or what its role is not for.
    ValueError
        If a column is missing or there are two of one name, or a role is unknown.

    Notes
    -----
    Categorical columns, booleans and strings are categories, but strings are free text
    if they have more than 8 words on average, or more than 1.5 words and either more
    than 100 distinct values, or more than half of them are distinct.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen.rules.roles import find_roles
    >>> X = pd.DataFrame({"title": ["gold ring", "motor oil"], "price": [80.0, 4.5],
    ...                   "sold": [True, False], "day": pd.to_datetime("2024-05-31")})
    >>> find_roles(X)
    {'title': 'text', 'price': 'number', 'sold': 'category'}
    """
    if not isinstance(X, pd.DataFrame):
        raise TypeError(
            f"rules are mined from a pandas DataFrame; got {type(X).__name__}"
        )
    twice = X.columns[X.columns.duplicated()].unique().tolist()
    if twice:
        raise ValueError(
            f"X has several columns named {shorten(twice[0])}; give them names of "
            "their own"
        )
    if columns is None:
        # What no condition can be made of is left out, unless it is asked for.
        found = {
            name: _find_role(X[name])
            for name in X.columns
            if isinstance(name, str | int) and not isinstance(name, bool)
        }
        return {name: role for name, role in found.items() if role in ROLES}
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise TypeError(
            f"columns must be a list of names or a dict; got {shorten(columns)}"
        )
    asked = columns if isinstance(columns, Mapping) else dict.fromkeys(columns)
    return {name: role for name, role in _check_roles(X, asked) if role}


def _find_role(column: pd.Series) -> str:
    """Return the role of a column, or else the kind of what it holds."""
    kind = ColumnValues(column).kind
    if kind == "nothing":
        return kind
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "category" if kind in ("text", "numbers", "booleans") else kind
    if kind != "text":
        return _ROLE_OF_KIND.get(kind, kind)
    values = column.dropna()
    n_distinct = values.nunique()
    words = values.head(_SAMPLE).str.split().str.len().mean()
    many = n_distinct > min(_MIN_DISTINCT, len(values) / 2)
    is_text = words > _MANY_WORDS or (words > _MIN_WORDS and many)
    return "text" if is_text else "category"


def _check_roles(X: pd.DataFrame, asked: Mapping) -> Iterable[tuple[str | int, str]]:
    """Yield the columns that are asked for with their roles, empty for none."""
    for name, role in asked.items():
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise TypeError(
                f"the name of a column must be a string or an integer; got {name!r}"
            )
        if name not in X.columns:
            raise ValueError(f"columns: X has no column {name!r}")
        if role is not None and role not in ROLES:
            raise ValueError(
                f"columns: the role of column {name!r} must be one of {ROLES}; got "
                f"{shorten(repr(role))}"
            )
        kind, found = ColumnValues(X[name]).kind, _find_role(X[name])
        if kind == "nothing":
            yield name, ""
            continue
        if found not in ROLES:
            raise TypeError(
                f"columns: column {name!r} holds {kind}, of which no rules are mined"
            )
        wanted = _KIND_OF_ROLE.get(role or "", kind)
        if kind != wanted:
            raise TypeError(
                f"columns: column {name!r} holds {kind}; the role {role!r} is for "
                f"{wanted}"
            )
        yield name, role or found
