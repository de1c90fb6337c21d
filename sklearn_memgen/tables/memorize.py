"""Which numbers to remember exactly."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from sklearn_memgen.tables.ids import IdColumn
from sklearn_memgen.tables.numbers import weighted_quantiles
from sklearn_memgen.tables.vocabulary import count_classes

__all__ = ["choose_memorized", "weigh_exact_values"]

#: Bins against which exact values have to prove themselves, folds of the proof, and
#: the rows it looks at.
_N_TEST_BINS, _N_FOLDS, _MAX_ROWS = 64, 5, 200_000
#: A column of no more values is told apart by its bins.
_MIN_VALUES = 48
#: How many rows a value's own class frequencies, or its own mean, must weigh against
#: the prior.
_PRIOR_ROWS = 4.0
#: What a value has to gain over all rows, in nats. For classes Akaike's bar: it keeps
#: nearly unique values out, which tell something of a row but overfit beside other
#: columns. For numbers a quarter of it: means of values that gained 0.4 nats or more
#: helped a net on real tables, those of values that gained 0.12 or less did harm.
_NATS_A_VALUE, _NATS_A_MEAN = 1.0, 0.25
#: Least mean squared error of a standardized target: what is exact up to rounding.
_LEAST_ERROR = 1e-12
_EVIDENCE = [
    "column",
    "kind",
    "n_values",
    "memorized",
    "loss_bins",
    "loss_exact",
    "gain",
    "standard_error",
]


def choose_memorized(
    columns: dict[Hashable, pd.Series],
    memorize: str | list[Hashable],
    y: np.ndarray | None,
    weights: np.ndarray | None,
    *,
    min_frequency: float,
    rng: np.random.RandomState,
) -> tuple[dict[str, IdColumn], pd.DataFrame]:
    """Choose the numeric columns whose exact values are remembered.

    Parameters
    ----------
    columns : dict of Series of shape (n_rows,)
        The numeric columns, float64.
    memorize : {"auto", "none", "exact"} or list of column labels
        See `TableEncoder`.
    y : ndarray of shape (n_rows,), int or float, or None
        Class indices, or a numeric target if of floats; without it "auto" chooses
        nothing.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    min_frequency : float
        How often a value must occur to have an id.
    rng : RandomState
        Draws the folds of "auto".

    Returns
    -------
    chosen : dict of str to IdColumn
        The chosen columns by name.
    evidence : DataFrame
        A row per column with values that repeat; see `TableEncoder.memorized_`.
    """
    named = [] if isinstance(memorize, str) else memorize
    if strange := [label for label in named if label not in columns]:
        raise ValueError(f"memorize names columns {strange}, which are no numbers")
    chosen, evidence = {}, []
    for label, values in columns.items() if memorize != "none" else []:
        column = IdColumn.fit(values, "exact", weights, min_frequency=min_frequency)
        n_values = len(column.vocabulary.keys)
        if n_values < 2:
            continue
        row = {"column": label, "kind": "number", "n_values": n_values}
        row["memorized"] = False
        if memorize == "auto" and y is not None and n_values > _MIN_VALUES:
            ids = column.encode(values)
            row |= weigh_exact_values(values.to_numpy(), ids, y, weights, rng)
        elif memorize != "auto":
            row["memorized"] = memorize == "exact" or label in named
        evidence.append(row)
        if row["memorized"]:
            chosen[column.name] = column
    return chosen, pd.DataFrame(evidence, columns=_EVIDENCE)


def weigh_exact_values(
    values: np.ndarray,
    ids: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None,
    rng: np.random.RandomState,
) -> dict[str, float | bool]:
    """Ask out of fold whether exact values tell more of the target than bins do.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        The column, NaN where missing.
    ids : ndarray of shape (n_rows,)
        Ids of the exact values.
    y : ndarray of shape (n_rows,), int or float
        Class indices, or a numeric target if of floats.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    rng : RandomState
        Draws the folds.

    Returns
    -------
    evidence : dict
        `loss_bins` and `loss_exact`, the out-of-fold log-losses, in nats a row, of
        class frequencies, or means of a numeric target under Gaussian errors, by bin
        and by value; their difference `gain`; its `standard_error` over folds; and the
        decision `memorized`: whether the gain is two standard errors above zero, and,
        over all rows, more than one nat for each value, or a quarter of one for a
        numeric target.
    """
    if len(values) > _MAX_ROWS:
        rows = rng.choice(len(values), _MAX_ROWS, replace=False)
        values, ids, y = values[rows], ids[rows], y[rows]
        weights = None if weights is None else weights[rows]
    known = values[~np.isnan(values)]
    known_weights = None if weights is None else weights[~np.isnan(values)]
    probabilities = np.linspace(0, 1, _N_TEST_BINS + 1)[1:-1]
    edges = np.unique(weighted_quantiles(known, probabilities, known_weights))
    bins = np.searchsorted(edges, values, side="right")  # NaN sorts behind all
    bins[np.isnan(values)] = len(edges) + 1
    bins += 1  # none is the unknown id
    folds = rng.permutation(len(values)) % _N_FOLDS
    is_numeric = y.dtype.kind == "f"
    out_of_fold_loss = _loss_of_means if is_numeric else _loss_of_frequencies
    loss_bins = out_of_fold_loss(bins, y, weights, folds)
    loss_exact = out_of_fold_loss(ids, y, weights, folds)
    gains = loss_bins - loss_exact
    gain = float(gains.mean())
    n_rows = len(values) if weights is None else weights.sum()
    standard_error = float(gains.std(ddof=1) / np.sqrt(_N_FOLDS))
    bar = len(np.unique(ids)) * (_NATS_A_MEAN if is_numeric else _NATS_A_VALUE)
    return {
        "memorized": gain > 2 * standard_error and gain * n_rows > bar,
        "loss_bins": float(loss_bins.mean()),
        "loss_exact": float(loss_exact.mean()),
        "gain": gain,
        "standard_error": standard_error,
    }


def _loss_of_frequencies(
    ids: np.ndarray, y: np.ndarray, weights: np.ndarray | None, folds: np.ndarray
) -> np.ndarray:
    """Log-loss a row in each fold of class frequencies by id from the other folds.

    An id that they do not hold has the frequencies of the unknown id.
    """
    n_ids, n_classes = int(ids.max()) + 1, int(y.max()) + 1
    cells = folds * np.int64(n_ids) + ids
    counts = count_classes(cells, y, weights, (_N_FOLDS * n_ids, n_classes))
    counts = counts.reshape(_N_FOLDS, n_ids, n_classes)
    others = counts.sum(axis=0) - counts
    prior = others.sum(axis=1, keepdims=True) + 0.5
    unseen = others.sum(axis=2, keepdims=True) == 0
    others = np.where(unseen, others[:, :1], others)
    prior /= prior.sum(axis=2, keepdims=True)
    totals = others.sum(axis=2, keepdims=True) + _PRIOR_ROWS
    log_frequencies = np.log((others + _PRIOR_ROWS * prior) / totals)
    n_rows = np.maximum(counts.sum(axis=(1, 2)), 1e-12)
    return -(counts * log_frequencies).sum(axis=(1, 2)) / n_rows


def _loss_of_means(
    ids: np.ndarray, y: np.ndarray, weights: np.ndarray | None, folds: np.ndarray
) -> np.ndarray:
    """Gaussian log-loss a row in each fold of means by id from the other folds.

    An id that they do not hold has the mean of the unknown id.
    """
    if weights is None:
        weights = np.ones(len(y))
    y = y - np.average(y, weights=weights)
    y /= np.sqrt(np.average(y**2, weights=weights)) or 1.0
    n_ids = int(ids.max()) + 1
    cells = folds * np.int64(n_ids) + ids
    shape, size = (_N_FOLDS, n_ids), _N_FOLDS * n_ids
    counts = np.bincount(cells, weights, size).reshape(shape)
    sums = np.bincount(cells, weights * y, size).reshape(shape)
    other_counts, other_sums = counts.sum(axis=0) - counts, sums.sum(axis=0) - sums
    rows = np.maximum(other_counts.sum(axis=1, keepdims=True), 1e-12)
    prior = other_sums.sum(axis=1, keepdims=True) / rows
    unseen = other_counts == 0
    other_sums = np.where(unseen, other_sums[:, :1], other_sums)
    other_counts = np.where(unseen, other_counts[:, :1], other_counts)
    means = (other_sums + _PRIOR_ROWS * prior) / (other_counts + _PRIOR_ROWS)
    errors = np.bincount(folds, weights * (y - means[folds, ids]) ** 2, _N_FOLDS)
    n_rows = np.maximum(counts.sum(axis=1), 1e-12)
    return 0.5 * np.log(2 * np.pi * np.e * np.maximum(errors / n_rows, _LEAST_ERROR))
