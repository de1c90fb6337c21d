"""What optimizers have learned of a net, for the net that goes on from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sklearn_memgen.training.net import ResidentNet

__all__ = ["inherit_training"]


@torch.no_grad()
def inherit_training(
    new: ResidentNet, old: ResidentNet, rows: dict[str, Tensor | None]
) -> None:
    """Copy the history and the state of the optimizers from one net to another.

    Parameters
    ----------
    new, old : ResidentNet
        Two initialized nets on one device; `new` is changed.
    rows : dict of str to Tensor of shape (n_old_rows,) or None
        Which parameters of `new` go on from those of the same name in `old`, and which
        of their rows these are; None for all.
    """
    new.history = old.history
    before, after = (dict(net.module_.named_parameters()) for net in (old, new))
    sources, targets = _optimizers(old), _optimizers(new)
    for name, where in rows.items():
        if before[name] not in sources or after[name] not in targets:
            continue
        source, settings = sources[before[name]]
        target, own_settings = targets[after[name]]
        if type(source) is not type(target):
            continue  # a table that has become large has another optimizer
        # A state fits the rates and penalties under which it came about.
        own_settings |= {k: v for k, v in settings.items() if k != "params"}
        state = target.state[after[name]]
        for key, value in source.state.get(before[name], {}).items():
            if where is None or not _is_like(value, before[name]):
                state[key] = value.clone() if isinstance(value, Tensor) else value
                continue
            if key not in state:
                state[key] = torch.zeros_like(after[name])
            state[key][where] = value


def _optimizers(net: ResidentNet) -> dict[Tensor, tuple[Any, dict[str, Any]]]:
    """Return the optimizer of each parameter, and its settings there."""
    optimizers = [getattr(net, f"{name}_") for name in net._optimizers]
    return {
        parameter: (optimizer, group)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def _is_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape
