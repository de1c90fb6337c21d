"""Where in a table something is concentrated: the groups of its values."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen.tables.columns import (
    KIND_PARAMETERS,
    as_table,
    find_kinds,
)
from sklearn_memgen.tables.values import read_columns
from sklearn_memgen.tables.vocabulary import UNKNOWN

__all__ = ["DISCOUNT", "find_groups"]

#: How many standard errors a group's excess is discounted by when groups are ranked.
DISCOUNT = 2.0
_MISSING, _RARE, _UNSEEN = "<missing>", "<rare values>", "<unknown to the old model>"
_GROUPS = [
    "column",
    "value",
    "n_rows",
    "mean_movement",
    "excess",
    "standard_error",
    "flipped",
]


def find_groups(
    old: Any,
    X: Any,
    movement: np.ndarray,
    flipped: np.ndarray,
    n_bins: int,
    min_rows: int,
) -> pd.DataFrame:
    """Compare the movement of each value's rows with that of all other rows.

    Parameters
    ----------
    old : estimator
        If it has a fitted encoder of this package, that says what kind a column is and
        which categories have no id.
    X : DataFrame, array-like, sparse matrix or dict of arrays, of n_rows rows
        Only a table has groups.
    movement, flipped : ndarray of shape (n_rows,)
        How far each prediction moves, and whether the label changes.
    n_bins, min_rows : int
        See `compare_predictions`.

    Returns
    -------
    groups : DataFrame
        See `PredictionComparison`.
    """
    n_all, total = len(movement), movement.sum()
    spread = movement.std(ddof=1) if n_all > 1 else 0.0
    found = []
    for label, values in _grouped_columns(old, X, n_bins, min_rows):
        frame = pd.DataFrame({"movement": movement, "flipped": flipped})
        group = frame.groupby(values, sort=False)
        sums = group.agg(
            n_rows=("movement", "size"),
            sum=("movement", "sum"),
            flipped=("flipped", "mean"),
        )
        n_rest = n_all - sums["n_rows"]
        sums = sums[n_rest > 0]  # a value that all rows have sets nothing apart
        n_rest = n_rest[n_rest > 0]
        sums["column"], sums["value"] = label, sums.index
        sums["mean_movement"] = sums["sum"] / sums["n_rows"]
        sums["excess"] = sums["mean_movement"] - (total - sums["sum"]) / n_rest
        sums["standard_error"] = spread * np.sqrt(1 / sums["n_rows"] + 1 / n_rest)
        found.append(sums[_GROUPS])
    if not found:
        return pd.DataFrame(columns=_GROUPS)
    groups = pd.concat(found, ignore_index=True)
    rank = groups["excess"] - DISCOUNT * groups["standard_error"]
    order = rank.sort_values(ascending=False, kind="stable").index
    return groups.loc[order].reset_index(drop=True)


def _grouped_columns(
    old: Any, X: Any, n_bins: int, min_rows: int
) -> Iterator[tuple[Hashable, np.ndarray]]:
    """Yield the name of each column and a word for the group of each of its rows."""
    if sparse.issparse(X) or isinstance(X, Mapping) or np.ndim(X) > 2:
        return
    table = as_table(X)
    encoder = getattr(old, "encoder_", None)
    kinds = getattr(encoder, "column_kinds_", None)
    if kinds is None or kinds.index.tolist() != table.columns.tolist():
        kinds, encoder = find_kinds(table, dict.fromkeys(KIND_PARAMETERS)), None
    vocabularies = {} if encoder is None else encoder.id_columns_
    for label, values in read_columns(table, kinds).items():
        if kinds[label] == "text":
            continue
        if kinds[label] == "category":
            words = _words(values)
            if str(label) in vocabularies:
                unseen = vocabularies[str(label)].encode(values) == UNKNOWN
                words[unseen & values.notna().to_numpy()] = _UNSEEN
        else:
            words = _bins(values, n_bins)
        counts = pd.Series(words).map(pd.Series(words).value_counts())
        rare = (counts.to_numpy() < min_rows) & ~np.isin(words, [_MISSING, _UNSEEN])
        words[rare] = _RARE
        yield label, words


def _words(values: pd.Series) -> np.ndarray:
    words = values.astype(object).map(str).to_numpy(dtype=object, copy=True)
    words[values.isna().to_numpy()] = _MISSING
    return words


def _bins(values: pd.Series, n_bins: int) -> np.ndarray:
    """Name the quantile bin of each number or date, or the value if there are few."""
    known = values.dropna()
    distinct = known.unique()
    if len(distinct) <= n_bins:
        words = {value: _spelled(value) for value in distinct}
        named = values.map(words).to_numpy(dtype=object, copy=True)
    else:
        edges = known.quantile(np.linspace(0, 1, n_bins + 1), interpolation="lower")
        edges = edges.unique()
        spelled = [_spelled(edge) for edge in edges]
        spans = [f"[{a}, {b})" for a, b in itertools.pairwise(spelled[:-1])]
        spans.append(f"[{spelled[-2]}, {spelled[-1]}]")
        codes = np.searchsorted(edges[1:-1], values.to_numpy(), side="right")
        named = np.array(spans, dtype=object)[codes]
    named[values.isna().to_numpy()] = _MISSING
    return named


def _spelled(value: Any) -> str:
    if isinstance(value, (pd.Timestamp, np.datetime64)):
        return str(pd.Timestamp(value))
    return f"{value:.6g}"
