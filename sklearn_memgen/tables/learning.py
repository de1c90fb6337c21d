"""What a table encoder learns from rows, and learns anew from further ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._sklearn import validate_data
from sklearn_memgen.tables.checks import (
    find_classes,
    read_target,
    refuse_columns,
    weighted_rows,
)
from sklearn_memgen.tables.columns import (
    KIND_PARAMETERS,
    as_table,
    find_kinds,
    resolve_columns,
)
from sklearn_memgen.tables.crosses import Cross
from sklearn_memgen.tables.encoded import EncodedColumns
from sklearn_memgen.tables.id_space import IdReader, extend_ids, fit_ids
from sklearn_memgen.tables.ids import IdColumn, has_many_values
from sklearn_memgen.tables.interactions import fit_statistics, refit_statistics
from sklearn_memgen.tables.memorize import choose_memorized
from sklearn_memgen.tables.numbers import fit_numbers
from sklearn_memgen.tables.sparse import SparseColumns, TextColumns
from sklearn_memgen.tables.tensors import TableTensors
from sklearn_memgen.tables.values import read_columns, smooth_values
from sklearn_memgen.tables.whole_rows import WholeRow

__all__ = ["LearnedColumns", "with_statistics"]


class LearnedColumns(EncodedColumns):
    """The part of `TableEncoder` that learns from rows, and checks their columns."""

    memorize: str | Iterable[Hashable]
    crosses: str | Sequence[tuple[Hashable, ...]]
    min_frequency: float
    many_min_frequency: float | None
    bins: str
    n_bins: int
    n_cross_buckets: int
    n_text_buckets: int
    target_type: str
    random_state: int | np.random.RandomState | None

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> np.ndarray | None:
        """Fit; return the statistics of the rows that count, if there are any."""
        table = as_table(X)
        validate_data(self, X, skip_check_array=True)
        if y is not None:
            self._classes = find_classes(y, self.target_type)
            y = read_target(y, table, self._classes)
        table, y, weights = weighted_rows(table, y, sample_weight)
        self.statistics_ = {}
        cross_fitted = None
        if sparse.issparse(table):
            self._labels = None
            self._fit_sparse(table)
        else:
            self._labels = table.columns
            cross_fitted = self._fit_columns(table, y, weights)
        self._number_ids()
        self.n_sparse_features_ = self._sparse.n_features
        return cross_fitted

    def _extend(self, X: Any, y: Any, sample_weight: Any) -> np.ndarray | None:
        """Extend; return the statistics of the rows that count, if there are any."""
        check_is_fitted(self)
        table = self._checked(X)
        if self._labels is None:
            return None
        if y is not None:
            y = read_target(y, table, self._classes)
        table, y, weights = weighted_rows(table, y, sample_weight)
        columns = read_columns(table, self._kinds)
        sources = [statistic.source for statistic in self.statistics_.values()]
        found = {s.name: s for s in sources if isinstance(s, Cross)}
        single = {s.name: s for s in sources if isinstance(s, IdColumn)}
        whole = [s for s in sources if isinstance(s, WholeRow)]
        for rows in whole:
            single |= {part.name: part for part in rows.categories}
        id_columns, crosses = extend_ids(
            self.id_columns_ | single,
            self.crosses_ | found,
            columns,
            weights,
            min_frequency=self.min_frequency,
            many_min_frequency=self.many_min_frequency,
            n_buckets=self.n_cross_buckets,
        )
        self.id_columns_ = {name: id_columns[name] for name in self.id_columns_}
        self.crosses_ = {name: crosses[name] for name in self.crosses_}
        extended: dict[str, Any] = id_columns | crosses
        for rows in whole:
            extended[rows.name] = rows.extend(
                columns,
                tuple(id_columns[part.name] for part in rows.categories),
                IdReader(columns).read,
                min_frequency=self.min_frequency,
            )
        self.statistics_ = {
            name: statistic.extend(extended[statistic.source.name])
            for name, statistic in self.statistics_.items()
        }
        self._number_ids()
        if y is None or not self.statistics_:
            return None
        self.statistics_, cross_fitted = refit_statistics(
            self.statistics_,
            IdReader(columns),
            y,
            weights,
            check_random_state(self.random_state),
            n_classes=len(self._classes),
        )
        return cross_fitted

    def _fit_sparse(self, table: sparse.csr_matrix) -> None:
        names = (*KIND_PARAMETERS.values(), "memorize", "crosses")
        refuse_columns({name: getattr(self, name) for name in names})
        self.numbers_, self.id_columns_, self.crosses_ = {}, {}, {}
        self.column_kinds_, self.memorized_ = pd.Series(dtype=object), pd.DataFrame()
        self._sparse = SparseColumns.fit(table)

    def _fit_columns(
        self, table: pd.DataFrame, y: np.ndarray | None, weights: np.ndarray | None
    ) -> np.ndarray | None:
        """Fit all that columns need; return their rows' cross-fitted statistics."""
        given = {kind: getattr(self, name) for kind, name in KIND_PARAMETERS.items()}
        self.column_kinds_ = find_kinds(table, given)
        self._kinds = self.column_kinds_.to_dict()
        columns = read_columns(table, self._kinds)
        self.numbers_ = fit_numbers(
            smooth_values(columns, self._kinds),
            weights,
            n_bins=self.n_bins,
            y=y if self.bins == "target" else None,
        )
        rng = check_random_state(self.random_state)
        memorize = self.memorize
        if not isinstance(memorize, str):
            memorize = resolve_columns(table, memorize, "memorize")
        exact, self.memorized_ = choose_memorized(
            {label: columns[label] for label in self._of_kind("number")},
            memorize,
            y,
            weights,
            min_frequency=self.min_frequency,
            rng=rng,
        )
        self.id_columns_, self.crosses_ = fit_ids(
            table,
            columns,
            self.column_kinds_,
            exact,
            () if isinstance(self.crosses, str) else self.crosses,
            weights,
            min_frequency=self.min_frequency,
            many_min_frequency=self.many_min_frequency,
            n_buckets=self.n_cross_buckets,
        )
        self._sparse = TextColumns.fit(
            table[self._of_kind("text")], self.n_text_buckets
        )
        if y is None or not isinstance(self.crosses, str):
            return None
        self.statistics_, cross_fitted, crosses = fit_statistics(
            columns,
            self._kinds,
            self.id_columns_,
            y,
            weights,
            rng,
            n_classes=len(self._classes),
            min_frequency=self.min_frequency,
            n_buckets=self.n_cross_buckets,
        )
        self.memorized_ = pd.concat([self.memorized_, crosses], ignore_index=True)
        return cross_fitted

    def _checked(self, X: Any) -> Any:
        """Return a table that has the columns of `fit`, by the labels it had there."""
        table = as_table(X)
        if self.has_columns_of(X):
            return table
        validate_data(self, X, skip_check_array=True, reset=False)
        if self._labels is None:
            return table
        if sparse.issparse(table):
            table = pd.DataFrame(table.toarray())
        return table.set_axis(self._labels, axis=1)

    def _of_kind(self, kind: str) -> list[Hashable]:
        return [label for label, found in self._kinds.items() if found == kind]

    def has_many_values(self, X: Any) -> bool:
        """Tell whether a category of a table, not yet fitted, has 30 values or more."""
        table = as_table(X)
        if sparse.issparse(table):
            return False
        given = {kind: getattr(self, name) for kind, name in KIND_PARAMETERS.items()}
        kinds = find_kinds(table, given)
        kinds = kinds[kinds == "category"].to_dict()
        columns = read_columns(table[list(kinds)], kinds)
        return any(has_many_values(values) for values in columns.values())

    def has_columns_of(self, X: Any) -> bool:
        """Tell whether a table is a DataFrame of just the columns seen in `fit`.

        Then there is nothing else to check of them.
        """
        return (
            isinstance(X, pd.DataFrame)
            and self._labels is not None
            and X.columns.equals(self._labels)
        )


def with_statistics(
    encoded: TableTensors, statistics: np.ndarray | None, sample_weight: Any
) -> TableTensors:
    """Put statistics in the place of those that `transform` looked up, in place.

    Parameters
    ----------
    encoded : TableTensors
        All rows; their last numbers are statistics.
    statistics : ndarray of shape (n_weighted_rows, n_statistics) or None
        Those of the rows of a weight above zero, if there are any.
    sample_weight : array-like of shape (n_rows,) or None
        Weights of the rows.

    Returns
    -------
    encoded : TableTensors
        The same.
    """
    if statistics is not None and statistics.shape[1]:
        numbers = encoded.numbers[:, -statistics.shape[1] :]
        few = len(statistics) < len(numbers)  # rows of weight zero have none
        rows = np.flatnonzero(sample_weight) if few else slice(None)
        numbers[rows] = torch.from_numpy(statistics)
    return encoded
