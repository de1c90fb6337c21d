"""Losses and probabilities."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "LogisticLoss",
    "RegressionLoss",
    "pool_logits",
    "pool_outputs",
    "probabilities",
]

#: Below so many classes a softmax is quicker over columns than along rows.
_FEW_CLASSES = 12


def pool_logits(logits: Tensor) -> Tensor:
    """Average the probabilities of an ensemble's members.

    Parameters
    ----------
    logits : Tensor of shape (batch, n_members, n_outputs)
        One logit (two classes) or one a class. Those of a single net, of shape (batch,)
        or (batch, n_outputs), are returned as they are.

    Returns
    -------
    logits : Tensor of shape (batch, n_outputs)
        The logits of the members' mean probabilities.
    """
    if logits.ndim < 3:
        return logits
    if logits.shape[2] == 1:
        return F.logsigmoid(logits).logsumexp(1) - F.logsigmoid(-logits).logsumexp(1)
    return logits.log_softmax(dim=2).logsumexp(1) - math.log(logits.shape[1])


def pool_outputs(outputs: Tensor, loss: str) -> Tensor:
    """Average the predictions of an ensemble's members.

    Parameters
    ----------
    outputs : Tensor of shape (batch, n_members, 1)
        What the members return; that of a single net is returned as it is.
    loss : str
        The loss of `RegressionLoss`, by which outputs are logarithms ("poisson") or
        not.

    Returns
    -------
    outputs : Tensor of shape (batch, 1)
        Mean output, or logarithm of the mean rate.
    """
    if outputs.ndim < 3:
        return outputs
    if loss == "poisson":
        return outputs.logsumexp(1) - math.log(outputs.shape[1])
    return outputs.mean(1)


class LogisticLoss(nn.Module):
    """Cross-entropy of each row, from one logit (two classes) or one a class.

    Of an ensemble it is the members' mean loss in training, so that each learns by
    itself, and the loss of their mean probabilities in evaluation.
    """

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the losses, in nats, shape (batch,)."""
        logits = logits.float()
        if logits.ndim == 3 and self.training:
            n_members = logits.shape[1]
            losses = self(logits.flatten(0, 1), y.repeat_interleave(n_members))
            return losses.view(-1, n_members).mean(dim=1)
        logits = pool_logits(logits)
        if logits.ndim == 1 or logits.shape[1] == 1:
            logits, y = logits.view(-1), y.to(logits.dtype)
            return F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        return F.cross_entropy(logits, y, reduction="none")


def probabilities(logits: Tensor) -> Tensor:
    """Turn one logit (two classes) or one a class into (batch, n_classes)."""
    logits = pool_logits(logits.double())
    if logits.ndim == 1 or logits.shape[1] == 1:
        logits = logits.view(-1, 1)
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    if logits.shape[1] < _FEW_CLASSES:
        # Along rows that are so short torch computes number by number.
        return logits.T.softmax(dim=0).T.contiguous()
    return logits.softmax(dim=1)


class RegressionLoss(nn.Module):
    r"""Loss of each row, from one output a row.

    Parameters
    ----------
    loss : str, default="squared_error"
        With output :math:`z` and target :math:`y`: "squared_error" is
        :math:`(z - y)^2 / 2`, "absolute_error" :math:`|z - y|`, "quantile" the pinball
        loss, and "poisson" half the Poisson deviance of the rate :math:`e^z`.
    quantile : float, default=0.5
        The quantile of the pinball loss, between 0 and 1.

    Notes
    -----
    Of an ensemble it is the members' mean loss in training, and the loss of their mean
    prediction in evaluation.
    """

    def __init__(self, loss: str = "squared_error", quantile: float = 0.5) -> None:
        super().__init__()
        self.loss = loss
        self.quantile = quantile

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the losses, shape (batch,)."""
        outputs = outputs.float()
        if outputs.ndim == 3 and self.training:
            n_members = outputs.shape[1]
            losses = self(outputs.flatten(0, 1), y.repeat_interleave(n_members))
            return losses.view(-1, n_members).mean(dim=1)
        z = pool_outputs(outputs, self.loss).view(-1)
        if self.loss == "poisson":
            return z.exp() - y * z + torch.xlogy(y, y) - y
        error = y - z
        if self.loss == "absolute_error":
            return error.abs()
        if self.loss == "quantile":
            return torch.maximum(self.quantile * error, (self.quantile - 1) * error)
        return error.square() / 2
