"""Numbers: how they go in smoothly."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

__all__ = [
    "SmoothNumber",
    "fit_numbers",
    "limit_bins",
    "target_edges",
    "weighted_quantiles",
]

#: Scaled values are clipped here, far beyond what a net tells apart, so that float32
#: arithmetic stays finite whatever comes at predict time.
_LIMIT = 1e6
#: Bins of all columns together: the width of a net's first layer grows with them.
_MAX_TOTAL_BINS = 1536
#: Bins that follow the target: a bin has 64 rows or a 50th of them; an edge is sought
#: in so many rows, and lowers their log-loss by so many nats, and some for each class.
_MIN_ROWS, _MIN_SHARE, _MAX_TREE_ROWS = 64, 0.02, 200_000
_MIN_NATS, _NATS_A_CLASS = 3.0, 1.5


def weighted_quantiles(
    values: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    """Compute quantiles in which a row of weight 2 counts as two rows.

    A quantile is the smallest value at or below which lies the given share of the
    rows. `numpy.quantile` defines it likewise, but breaks ties otherwise with weights
    than without.
    """
    if len(values) == 0:
        return values
    if weights is None:
        values, ranks = np.sort(values), np.arange(1.0, len(values) + 1)
    else:
        order = np.argsort(values)
        values, ranks = values[order], np.cumsum(weights[order])
    return values[np.searchsorted(ranks, probabilities * ranks[-1])]


@dataclass(frozen=True)
class SmoothNumber:
    """How a column of numbers goes in smoothly: its scale and its bins.

    Parameters
    ----------
    center : float
        Median of the column, in the column's unit.
    scale : float
        Interquartile range, or the standard deviation where that is zero, or 1.
    bin_edges : ndarray of shape (n_bins + 1,), float32
        Ascending edges of the piecewise-linear bins in scaled units; empty for a
        column of a single value.
    has_missing : bool
        Whether values were missing in training.
    """

    center: float
    scale: float
    bin_edges: np.ndarray
    has_missing: bool

    @classmethod
    def fit(
        cls,
        values: np.ndarray,
        weights: np.ndarray | None,
        *,
        n_bins: int,
        y: np.ndarray | None = None,
    ) -> SmoothNumber:
        """Find center, scale and bins of `values` (n_rows,), NaN where missing.

        With a target `y` (n_rows,) the bins end where it changes; see `target_edges`.
        """
        missing = np.isnan(values)
        has_missing = bool(missing.any())
        if has_missing:
            values = values[~missing]
            weights = None if weights is None else weights[~missing]
            y = None if y is None else y[~missing]
        no_bins = np.empty(0, dtype=np.float32)
        if len(values) == 0:
            return cls(0.0, 1.0, no_bins, has_missing)
        probabilities = np.concatenate(
            [[0.25, 0.5, 0.75], np.linspace(0, 1, n_bins + 1)]
        )
        quantiles = weighted_quantiles(values, probabilities, weights)
        (lower, center, upper), edges = quantiles[:3], quantiles[3:]
        if not edges[0] < edges[-1]:
            return cls(float(center), 1.0, no_bins, has_missing)
        with np.errstate(over="ignore"):
            mean = np.average(values, weights=weights)
            deviation = np.sqrt(np.average((values - mean) ** 2, weights=weights))
            candidates = (upper - lower, deviation, abs(edges).max(), 1.0)
        scale = next(c for c in candidates if np.isfinite(c) and c > 0)
        if n_bins == 0:
            edges = no_bins
        elif y is not None:
            scaled = _scaled(values, center, scale)
            edges = np.unique(target_edges(scaled, y, weights, n_bins=n_bins))
        elif len(distinct := np.unique(values)) <= n_bins:
            edges = np.unique(_scaled(distinct, center, scale))
        else:
            edges = np.unique(_scaled(edges, center, scale))
        if len(edges) < 2:
            edges = no_bins
        return cls(float(center), float(scale), edges, has_missing)

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scale `values` (n_rows,) to float32.

        A missing value stays NaN if there were missing values in training; else it
        becomes the median, as there is nothing that was learned of it.
        """
        scaled = _scaled(values, self.center, self.scale)
        if not self.has_missing:
            scaled[np.isnan(scaled)] = 0
        return scaled


def _scaled(values: np.ndarray, center: float, scale: float) -> np.ndarray:
    with np.errstate(over="ignore"):
        scaled = (values - center) / scale
    return scaled.clip(-_LIMIT, _LIMIT, out=scaled).astype(np.float32)


