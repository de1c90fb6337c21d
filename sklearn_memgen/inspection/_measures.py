"""How well a net does on rows with labels."""

from __future__ import annotations

import torch
from torch import Tensor

from sklearn_memgen.training import LogisticLoss, ResidentDataset, probabilities
from sklearn_memgen.training.net import ResidentNet

__all__ = ["accuracy_and_loss", "score_logits"]


def accuracy_and_loss(net: ResidentNet, data: ResidentDataset) -> tuple[float, float]:
    """Return the share of labels that a net predicts, and their mean loss in nats."""
    return score_logits(net.logits(data.X), data.targets.cpu())


def score_logits(logits: Tensor, y: Tensor) -> tuple[float, float]:
    """Return accuracy and mean loss; an ensemble's are those of its mean."""
    with torch.inference_mode():
        predicted = probabilities(logits).argmax(dim=1)
        accuracy = (predicted == y).double().mean()
        losses = LogisticLoss().eval()(logits, y)
        return float(accuracy), float(losses.double().mean())
