"""Whether stacking pays, and how many members stay in the cache together."""

from __future__ import annotations

import torch

from sklearn_memgen.training.net import ResidentNet

__all__ = ["count_chunks", "may_pay", "members_a_chunk", "stacking_pays"]

#: On a CPU, bytes that the weights of a chunk, their gradients and the state of their
#: optimizer may take.
_CHUNK_BYTES = 2**23
#: On a GPU, the share of the free memory.
_MEMORY_SHARE = 0.25
#: Weight, gradient and two moments.
_COPIES = 4
#: On a CPU, how many times as fast nets of up to so many weights are trained together,
#: if there are enough of them; see `benchmarks/population.py`.
_GAINS = ((2**12, 3.0), (2**16, 1.8))
_ENOUGH = 8
#: How many times as fast a process more makes nets that are trained one by one.
_GAIN_A_PROCESS = 0.7


def may_pay(n_members: int, device: torch.device) -> bool:
    """Tell whether so many members may be quicker together, whatever their nets are."""
    return n_members >= (2 if device.type == "cuda" else _ENOUGH)


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
    device = torch.device(net.device)
    if not may_pay(n_members, device) or device.type == "cuda":
        return may_pay(n_members, device)
    gains = [gain for most, gain in _GAINS if _n_parameters(net) <= most]
    if not gains:
        return False
    # With members enough each process has a stack of its own.
    return n_members >= _ENOUGH * n_jobs or max(gains) > _GAIN_A_PROCESS * n_jobs


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
