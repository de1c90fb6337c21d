"""The rows of members that are computed together, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sklearn_memgen.training.batches import Batch, Rows, SelectedRows
from sklearn_memgen.training.member import StartedMember
from sklearn_memgen.training.stackable import table_of

__all__ = ["StackedBatch", "StackedRows"]


@dataclass(frozen=True)
class StackedBatch:
    """A batch of each of the first members, filled up to one size.

    Parameters
    ----------
    inputs : Tensor or dict of Tensor, each of shape (n_members, batch, ...)
        What the modules are called with.
    y : Tensor of shape (n_members, batch)
        The targets.
    weight : Tensor of shape (n_members, batch)
        Sample weights; zero for what fills a member's batch up.
    places : Tensor of shape (n_members, batch), int64
        Which rows of the members' datasets these are.
    sizes : list of int
        Rows of each member's batch.
    """

    inputs: Any
    y: Tensor
    weight: Tensor
    places: Tensor
    sizes: list[int]

    def of(self, k: int) -> Batch:
        """Return the batch of one member, as it is alone."""
        n = self.sizes[k]
        inputs = self.inputs
        if isinstance(inputs, dict):
            inputs = {name: tensor[k, :n] for name, tensor in inputs.items()}
        else:
            inputs = inputs[k, :n]
        return Batch(inputs, self.y[k, :n], self.weight[k, :n], self.places[k, :n])

    def replace_inputs(self, k: int, inputs: Any) -> None:
        """Replace the inputs of one member."""
        n = self.sizes[k]
        if isinstance(inputs, dict):
            for name, tensor in inputs.items():
                self.inputs[name][k, :n] = tensor
        else:
            self.inputs[k, :n] = inputs


class StackedRows:
    """The rows of one pass of several members.

    Parameters
    ----------
    members : sequence of StartedMember
        Those with more rows first. All wait for a pass of the same kind.
    device : torch.device
        Where the data is.
    """

    def __init__(self, members: Sequence[StartedMember], device: torch.device) -> None:
        drawn = [member.draw_pass() for member in members]
        self.batch_size: int = members[0].net.batch_size
        self.lengths = [len(order) for _, order in drawn]
        width = max(self.lengths)
        places, rows, targets, weights = [], [], [], []
        for (data, order), n in zip(drawn, self.lengths, strict=True):
            order = order.to(device)
            # What fills up is a row of the batch itself, which brings in nothing new.
            tail = (n - 1) // self.batch_size * self.batch_size
            order = torch.cat([order, order[tail : tail + 1].expand(width - n)])
            weight = torch.ones(width, device=device)
            if data.weight is not None:
                weight = data.weight[order]
            weight[n:] = 0
            places.append(order)
            X = data.X
            rows.append(X.rows[order] if isinstance(X, SelectedRows) else order)
            targets.append(data.targets[order])
            weights.append(weight)
        self.table: Rows = table_of(drawn[0][0].X)
        self.places = torch.stack(places)  # (n_members, width), and so are the others
        self.rows = torch.stack(rows)
        self.y = torch.stack(targets)
        self.weight = torch.stack(weights)

    def __iter__(self) -> Iterator[StackedBatch]:
        for start in range(0, self.places.shape[1], self.batch_size):
            left = [min(max(n - start, 0), self.batch_size) for n in self.lengths]
            # Members that have no rows left are the last, but for passes of validation.
            n_members = 1 + max(k for k, n in enumerate(left) if n)
            sizes = left[:n_members]
            part = slice(n_members), slice(start, start + max(sizes))
            rows = self.rows[part]
            inputs = self.table[rows.flatten()].inputs()
            if isinstance(inputs, dict):
                inputs = {
                    n: t.view(*rows.shape, *t.shape[1:]) for n, t in inputs.items()
                }
            else:
                inputs = inputs.view(*rows.shape, *inputs.shape[1:])
            yield StackedBatch(
                inputs, self.y[part], self.weight[part], self.places[part], sizes
            )
