"""Numeric targets, checked and standardized before a regressor learns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, column_or_1d

from sklearn_memgen._inputs import (
    Examples,
    check_same_length,
    check_weights,
    read_inputs,
)
from sklearn_memgen.tables.numbers import weighted_quantiles

__all__ = ["NumericExamples", "TargetScale", "read_numeric"]


@dataclass(frozen=True)
class TargetScale:
    """How a target becomes what the net learns, and back.

    The net learns the target minus `center`, in units of `scale`; for the Poisson loss
    the logarithm of the expected target, minus `center`.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "quantile", "poisson"}
        The loss.
    center : float
        The best constant prediction: the weighted mean, median or quantile in the
        target's unit; for the Poisson loss the logarithm of the mean.
    scale : float
        The weighted standard deviation, or for the absolute error and quantiles the
        interquartile range, in the target's unit; 1 for the Poisson loss.
    quantile : float or None, default=None
        The quantile that is learned, if that is what `loss` is.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._targets import TargetScale
    >>> scale = TargetScale.fit(np.array([10.0, 20.0, 30.0, 40.0, 50.0]), None,
    ...                         loss="absolute_error", quantile=0.5)
    >>> scale
    TargetScale(loss='absolute_error', center=30.0, scale=20.0, quantile=None)
    >>> scale.standardize(np.array([50.0]))
    array([1.], dtype=float32)
    >>> scale.restore(np.array([1.0]))
    array([50.])
    """

    loss: str
    center: float
    scale: float
    quantile: float | None = None

    @classmethod
    def fit(
        cls, y: np.ndarray, weights: np.ndarray | None, *, loss: str, quantile: float
    ) -> TargetScale:
        """Read center and scale off a target, shape (n_rows,), and its weights."""
        mean = float(np.average(y, weights=weights))
        learned = quantile if loss == "quantile" else None
        if loss == "poisson":
            return cls(loss, float(np.log(mean)), 1.0, learned)
        center = mean
        if loss in ("absolute_error", "quantile"):
            middle = 0.5 if learned is None else learned
            quantiles = weighted_quantiles(y, np.array([0.25, middle, 0.75]), weights)
            low, center, high = map(float, quantiles)
            if high > low:
                return cls(loss, center, high - low, learned)
        # Squared after scaling, which neither overflows nor vanishes.
        largest = float(np.abs(y - mean).max()) or 1.0
        variance = np.average(((y - mean) / largest) ** 2, weights=weights)
        return cls(loss, center, largest * float(np.sqrt(variance)) or 1.0, learned)

    def standardize(self, y: np.ndarray) -> np.ndarray:
        """Return what the net learns from a target, shape (n_rows,), float32."""
        if self.loss == "poisson":
            return (y / np.exp(self.center)).astype(np.float32)
        return ((y - self.center) / self.scale).astype(np.float32)

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """Return predictions, in the target's unit, from the net's outputs."""
        predictions = self.center + self.scale * outputs.astype(np.float64)
        return np.exp(predictions) if self.loss == "poisson" else predictions


@dataclass(frozen=True, kw_only=True)
class NumericExamples(Examples):
    """Rows whose target is a number.

    Parameters
    ----------
    data, y, sample_weight
        See `Examples`; `y` is float64.
    scale : TargetScale
        How the target is standardized.
    """

    scale: TargetScale

    @property
    def n_outputs(self) -> int:
        return 1

    @property
    def strata(self) -> np.ndarray:
        return np.zeros(len(self.y), dtype=np.int64)

    def learned(self) -> np.ndarray:
        return self.scale.standardize(self.y)

    def check_weighted(self) -> None:
        """Any row will do."""


def read_numeric(
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    encoder: Any,
    scale: TargetScale | None,
    reset: bool,
) -> NumericExamples:
    """Check what a regressor is to be fitted on.

    Parameters
    ----------
    estimator : regressor
        Its number and names of features are set, or compared; its `loss` and
        `quantile` are read.
    X, encoder, reset
        See `read_inputs`.
    y : array-like of shape (n_rows,)
        The target.
    sample_weight : array-like of shape (n_rows,), float or None
        Weights of the rows.
    scale : TargetScale or None
        How the target is standardized, if the net has been trained before; by default
        it is read off the target.

    Returns
    -------
    examples : NumericExamples
        All rows, those of weight zero among them.

    Raises
    ------
    ValueError
        If the target is not one finite number a row, is negative for the Poisson loss,
        or without a positive value; if `loss` or the quantile that it learns are
        others than those of `scale`; or if weights are of a wrong length, negative, not
        finite, or all zero.
    """
    data = read_inputs(estimator, X, encoder, reset=reset)
    target = _check_target(y, type(estimator).__name__)
    check_same_length(data, target)
    weights = check_weights(sample_weight, target)
    loss = estimator.loss
    if loss == "poisson" and (target < 0).any():
        raise ValueError(
            f"loss='poisson' needs y >= 0, but y has the value {target.min():g}"
        )
    if scale is None:
        if loss == "poisson" and not np.average(target, weights=weights) > 0:
            raise ValueError("loss='poisson' needs a value of y above zero")
        scale = TargetScale.fit(target, weights, loss=loss, quantile=estimator.quantile)
    elif scale.loss != loss:
        raise ValueError(
            f"the net that goes on learning was trained with loss={scale.loss!r}, but "
            f"loss={loss!r} now"
        )
    elif scale.quantile not in (None, estimator.quantile):
        raise ValueError(
            "the net that goes on learning was trained with quantile="
            f"{scale.quantile!r}, but quantile={estimator.quantile!r} now"
        )
    return NumericExamples(data, target, weights, scale=scale)


def _check_target(y: Any, name: str) -> np.ndarray:
    """Return the target as float64 of shape (n_rows,)."""
    if y is None:
        raise ValueError(
            "This regressor requires y to be passed, but the target y is None"
        )
    if np.asarray(y).dtype.kind == "c":
        raise ValueError("Complex data not supported: y has complex numbers")
    target = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if target.ndim == 2 and target.shape[1] > 1:
        raise ValueError(
            f"{name} predicts one number a row, but y has {target.shape[1]} columns; "
            "fit a model for each, as sklearn.multioutput.MultiOutputRegressor does"
        )
    return column_or_1d(target, warn=True)
