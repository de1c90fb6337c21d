"""Rows of different length, and rows that have several targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "by_length",
    "cut_by_length",
    "lengths_of",
    "pool_by_length",
    "targets_of",
]

#: Batches among whose rows those of like length are put together. More would save
#: little padding, and make batches of one length follow from few draws.
_BATCHES_A_POOL = 64


def lengths_of(X: Any) -> Tensor | None:
    """Return the length of each row, shape (n_rows,); None if all are of one length."""
    return getattr(X, "lengths", None)


def targets_of(X: Any, rows: Tensor | slice) -> Tensor | slice:
    """Return which targets belong to some rows.

    Parameters
    ----------
    X : Rows
        The rows. Its attribute `n_targets`, if it has one, is the number of targets of
        each row; they follow one another in the order of the rows. Else a row has one.
    rows : Tensor of shape (n,), int64, or slice of step 1
        Some of the rows.

    Returns
    -------
    targets : Tensor of int64, or slice
        Those of the first row, then those of the second, and so on.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import torch
    >>> from sklearn_memgen.training.ragged import targets_of
    >>> X = SimpleNamespace(n_targets=torch.tensor([2, 0, 3]))
    >>> targets_of(X, torch.tensor([2, 0]))
    tensor([2, 3, 4, 0, 1])
    >>> targets_of(X, slice(1, 3))
    slice(2, 5, None)
    """
    counts = getattr(X, "n_targets", None)
    if counts is None:
        return rows
    ends = counts.cumsum(0)
    if isinstance(rows, slice):
        start, stop, _ = rows.indices(len(counts))
        edges = [int(ends[k - 1]) if k else 0 for k in (start, max(start, stop))]
        return slice(*edges)
    own = counts[rows]
    before = own.cumsum(0) - own  # targets of the rows in front
    shift = ends[rows] - own - before
    n = int(own.sum())
    return torch.arange(n, device=own.device) + shift.repeat_interleave(
        own, output_size=n
    )


def by_length(lengths: Tensor) -> Tensor:
    """Return the order of rows by length, the longest first."""
    return lengths.argsort(descending=True, stable=True)


def pool_by_length(order: Tensor, lengths: Tensor, batch_size: int) -> Tensor:
    """Put rows of like length together, and keep all else of an order random.

    Parameters
    ----------
    order : Tensor of shape (n_rows,), int64
        A random order.
    lengths : Tensor of shape (n_rows,), int64
        The length of each row, by its number.
    batch_size : int
        Rows a batch.

    Returns
    -------
    order : Tensor of shape (n_rows,), int64
        Batches of it hold rows of like length, and follow each other at random. The
        last one, if it is smaller than others, holds any rows.
    """
    n_full = len(order) // batch_size * batch_size
    rest, order = order[n_full:], order[:n_full]
    pools = []
    for pool in order.split(_BATCHES_A_POOL * batch_size):
        batches = pool[by_length(lengths[pool])].view(-1, batch_size)
        pools.append(batches[torch.randperm(len(batches))].flatten())
    return torch.cat([*pools, rest])


def cut_by_length(lengths: Tensor, most_entries: int) -> Iterator[slice]:
    """Cut rows that are sorted by length into parts that are of like size when padded.

    Parameters
    ----------
    lengths : Tensor of shape (n_rows,), int64
        Descending.
    most_entries : int
        Rows times the largest length of a part; a single row may have more.

    Yields
    ------
    part : slice
        Rows that follow one another.
    """
    sizes = lengths.tolist()
    start = 0
    while start < len(sizes):
        stop = start + max(most_entries // max(sizes[start], 1), 1)
        yield slice(start, min(stop, len(sizes)))
        start = stop
