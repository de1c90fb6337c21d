"""BatchNorm by the statistics of a batch, in the place of those it has gathered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sklearn_memgen.training import ResidentDataset, ResidentNet, probabilities

__all__ = ["accuracy_by_batch", "has_running_statistics"]

#: Small batches take as many calls of the net; so many tell enough.
_MOST_BATCHES = 500
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def _with_statistics(module: nn.Module) -> list[nn.Module]:
    norms = [m for m in module.modules() if isinstance(m, _BATCH_NORMS)]
    return [norm for norm in norms if norm.running_mean is not None]


def has_running_statistics(module: nn.Module) -> bool:
    """Tell whether BatchNorm of a net does something else in training."""
    return bool(_with_statistics(module))


@contextmanager
def _by_batch(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm see batches, and leave its running statistics as they are.

    All else, such as dropout, is as in prediction.
    """
    modes = {m: m.training for m in module.modules()}
    norms = {m: m.track_running_stats for m in _with_statistics(module)}
    try:
        module.eval()
        for norm in norms:
            norm.train()
            norm.track_running_stats = False  # type: ignore[assignment]
        yield
    finally:
        for norm, tracks in norms.items():
            norm.track_running_stats = tracks
        for part, mode in modes.items():
            part.training = mode


def accuracy_by_batch(
    net: ResidentNet, data: ResidentDataset, batch_size: int, orders: Sequence[Tensor]
) -> float:
    """Return the accuracy if each batch is normalized by itself.

    Parameters
    ----------
    net : ResidentNet
        The net; it stays as it is.
    data : ResidentDataset of n_rows rows
        The rows.
    batch_size : int
        Rows of a batch, at most n_rows. The rows that remain are added to others, so
        that some batches have more.
    orders : sequence of Tensor of shape (n_rows,)
        Orders in which the rows are divided, one after another, up to 500 batches.
    """
    device = torch.device(net.device)
    data = data.to(device)
    n_batches = max(len(data) // batch_size, 1)
    batches = [
        rows for order in orders for rows in order.to(device).tensor_split(n_batches)
    ]
    n_right = torch.zeros((), dtype=torch.long, device=device)
    n_targets = 0
    with _by_batch(net.module_), torch.inference_mode():
        for rows in batches[:_MOST_BATCHES]:
            logits = net.infer(data.X[rows].inputs()).float()
            targets = data.targets[data.targets_of(rows)]
            n_right += (probabilities(logits).argmax(dim=1) == targets).sum()
            n_targets += len(targets)
    return n_right.item() / n_targets
