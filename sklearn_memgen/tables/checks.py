"""Checks of the target and the weights that an encoder is fitted with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d

from sklearn_memgen._sklearn import _check_sample_weight, _safe_indexing

__all__ = ["find_classes", "read_target", "refuse_columns", "weighted_rows"]


def find_classes(y: Any, target_type: str) -> pd.Index:
    """Return the distinct labels, sorted if they can be; none of a continuous target.

    Sorted, so that statistics are those of the class that comes last, as logits are.
    """
    if target_type != "classes":
        return pd.Index([])
    classes = pd.Index(pd.unique(column_or_1d(y)))
    try:
        return classes.sort_values()
    except TypeError:  # labels of several types
        return classes


def read_target(y: Any, table: Any, classes: pd.Index) -> np.ndarray:
    """Return indices of classes, or float64 if there are none, shape (n_rows,).

    Numbers are in units of the largest. A label that is none of the classes has the
    index -1.
    """
    check_consistent_length(table, y)
    y = column_or_1d(y)
    if len(classes):
        return classes.get_indexer(y)
    y = y.astype(np.float64)
    assert_all_finite(y, input_name="y")
    # The unit does not matter, and so squares neither overflow nor vanish.
    return y / (np.abs(y).max(initial=0) or 1.0)


def weighted_rows(
    table: Any, y: np.ndarray | None, sample_weight: Any
) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
    """Return the table, target and weights of the rows that count.

    A row of weight zero is a row not seen. Without weights, all rows count.
    """
    if sample_weight is None:
        return table, y, None
    weights = _check_sample_weight(
        sample_weight, table, dtype=np.float64, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError("sample_weight must have a value above zero")
    if weights.all():
        return table, y, weights
    rows = np.flatnonzero(weights)
    y = None if y is None else y[rows]
    return _safe_indexing(table, rows), y, weights[rows]


def refuse_columns(params: Mapping[str, Any]) -> None:
    """Raise a ValueError if a parameter names columns, which a sparse matrix lacks."""
    for name, value in params.items():
        if value is not None and not isinstance(value, str) and len(value):
            raise ValueError(
                f"{name}={value!r} needs a table of columns, but X is a sparse matrix"
            )
