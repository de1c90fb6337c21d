"""Rows that rules and a learner both see: read, split, and put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, column_or_1d

from sklearn_memgen._labels import check_labels
from sklearn_memgen._sklearn import _safe_indexing, validate_data
from sklearn_memgen.rules import RuleSet
from sklearn_memgen.tables.columns import as_table

__all__ = [
    "MatchedRows",
    "index_of",
    "join_rows",
    "read_rows",
    "split_labels",
]


@dataclass(frozen=True)
class MatchedRows:
    """Rows, and which rules hold of them.

    Parameters
    ----------
    data : DataFrame, array or sparse matrix of shape (n_rows, n_columns)
        The rows.
    matched : csr_matrix of shape (n_rows, n_rules), bool
        Which rules hold of which rows, in the order of their ids.
    """

    data: Any
    matched: sparse.csr_matrix

    @classmethod
    def of(cls, data: Any, rules: RuleSet) -> MatchedRows:
        """Match rules with rows."""
        return cls(data, rules.match(_as_frame(data, rules)))

    def __len__(self) -> int:
        return self.matched.shape[0]

    def take(self, rows: np.ndarray) -> MatchedRows:
        """Take some rows, in any order."""
        return MatchedRows(_safe_indexing(self.data, rows), self.matched[rows])

    def join(self, other: MatchedRows) -> MatchedRows:
        """Return the rows of both."""
        matched = sparse.vstack([self.matched, other.matched], format="csr")
        return MatchedRows(join_rows(self.data, other.data), matched)


def _as_frame(data: Any, rules: RuleSet) -> pd.DataFrame:
    """Return what rules read, as a DataFrame."""
    if isinstance(data, pd.DataFrame):
        return data
    if sparse.issparse(data):
        wanted = [c for c in rules.columns if isinstance(c, int) and c < data.shape[1]]
        some = data[:, wanted].toarray()
        return pd.DataFrame(some, columns=pd.Index(wanted, dtype=object))
    return as_table(data)


def read_rows(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """Check rows as far as can be done before the learner sees them.

    Parameters
    ----------
    estimator : estimator
        Its number and names of features are set, or compared.
    X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
        The rows.
    reset : bool
        Whether to set number and names of features.

    Returns
    -------
    data : DataFrame, array or csr_matrix
        pandas' DataFrame for any data frame.
    """
    if sparse.issparse(X):
        data = check_array(X, accept_sparse="csr", ensure_all_finite=False)
    elif isinstance(X, np.ndarray | list | tuple) or not hasattr(X, "columns"):
        data = check_array(X, dtype=None, ensure_all_finite=False)
    else:
        data = as_table(X)
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return data


def join_rows(data: Any, more: Any) -> Any:
    """Return rows below rows, of the same columns."""
    if isinstance(data, pd.DataFrame):
        return pd.concat([data, more], ignore_index=True)
    if sparse.issparse(data):
        return sparse.vstack([data, more], format="csr")
    return np.concatenate([data, more])


def index_of(X: Any) -> pd.Index | None:
    """Return the names of the rows, if they have any."""
    return X.index if isinstance(X, pd.DataFrame | pd.Series) else None


def split_labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Part labels from missing ones.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels; None and NaN are missing.

    Returns
    -------
    labels : ndarray of shape (n_labeled,)
        Those that are there: strings, integers or booleans. Whole floats beside missing
        labels are integers, as they were before pandas made them floats.
    is_labeled : ndarray of shape (n_rows,), bool
        Where they are.

    Raises
    ------
    ValueError
        If there are no labels at all, or they are no classes.
    """
    if y is None:
        return check_labels(y), np.empty(0, dtype=bool)
    values = y if isinstance(y, pd.Series) else column_or_1d(y, warn=True)
    is_labeled = np.asarray(pd.notna(values), dtype=bool)
    if is_labeled.all():
        return check_labels(values), is_labeled
    if not is_labeled.any():
        raise ValueError(f"y has no labels: all {len(is_labeled)} are missing")
    labels = np.array(np.asarray(values, dtype=object)[is_labeled].tolist())
    if labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        labels = labels.astype(int)
    return check_labels(labels), is_labeled
