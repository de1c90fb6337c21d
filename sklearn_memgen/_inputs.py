"""Checks and splits that come before a net sees data."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_memgen._sklearn import (
    _check_sample_weight,
    _safe_indexing,
    validate_data,
)
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.tables.columns import as_table
from sklearn_memgen.training import ArrayTensors, Rows

__all__ = [
    "as_rows",
    "check_weights",
    "encode_labels",
    "hold_out",
    "read_inputs",
    "take_rows",
]


def read_inputs(estimator: BaseEstimator, X: Any, encoder: Any, *, reset: bool) -> Any:
    """Check the inputs of an estimator as far as can be done before they are encoded.

    Parameters
    ----------
    estimator : estimator
        Its number and names of features are set, or compared.
    X : DataFrame, array-like, sparse matrix or dict of arrays, of n_rows rows
        The inputs.
    encoder : estimator or None
        What will encode them.
    reset : bool
        Whether to set number and names of features.

    Returns
    -------
    data : DataFrame, sparse matrix, array, or dict of arrays
        A DataFrame or sparse matrix for a `TableEncoder`, `X` itself for any other
        encoder, else numbers.
    """
    if encoder is not None:
        data = as_table(X) if isinstance(encoder, TableEncoder) else X
        validate_data(estimator, X, skip_check_array=True, reset=reset)
        return data
    if isinstance(X, Mapping) and not issparse(X):  # SciPy's DOK matrix is both
        return _check_arrays(X)
    return validate_data(estimator, X, dtype=np.float32, allow_nd=True, reset=reset)


def take_rows(data: Any, rows: np.ndarray) -> Any:
    """Take some rows of what `read_inputs` returned."""
    if isinstance(data, dict):
        return {name: array[rows] for name, array in data.items()}
    return _safe_indexing(data, rows)


def encode_labels(
    estimator: BaseEstimator, y: Any, data: Any, classes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check class labels and number them.

    Parameters
    ----------
    estimator : estimator
        For messages.
    y : array-like of shape (n_rows,)
        The labels.
    data : DataFrame, array, sparse matrix, or dict of arrays, of n_rows rows
        The inputs.
    classes : ndarray of shape (n_classes,) or None
        All labels, sorted; by default those in `y`.

    Returns
    -------
    labels : ndarray of shape (n_rows,)
        The labels.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    codes : ndarray of shape (n_rows,), int64
        The position of each label in `classes`.

    Raises
    ------
    ValueError
        If there are no labels, too few, missing or continuous ones, fewer than two
        classes, or labels that are not in `classes`.
    """
    labels = _check_labels(y)
    check_consistent_length(
        labels, next(iter(data.values())) if isinstance(data, dict) else data
    )
    if classes is None:
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"{type(estimator).__name__} needs samples of at least 2 classes in y; "
                f"got 1 class: {classes.tolist()!r}"
            )
        return labels, classes, codes
    strange = np.setdiff1d(labels, classes)
    if len(strange):
        raise ValueError(
            f"y has classes {strange.tolist()!r} that were not there before; the "
            f"classes are {classes.tolist()!r}"
        )
    return labels, classes, np.searchsorted(classes, labels)


def _check_labels(y: Any) -> np.ndarray:
    """Return the labels as an array of strings, integers or booleans."""
    if y is None:
        raise ValueError(
            "This classifier requires y to be passed, but the target y is None"
        )
    if isinstance(y, pd.Series) and pd.api.types.is_extension_array_dtype(y.dtype):
        if y.isna().any():
            raise ValueError("Input y contains NaN.")
        y = np.array(y.tolist())
    labels = column_or_1d(y, warn=True)
    if pd.isna(labels).any():
        raise ValueError("Input y contains NaN.")
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return labels


def check_weights(
    sample_weight: Any,
    class_weight: dict[Hashable, float] | str | None,
    labels: np.ndarray,
    classes: np.ndarray,
) -> np.ndarray | None:
    """Join the weights of rows and of classes.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), float or None
        Weights of the rows.
    class_weight : dict, "balanced" or None
        Weights of the classes.
    labels : ndarray of shape (n_rows,)
        The label of each row.
    classes : ndarray of shape (n_classes,)
        All labels.

    Returns
    -------
    weights : ndarray of shape (n_rows,), or None
        Not negative and not all zero; None if neither kind of weight was given.

    Raises
    ------
    ValueError
        If the weights of rows have a wrong length, are negative or not finite, or
        leave fewer than two classes.
    """
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(
            sample_weight, labels, dtype=np.float64, ensure_non_negative=True
        )
        n_left = len(np.unique(labels[weights > 0]))
        if n_left < min(2, len(classes)):
            raise ValueError(
                f"sample_weight leaves rows of {n_left} class(es) with a weight above "
                "zero; at least 2 are needed"
            )
    if class_weight is not None:
        by_class = compute_class_weight(
            class_weight, classes=classes, y=labels, sample_weight=weights
        )
        of_rows = by_class[np.searchsorted(classes, labels)]
        weights = of_rows if weights is None else weights * of_rows
    return weights


def hold_out(
    y: np.ndarray, fraction: float, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of the rows of every class.

    Unlike scikit-learn's stratified splits it takes classes of any size: each keeps at
    least one row for training.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Class indices.
    fraction : float
        Share of the rows to hold out.
    rng : RandomState
        Draws them.

    Returns
    -------
    kept, held_out : ndarray of int
        Row numbers, ascending.
    """
    shuffled = rng.permutation(len(y))
    grouped = shuffled[np.argsort(y[shuffled], kind="stable")]
    sizes = np.bincount(y)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(y)) - np.repeat(starts, sizes)
    n_held_out = np.minimum(np.rint(fraction * sizes), np.maximum(sizes - 1, 0))
    is_held_out = rank < np.repeat(n_held_out, sizes)
    return np.sort(grouped[~is_held_out]), np.sort(grouped[is_held_out])


def _check_arrays(X: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Check a dict of arrays, the inputs of a user's own module by name.

    Floats become float32 and integers int64, the types of embeddings' indices.
    """
    if not X:
        raise ValueError("X is an empty dict; at least one array is needed")
    arrays = {}
    for name, array in X.items():
        array = np.asarray(array)
        if array.dtype.kind not in "fiub" or array.ndim == 0:
            raise ValueError(
                f"X[{name!r}] must be an array of numbers; got {array.ndim} dimensions "
                f"of dtype {array.dtype}"
            )
        arrays[name] = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        assert_all_finite(arrays[name], input_name=f"X[{name!r}]")
    check_consistent_length(*arrays.values())
    return arrays


def as_rows(X: Any) -> Rows:
    """Make encoded data, an array or a dict of arrays into rows of tensors."""
    if hasattr(X, "inputs"):
        return X
    arrays = X if isinstance(X, Mapping) else {"": X}
    return ArrayTensors({name: torch.as_tensor(a) for name, a in arrays.items()})
