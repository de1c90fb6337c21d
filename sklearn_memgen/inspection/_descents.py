"""Linear classifiers that descend the logistic loss, by three optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["OPTIMIZERS", "descend", "stable_rate"]

OPTIMIZERS = ("gd", "momentum", "adam")
#: What is recorded, in this order.
RECORDED = ("loss", "norm", "cos_gap", "margin")
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def stable_rate(X: Tensor, n_outputs: int) -> float:
    r"""Return a learning rate of gradient descent that cannot diverge.

    It is :math:`1 / \sigma_{max}(X)` or, where that is less,
    :math:`1 / (\beta \sigma_{max}^2(X))`, with :math:`\beta` of 1/4 for one output and
    1/2 for several: the gradient of the summed loss changes by no more than
    :math:`\beta \sigma_{max}^2` times the weights.
    """
    largest = float(torch.linalg.matrix_norm(X, ord=2))
    smooth = (0.25 if n_outputs == 1 else 0.5) * largest**2
    return min(1 / largest, 1 / smooth)


@torch.inference_mode()
def descend(
    X: Tensor,
    y: Tensor,
    reference: Tensor,
    *,
    optimizers: Sequence[str],
    steps: np.ndarray,
    learning_rate: float,
    momentum: float,
) -> np.ndarray:
    """Descend from zero, and record the way.

    Nothing waits for a GPU before the end.

    Parameters
    ----------
    X : Tensor of shape (n_rows, n_features), float64
        The rows.
    y : Tensor of shape (n_rows,), int
        Class indices.
    reference : Tensor of shape (n_features, n_outputs), float64
        Weights to compare with; one output is that of class 1 of two.
    optimizers : sequence of {"gd", "momentum", "adam"}
        The optimizers.
    steps : ndarray of int, ascending
        After which steps to record.
    learning_rate : float
        Of all optimizers.
    momentum : float
        The share of the last step's direction in the next one. The gradient has the
        rest, so that steps are as long as those of gradient descent.

    Returns
    -------
    records : ndarray of shape (n_optimizers, n_steps, 4)
        Mean loss in nats, norm, one minus the cosine of the angle to `reference`, and
        the smallest margin in units of the norm.
    """
    n_features, n_outputs = reference.shape
    weights = X.new_zeros(n_features, len(optimizers), n_outputs)
    flat = weights.view(n_features, -1)
    takers = [
        _taker(name, part, learning_rate, momentum)
        for name, part in zip(optimizers, weights.unbind(1), strict=True)
    ]
    reference = reference / reference.norm()
    if n_outputs == 1:  # the negative margins of the rows are scores
        X = X * (1 - 2 * y).to(X.dtype).view(-1, 1)
    labels = y.view(-1, 1, 1).expand(-1, len(optimizers), 1)
    transposed = X.T.contiguous()
    wanted = set(steps.tolist())
    records = []
    for step in range(1, int(steps[-1]) + 1):
        scores = X @ flat  # (n_rows, n_optimizers * n_outputs)
        if n_outputs == 1:
            errors = scores.sigmoid_()
        else:
            # Of the label the negative sum of the others: 1 - p would round to zero.
            parts = scores.view(-1, len(optimizers), n_outputs).softmax(-1)
            parts.scatter_(-1, labels, 0.0)
            parts.scatter_(-1, labels, -parts.sum(-1, keepdim=True))
            errors = parts.flatten(1)
        gradients = (transposed @ errors).view_as(weights).unbind(1)
        for take, gradient in zip(takers, gradients, strict=True):
            take(gradient, step)
        if step in wanted:
            scores = (X @ flat).view(-1, len(optimizers), n_outputs)
            leads = -scores if n_outputs == 1 else _leads(scores, labels)
            records.append(_record(leads, weights, reference))
    return torch.stack(records, dim=1).cpu().numpy()


def _taker(
    name: str, weights: Tensor, rate: float, momentum: float
) -> Callable[[Tensor, int], None]:
    """Return what takes a step of an optimizer, in place."""
    mean, square = torch.zeros_like(weights), torch.zeros_like(weights)

    def gd(gradient: Tensor, step: int) -> None:
        weights.sub_(gradient, alpha=rate)

    def heavy_ball(gradient: Tensor, step: int) -> None:
        mean.lerp_(gradient, 1 - momentum)
        weights.sub_(mean, alpha=rate)

    def adam(gradient: Tensor, step: int) -> None:
        mean.lerp_(gradient, 1 - _BETA1)
        square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        scale = square.sqrt().mul_((1 - _BETA2**step) ** -0.5).add_(_EPSILON)
        weights.addcdiv_(mean, scale, value=-rate / (1 - _BETA1**step))

    return {"gd": gd, "momentum": heavy_ball, "adam": adam}[name]


def _leads(scores: Tensor, labels: Tensor) -> Tensor:
    """Return by how much labels lead all other classes; of themselves infinity."""
    leads = scores.gather(-1, labels) - scores
    return leads.scatter_(-1, labels, torch.inf)


def _record(leads: Tensor, weights: Tensor, reference: Tensor) -> Tensor:
    """Return what is recorded, shape (n_optimizers, 4).

    `leads` are of shape (n_rows, n_optimizers, n_outputs).
    """
    if leads.shape[-1] == 1:
        losses = F.softplus(-leads[..., 0])
    else:  # log(1 + sum(exp(-leads))), also where that is tiny or huge
        losses = F.softplus(torch.logsumexp(-leads, dim=-1))
    norms = torch.linalg.vector_norm(weights, dim=(0, 2))
    # Half the squared distance of unit vectors: 1 - cos would round.
    apart = weights / norms[:, None] - reference[:, None]
    gaps = apart.square().sum(dim=(0, 2)) / 2
    margins = leads.amin(dim=(0, 2)) / norms
    return torch.stack([losses.mean(0), norms, gaps, margins], dim=1)
