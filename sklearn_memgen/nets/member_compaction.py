"""Dead units of many small nets that are computed at once."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_memgen.nets.members import MemberLinear, SplitMembers

__all__ = ["shrink_members"]


def shrink_members(layers: list[nn.Module]) -> bool:
    """Take dead units out of the perceptrons of a `DeepPart`, in place.

    Parameters
    ----------
    layers : list of Module
        Those of the deep part: one wide linear layer for all members, then a
        `MemberLinear` for each further layer, with ReLU and dropout between.

    Returns
    -------
    changed : bool
        Whether there were dead units that all members could lose.
    """
    n_members = next(m.n_members for m in layers if isinstance(m, SplitMembers))
    linear = [m for m in layers if isinstance(m, (nn.Linear, MemberLinear))]
    pairs = itertools.pairwise(linear)
    return any(_shrink(before, after, n_members) for before, after in pairs)


def _shrink(before: Any, after: Any, n_members: int) -> bool:
    """Keep as many units of each member as the one with the most needs."""
    weight, bias = _by_member(before, n_members)
    n_units = weight.shape[2]
    used = after.weight.ne(0).any(2)  # (n_members, n_units)
    constant = weight.eq(0).all(1)
    values = torch.relu(bias[:, 0]).double()
    folded = used & constant & values.isfinite()
    alive = used & ~folded
    n_kept = int(alive.sum(1).max())
    if n_kept == n_units:
        return False
    shift = torch.where(folded, values, 0)[:, None] @ after.weight.double()
    after.bias.copy_(after.bias.double() + shift)
    # Those that are folded must not count twice, should they stay to fill up.
    outgoing = after.weight.masked_fill(folded[:, :, None], 0)
    order = alive.int().argsort(dim=1, descending=True, stable=True)
    kept = order[:, :n_kept].sort(dim=1).values  # (n_members, n_kept)
    weight = weight.take_along_dim(kept[:, None], dim=2)
    bias = bias.take_along_dim(kept[:, None], dim=2)
    if isinstance(before, nn.Linear):
        before.out_features = n_members * n_kept
        _set(before, "weight", weight.transpose(1, 2).flatten(0, 1))
        _set(before, "bias", bias.flatten())
    else:
        _set(before, "weight", weight)
        _set(before, "bias", bias)
    _set(after, "weight", outgoing.take_along_dim(kept[:, :, None], dim=1))
    return True


def _by_member(layer: Any, n_members: int) -> tuple[Tensor, Tensor]:
    """Return weight and bias, (n_members, n_inputs or 1, n_units)."""
    if isinstance(layer, MemberLinear):
        return layer.weight.detach(), layer.bias.detach()
    weight = layer.weight.detach().unflatten(0, (n_members, -1)).transpose(1, 2)
    return weight, layer.bias.detach().view(n_members, 1, -1)


def _set(layer: Any, name: str, values: Tensor) -> None:
    grad = getattr(layer, name).requires_grad
    setattr(layer, name, nn.Parameter(values.contiguous(), requires_grad=grad))
