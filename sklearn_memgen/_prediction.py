"""Labels and probabilities from logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin

from sklearn_memgen.training import probabilities

__all__ = ["LogitClassifierMixin"]


class LogitClassifierMixin(ClassifierMixin):
    """The prediction methods of a classifier that computes logits.

    A subclass has `classes_` and a method `_logits`, which returns a tensor of shape
    (n_rows, n_outputs) on the host, of one output or two for two classes, else of one
    a class.
    """

    classes_: np.ndarray
    _logits: Callable[[Any], torch.Tensor]

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the logits.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs.

        Returns
        -------
        logits : ndarray of shape (n_rows,) or (n_rows, n_classes)
            Log-odds of the second of two classes, or one unnormalized log-probability
            a class.
        """
        return self._decisions(self._logits(X))

    def _decisions(self, logits: torch.Tensor) -> np.ndarray:
        if len(self.classes_) > 2:
            return logits.numpy()
        logits = logits.view(len(logits), -1)
        if logits.shape[1] == 2:
            logits = logits[:, 1] - logits[:, 0]
        return logits.flatten().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Compute the probability of each class.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs.

        Returns
        -------
        probabilities : ndarray of shape (n_rows, n_classes)
            In the order of `classes_`.
        """
        return probabilities(self._logits(X)).numpy()

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
        return self._labels(self._logits(X))

    def _labels(self, logits: torch.Tensor) -> np.ndarray:
        scores = self._decisions(logits)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]
