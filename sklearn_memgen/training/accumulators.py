"""Accumulators of what a net does with each row, and how they take an observation."""

from __future__ import annotations

import torch
from torch import Tensor

from sklearn_memgen.training.losses import pool_logits

__all__ = ["ACCUMULATORS", "accumulate", "label_margins"]

#: What is kept of each row, in this order.
ACCUMULATORS = (
    "n_seen",
    "n_correct",
    "last_correct",
    "first_learned_epoch",
    "n_forgotten",
    "mean_margin",
    "mean_probability",
    "mean_loss",
    "squares",  # the squared deviations of the probability from its mean, added up
)


def label_margins(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return margin and probability of the labels.

    Parameters
    ----------
    logits : Tensor of shape (batch,), (batch, n_outputs) or \
            (batch, n_members, n_outputs)
        One logit (two classes) or one a class; those of an ensemble are pooled by
        `pool_logits`.
    y : Tensor of shape (batch,)
        The labels, by number.

    Returns
    -------
    margins : Tensor of shape (batch,)
        The logit of the label minus the largest other logit. A single logit is that of
        class 1, beside one of 0 for class 0.
    probabilities : Tensor of shape (batch,)
        Those of the labels.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training.accumulators import label_margins
    >>> logits = torch.tensor([[2.0, 0.5, -1.0], [2.0, 0.5, -1.0]])
    >>> margins, probabilities = label_margins(logits, torch.tensor([0, 1]))
    >>> margins.tolist()
    [1.5, -1.5]
    """
    logits = pool_logits(logits.float())
    if logits.ndim == 2 and logits.shape[1] == 2:
        logits = logits[:, 1] - logits[:, 0]
    if logits.ndim == 1 or logits.shape[1] == 1:
        margins = logits.view(-1) * (2 * y - 1)
        return margins, margins.sigmoid()
    # A row of the transposed is a class: on a CPU several times as fast as its columns.
    label = y.view(1, -1)
    leads = logits.T.contiguous()
    leads = leads - leads.gather(0, label)  # of each class over the label
    probabilities = leads.exp().sum(0).reciprocal()
    return -leads.scatter_(0, label, -torch.inf).amax(0), probabilities


def accumulate(state: Tensor, observed: Tensor, epoch: int) -> Tensor:
    """Add one observation of each of some rows to accumulators.

    All is computed where the tensors are, and nothing waits for a GPU.

    Parameters
    ----------
    state : Tensor of shape (..., 9, n_samples), float32
        The accumulators, in the order of `ACCUMULATORS`, zeros at first. Leading axes
        are for several nets that are followed at once. Counts are exact up to 16
        million.
    observed : Tensor of shape (..., 3, n_samples), float32
        Margin, probability and loss; NaN for rows that were not seen. A row is correct
        if its margin is above zero.
    epoch : int
        The epoch, counted from 1.

    Returns
    -------
    state : Tensor of shape (..., 9, n_samples)
        The accumulators, with the observation.

    Notes
    -----
    Means move by a share of the difference, and squares by its square (Welford's
    method): sums of squares would lose in float32 what little probabilities vary.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training.accumulators import ACCUMULATORS, accumulate
    >>> state = torch.zeros(9, 2)
    >>> observed = torch.tensor([[1.5, torch.nan], [0.8, torch.nan], [0.2, torch.nan]])
    >>> state = accumulate(state, observed, epoch=1)
    >>> state[ACCUMULATORS.index("n_correct")]
    tensor([1., 0.])
    """
    state = state.clone()
    n_seen, n_correct, last_correct, first, n_forgotten = state.unbind(-2)[:5]
    margins = observed[..., 0, :]
    seen, correct = ~margins.isnan(), margins > 0
    n_seen += seen
    n_correct += correct
    first += ((first == 0) & correct) * epoch
    learned, forgotten = correct > last_correct, last_correct * (margins <= 0)
    n_forgotten += forgotten
    last_correct += learned
    last_correct -= forgotten
    means, squares = state[..., 5:8, :], state[..., 8, :]
    shifts = torch.where(seen.unsqueeze(-2), observed - means, 0)
    shares = n_seen.clamp(min=1).reciprocal()
    means += shifts * shares.unsqueeze(-2)
    squares += shifts[..., 1, :].square() * (1 - shares)
    return state
