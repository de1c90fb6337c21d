"""Target statistics: what training rows of an id were like, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["TargetStatistics", "cross_fit"]

#: How many rows of an id must weigh as much as the prior.
_PRIOR_ROWS = 10.0
_N_FOLDS = 5


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
class TargetStatistics:
    r"""The target's shrunken means, and the counts, of the ids of some columns.

    Parameters
    ----------
    columns : tuple of int
        Positions of the id columns that have statistics.
    table : ndarray of shape (n_ids, n_targets + 1), float32
        For each id, in the space that all columns share, the statistics of its training
        rows and the logarithm of their number, roughly scaled to [-1, 1].

    Notes
    -----
    The statistic of an id with n rows is the log-odds (two classes), the
    log-probability of each class, or the mean (a numeric target), minus that of the
    whole table, of the mean :math:`(\sum y + m \bar y) / (n + m)` with m = 10, after
    Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical
    attributes". A training row gets the statistics of the rows of the other four
    folds, as in `sklearn.preprocessing.TargetEncoder`, which takes neither sample
    weights nor returns counts: a net would trust a statistic that its own label is in.
    """

    columns: tuple[int, ...]
    table: np.ndarray = field(repr=False)

    @classmethod
    def fit(
        cls,
        columns: tuple[int, ...],
        ids: np.ndarray,
        n_ids: int,
        y: np.ndarray,
        weights: np.ndarray | None,
        rng: np.random.RandomState,
    ) -> tuple[TargetStatistics, np.ndarray]:
        """Learn the statistics, and return the cross-fitted ones of the rows.

        Parameters
        ----------
        columns : tuple of int
            Positions of the columns that get statistics.
        ids : ndarray of shape (n_rows, n_id_columns), int
            The encoded ids of the training rows.
        n_ids : int
            Size of the id space.
        y : ndarray of shape (n_rows,), int or float
            Class indices, or a numeric target if of floats.
        weights : ndarray of shape (n_rows,) or None
            Weights of the rows.
        rng : RandomState
            Draws the folds.

        Returns
        -------
        statistics : TargetStatistics
            What `transform` uses.
        cross_fitted : ndarray of shape (n_rows, n_outputs), float32
            The training rows' statistics, each from the rows of other folds.
        """
        weights = np.ones(len(y)) if weights is None else weights
        is_numeric = y.dtype.kind == "f"
        if is_numeric:
            mean = np.average(y, weights=weights)
            scale = np.sqrt(np.average((y - mean) ** 2, weights=weights)) or 1.0
            target, prior = ((y - mean) / scale)[:, None], np.zeros(1)
        else:
            target = np.eye(int(y.max()) + 1)[y]
            prior = np.average(target, axis=0, weights=weights)
        folds = rng.permutation(len(y)) % _N_FOLDS
        sums, counts = np.zeros((n_ids, len(prior))), np.zeros(n_ids)
        cross_fitted = []
        for column in columns:
            codes = ids[:, column].astype(np.int64)
            counts += np.bincount(codes, weights, n_ids)
            for k in range(len(prior)):
                sums[:, k] += np.bincount(codes, weights * target[:, k], n_ids)
            first = codes.min()
            parts = cross_fit(codes - first, target, weights, folds, _N_FOLDS)
            cross_fitted.append(_describe(*parts, prior, is_numeric=is_numeric))
        table = _describe(sums, counts, prior, is_numeric=is_numeric)
        return cls(columns, table), np.concatenate(cross_fitted, axis=1)

    @property
    def n_outputs(self) -> int:
        """Number of numbers a row."""
        return len(self.columns) * self.table.shape[1]

    def transform(self, ids: np.ndarray) -> np.ndarray:
        """Look the statistics of encoded ids (n_rows, n_id_columns) up.

        Returns
        -------
        numbers : ndarray of shape (n_rows, n_outputs), float32
            Column after column.
        """
        return self.table[ids[:, self.columns]].reshape(len(ids), -1)


def _describe(
    sums: np.ndarray, counts: np.ndarray, prior: np.ndarray, *, is_numeric: bool
) -> np.ndarray:
    """Turn sums and counts into statistics, shape (n, n_targets + 1)."""
    means = (sums + _PRIOR_ROWS * prior) / (counts + _PRIOR_ROWS)[:, None]
    if not is_numeric:
        with np.errstate(divide="ignore"):  # a class of no weight
            means = np.log(means) - np.log(prior)
        means = np.nan_to_num(means, nan=0.0, neginf=0.0)
        if len(prior) == 2:
            means = means[:, 1:] - means[:, :1]
    rarity = np.log1p(counts)[:, None] / 4 - 1
    return np.concatenate([means, rarity], axis=1).astype(np.float32)
