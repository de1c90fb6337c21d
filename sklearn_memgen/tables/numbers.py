"""Numbers: how they go in smoothly."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["SmoothNumber", "fit_numbers", "limit_bins", "weighted_quantiles"]

#: Scaled values are clipped here, far beyond what a net tells apart, so that float32
#: arithmetic stays finite whatever comes at predict time.
_LIMIT = 1e6
#: Bins of all columns together: the width of a net's first layer grows with them.
_MAX_TOTAL_BINS = 1536


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
        column of a single value. A column with fewer distinct values than bins has
        an edge at each of them.
    has_missing : bool
        Whether values were missing in training.
    """

    center: float
    scale: float
    bin_edges: np.ndarray
    has_missing: bool

    @classmethod
    def fit(
        cls, values: np.ndarray, weights: np.ndarray | None, *, n_bins: int
    ) -> SmoothNumber:
        """Find center, scale and bins of `values` (n_rows,), NaN where missing."""
        missing = np.isnan(values)
        has_missing = bool(missing.any())
        if has_missing:
            values = values[~missing]
            weights = None if weights is None else weights[~missing]
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
        elif len(distinct := np.unique(values)) <= n_bins:
            edges = distinct
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


def fit_numbers(
    columns: Iterable[tuple[Hashable, np.ndarray]],
    weights: np.ndarray | None,
    *,
    n_bins: int,
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
        numbers[str(label)] = SmoothNumber.fit(values, weights, n_bins=n_bins)
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
