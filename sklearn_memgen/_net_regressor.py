"""NetRegressor: what regressors around a torch net add to NetEstimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from torch import nn

from sklearn_memgen._encodings import SharedEncodings
from sklearn_memgen._net_estimator import Learning, NetEstimator
from sklearn_memgen._sklearn import Interval, StrOptions, _fit_context
from sklearn_memgen._targets import TargetScale, read_numeric
from sklearn_memgen.training import RegressionLoss, ResidentRegressionNet, pool_outputs

__all__ = ["NetRegressor"]


class NetRegressor(RegressorMixin, NetEstimator):
    """A net that predicts one number a row, in the unit of the target.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "quantile", "poisson"}
        See `WideDeepRegressor`.
    quantile : float
        See `WideDeepRegressor`.
    **params
        See `NetEstimator`.
    """

    _parameter_constraints: dict = {
        **NetEstimator._parameter_constraints,
        "loss": [
            StrOptions({"squared_error", "absolute_error", "quantile", "poisson"})
        ],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, *, loss: str, quantile: float, **params: Any) -> None:
        super().__init__(**params)
        self.loss = loss
        self.quantile = quantile

    target_scale_: TargetScale

    _net_type = ResidentRegressionNet

    def _make_criterion(self) -> Callable[..., nn.Module]:
        return partial(RegressionLoss, self.loss, self.quantile)

    def _pool(self, outputs: torch.Tensor) -> torch.Tensor:
        return pool_outputs(outputs, self.loss)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> NetRegressor:
        """Train the net.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The inputs.
        y : array-like of shape (n_rows,)
            The target: finite numbers in any unit.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in the loss: a row of weight 2 counts as two rows, one
            of weight 0 is left out.

        Returns
        -------
        self : regressor
            The fitted regressor.

        Raises
        ------
        ValueError
            If `X` or `y` cannot be learned from, or `device` is not there.
        FloatingPointError
            If the loss becomes infinite or NaN.

        Warns
        -----
        UserWarning
            On Ctrl-C during training; the regressor keeps what it has learned.
        """
        self._learn_alone(self._learning(X, y, sample_weight))
        return self

    def _learning(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        encodings: SharedEncodings | None = None,
    ) -> Learning[None]:
        self._check_source()
        going_on = self._goes_on
        encoder = self.encoder_ if going_on else self._make_encoder()
        examples = read_numeric(
            self,
            X,
            y,
            sample_weight,
            encoder=encoder,
            scale=self.target_scale_ if going_on else None,
            reset=not going_on,
        )
        scale = examples.scale
        examples = replace(examples, encodings=encodings)
        learning = self._fit(examples, encoder, going_on=going_on)
        del X, y, examples  # only tensors are learned from
        yield from learning
        self.target_scale_ = scale

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> NetRegressor:
        """Pass once over a chunk of data, at a constant learning rate.

        The encoder is fitted on the first chunk, and the target is standardized by it.
        Values of later chunks extend the encoder of a `WideDeepRegressor`.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            A chunk of the inputs.
        y : array-like of shape (n_rows,)
            Its target.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows.

        Returns
        -------
        self : regressor
            The regressor.

        Raises
        ------
        ValueError
            If `X` or `y` cannot be learned from, or `loss` is another than in the
            first call.
        """
        self._check_source()
        first = not hasattr(self, "net_")
        encoder = self._make_encoder() if first else self.encoder_
        examples = read_numeric(
            self,
            X,
            y,
            sample_weight,
            encoder=encoder,
            scale=None if first else self.target_scale_,
            reset=first,
        )
        self._learn_alone(self._partial_fit(examples, encoder, first=first))
        self.target_scale_ = examples.scale
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The inputs.

        Returns
        -------
        predictions : ndarray of shape (n_rows,), float64
            In the unit of the target: its mean, median or quantile, by the loss.
        """
        outputs = self._logits(X)  # raises if the regressor is not fitted
        return self.target_scale_.restore(outputs.flatten().numpy())
