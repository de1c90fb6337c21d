"""Target statistics: what training rows of an id were like, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sklearn_memgen.tables.crosses import Cross
from sklearn_memgen.tables.ids import IdColumn
from sklearn_memgen.tables.vocabulary import UNKNOWN
from sklearn_memgen.tables.whole_rows import WholeRow

__all__ = ["N_FOLDS", "TargetStatistic", "cross_fit"]

#: How many rows of an id must weigh as much as the prior.
_PRIOR_ROWS = 10.0
#: Folds of the cross-fitted statistics.
N_FOLDS = 5


def cross_fit(
    codes: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray,
    folds: np.ndarray,
    n_folds: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum values by code, for each row over the rows of the other folds.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,), int
        What rows have in common, from 0.
    values : ndarray of shape (n_rows, n_values)
        What is summed.
    weights : ndarray of shape (n_rows,)
        Weights of the rows.
    folds : ndarray of shape (n_rows,), int
        The fold of each row, from 0 to `n_folds` - 1.

    Returns
    -------
    sums : ndarray of shape (n_rows, n_values)
        Weighted sums over the rows of the same code in other folds.
    counts : ndarray of shape (n_rows,)
        Their weights.
    """
    cells = codes * np.int64(n_folds) + folds
    size = (int(codes.max()) + 1) * n_folds

    def others(weighted: np.ndarray) -> np.ndarray:
        inside = np.bincount(cells, weighted, size).reshape(-1, n_folds)
        return (inside.sum(axis=1, keepdims=True) - inside).ravel()[cells]

    sums = [others(weights * column) for column in values.T]
    return np.stack(sums, axis=1), others(weights)


@dataclass(frozen=True)
class TargetStatistic:
    r"""The target's shrunken mean, and the number of rows, of each value of a column.

    Parameters
    ----------
    source : IdColumn, Cross or WholeRow
        The column, or the cross of columns, whose values are looked up.
    table : ndarray of shape (n_ids, n_targets + 1), float32
        For each id the statistics of its training rows, and the logarithm of their
        number, roughly scaled to [-1, 1].

    Notes
    -----
    The statistic of an id with n rows is the log-odds (two classes), the
    log-probability of each class, or the standardized mean (a numeric target), minus
    that of the whole table, of :math:`(\sum y + m \bar y) / (n + m)` with m = 10,
    after Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical
    attributes". A training row gets the statistics of the rows of the other four
    folds, as in `sklearn.preprocessing.TargetEncoder` (which takes no weights and
    returns no counts), or those of unknown values if none of these has its value: a net
    would trust a statistic that its own label is in.
    """

    source: IdColumn | Cross | WholeRow
    table: np.ndarray = field(repr=False)

    @classmethod
    def fit(
        cls,
        source: IdColumn | Cross | WholeRow,
        ids: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        folds: np.ndarray,
        n_classes: int,
    ) -> tuple[TargetStatistic, np.ndarray]:
        """Learn a column's statistics.

        Parameters
        ----------
        source : IdColumn, Cross or WholeRow
            The column.
        ids : ndarray of shape (n_rows,), int
            Its ids in the training rows.
        y : ndarray of shape (n_rows,), int or float
            Class indices, -1 for a class that was not there when the encoder was
            fitted; or a numeric target if of floats.
        weights : ndarray of shape (n_rows,) or None
            Weights of the rows.
        folds : ndarray of shape (n_rows,), int
            The fold of each row, from 0 to `N_FOLDS` - 1.
        n_classes : int
            Number of classes.

        Returns
        -------
        statistic : TargetStatistic
            What `transform` uses.
        cross_fitted : ndarray of shape (n_rows, n_targets + 1), float32
            The training rows' statistics, each from the rows of other folds.
        """
        weights = np.ones(len(y)) if weights is None else weights
        is_numeric = y.dtype.kind == "f"
        if is_numeric:
            mean = np.average(y, weights=weights)
            scale = np.sqrt(np.average((y - mean) ** 2, weights=weights)) or 1.0
            target, prior = ((y - mean) / scale)[:, None], np.zeros(1)
        else:
            target = (y[:, None] == np.arange(n_classes)).astype(np.float64)
            prior = weights @ target + 0.5  # so that none is zero
            prior /= prior.sum()
        n_ids = len(source)
        counts = np.bincount(ids, weights, n_ids)
        sums = np.stack(
            [np.bincount(ids, weights * column, n_ids) for column in target.T], axis=1
        )
        table = _describe(sums, counts, prior, is_numeric=is_numeric)
        sums, counts = cross_fit(ids, target, weights, folds, N_FOLDS)
        # Of other folds alone a value that only this one holds would be unknown.
        alone = counts == 0
        if alone.any():
            unknown = weights * (ids == UNKNOWN)
            rest = cross_fit(np.zeros_like(ids), target, unknown, folds, N_FOLDS)
            sums[alone], counts[alone] = rest[0][alone], rest[1][alone]
        cross_fitted = _describe(sums, counts, prior, is_numeric=is_numeric)
        return cls(source, table), cross_fitted

    @property
    def name(self) -> str:
        """Name of the encoded column."""
        return f"{self.source.name} (target)"

    def transform(self, ids: np.ndarray) -> np.ndarray:
        """Look the statistics of ids (n_rows,) up, shape (n_rows, n_targets + 1)."""
        return self.table[ids]

    def extend(self, source: IdColumn | Cross | WholeRow) -> TargetStatistic:
        """Return the statistics of a source that was extended; new ids have none."""
        n_new = len(source) - len(self.table)
        blank = np.zeros((n_new, self.table.shape[1]), dtype=np.float32)
        blank[:, -1] = _rarity(np.zeros(1))
        return TargetStatistic(source, np.concatenate([self.table, blank]))

    def update(self, other: TargetStatistic, ids: np.ndarray) -> TargetStatistic:
        """Return these statistics with those of `other` for the ids in `ids`."""
        table = self.table.copy()
        table[ids] = other.table[ids]
        return TargetStatistic(self.source, table)


def _describe(
    sums: np.ndarray, counts: np.ndarray, prior: np.ndarray, *, is_numeric: bool
) -> np.ndarray:
    """Turn sums and counts into statistics, shape (n, n_targets + 1)."""
    means = (sums + _PRIOR_ROWS * prior) / (counts + _PRIOR_ROWS)[:, None]
    if not is_numeric:
        means = np.log(means) - np.log(prior)
        if len(prior) == 2:
            means = means[:, 1:] - means[:, :1]
    rarity = _rarity(counts)[:, None]
    return np.concatenate([means, rarity], axis=1).astype(np.float32)


def _rarity(counts: np.ndarray) -> np.ndarray:
    return np.log1p(counts) / 4 - 1
