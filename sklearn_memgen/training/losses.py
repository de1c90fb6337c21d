"""Losses, probabilities and learning-rate schedule."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LogisticLoss", "RegressionLoss", "cosine_with_warm_up", "probabilities"]

#: Share of the steps in which the learning rate of the cosine schedule rises.
_WARM_UP = 0.05


class LogisticLoss(nn.Module):
    """Cross-entropy of each row, from one logit (two classes) or one a class."""

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the losses, in nats, shape (batch,)."""
        logits = logits.float()
        if logits.ndim == 1 or logits.shape[1] == 1:
            logits, y = logits.view(-1), y.to(logits.dtype)
            return F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        return F.cross_entropy(logits, y, reduction="none")


def probabilities(logits: Tensor) -> Tensor:
    """Turn one logit (two classes) or one a class into (batch, n_classes)."""
    logits = logits.double()
    if logits.ndim == 1 or logits.shape[1] == 1:
        logits = logits.view(-1, 1)
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return logits.softmax(dim=1)


def cosine_with_warm_up(progress: float) -> float:
    """Return the factor of the learning rate at `progress`, from 0 to 1."""
    if progress < _WARM_UP:
        return progress / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


class RegressionLoss(nn.Module):
    r"""Loss of each row, from one output a row.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "quantile", "poisson"}, \
            default="squared_error"
        With output :math:`z` and target :math:`y`: :math:`(z - y)^2 / 2`,
        :math:`|z - y|`, the pinball loss, or half the Poisson deviance of the rate
        :math:`e^z`.
    quantile : float, default=0.5
        The quantile of the pinball loss, between 0 and 1.
    """

    def __init__(self, loss: str = "squared_error", quantile: float = 0.5) -> None:
        super().__init__()
        self.loss = loss
        self.quantile = quantile

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the losses, shape (batch,)."""
        z = outputs.float().view(-1)
        if self.loss == "poisson":
            return z.exp() - y * z + torch.xlogy(y, y) - y
        error = y - z
        if self.loss == "absolute_error":
            return error.abs()
        if self.loss == "quantile":
            return torch.maximum(self.quantile * error, (self.quantile - 1) * error)
        return error.square() / 2
