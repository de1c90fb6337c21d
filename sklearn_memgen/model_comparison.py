"""What a new model changes, before it serves: a dry run beside the old one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_regressor
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._groups import DISCOUNT, find_groups

__all__ = ["PredictionComparison", "compare_predictions"]

#: A movement above this share of the scale (1 for probabilities, the standard deviation
#: of the old values for a regressor) counts as one.
_TOLERANCE = 0.01
_SUMMARY = {"mean": None, "median": 0.5, "90%": 0.9, "99%": 0.99, "max": 1.0}


@dataclass(frozen=True)
class PredictionComparison:
    """What changes between the predictions of two models; see `compare_predictions`.

    Print it to read it.

    Attributes
    ----------
    movement : ndarray of shape (n_rows,)
        How far the prediction of each row moves: the total-variation distance of the
        probabilities, from 0 to 1, or the absolute difference of a regressor's values.
    summary : Series
        `n_rows`, the share `moved` by more than `tolerance`, the share `flipped` of
        labels that change (NaN for regressors), and mean, median, 90 % and 99 %
        quantile and maximum of `movement`.
    flips : DataFrame
        How many rows go `from` which label `to` which other one, with their `n_rows`
        and `mean_movement`, the most frequent first.
    groups : DataFrame
        Where the predictions move. For each `column` and `value`: `n_rows`,
        `mean_movement`, its `excess` over the mean of all other rows, the
        `standard_error` of that, and the share `flipped` of labels. Sorted by
        ``excess - 2 * standard_error``.
    classes : Index of shape (n_classes,) or None
        The labels of both models; None for regressors.
    tolerance : float
        A movement of more than this counts as one.
    """

    movement: np.ndarray = field(repr=False)
    summary: pd.Series
    flips: pd.DataFrame
    groups: pd.DataFrame
    classes: pd.Index | None
    tolerance: float
    _rows: pd.DataFrame = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row of `X`, with its index if it has one.

        Returns
        -------
        frame : DataFrame of shape (n_rows, n_columns)
            Classifiers: `old_label`, `new_label`, whether it is `flipped`, and
            `old_probability` and `new_probability` of the second of two classes, or of
            each class with the suffix ``_<label>``. Regressors: `old_value`,
            `new_value` and the `change`. Both: `movement`.
        """
        return self._rows.assign(movement=self.movement)

    def __repr__(self) -> str:
        s = self.summary
        quantity = "value" if self.classes is None else "probability"
        lines = [
            f"{s['n_rows']:,.0f} rows; {s['moved']:.1%} move by more than "
            f"{self.tolerance:.3g} in {quantity}"
        ]
        lines.append(
            "movement: " + ", ".join(f"{name} {s[name]:.4g}" for name in _SUMMARY)
        )
        if self.classes is not None:
            lines.append(f"labels that flip: {s['flipped']:.1%}")
        standing_out = self.groups[self.groups["excess"] > self._noise()]
        for frame, title in (
            (self.flips, "labels, from and to"),
            (standing_out, "where it moves more than elsewhere"),
        ):
            if len(frame):
                table = frame.head(10).to_string(
                    index=False, float_format="{:.4f}".format
                )
                lines += ["", f"{title}:", table]
            if len(frame) > 10:
                lines.append(f"... and {len(frame) - 10:,} more")
        return "\n".join(lines)

    def _noise(self) -> pd.Series:
        return DISCOUNT * self.groups["standard_error"]


def compare_predictions(
    old: Any,
    new: Any,
    X: Any,
    *,
    n_bins: int = 10,
    min_rows: int = 10,
    tolerance: float | None = None,
) -> PredictionComparison:
    r"""Compare the predictions of a new model with those of the old one.

    A dry run before a new model serves: how many predictions move, by how much, which
    labels flip, and in which columns and values the changes are concentrated. No
    labels are needed, so `X` can be yesterday's requests.

    Parameters
    ----------
    old, new : fitted classifiers or regressors
        Two classifiers with `predict_proba` and classes in common, or two regressors,
        of this package or any other that keeps to scikit-learn's interface.
    X : DataFrame, array-like, sparse matrix or dict of arrays, of n_rows rows
        What both predict. Groups are looked for in the columns of a table only.
    n_bins : int, default=10
        Numbers and dates of more values than this are grouped by quantiles.
    min_rows : int, default=10
        Values of fewer rows are grouped together, column by column.
    tolerance : float, default=None
        A movement of more than this counts as one. By default 0.01, for regressors in
        units of the standard deviation of the old values.

    Returns
    -------
    comparison : PredictionComparison
        The result, which prints itself; `to_frame` has it row by row.

    Raises
    ------
    TypeError
        If the two are not both classifiers with `predict_proba` or both regressors.
    ValueError
        If they have no class in common, or a parameter is out of range.

    Notes
    -----
    The movement of a row is the total-variation distance
    :math:`\frac{1}{2} \sum_c |p_\text{new}(c) - p_\text{old}(c)|`, the largest
    change of the probability of any set of classes. A class that only one model knows
    has probability zero in the other.

    The standard error of a group's excess is
    :math:`s \sqrt{1 / n + 1 / (N - n)}` with the standard deviation :math:`s` over
    all :math:`N` rows, as if rows moved alike everywhere: a few rows that happen to
    have moved do not make a group of interest.

    If `old` has an encoder of this package, categories that it has no id for, since
    they were not there in training or too rare, are a group of their own.

    References
    ----------
    .. [1] Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016, section
       4.2: each model is compared with the previous one before it serves.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from sklearn_memgen import compare_predictions
    >>> X = pd.DataFrame({"size": [1, 2, 3, 4] * 10, "color": [0, 0, 1, 1] * 10})
    >>> old = DecisionTreeClassifier().fit(X, X["size"] > 2)
    >>> new = DecisionTreeClassifier().fit(X, X["size"] > 3)
    >>> comparison = compare_predictions(old, new, X)
    >>> comparison
    40 rows; 25.0% move by more than 0.01 in probability
    movement: mean 0.25, median 0, 90% 1, 99% 1, max 1
    labels that flip: 25.0%
    <BLANKLINE>
    labels, from and to:
     from    to  n_rows  mean_movement
     True False      10         1.0000
    <BLANKLINE>
    where it moves more than elsewhere:
    column value  n_rows  mean_movement  excess  standard_error  flipped
      size     3      10         1.0000  1.0000          0.1601   1.0000
     color     1      20         0.5000  0.5000          0.1387   0.5000
    """
    for name, value in {"n_bins": n_bins, "min_rows": min_rows}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value!r}")
    for model in (old, new):
        check_is_fitted(model)
    classes: pd.Index | None = None
    scale = 1.0
    if _are_classifiers(old, new):
        classes = _joint_classes(old, new)
        rows, movement = _class_changes(old, new, X, classes)
        flipped = rows["flipped"].to_numpy()
    else:
        rows, movement = _value_changes(old, new, X)
        scale = float(np.std(rows["old_value"]))
        flipped = np.full(len(rows), np.nan)
    if tolerance is None:
        tolerance = _TOLERANCE * scale
    figures = {
        name: movement.mean() if share is None else np.quantile(movement, share)
        for name, share in _SUMMARY.items()
    }
    summary = {
        "n_rows": len(rows),
        "moved": (movement > tolerance).mean(),
        "flipped": flipped.mean(),
    }
    return PredictionComparison(
        movement=movement,
        summary=pd.Series(summary | figures, dtype=float),
        flips=_count_flips(rows, movement),
        groups=find_groups(old, X, movement, flipped, n_bins, min_rows),
        classes=classes,
        tolerance=float(tolerance),
        _rows=rows,
    )


