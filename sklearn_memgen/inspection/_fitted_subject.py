"""A fitted classifier, and rows with labels as its net sees them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen.base import NetClassifier
from sklearn_memgen.inspection._subject import net_classifier
from sklearn_memgen.training import ResidentDataset, ResidentNet

__all__ = ["FittedSubject", "read_fitted"]


@dataclass(frozen=True)
class FittedSubject:
    """A fitted classifier, and rows with labels as its net sees them.

    Parameters
    ----------
    estimator : NetClassifier
        The classifier itself.
    data : ResidentDataset
        The rows, on the host.
    """

    estimator: NetClassifier
    data: ResidentDataset

    @property
    def net(self) -> ResidentNet:
        """The trained net."""
        return self.estimator.net_


def read_fitted(estimator: Any, X: Any, y: Any) -> FittedSubject:
    """Check a fitted classifier and rows with labels, and encode them.

    Parameters
    ----------
    estimator : fitted classifier
        As in `read_subject`; of one that has several nets the first is taken.
    X, y : inputs and labels, of n_rows rows
        The rows.

    Raises
    ------
    TypeError
        If `estimator` has no net.
    NotFittedError
        If it is not fitted.
    ValueError
        If the rows do not go with it.
    """
    if isinstance(estimator, Pipeline):
        check_is_fitted(estimator)
        if len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator.steps[-1][1]
    if not isinstance(estimator, NetClassifier):
        net_classifier(estimator)  # raises where there is no net
        check_is_fitted(estimator)
        fitted = getattr(estimator, "estimators_", None) or [estimator.estimator_]
        estimator = fitted[0]
    check_is_fitted(estimator)
    # Features were checked when it was fitted; the classifier stays as it is.
    reader = copy(estimator)
    examples = reader._read(
        X,
        y,
        None,
        encoder=estimator.encoder_,
        classes=estimator.classes_,
        reset=False,
    )
    estimator._follow_device()
    data = replace(examples.encode(estimator.encoder_), weight=None)
    return FittedSubject(estimator, data)
