"""Layers of many small nets that are computed at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["JoinMembers", "MemberLinear", "SplitMembers"]


class SplitMembers(nn.Module):
    """Give each member its share of a layer's units.

    Parameters
    ----------
    n_members : int
        Number of members.
    """

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.n_members = n_members

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (batch, n_members * n_units) to (n_members, batch, n_units), a view."""
        n_units = hidden.shape[1] // self.n_members
        return hidden.unflatten(1, (self.n_members, n_units)).transpose(0, 1)


class MemberLinear(nn.Module):
    """A linear layer for each member, initialized as `torch.nn.Linear` is.

    Parameters
    ----------
    n_members : int
        Number of members.
    n_inputs, n_outputs : int
        Width of each member's layer.
    """

    #: A layer whose weight can be pruned; see `training.prunable_weights`.
    is_linear = True

    def __init__(self, n_members: int, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(
            torch.empty(n_members, n_inputs, n_outputs).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(
            torch.empty(n_members, 1, n_outputs).uniform_(-bound, bound)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (n_members, batch, n_inputs) to (n_members, batch, n_outputs)."""
        return torch.baddbmm(self.bias, hidden, self.weight)


class JoinMembers(nn.Module):
    """Put the rows first again."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Map (n_members, batch, n_outputs) to (batch, n_members, n_outputs)."""
        return outputs.transpose(0, 1)
