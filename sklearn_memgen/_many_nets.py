"""What classifiers that train many nets of one table have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import get_tags

from sklearn_memgen.base import NetClassifier

__all__ = ["ManyNetsMixin"]


class ManyNetsMixin(ClassifierMixin):
    """A classifier that takes an estimator to say what its nets are.

    It keeps the encoded table, as `_table`, for what may be asked after `fit`.
    """

    classes_: np.ndarray
    predict_proba: Callable[[Any], np.ndarray]

    _make_estimator: Callable[[], NetClassifier]

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
        labels : ndarray of shape (n_rows,)
            Labels from `classes_`.
        """
        # First, for it raises where there are no classes yet.
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

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
        tags.input_tags = get_tags(self._make_estimator()).input_tags
        return tags
