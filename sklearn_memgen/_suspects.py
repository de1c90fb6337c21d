"""Rows whose labels are suspect, from the nets of a probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._label_quality import (
    aum_count,
    known_noise_count,
    label_quality,
    rows_learned,
    settling_losses,
    suggested_codes,
    two_means_count,
)
from sklearn_memgen._labels import LabeledExamples
from sklearn_memgen._probe_nets import ProbeNet
from sklearn_memgen._sklearn import _safe_indexing
from sklearn_memgen._tokens import TokenExamples, split_values
from sklearn_memgen.base import NetClassifier

__all__ = ["SuspectsMixin"]


class SuspectsMixin:
    """The part of `NoisyFineTuneProbe` that judges the given labels, row by row."""

    classes_: np.ndarray
    examples_: pd.DataFrame
    n_label_issues_: int
    phases_: pd.DataFrame
    estimators_: list[NetClassifier]
    _make_estimator: Callable[[], NetClassifier]

    def _judge(
        self,
        nets: list[ProbeNet],
        reference_losses: np.ndarray | None,
        examples: LabeledExamples,
        settling_end: int,
        index: Any,
    ) -> None:
        """Set what is known of each row, and how many labels are issues."""
        end, n_rows = settling_end, len(examples.y)
        origin = examples.counted().origin
        counted = np.arange(n_rows) if origin is None else origin.rows

        def spread(values: np.ndarray) -> np.ndarray:
            """Give rows of weight zero a missing value."""
            return pd.Series(values, counted).reindex(range(n_rows)).to_numpy()

        quality = label_quality(nets, end, reference_losses)
        losses = settling_losses(nets, end)
        frame = rows_learned(nets)
        frame["loss_at_settling"] = spread(losses)
        frame["label_quality"] = spread(quality)
        frame["given_label"] = examples.y
        suggested = examples.y.copy()
        suggested[counted] = self.classes_[
            suggested_codes(nets, end, len(self.classes_))
        ]
        frame["suggested_label"] = suggested
        frame.index = pd.RangeIndex(n_rows) if index is None else index
        self.examples_ = frame
        self._n_issues = {
            "known_noise": self._count_by_known_noise(nets),
            "threshold": aum_count(nets, end),
            "two_means": two_means_count(losses),
        }
        self.n_label_issues_ = int(self.find_label_issues().sum())

    def _count_by_known_noise(self, nets: list[ProbeNet]) -> int | None:
        """Count the issues by the labels that were made wrong at the lowest level."""
        if len(self.phases_) < 2:
            return None
        level = self.phases_.index[1]
        end = int(self.phases_["settling_end"].iloc[1])
        return known_noise_count(nets, level, end, len(self.classes_))

    def find_label_issues(self, method: str = "auto") -> np.ndarray:
        """Find the rows whose given labels are most likely wrong.

        Parameters
        ----------
        method : {"auto", "known_noise", "threshold", "two_means"}, default="auto"
            How their number is estimated. "known_noise": by the largest share of the
            given labels that can be like those that were made wrong at the lowest level
            above 0. "threshold": by the labels whose area under the margin is below the
            99th percentile of that of threshold samples. "two_means": by the larger of
            two clusters of the losses at the end of settling, as Tanzer et al. do.
            "auto" takes known noise where there is some, else two means.

        Returns
        -------
        is_issue : ndarray of shape (n_rows,), bool
            So many rows of the lowest `label_quality`.

        Raises
        ------
        ValueError
            If `method` is unknown, or there is nothing to estimate their number by.
        """
        check_is_fitted(self)
        if method == "auto":
            found = self._n_issues["known_noise"] is not None
            method = "known_noise" if found else "two_means"
        if method not in self._n_issues:
            methods = ", ".join(map(repr, ["auto", *self._n_issues]))
            raise ValueError(f"method must be one of {methods}; got {method!r}")
        n_issues = self._n_issues[method]
        if n_issues is None:
            needs = {
                "known_noise": "enough labels made wrong, by a level above 0",
                "threshold": "threshold samples, which threshold_fraction=None leaves "
                "out",
            }
            raise ValueError(f"method={method!r} needs {needs[method]}")
        quality = self.examples_["label_quality"].to_numpy()
        lowest = np.argsort(quality, kind="stable")[:n_issues]  # missing ones are last
        is_issue = np.zeros(len(quality), dtype=bool)
        is_issue[lowest] = True
        return is_issue & ~np.isnan(quality)

    def _fit_clean(
        self, X: Any, y: Any, examples: LabeledExamples, random_state: Any
    ) -> NetClassifier:
        """Fit the estimator on the rows whose labels are no issues."""
        clean = ~self.find_label_issues()
        for label in self.classes_:  # none may be lost
            of_class = examples.y == label
            if not clean[of_class].any():
                clean |= of_class
        estimator = self._make_estimator().set_params(random_state=random_state)
        if isinstance(examples, TokenExamples):  # of sentences no token can be cut out
            weight = examples.sample_weight
            weight = clean.astype(float) if weight is None else weight * clean
            return estimator.fit(X, y, split_values(X, weight))
        rows = np.flatnonzero(clean)
        if isinstance(X, dict):
            data: Any = {name: np.asarray(array)[rows] for name, array in X.items()}
        else:
            data = _safe_indexing(X if hasattr(X, "shape") else np.asarray(X), rows)
        weight = examples.sample_weight
        return estimator.fit(
            data, examples.y[rows], None if weight is None else weight[rows]
        )

    def suspects(self, n: int = 20, X: Any = None) -> pd.DataFrame:
        """Return the rows of the lowest label quality.

        Parameters
        ----------
        n : int, default=20
            How many.
        X : DataFrame or array-like of shape (n_rows, n_columns), list of str, or \
                list of list of str, default=None
            What the probe was fitted on, to show it beside the labels.

        Returns
        -------
        suspects : DataFrame of shape (n, n_columns)
            `given_label`, `suggested_label`, `label_quality`, `loss_at_settling` and
            `n_forgotten`, then the columns of `X`; the most suspect first.

        Raises
        ------
        ValueError
            If `X` has another number of rows.
        """
        check_is_fitted(self)
        columns = ["given_label", "suggested_label", "label_quality"]
        columns += ["loss_at_settling", "n_forgotten"]
        quality = self.examples_["label_quality"].to_numpy()
        n = min(n, int((~np.isnan(quality)).sum()))
        rows = np.argsort(quality, kind="stable")[:n]
        table = self.examples_[columns].iloc[rows]
        if X is None:
            return table
        shown = self.estimators_[0]._as_frame(X)
        if len(shown) != len(quality):
            raise ValueError(
                f"X has {len(shown)} rows; the probe was fitted on {len(quality)}"
            )
        shown = shown.iloc[rows].set_axis(table.index)
        return pd.concat([table, shown], axis=1)
