"""Whether stacking pays, and how many members stay in the cache together."""

from __future__ import annotations

import torch

from sklearn_memgen.training.net import ResidentNet

__all__ = ["count_chunks", "members_a_chunk", "stacking_pays"]

#: On a CPU, bytes that the weights of a chunk, their gradients and the state of their
#: optimizer may take.
_CHUNK_BYTES = 2**23
#: On a GPU, the share of the free memory.
_MEMORY_SHARE = 0.25
#: Weight, gradient and two moments.
_COPIES = 4
#: On a CPU, how many times as fast nets of up to so many weights are trained together,
#: if there are enough of them; see `benchmarks/population.py`.
_GAINS = ((2**12, 2.5), (2**13, 1.9), (2**16, 1.1))
_ENOUGH = 8


def stacking_pays(net: ResidentNet, n_members: int, n_jobs: int = 1) -> bool:
    """Tell whether members are quicker together than one by one.

    Parameters
    ----------
    net : ResidentNet
        One of the nets, initialized.
    n_members : int
        How many there are of its structure.
    n_jobs : int, default=1
        Processes that they could be trained in instead.

    Returns
    -------
    pays : bool
        By the figures of `benchmarks/population.py` on a CPU; always on a GPU, where
        one small net leaves nearly all of it idle.
    """
    if torch.device(net.device).type == "cuda":
        return n_members > 1
    if n_members < _ENOUGH:
        return False
    gains = [gain for most, gain in _GAINS if _n_parameters(net) <= most]
    # With members enough each process has a stack of its own.
    return bool(gains) and (n_members >= _ENOUGH * n_jobs or max(gains) > n_jobs)


def count_chunks(net: ResidentNet, n_members: int, n_jobs: int = 1) -> int:
    """Return into how many stacks to divide members, one after another or in processes.

    Parameters
    ----------
    net, n_members, n_jobs
        See `stacking_pays`.
    """
    n_chunks = -(-n_members // members_a_chunk(net))
    if n_members < _ENOUGH * n_jobs:
        return n_chunks
    return n_jobs * -(-n_chunks // n_jobs)


def members_a_chunk(net: ResidentNet) -> int:
    """Return how many nets to train together."""
    budget = float(_CHUNK_BYTES)
    device = torch.device(net.device)
    if device.type == "cuda":
        budget = _MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]
    return max(1, int(budget / (4 * _COPIES * _n_parameters(net))))


def _n_parameters(net: ResidentNet) -> int:
    return sum(parameter.numel() for parameter in net.module_.parameters())
