"""What classifiers that train many nets of one table have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils import get_tags

from sklearn_memgen.base import NetClassifier

__all__ = ["ManyNetsMixin"]


class ManyNetsMixin(ClassifierMixin):
    """A classifier that takes an estimator to say what its nets are.

    It keeps the encoded table, as `_table`, for what may be asked after `fit`.
    """

    classes_: np.ndarray
    _make_estimator: Callable[[], NetClassifier]
    #: Computes the probabilities, shape (n_labels, n_classes).
    _probabilities: Callable[[Any], np.ndarray]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the training data out."""
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_table"}

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs.

        Returns
        -------
        labels : ndarray of shape (n_rows,), or list of list of str
            Labels from `classes_`; those of each sentence if the estimator is a
            `TokenClassifier`.
        """
        # First, for it raises where there are no classes yet.
        probabilities = self._probabilities(X)
        labels = self.classes_[probabilities.argmax(axis=1)]
        return self._make_estimator()._arrange(X, labels)

    def predict_proba(self, X: Any) -> Any:
        """Compute the probability of each class.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs.

        Returns
        -------
        probabilities : ndarray of shape (n_rows, n_classes), or list of such
            In the order of `classes_`; of each sentence if the estimator is a
            `TokenClassifier`.
        """
        return self._make_estimator()._arrange(X, self._probabilities(X))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the score that the estimator has.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs.
        y : array-like of shape (n_rows,)
            Their labels.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Accuracy; the F1 score of entities if the estimator is a `TokenClassifier`.
        """
        predicted = self.predict(X)
        return self._make_estimator()._score_predictions(y, predicted, sample_weight)

    def _make_checked_estimator(self, rng: np.random.RandomState) -> NetClassifier:
        """Return the estimator, checked as its own `fit` would, with a seed."""
        base = self._make_estimator()
        base._validate_params()
        base._check_source()
        if base.random_state is None:
            base.set_params(random_state=rng.randint(2**31))
        return base

    def _take_features(self, base: NetClassifier) -> None:
        """Take number and names of features from the estimator that read `X`."""
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        of_estimator = get_tags(self._make_estimator())
        tags.input_tags = of_estimator.input_tags
        tags.estimator_type = of_estimator.estimator_type
        tags.classifier_tags = of_estimator.classifier_tags
        return tags