def target_edges(
    values: np.ndarray, y: np.ndarray, weights: np.ndarray | None, *, n_bins: int
) -> np.ndarray:
    """Find edges between which the target changes little.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        A column without missing values.
    y : ndarray of shape (n_rows,), int or float
        Class indices, or a numeric target if of floats.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    n_bins : int
        Largest number of bins.

    Returns
    -------
    edges : ndarray of shape (n_edges,)
        The smallest value, the thresholds of a decision tree, and the largest value.

    Notes
    -----
    The bins "by target" of Gorishniy et al. (2022), "On Embeddings for Numerical
    Features in Tabular Deep Learning". A column of which the target does not depend has
    one bin.
    """
    if len(values) > _MAX_TREE_ROWS:
        rows = np.linspace(0, len(values) - 1, _MAX_TREE_ROWS).astype(int)
        rows = np.unique(np.concatenate([rows, [values.argmin(), values.argmax()]]))
        values, y = values[rows], y[rows]
        weights = None if weights is None else weights[rows]
    n_rows = len(values) if weights is None else float(weights.sum())
    is_numeric = y.dtype.kind == "f"
    make = DecisionTreeRegressor if is_numeric else DecisionTreeClassifier
    if is_numeric:
        y = y - np.average(y, weights=weights)
        y = y / (np.sqrt(np.average(y**2, weights=weights)) or 1.0)
        # Half the share of variance that is explained is the gain in nats.
        min_gain = 2 * (_MIN_NATS + _NATS_A_CLASS)
    else:  # the entropy is in bits
        min_gain = (_MIN_NATS + _NATS_A_CLASS * y.max()) / np.log(2)
    tree = make(
        criterion="squared_error" if is_numeric else "entropy",
        max_leaf_nodes=max(n_bins, 2),
        min_weight_fraction_leaf=min(_MIN_ROWS / n_rows, _MIN_SHARE),
        min_impurity_decrease=min_gain / n_rows,
        random_state=0,
    )
    tree.fit(values[:, None], y, sample_weight=weights)
    inner = tree.tree_.threshold[tree.tree_.feature >= 0]
    edges = np.concatenate([[values.min()], inner, [values.max()]])
    return edges.astype(np.float32)


def fit_numbers(
    columns: Iterable[tuple[Hashable, np.ndarray]],
    weights: np.ndarray | None,
    *,
    n_bins: int,
    y: np.ndarray | None = None,
) -> dict[str, SmoothNumber]:
    """Find scales and bins of all columns of numbers of a table.

    Parameters
    ----------
    columns : iterable of (label, ndarray of shape (n_rows,))
        The columns, float64, NaN where missing.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    n_bins : int
        Largest number of bins a column. Many columns get fewer.
    y : ndarray of shape (n_rows,), default=None
        The target that the bins follow.

    Returns
    -------
    numbers : dict of str to SmoothNumber
        By name, in the order of `columns`.

    Raises
    ------
    ValueError
        If a column holds infinities.
    """
    numbers = {}
    for label, values in columns:
        if np.isinf(values).any():
            raise ValueError(
                f"Input X contains infinity in column {label!r}; replace it, for "
                "example by NaN, which is treated as a value of its own"
            )
        numbers[str(label)] = SmoothNumber.fit(values, weights, n_bins=n_bins, y=y)
    limited = limit_bins(list(numbers.values()), _MAX_TOTAL_BINS)
    return dict(zip(numbers, limited, strict=True))


def limit_bins(numbers: list[SmoothNumber], n_bins: int) -> list[SmoothNumber]:
    """Thin the bins of many columns out until they are at most `n_bins` in all.

    Columns with few bins keep them; the others get the same number each, by dropping
    edges evenly.
    """
    counts = np.array([max(len(number.bin_edges) - 1, 0) for number in numbers])
    budgets = np.arange(counts.max(initial=0) + 1)
    totals = np.minimum(counts, budgets[:, None]).sum(axis=1)
    budget = int(budgets[totals <= n_bins].max(initial=0))
    return [
        number if count <= budget else replace(number, bin_edges=_thin(number, budget))
        for number, count in zip(numbers, counts, strict=True)
    ]


def _thin(number: SmoothNumber, n_bins: int) -> np.ndarray:
    if n_bins == 0:
        return number.bin_edges[:0]
    kept = np.linspace(0, len(number.bin_edges) - 1, n_bins + 1).round().astype(int)
    return number.bin_edges[kept]
