"""ResidentRegressionNet: the resident net of a target that is a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sklearn_memgen.training.losses import RegressionLoss, pool_outputs
from sklearn_memgen.training.net import ResidentNet

__all__ = ["ResidentRegressionNet"]


class ResidentRegressionNet(ResidentNet):
    """A `ResidentNet` whose outputs are numbers, not logits.

    Parameters
    ----------
    module
        The net. Returns one output a row, shape (batch, 1) or (batch,).
    criterion : callable, default=RegressionLoss
        Makes the loss: a module that returns one loss a row.
    **kwargs
        See `ResidentNet`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import (
    ...     ArrayTensors, ResidentDataset, ResidentRegressionNet
    ... )
    >>> X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> data = ResidentDataset(ArrayTensors({"": X}), 2 * X[:, 0])
    >>> net = ResidentRegressionNet(
    ...     torch.nn.Linear(3, 1), lr=0.1, max_epochs=30, verbose=0
    ... )
    >>> net = net.fit(data)
    >>> bool(abs(net.predict(data) - data.y.numpy()).mean() < 0.1)
    True
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        criterion: Any = RegressionLoss,
        predict_nonlinearity: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            *args,
            criterion=criterion,
            predict_nonlinearity=predict_nonlinearity,
            **kwargs,
        )

    def predict(self, X: Any) -> np.ndarray:
        """Return the outputs, shape (n_rows,); the target's scale is not known here."""
        outputs = torch.from_numpy(self.predict_proba(X))
        loss = getattr(self.criterion_, "loss", "squared_error")
        return pool_outputs(outputs, loss).flatten().numpy()
