"""Whether stacking pays, and how many members stay in the cache together."""

from __future__ import annotations

import torch

from sklearn_memgen.training.net import ResidentNet

__all__ = ["members_a_chunk", "stacking_pays"]

#: On a CPU, bytes that the weights of a chunk, their gradients and the state of their
#: optimizer may take.
_CHUNK_BYTES = 2**23
#: On a GPU, the share of the free memory.
_MEMORY_SHARE = 0.25
#: Weight, gradient and two moments.
_COPIES = 4
#: On a CPU, larger nets keep a core busy alone.
_MOST_PARAMETERS = 2**14


def stacking_pays(net: ResidentNet, n_members: int) -> bool:
    """Tell whether members are quicker together than one after another.

    Parameters
    ----------
    net : ResidentNet
        One of the nets, initialized.
    n_members : int
        How many there are of its structure.

    Returns
    -------
    pays : bool
        By the figures of `benchmarks/population.py`.
    """
    if torch.device(net.device).type == "cuda":
        return n_members > 1
    return n_members > 1 and _n_parameters(net) <= _MOST_PARAMETERS


def members_a_chunk(net: ResidentNet) -> int:
    """Return how many nets to train together."""
    budget = float(_CHUNK_BYTES)
    device = torch.device(net.device)
    if device.type == "cuda":
        budget = _MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]
    return max(1, int(budget / (4 * _COPIES * _n_parameters(net))))


def _n_parameters(net: ResidentNet) -> int:
    return sum(parameter.numel() for parameter in net.module_.parameters())
