"""The columns of a data frame as conditions read them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen.rules.literals import write_column

__all__ = ["ColumnValues", "Table"]

_KINDS_OF_OBJECTS = {
    "string": "text",
    "boolean": "booleans",
    "integer": "numbers",
    "floating": "numbers",
    "mixed-integer-float": "numbers",
    "decimal": "numbers",
    "empty": "nothing",
}
_REMEDIES = {
    ("text", "numbers"): "convert it with pd.to_numeric",
    ("numbers", "text"): "convert it with astype(str)",
    ("booleans", "numbers"): "compare with True or False",
}


class ColumnValues:
    """The values of a column that are present, their kind, and where they stand.

    A categorical column is read by its categories, so that each of them is looked at
    once, whatever the number of rows.

    Parameters
    ----------
    column : Series of shape (n_rows,)
        The column.

    Attributes
    ----------
    kind : {"text", "numbers", "booleans", "dates", "mixed values", "nothing"}
        What it holds; nothing, if all is missing.
    present : ndarray of shape (n_rows,), bool
        False where a value is missing.
    values : ndarray of shape (n_values,)
        Values that are present, or the categories.
    """

    def __init__(self, column: pd.Series) -> None:
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes = np.asarray(column.cat.codes)
            self.present = codes >= 0
            self._codes: np.ndarray | None = codes[self.present]
            source = pd.Series(column.cat.categories)
        else:
            self.present = column.notna().to_numpy(dtype=bool)
            self._codes = None
            source = column[self.present]
        self.kind = _find_kind(source)
        dtype = object if self.kind == "text" else None
        self.values = source.to_numpy(dtype=dtype)
        # Arrow tells NaN from null; to a condition both are missing.
        if self._codes is None and self.values.dtype.kind == "f":
            number = ~np.isnan(self.values)
            if not number.all():
                self.present[self.present] = number
                self.values = self.values[number]

    def require(self, kind: str, name: Hashable, action: str) -> None:
        """Raise unless the column holds what a condition looks for.

        Parameters
        ----------
        kind : {"text", "numbers", "booleans"}
            What it should hold.
        name : str or int
            Name of the column.
        action : str
            The condition, for the message.

        Raises
        ------
        TypeError
            If it holds anything else.
        """
        if self.kind in (kind, "nothing"):
            return
        remedy = _REMEDIES.get((self.kind, kind), "")
        raise TypeError(
            f"{action} is for {kind}, but column {name!r} holds {self.kind}"
            + (f"; {remedy}" if remedy else "")
        )

    def spread(self, found: np.ndarray) -> np.ndarray:
        """Return what was found of `values` for all rows, False where missing.

        Parameters
        ----------
        found : ndarray of shape (n_values,), bool
            Of each of `values`.

        Returns
        -------
        rows : ndarray of shape (n_rows,), bool
            Of each row.
        """
        rows = np.zeros(len(self.present), dtype=bool)
        rows[self.present] = found if self._codes is None else found[self._codes]
        return rows

    def spread_sparse(self, found: sparse.csc_matrix) -> sparse.csc_matrix:
        """Return what was found of `values` for all rows.

        Parameters
        ----------
        found : csc_matrix of shape (n_values, n_conditions), bool
            Of each of `values`.

        Returns
        -------
        rows : csc_matrix of shape (n_rows, n_conditions), bool
            Of each row; the numbers of rows ascend.
        """
        if self._codes is None and self.present.all():
            return found
        codes = np.arange(len(self.values)) if self._codes is None else self._codes
        ends = np.concatenate([[0], np.cumsum(self.present)])
        shape = (len(self.present), len(self.values))
        data = np.ones(len(codes), dtype=bool)
        rows = (sparse.csr_matrix((data, codes, ends), shape=shape) @ found).tocsc()
        rows.sort_indices()
        return rows


def _find_kind(column: pd.Series) -> str:
    """Return the kind of the values of a column without missing ones."""
    types = pd.api.types
    if not len(column):
        return "nothing"
    if types.is_bool_dtype(column.dtype):
        return "booleans"
    if types.is_numeric_dtype(column.dtype):
        complex_ = types.is_complex_dtype(column.dtype)
        return "mixed values" if complex_ else "numbers"
    if types.is_datetime64_any_dtype(column.dtype):
        return "dates"
    inferred = types.infer_dtype(column, skipna=True)
    return _KINDS_OF_OBJECTS.get(inferred, "mixed values")


class Table:
    """A data frame whose columns, and what is found in them, are read once.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table.

    Attributes
    ----------
    frame : DataFrame
        The table.
    n_evaluated : int
        Number of simple conditions that have been evaluated.
    rows : dict of Condition to ndarray of int
        Rows, ascending, of which conditions on texts hold, as far as they are known.

    Raises
    ------
    TypeError
        If it is no pandas DataFrame.
    """

    def __init__(self, X: pd.DataFrame) -> None:
        if not isinstance(X, pd.DataFrame):
            raise TypeError(
                "conditions are evaluated on a pandas DataFrame; got "
                f"{type(X).__name__}"
            )
        self.frame = X
        self.n_evaluated = 0
        self.rows: dict[Hashable, np.ndarray] = {}
        self._columns: dict[Hashable, ColumnValues] = {}
        self._found: dict[Hashable, np.ndarray] = {}
        self._uses: dict[Hashable, int] = {}

    def expect(self, uses: dict[Any, int]) -> None:
        """Say how often conditions will be asked for, so that none is kept too long.

        Parameters
        ----------
        uses : dict of condition to int
            Number of times. Those asked for once are not kept at all.
        """
        self._uses = dict(uses)

    def column(self, name: str | int) -> ColumnValues:
        """Return the values of a column.

        Parameters
        ----------
        name : str or int
            Its name.

        Returns
        -------
        values : ColumnValues
            Read at the first call only.

        Raises
        ------
        ValueError
            If there is no such column, or several.
        """
        if name not in self._columns:
            if name not in self.frame.columns:
                raise ValueError(f"X has no column {write_column(name)}")
            column = self.frame[name]
            if not isinstance(column, pd.Series):
                raise ValueError(
                    f"X has {column.shape[1]} columns named {name!r}; give them "
                    "names of their own"
                )
            self._columns[name] = ColumnValues(column)
        return self._columns[name]

    def find_column(self, name: Hashable) -> ColumnValues | None:
        """Return the values of a column, or None where `column` raises."""
        is_one = np.sum(self.frame.columns == name) == 1
        return self.column(name) if is_one else None  # type: ignore[arg-type]

    def find(
        self, condition: Hashable, evaluate: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return where a simple condition holds, evaluating it once.

        Parameters
        ----------
        condition : Condition
            What is looked for.
        evaluate : callable
            Returns booleans of shape (n_rows,); called if they are not known yet.

        Returns
        -------
        rows : ndarray of shape (n_rows,), bool
            Where it holds. Not to be changed.
        """
        rows = self._found.get(condition)
        if rows is None:
            rows = evaluate()
            self.n_evaluated += 1
            self._found[condition] = rows
        if condition in self._uses:
            self._uses[condition] -= 1
            if not self._uses[condition]:
                del self._found[condition]
        return rows
