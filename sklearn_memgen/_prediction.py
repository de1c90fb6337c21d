"""Labels and probabilities from logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

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
        return self._probabilities(X)

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

    # What classifiers of other inputs replace

    @staticmethod
    def _arrange(X: Any, values: np.ndarray) -> Any:
        """Return values, one a label to predict, in the form that predictions have."""
        return values

    @staticmethod
    def _index_of(X: Any) -> pd.Index | None:
        """Return the index of the labels of `X`, if it has one."""
        return X.index if isinstance(X, pd.DataFrame | pd.Series) else None

    @staticmethod
    def _as_frame(X: Any) -> pd.DataFrame:
        """Return inputs as a table to look at, with a row for each label."""
        if isinstance(X, pd.DataFrame | pd.Series):
            return X if isinstance(X, pd.DataFrame) else X.to_frame(X.name or "text")
        frame = pd.DataFrame(X if hasattr(X, "shape") else list(X))
        is_text = frame.shape[1] == 1 and not pd.api.types.is_numeric_dtype(frame[0])
        return frame.set_axis(["text"], axis=1) if is_text else frame

    @staticmethod
    def _score_predictions(y: Any, predicted: Any, sample_weight: Any = None) -> float:
        """Return how good predictions are, as `score` does."""
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def _probabilities(self, X: Any) -> np.ndarray:
        """Compute the probabilities of all labels, shape (n_labels, n_classes)."""
        return probabilities(self._logits(X)).numpy()
