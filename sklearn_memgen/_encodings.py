"""Encoders and tables that fits on the same rows share."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import joblib
import numpy as np
import torch

from sklearn_memgen.training import Origin, Rows, SelectedRows

__all__ = ["SharedEncodings", "content_key"]


class SharedEncodings:
    """What encoders of equal parameters make of the same rows, kept once.

    Fits that get the same instance have the same examples with the same weights, but
    may differ in every parameter. What they share they must not change.

    Parameters
    ----------
    table : Rows, default=None
        For fits without an encoder: the rows of all examples, of which these are some.
    rows : ndarray of shape (n_examples,), int, default=None
        Which of them.
    """

    def __init__(
        self, table: Rows | None = None, rows: np.ndarray | None = None
    ) -> None:
        self._table = table
        self._rows = rows
        self._fitted: dict[Hashable, tuple[Any, Rows]] = {}
        self._encoded: dict[Hashable, Rows] = {}

    def fit(
        self,
        encoder: Any,
        origin: Origin | None,
        fit: Callable[[], tuple[Any, Rows]],
    ) -> tuple[Any, Rows]:
        """Return what `fit` has returned for an encoder of equal parameters.

        Parameters
        ----------
        encoder : estimator
            Not fitted.
        origin : Origin or None
            Which of the examples it is to be fitted on.
        fit : callable
            Fits it, and returns it with the rows that it makes.
        """
        key = content_key((type(encoder), encoder.get_params(), _key(origin)))
        if key is None:
            return fit()
        if key not in self._fitted:
            self._fitted[key] = fit()
        return self._fitted[key]

    def encode(
        self, encoder: Any, origin: Origin | None, transform: Callable[[], Rows]
    ) -> Rows:
        """Return what `transform` has returned for a fitted encoder.

        Parameters
        ----------
        encoder : estimator or None
            Fitted.
        origin : Origin or None
            Which of the examples to transform.
        transform : callable
            Returns the rows.
        """
        if encoder is None and self._table is not None and self._rows is not None:
            rows = self._rows if origin is None else self._rows[origin.rows]
            return SelectedRows(self._table, torch.from_numpy(rows))
        key = id(encoder), _key(origin)
        if key not in self._encoded:
            self._encoded[key] = transform()
        return self._encoded[key]


def content_key(content: Any) -> str | None:
    """Return what equal contents have in common, or None if they cannot be compared."""
    try:
        return joblib.hash(content)
    except Exception:  # of pickling, such as that of a function without a name
        return None


def _key(origin: Origin | None) -> str | None:
    return None if origin is None else joblib.hash(origin.rows)
