"""The sparse part of a table: a sparse matrix, or the n-grams of text columns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.preprocessing import MaxAbsScaler

from sklearn_memgen.tables.tensors import CSRParts
from sklearn_memgen.tables.text import TextHasher
from sklearn_memgen.tables.values import to_floats

__all__ = ["SparseColumns", "TextColumns"]


@dataclass(frozen=True)
class SparseColumns:
    """The columns of a sparse matrix, each scaled to a largest absolute value of 1.

    Parameters
    ----------
    scaler : MaxAbsScaler
        The fitted scaler.
    """

    scaler: MaxAbsScaler

    @classmethod
    def fit(cls, matrix: sparse.csr_matrix) -> SparseColumns:
        """Find the scales.

        Raises
        ------
        ValueError
            If there are stored values that are NaN or infinite.
        """
        if not np.isfinite(matrix.data).all():
            raise ValueError(
                "Input X contains NaN or infinity, which a sparse matrix cannot hold "
                "as values of their own"
            )
        return cls(MaxAbsScaler().fit(matrix))

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.scaler.n_features_in_

    def names(self) -> list[str]:
        """Return the names of the columns."""
        return self.words()

    def words(self) -> list[str]:
        """Return a readable word for each column."""
        return [f"x{j}" for j in range(self.n_features)]

    def columns_of_words(self) -> np.ndarray:
        """Return the names of the columns, of which each has one word."""
        return np.array(self.names(), dtype=object)

    def transform(self, matrix: Any) -> CSRParts:
        """Scale a sparse matrix, or a frame of the same columns."""
        if not sparse.issparse(matrix):
            columns = [to_floats(column) for _, column in matrix.items()]
            matrix = sparse.csr_matrix(np.column_stack(columns), dtype=np.float32)
        if not np.isfinite(matrix.data).all():
            warnings.warn(
                "X holds NaN or infinity, which were not there in fit; they are taken "
                "as zero",
                UserWarning,
                stacklevel=3,
            )
            matrix.data = np.nan_to_num(matrix.data, posinf=0, neginf=0)
        return _csr_parts(self.scaler.transform(matrix))


@dataclass(frozen=True)
class TextColumns:
    """The text columns of a table, side by side.

    Parameters
    ----------
    hashers : list of TextHasher
        One for each column.
    """

    hashers: list[TextHasher]

    @classmethod
    def fit(cls, table: pd.DataFrame, n_buckets: int) -> TextColumns:
        """Fit a hasher to each column of a table."""
        hashers = [
            TextHasher.fit(table[label], label=label, n_buckets=n_buckets)
            for label in table.columns
        ]
        return cls(hashers)

    @property
    def n_features(self) -> int:
        """Number of buckets."""
        return sum(hasher.n_buckets for hasher in self.hashers)

    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [str(hasher.label) for hasher in self.hashers]

    def words(self) -> list[str]:
        """Return a readable word for each bucket."""
        return [word for hasher in self.hashers for word in hasher.words()]

    def columns_of_words(self) -> np.ndarray:
        """Return the name of each bucket's column, shape (n_buckets,), object."""
        names = np.array(self.names(), dtype=object)
        return names.repeat([hasher.n_buckets for hasher in self.hashers])

    def transform(self, table: pd.DataFrame) -> CSRParts | None:
        """Hash the columns; None if there are none."""
        if not self.hashers:
            return None
        parts = [hasher.transform(table[hasher.label]) for hasher in self.hashers]
        return _csr_parts(sparse.hstack(parts, format="csr"))


def _csr_parts(matrix: sparse.csr_matrix) -> CSRParts:
    return CSRParts(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data.astype(np.float32)),
    )
