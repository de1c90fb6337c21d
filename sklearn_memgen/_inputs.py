"""Checks and splits that come before a net sees data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from sklearn_memgen.training import ArrayTensors, ResidentDataset, Rows

__all__ = ["Examples", "as_rows", "hold_out", "read_examples", "read_inputs"]

#: Tables of at least so many rows hold some out for early stopping by default.
_EARLY_STOPPING_FROM = 1000


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


@dataclass(frozen=True)
class Examples:
    """Inputs, labels and weights of some rows, checked.

    Parameters
    ----------
    data : DataFrame, array, sparse matrix, or dict of arrays, of n_rows rows
        The inputs, as `read_inputs` returns them.
    labels : ndarray of shape (n_rows,)
        Class labels.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights of the rows: how often each counts.
    class_weight : ndarray of shape (n_classes,) or None
        Weights of the classes, which count in the loss only.
    """

    data: Any
    labels: np.ndarray
    classes: np.ndarray
    sample_weight: np.ndarray | None = None
    class_weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def codes(self) -> np.ndarray:
        """The position of each label in `classes`, shape (n_rows,)."""
        return np.searchsorted(self.classes, self.labels)

    @property
    def weight(self) -> np.ndarray | None:
        """The weight of each row in the loss, shape (n_rows,), if there are any."""
        if self.class_weight is None:
            return self.sample_weight
        weight = self.class_weight[self.codes]
        return weight if self.sample_weight is None else weight * self.sample_weight

    def take(self, rows: np.ndarray) -> Examples:
        """Take some rows."""
        if len(rows) == len(self):
            return self
        if isinstance(self.data, dict):
            data = {name: array[rows] for name, array in self.data.items()}
        else:
            data = _safe_indexing(self.data, rows)
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return replace(self, data=data, labels=self.labels[rows], sample_weight=weight)

    def split(
        self, early_stopping: bool | str, fraction: float, rng: np.random.RandomState
    ) -> tuple[Examples, Examples | None]:
        """Drop the rows of weight zero, and hold out those for early stopping, if any.

        Parameters
        ----------
        early_stopping : bool or "auto"
            Whether to hold rows out; "auto" does so from 1,000 rows on.
        fraction : float
            Share of the rows to hold out, in every class.
        rng : RandomState
            Draws them.

        Raises
        ------
        ValueError
            If the weights leave fewer than two classes, or no row can be held out.
        """
        examples = self
        if self.weight is not None:
            examples = self.take(np.flatnonzero(self.weight))
            if (n_classes := len(np.unique(examples.labels))) < 2:
                raise ValueError(
                    f"the weights leave rows of {n_classes} class, but at least 2 "
                    "classes need rows of a weight above zero"
                )
        if early_stopping == "auto":
            early_stopping = len(examples) >= _EARLY_STOPPING_FROM
        if not early_stopping:
            return examples, None
        kept, held_out = hold_out(examples.codes, fraction, rng)
        if len(held_out) == 0:
            raise ValueError(
                f"early stopping finds no row to hold out: validation_fraction="
                f"{fraction} of {len(examples)} rows is less than one row of any class"
            )
        return examples.take(kept), examples.take(held_out)

    def extended(self, encoder: Any) -> Any:
        """Return a copy of an encoder that knows the values of these rows as well."""
        return copy.copy(encoder).extend(self.data, **self._frequencies())

    def encode(self, encoder: Any, *, fit: bool) -> ResidentDataset:
        """Make tensors of them, fitting the encoder on them if asked to."""
        data = self.data
        if encoder is not None:
            if fit:
                encoder.fit(data, self.labels, **self._frequencies())
            data = encoder.transform(data)
        weight = self.weight
        return ResidentDataset(
            as_rows(data),
            torch.from_numpy(self.codes),
            None if weight is None else torch.from_numpy(weight).float(),
        )

    def _frequencies(self) -> dict[str, np.ndarray]:
        """Return the weights by which an encoder counts values.

        Weights below 1 on average, such as those that sum to 1, are no numbers of
        rows; they are scaled up, or every value would look too rare to remember.
        """
        if self.sample_weight is None:
            return {}
        return {"sample_weight": self.sample_weight / min(self.sample_weight.mean(), 1)}


def read_examples(
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    encoder: Any,
    classes: np.ndarray | None,
    reset: bool,
) -> Examples:
    """Check what an estimator is to be fitted on.

    Parameters
    ----------
    estimator : estimator
        Its number and names of features are set, or compared; its `class_weight` is
        read.
    X, encoder, reset
        See `read_inputs`.
    y : array-like of shape (n_rows,)
        Class labels.
    sample_weight : array-like of shape (n_rows,), float or None
        Weights of the rows.
    classes : ndarray of shape (n_classes,) or None
        All labels, sorted; by default those in `y`.

    Returns
    -------
    examples : Examples
        All rows, those of weight zero among them.

    Raises
    ------
    ValueError
        If there are no labels, too few, missing or continuous ones, fewer than two
        classes, labels that are not in `classes`, or weights of a wrong length,
        negative, not finite, or all zero.
    """
    data = read_inputs(estimator, X, encoder, reset=reset)
    labels = _check_labels(y)
    first = next(iter(data.values())) if isinstance(data, dict) else data
    check_consistent_length(first, labels)
    if classes is None:
        classes = np.unique(labels)
        if len(classes) < 2:
            raise ValueError(
                f"{type(estimator).__name__} needs samples of at least 2 classes in y; "
                f"got 1 class: {classes.tolist()!r}"
            )
    elif len(strange := np.setdiff1d(labels, classes)):
        raise ValueError(
            f"y has classes {strange.tolist()!r} that were not there before; the "
            f"classes are {classes.tolist()!r}"
        )
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(
            sample_weight, labels, dtype=np.float64, ensure_non_negative=True
        )
    by_class = None
    if estimator.class_weight is not None:
        by_class = compute_class_weight(
            estimator.class_weight, classes=classes, y=labels, sample_weight=weights
        )
    return Examples(data, labels, classes, weights, by_class)


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
