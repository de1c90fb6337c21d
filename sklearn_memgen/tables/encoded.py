"""What is known of the columns that an encoder puts out: names, counts, words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen.tables.crosses import Cross
from sklearn_memgen.tables.ids import IdColumn
from sklearn_memgen.tables.numbers import SmoothNumber
from sklearn_memgen.tables.sparse import SparseColumns, TextColumns
from sklearn_memgen.tables.statistics import TargetStatistic
from sklearn_memgen.tables.tensors import TableTensors

__all__ = ["EncodedColumns"]


class EncodedColumns:
    """The part of `TableEncoder` that tells what its output means."""

    numbers_: dict[str, SmoothNumber]
    id_columns_: dict[str, IdColumn]
    crosses_: dict[str, Cross]
    statistics_: dict[str, TargetStatistic]
    _sparse: SparseColumns | TextColumns

    def _with_ids(self) -> Iterator[IdColumn | Cross]:
        """Return what has ids, in the order of output."""
        return chain(self.id_columns_.values(), self.crosses_.values())

    def _number_ids(self) -> None:
        sizes = [len(column) for column in self._with_ids()]
        self.id_offsets_ = np.cumsum([0, *sizes], dtype=np.int64)

    @property
    def id_counts_(self) -> np.ndarray:
        """Weighted number of training rows of each id, shape (n_ids,)."""
        counts = [column.counts for column in self._with_ids()]
        return np.concatenate([np.empty(0), *counts])

    @property
    def n_statistics_(self) -> int:
        """Number of target statistics: the last columns of the encoded numbers."""
        return sum(s.table.shape[1] for s in self.statistics_.values())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the encoded columns: numbers, statistics, ids, crosses, the sparse part.

        Parameters
        ----------
        input_features : None
            Ignored; the names are those of `fit`.

        Returns
        -------
        names : ndarray of shape (n_features_out,), object
            A text column has one name, however many buckets it has, and so have the
            statistics of a column.
        """
        check_is_fitted(self)
        names = [*self.numbers_, *self.statistics_, *self.id_columns_, *self.crosses_]
        return np.array(names + self._sparse.names(), dtype=object)

    def words(self) -> np.ndarray:
        """Return a readable word for each id, then for each column of the sparse part.

        Returns
        -------
        words : ndarray of shape (n_ids + n_sparse_features,), object
            Such as "education=Bachelors & occupation=Sales".
        """
        check_is_fitted(self)
        words = [word for column in self._with_ids() for word in column.words()]
        return np.array(words + self._sparse.words(), dtype=object)

    def columns_of_words(self) -> np.ndarray:
        """Return the name of the encoded column that each of `words` belongs to.

        Returns
        -------
        names : ndarray of shape (n_ids + n_sparse_features,), object
            As in `get_feature_names_out`.
        """
        check_is_fitted(self)
        names = [*self.id_columns_, *self.crosses_]
        ids = np.array(names, dtype=object).repeat(np.diff(self.id_offsets_))
        return np.concatenate([ids, self._sparse.columns_of_words()])

    def without_statistics(self, table: TableTensors) -> TableTensors:
        """Return an encoded table with statistics of 0: those of the whole table."""
        if not self.n_statistics_:
            return table
        numbers = table.numbers.clone()
        numbers[:, -self.n_statistics_ :] = 0
        return replace(table, numbers=numbers)

    def inverse(self, ids: Any) -> np.ndarray:
        """Look up the words of ids.

        Parameters
        ----------
        ids : array-like of int
            Ids of `TableTensors.ids`, or numbers of ids plus columns of its sparse
            part.

        Returns
        -------
        words : ndarray of the shape of `ids`, object
            Such as "education=Bachelors & occupation=Sales".
        """
        return self.words()[np.asarray(ids)]
