"""Labels, classes and their weights, checked before a classifier learns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_memgen._inputs import (
    Examples,
    check_same_length,
    check_weights,
    read_inputs,
)

__all__ = [
    "LabeledExamples",
    "check_labels",
    "rarest_classes",
    "read_labeled",
    "weigh_classes",
]


@dataclass(frozen=True, kw_only=True)
class LabeledExamples(Examples):
    """Rows with class labels.

    Parameters
    ----------
    data, y, sample_weight
        See `Examples`; `y` holds the labels.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    class_weight : ndarray of shape (n_classes,) or None
        Weights of the classes, which count in the loss only.
    """

    classes: np.ndarray
    class_weight: np.ndarray | None = None

    @property
    def n_outputs(self) -> int:
        return len(self.classes)

    @property
    def weight(self) -> np.ndarray | None:
        if self.class_weight is None:
            return self.sample_weight
        weight = self.class_weight[self.learned()]
        return weight if self.sample_weight is None else weight * self.sample_weight

    @property
    def strata(self) -> np.ndarray:
        return self.learned()

    def learned(self) -> np.ndarray:
        return np.searchsorted(self.classes, self.y)

    def check_weighted(self) -> None:
        if (n_classes := len(np.unique(self.y))) < 2:
            raise ValueError(
                f"the weights leave rows of {n_classes} class, but at least 2 classes "
                "need rows of a weight above zero"
            )


def read_labeled(
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    encoder: Any,
    classes: np.ndarray | None,
    reset: bool,
) -> LabeledExamples:
    """Check what a classifier is to be fitted on.

    Parameters
    ----------
    estimator : classifier
        Its number and names of features are set, or compared; its `class_weight`
        is read, if it has one.
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
    examples : LabeledExamples
        All rows, those of weight zero among them.

    Raises
    ------
    ValueError
        If there are no labels, too few, missing or continuous ones, fewer than two
        classes, labels that are not in `classes`, or weights of a wrong length,
        negative, not finite, or all zero.
    """
    data = read_inputs(estimator, X, encoder, reset=reset)
    labels = check_labels(y, few_rows=getattr(estimator, "_learns_few_rows", False))
    check_same_length(data, labels)
    weights = check_weights(sample_weight, labels)
    classes, by_class = weigh_classes(estimator, labels, weights, classes)
    return LabeledExamples(
        data, labels, weights, classes=classes, class_weight=by_class
    )


def weigh_classes(
    estimator: BaseEstimator,
    labels: np.ndarray,
    sample_weight: np.ndarray | None,
    classes: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the classes that labels are of, and the weights that an estimator says.

    Parameters and errors are those of `read_labeled`.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    class_weight : ndarray of shape (n_classes,) or None
        Their weights.
    """
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
    class_weight = getattr(estimator, "class_weight", None)
    if class_weight is None:
        return classes, None
    return classes, compute_class_weight(
        class_weight, classes=classes, y=labels, sample_weight=sample_weight
    )


def check_labels(y: Any, *, few_rows: bool = False) -> np.ndarray:
    """Return the labels as an array of strings, integers or booleans.

    With `few_rows` there is no warning that most labels are another class, as they are
    where one row of each is learned.
    """
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
    kinds = np.repeat(np.unique(labels), 2) if few_rows else labels
    check_classification_targets(kinds)
    return labels


def rarest_classes(codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return of rows with several labels the class that is rarest over all.

    Parameters
    ----------
    codes : ndarray of shape (n_labels,)
        Class indices, row by row.
    sizes : ndarray of shape (n_rows,)
        Labels of each row, one at least.

    Returns
    -------
    classes : ndarray of shape (n_rows,)
        Class indices.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._labels import rarest_classes
    >>> rarest_classes(np.array([0, 0, 1, 0, 0]), np.array([2, 2, 1]))
    array([0, 1, 0])
    """
    order = np.bincount(codes).argsort(kind="stable")
    rank = order.argsort()
    return order[np.minimum.reduceat(rank[codes], sizes.cumsum() - sizes)]
