"""The ids of all columns and crosses of a table together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen.tables.crosses import Cross, fit_cross
from sklearn_memgen.tables.ids import CALENDAR, IdColumn, has_many_values
from sklearn_memgen.tables.whole_rows import WholeRow

__all__ = ["IdReader", "extend_ids", "fit_ids"]


def fit_ids(
    table: pd.DataFrame,
    columns: dict[Hashable, pd.Series],
    kinds: pd.Series,
    exact: dict[str, IdColumn],
    crosses: Sequence[tuple[Hashable, ...]],
    weights: np.ndarray | None,
    *,
    min_frequency: float,
    many_min_frequency: float | None,
    n_buckets: int,
) -> tuple[dict[str, IdColumn], dict[str, Cross]]:
    """Give ids to categories, calendar parts of dates, and crosses.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The table.
    columns : dict of Series of shape (n_rows,)
        Its columns, as `read_columns` returns them.
    kinds : Series of shape (n_columns,)
        Kinds by column label.
    exact : dict of str to IdColumn
        The numbers that are remembered exactly.
    crosses : sequence of tuple of column names or positions
        The columns to cross.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    min_frequency : float
        How often a value or combination must occur to have an id.
    many_min_frequency : float or None
        The same for the values of a category that has many, if that is another.
    n_buckets : int
        Crosses with more combinations are hashed into so many buckets.

    Returns
    -------
    id_columns : dict of str to IdColumn
        Those of `exact` and the others, by name.
    crosses : dict of str to Cross
        The crosses by name.

    Raises
    ------
    ValueError
        If two of them have one name, or columns cannot be crossed.
    """
    id_columns = dict(exact)
    parts = [(label, "category") for label in kinds.index[kinds == "category"]]
    for label in kinds.index[kinds == "datetime"]:
        parts += [(label, part) for part in CALENDAR]
    for label, part in parts:
        least = min_frequency
        can_be_rare = part == "category" and has_many_values(columns[label])
        if can_be_rare and many_min_frequency is not None:
            part, least = "frequent", many_min_frequency
        column = IdColumn.fit(columns[label], part, weights, min_frequency=least)
        _keep(id_columns, column)
    kept: dict[str, Cross] = {}
    for labels in crosses:
        cross = fit_cross(
            table,
            labels,
            columns,
            kinds,
            id_columns,
            weights,
            min_frequency=min_frequency,
            n_buckets=n_buckets,
        )
        _keep(kept, cross)
    return id_columns, kept


def _keep(kept: dict[str, Any], column: IdColumn | Cross) -> None:
    if column.name in kept:
        raise ValueError(
            f"two encoded columns would have the name {column.name!r}; rename a "
            "column, or leave a cross out that is given twice"
        )
    kept[column.name] = column


def extend_ids(
    id_columns: dict[str, IdColumn],
    crosses: dict[str, Cross],
    columns: dict[Hashable, pd.Series],
    weights: np.ndarray | None,
    *,
    min_frequency: float,
    many_min_frequency: float | None,
    n_buckets: int,
) -> tuple[dict[str, IdColumn], dict[str, Cross]]:
    """Give ids to values and combinations that are new in further rows.

    Parameters
    ----------
    id_columns, crosses
        What has ids already; they stay, in their order.
    columns, weights
        The further rows; see `fit_ids`.
    min_frequency : float
        How often a new value or combination must occur in them.
    many_min_frequency : float or None
        The same for a category of which only frequent values have ids.
    n_buckets : int
        No cross gets more ids than so many, beside those it has.

    Returns
    -------
    id_columns, crosses
        New ones, extended.
    """
    every = dict(id_columns)
    every |= {part.name: part for cross in crosses.values() for part in cross.parts}
    new = {}
    for name, column in every.items():
        least = min_frequency
        if column.part == "frequent" and many_min_frequency is not None:
            least = many_min_frequency
        new[name] = column.extend(columns[column.label], weights, min_frequency=least)
    new_crosses = {}
    codes = IdReader(columns)
    for name, cross in crosses.items():
        parts = tuple(new[part.name] for part in cross.parts)
        new_crosses[name] = cross.extend(
            parts,
            [codes.read(part) for part in parts],
            weights,
            min_frequency=min_frequency,
            n_buckets=n_buckets,
        )
    return {name: new[name] for name in id_columns}, new_crosses


class IdReader:
    """The ids of a table's rows, each column's looked up once for all that use them.

    Parameters
    ----------
    columns : dict of Series of shape (n_rows,)
        The columns, as `read_columns` returns them.
    """

    def __init__(self, columns: dict[Hashable, pd.Series]) -> None:
        self.columns = columns
        self._known: dict[str, np.ndarray] = {}

    def read(self, column: IdColumn | Cross | WholeRow) -> np.ndarray:
        """Return ids, shape (n_rows,), counted from 0 in each column or cross."""
        if isinstance(column, WholeRow):
            return column.encode(self.columns, self.read)
        if isinstance(column, Cross):
            return column.encode([self.read(part) for part in column.parts])
        if column.name not in self._known:
            self._known[column.name] = column.encode(self.columns[column.label])
        return self._known[column.name]
