"""A net that goes on from a smaller one: weights go where their ids have gone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_memgen.nets.deep import DeepPart
from sklearn_memgen.nets.members import MemberLinear
from sklearn_memgen.nets.wide_deep import WideDeep

__all__ = ["inherit_body", "inherit_weights", "moved_ids"]


def moved_ids(old_offsets: Sequence[int], new_offsets: Sequence[int]) -> Tensor:
    """Find where ids lie after some columns got more, each at its end.

    Parameters
    ----------
    old_offsets, new_offsets : sequence of int of length n_id_columns + 1
        Where the ids of each column began, and begin.

    Returns
    -------
    moved : Tensor of shape (n_old_ids,), int64
        The new id of each old one.

    Examples
    --------
    >>> from sklearn_memgen.nets.inheritance import moved_ids
    >>> moved_ids([0, 2, 5], [0, 3, 7]).tolist()
    [0, 1, 3, 4, 5]
    """
    old, new = torch.as_tensor(old_offsets), torch.as_tensor(new_offsets)
    shifts = torch.repeat_interleave(new[:-1] - old[:-1], old.diff())
    return torch.arange(int(old[-1])) + shifts


@torch.no_grad()
def inherit_weights(new: WideDeep, old: WideDeep) -> dict[str, Tensor | None]:
    """Copy the weights of a net to one that has more ids.

    Parameters
    ----------
    new, old : WideDeep
        Two nets of the same columns. Those in `new` begin with the ids of those in
        `old`.

    Returns
    -------
    rows : dict of str to Tensor of shape (n_old_rows,) or None
        The parameters that were copied, and to which rows; None for all. Parameters of
        another shape, such as hidden layers of another size, keep their new weights.
    """
    moved = moved_ids(old.id_offsets, new.id_offsets)
    tables = set(new.id_tables())
    before = dict(old.named_parameters())
    rows: dict[str, Tensor | None] = {}
    for name, parameter in new.named_parameters():
        source = before.get(name)
        if source is None or source.shape[1:] != parameter.shape[1:]:
            continue
        if name in tables:
            rows[name] = moved[: len(source)].to(parameter.device)
            parameter[rows[name]] = source
        elif source.shape == parameter.shape:
            rows[name] = None
            parameter.copy_(source)
    return rows


@torch.no_grad()
def inherit_body(deep: DeepPart, body: DeepPart) -> None:
    """Copy embeddings and hidden layers to a deep part of the same inputs and layers.

    Parameters
    ----------
    deep : DeepPart
        What inherits. All its members begin with the same hidden layers; the last
        layer of each, its head, stays as it is.
    body : DeepPart
        That of a `TableBody`, whose last layer is a hidden one.
    """
    for name in ("embedding", "bag"):
        table = getattr(deep, name)
        if table is not None:
            table.weight.copy_(getattr(body, name).weight)
    for new, old in zip(deep.linear_layers()[:-1], body.linear_layers(), strict=True):
        weight, bias = old.parameters()
        if isinstance(new, MemberLinear):
            new.weight.copy_(weight.T)  # (n_members, n_inputs, n_units)
            new.bias.copy_(bias)
        else:  # of several members it is the first, one wide layer for all of them
            n_members = len(new.weight) // len(weight)
            new.weight.copy_(weight.repeat(n_members, 1))
            new.bias.copy_(bias.repeat(n_members))
