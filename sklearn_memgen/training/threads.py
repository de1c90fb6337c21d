"""How many threads a training step keeps busy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sklearn_memgen.training.batches import ResidentDataset
from sklearn_memgen.training.net import ResidentNet

__all__ = ["worthwhile_threads"]

#: Floating-point operations of a step that keep a thread busy. Two threads took 0.7 of
#: the time of one at 300 million operations, 0.75 at 150 and 0.95 at 20.
_OPERATIONS_A_THREAD = 50_000_000


def worthwhile_threads(
    net: ResidentNet, data: ResidentDataset, n_nets: int = 1
) -> int | None:
    """Return how many threads a training step on a CPU can make use of.

    Parameters
    ----------
    net : ResidentNet
        The net, initialized.
    data : ResidentDataset
        What it learns.
    n_nets : int, default=1
        How many such nets are computed at once.

    Returns
    -------
    n_threads : int or None
        By the operations in matrix products and convolutions of a batch, once forwards
        and twice backwards. None on a GPU, or if they cannot be counted.
    """
    if torch.device(net.device).type != "cpu":
        return None
    size = min(net.batch_size, net.micro_batch_size or net.batch_size)
    batch = data.batch(slice(0, size))
    net._set_training(False)
    try:
        with torch.no_grad(), torch.random.fork_rng([]), _Operations() as counted:
            net.infer(batch[0])
    except Exception:  # which training will raise as well, and tell
        return None
    return max(3 * n_nets * counted.total // _OPERATIONS_A_THREAD, 1)


class _Operations(TorchDispatchMode):
    """Add up the floating-point operations of what is computed."""

    total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **kwargs, out_val=result)
        return result
