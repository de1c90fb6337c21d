"""A smaller net to train in the place of one whose pruned weights hide units."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_memgen.nets.compaction import keep_units, traceable_part
from sklearn_memgen.nets.layer_graph import Connection, find_connections
from sklearn_memgen.nets.members import SplitMembers

__all__ = ["SeenUnits"]


@dataclass(frozen=True)
class SeenUnits:
    r"""The units of a net under masks that some output sees.

    A unit all of whose outgoing weights are pruned changes no output and gets no
    gradient. Without it the others are trained as they are with it, in less time.

    Parameters
    ----------
    positions : mapping of str to Tensor, int
        Of each parameter and buffer that becomes smaller, by name: where its entries
        are in the whole one, flattened. It has the shape of the smaller one.

    See Also
    --------
    compact_module : Takes out what predictions do not need, which is more.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklearn_memgen.nets import SeenUnits
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> masks = {"2.weight": torch.tensor([[True, False, True]])}
    >>> seen = SeenUnits.find(net, masks, torch.randn(4, 2))
    >>> seen.keep(net)
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=1, bias=True)
    )
    """

    positions: Mapping[str, Tensor]

    @classmethod
    @torch.no_grad()
    def find(
        cls,
        module: nn.Module,
        masks: Mapping[str, Tensor],
        example_inputs: Any = None,
    ) -> SeenUnits:
        """Trace a net to find its units that are seen.

        Parameters
        ----------
        module : Module
            The net.
        masks : mapping of str to Tensor, bool
            By name of the weight: False for what is zero and stays zero.
        example_inputs : Tensor or dict of str to Tensor, default=None
            On the CPU; see `compact_module`.

        Returns
        -------
        seen : SeenUnits
            Without positions if all units are seen, or the net is of several members.

        Raises
        ------
        CannotCompactError
            If the net cannot be traced.
        """
        numbered = copy.deepcopy(module).cpu().eval()
        chain, inputs = traceable_part(numbered, example_inputs)
        if chain is None or any(isinstance(m, SplitMembers) for m in chain.modules()):
            return cls({})
        connections = find_connections(chain, inputs)
        layers = {
            id(layer)
            for found in connections
            for layer in (found.before, found.after, *found.norms)
        }
        shapes: dict[str, torch.Size] = {}
        for prefix, layer in numbered.named_modules():
            if id(layer) in layers:
                shapes |= _number(layer, f"{prefix}." if prefix else "", masks)
        while any(_keep_seen(connection) for connection in connections):
            pass
        state = numbered.state_dict()
        return cls(
            {
                name: state[name].abs().long() - 1
                for name, shape in shapes.items()
                if state[name].shape != shape
            }
        )

    @torch.no_grad()
    def keep(self, module: nn.Module) -> nn.Module:
        """Take the other units out of a net.

        Parameters
        ----------
        module : Module
            A net as that in which they were found; changed in place. Its parameters
            are new ones, which no optimizer knows.

        Returns
        -------
        module : Module
            The same.
        """
        for name, positions in self.positions.items():
            prefix, _, own = name.rpartition(".")
            layer = module.get_submodule(prefix)
            values = getattr(layer, own)
            kept = values.detach().flatten()[positions.to(values.device)]
            if isinstance(values, nn.Parameter):
                kept = nn.Parameter(kept, requires_grad=values.requires_grad)
            setattr(layer, own, kept)
            _describe(layer)
        return module

    def take(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what is left of tensors of the whole net, such as masks, by name."""
        return {
            name: value.flatten()[self.positions[name].to(value.device)]
            if name in self.positions
            else value
            for name, value in values.items()
        }

    def put(
        self, values: Mapping[str, Tensor], whole: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the state of the whole net.

        Parameters
        ----------
        values : mapping of str to Tensor
            The state of the smaller one.
        whole : mapping of str to Tensor
            What entries of units that are gone are.

        Returns
        -------
        state : dict of str to Tensor
            On the device of `values`; a new one where it became larger.
        """
        state = dict(values)
        for name, positions in self.positions.items():
            value = values[name]
            filled = whole[name].detach().to(value.device, copy=True)
            filled.view(-1)[positions.to(value.device).flatten()] = value.flatten()
            state[name] = filled
        return state


def _number(
    layer: nn.Module, prefix: str, masks: Mapping[str, Tensor]
) -> dict[str, torch.Size]:
    """Put the place of each entry into it, from 1, below zero where it is pruned.

    Returns the shapes of what has an entry for each unit or pair of units, by name.
    """
    shapes = {}
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(layer, name, None)
        if tensor is None:
            continue
        numbers = torch.arange(1, tensor.numel() + 1, dtype=torch.float64)
        if prefix + name in masks:
            numbers[~masks[prefix + name].flatten().cpu()] *= -1
        tensor.data = numbers.view(tensor.shape)
        shapes[prefix + name] = tensor.shape
    return shapes


def _keep_seen(connection: Connection) -> bool:
    """Take units out that nothing sees, and return whether there were any."""
    seen = connection.outgoing().gt(0).any(2).any(0)
    kept = seen.nonzero().flatten()
    if not len(kept):
        kept = torch.zeros(1, dtype=torch.long)  # layers have a unit at least
    if len(kept) == len(seen):
        return False
    keep_units(connection, kept)
    return True


def _describe(layer: Any) -> None:
    """Set the sizes that a layer says it has."""
    if hasattr(layer, "out_features"):
        layer.out_features, layer.in_features = layer.weight.shape
    elif hasattr(layer, "out_channels"):
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]
    else:
        layer.num_features = len(layer.running_mean)
