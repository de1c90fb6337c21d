"""Strata of decisions, and what verdicts on a part of them say of the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sklearn_memgen.rules.intervals import wilson_interval
from sklearn_memgen.rules.literals import shorten

__all__ = ["combine", "name_strata", "spread_sizes", "stratify", "stratum_intervals"]

#: Judged rows of the overall precision that are added to each stratum, for variances.
_SMOOTHING = 2.0


def stratify(
    decisions: pd.DataFrame, by: str | Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return the rows that are decided, their strata, and the stratum of each.

    Parameters
    ----------
    decisions : DataFrame of shape (n_all, n_columns)
        With the columns "source" and "label" and a unique index.
    by : str or list of str
        Columns whose combined values are the strata; none for a single stratum.

    Returns
    -------
    decided : DataFrame of shape (n_rows, n_columns)
        The rows that are not declined.
    strata : DataFrame of shape (n_strata, n_keys + 1)
        The values of `by`, and "n_rows".
    codes : ndarray of shape (n_rows,), int
        The stratum of each row that is decided.

    Raises
    ------
    TypeError
        If `decisions` is no DataFrame.
    ValueError
        If a column is missing, or rows share a label.
    """
    if not isinstance(decisions, pd.DataFrame):
        raise TypeError(
            "decisions must be a pandas DataFrame, as of decide; got "
            f"{type(decisions).__name__}"
        )
    keys = [by] if isinstance(by, str) else list(by)
    for name in ("source", "label", *keys):
        if name not in decisions.columns:
            raise ValueError(f"decisions has no column {name!r}")
    if not decisions.index.is_unique:
        twice = decisions.index[decisions.index.duplicated()][0]
        raise ValueError(
            f"each row of decisions needs a label of its own in the index; got "
            f"{shorten(repr(twice))} more than once. Use reset_index(drop=True)"
        )
    decided = decisions[~decisions["source"].isin(["declined"])]
    if not keys:
        sizes = [len(decided)] if len(decided) else []
        strata = pd.DataFrame({"n_rows": sizes}, dtype=int)
        return decided, strata, np.zeros(len(decided), dtype=int)
    groups = decided.groupby(keys, dropna=False, observed=True)
    strata = groups.size().rename("n_rows").reset_index()
    return decided, strata, groups.ngroup().to_numpy(dtype=int)


def name_strata(strata: pd.DataFrame) -> np.ndarray:
    """Return the names of strata.

    Parameters
    ----------
    strata : DataFrame of shape (n_strata, n_keys + 1)
        As of `stratify`.

    Returns
    -------
    names : ndarray of shape (n_strata,), object
        Their values, parted by slashes.
    """
    keys = strata.drop(columns="n_rows").itertuples(index=False, name=None)
    return np.array([" / ".join(map(str, key)) or "all" for key in keys], dtype=object)


def spread_sizes(strata: pd.DataFrame, judged: np.ndarray) -> np.ndarray:
    """Return how many rows the verdicts of each stratum stand for.

    Parameters
    ----------
    strata : DataFrame of shape (n_strata, n_keys + 1)
        As of `stratify`.
    judged : ndarray of shape (n_strata,), bool
        Which have verdicts.

    Returns
    -------
    stands_for : ndarray of shape (n_strata,)
        Its rows, and a share of those of strata with the same first key that have no
        verdicts; 0 without verdicts.
    """
    sizes = strata["n_rows"].to_numpy()
    kin = strata.groupby(strata.columns[0], dropna=False, observed=True).ngroup()
    kin = kin.to_numpy(dtype=int)
    n_judged = np.bincount(kin, sizes * judged)[kin]
    n_all = np.bincount(kin, sizes)[kin]
    return sizes * judged * n_all / np.maximum(n_judged, 1)


def stratum_intervals(
    n_right: np.ndarray, n: np.ndarray, sizes: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's intervals of the precision of strata.

    Parameters
    ----------
    n_right, n, sizes : ndarray of shape (n_strata,), int
        How many rows are right, are judged, and are there.
    confidence : float
        Probability that an interval holds the precision.

    Returns
    -------
    low, high : ndarray of shape (n_strata,)
        Narrower where a good part is judged, and a point where all is.
    """
    unjudged = 1 - n / sizes
    known = unjudged == 0
    growth = 1 / np.where(known, 1, unjudged)
    low, high = wilson_interval(n_right * growth, n * growth, confidence)
    share = n_right / np.maximum(n, 1)
    return np.where(known, share, low), np.where(known, share, high)


def combine(
    n_right: np.ndarray, n: np.ndarray, stands_for: np.ndarray, confidence: float
) -> tuple[float, float, float, float]:
    """Return the precision of all strata, and its interval.

    Parameters
    ----------
    n_right, n : ndarray of shape (n_strata,), int
        How many rows are right, and are judged.
    stands_for : ndarray of shape (n_strata,)
        As of `spread_sizes`.
    confidence : float
        Probability that the interval holds the precision.

    Returns
    -------
    precision, low, high : float
        NaN, 0 and 1 without verdicts; all the same if all rows are judged.
    n_effective : float
        Number of rows of a simple random sample that would be as telling; infinite if
        all rows are judged.
    """
    if not n.any():
        return math.nan, 0.0, 1.0, 0.0
    n_right, n, stands_for = (a[n > 0] for a in (n_right, n, stands_for))
    total = stands_for.sum()
    precision = float(stands_for @ (n_right / n) / total)
    spread = (stands_for / total) ** 2 * (1 - n / stands_for) / n
    if not spread.any():
        return precision, precision, precision, math.inf
    n_effective = 1 / spread.sum()
    smooth = (n_right + _SMOOTHING * precision) / (n + _SMOOTHING)
    variance = spread @ (smooth * (1 - smooth))
    if variance > 0:
        n_effective = min(n_effective, precision * (1 - precision) / variance)
    low, high = wilson_interval(precision * n_effective, n_effective, confidence)
    return precision, float(low), float(high), float(n_effective)