def _are_classifiers(old: Any, new: Any) -> bool:
    models = {"old": old, "new": new}
    if all(hasattr(model, "predict_proba") for model in models.values()):
        return True
    if all(is_regressor(model) for model in models.values()):
        return False
    found = ", ".join(
        f"{name}={type(model).__name__} ({_interface(model)})"
        for name, model in models.items()
    )
    raise TypeError(
        "two classifiers with predict_proba or two regressors can be compared; "
        f"got {found}"
    )


def _interface(model: Any) -> str:
    if hasattr(model, "predict_proba"):
        return "a classifier with predict_proba"
    return "a regressor" if is_regressor(model) else "without predict_proba"


def _joint_classes(old: Any, new: Any) -> pd.Index:
    """Return all labels, those of the old model first."""
    before, after = pd.Index(old.classes_), pd.Index(new.classes_)
    if not before.isin(after).any():
        raise ValueError(
            f"the models have no class in common: those of old are "
            f"{before.tolist()!r}, those of new {after.tolist()!r}"
        )
    return before.append(after[~after.isin(before)])


def _class_changes(
    old: Any, new: Any, X: Any, classes: pd.Index
) -> tuple[pd.DataFrame, np.ndarray]:
    labels, probabilities = {}, {}
    for name, model in {"old": old, "new": new}.items():
        given = np.asarray(model.predict_proba(X), dtype=np.float64)
        aligned = np.zeros((len(given), len(classes)))
        aligned[:, classes.get_indexer(pd.Index(model.classes_))] = given
        probabilities[name] = aligned
        labels[name] = np.asarray(model.classes_)[given.argmax(axis=1)]
    frame = pd.DataFrame(
        {f"{name}_label": value for name, value in labels.items()}, index=_index(X)
    )
    frame["flipped"] = labels["old"] != labels["new"]
    for name, table in probabilities.items():
        names = [f"{name}_probability_{label}" for label in classes]
        if len(classes) == 2:
            names, table = [f"{name}_probability"], table[:, 1:]
        frame[names] = table
    change = np.abs(probabilities["new"] - probabilities["old"])
    return frame, change.sum(axis=1) / 2


def _value_changes(old: Any, new: Any, X: Any) -> tuple[pd.DataFrame, np.ndarray]:
    before, after = (np.asarray(model.predict(X), dtype=float) for model in (old, new))
    for name, values in {"old": before, "new": after}.items():
        if values.ndim > 1:
            raise ValueError(
                f"{name} predicts values of shape {values.shape}; regressors of one "
                "output can be compared"
            )
    columns = {"old_value": before, "new_value": after, "change": after - before}
    return pd.DataFrame(columns, index=_index(X)), np.abs(after - before)


def _index(X: Any) -> pd.Index | None:
    return X.index if isinstance(X, pd.DataFrame) else None


def _count_flips(rows: pd.DataFrame, movement: np.ndarray) -> pd.DataFrame:
    columns = ["from", "to", "n_rows", "mean_movement"]
    if "flipped" not in rows or not rows["flipped"].any():
        return pd.DataFrame(columns=columns)
    frame = pd.DataFrame(
        {"from": rows["old_label"], "to": rows["new_label"], "movement": movement}
    )
    flips = frame[rows["flipped"]].groupby(["from", "to"], as_index=False)
    flips = flips.agg(n_rows=("movement", "size"), mean_movement=("movement", "mean"))
    return flips.sort_values("n_rows", ascending=False, ignore_index=True)
