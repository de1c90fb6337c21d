"""Data made random: labels, and what a net sees of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_memgen.tables import TableTensors
from sklearn_memgen.tables.tensors import CSRParts
from sklearn_memgen.training import ArrayTensors, Rows

__all__ = ["FEATURES", "LABELS", "corrupt_features", "corrupt_labels"]

#: What is corrupted in labels.
LABELS = ("labels", "partial_labels")


def corrupt_labels(
    codes: np.ndarray, n_classes: int, share: float, rng: np.random.RandomState
) -> np.ndarray:
    """Give a share of the labels any class, each with the same probability.

    It may be the class they had.
    """
    n = len(codes)
    rows = rng.permutation(n)[: round(share * n)]
    corrupted = codes.copy()
    corrupted[rows] = rng.randint(n_classes, size=len(rows))
    return corrupted


def corrupt_features(
    kind: str, training: Rows, test: Rows, rng: np.random.RandomState
) -> tuple[Rows, Rows] | None:
    """Corrupt the rows to learn and, in the same way, those to test.

    Parameters
    ----------
    kind : str
        One of `FEATURES`.
    training, test : Rows
        The rows, on the host.
    rng : RandomState
        Draws what is random.

    Returns
    -------
    training, test : Rows
        Others of the same kind; None where the rows have nothing to corrupt so.
    """
    corrupt = FEATURES[kind]
    if isinstance(training, TableTensors) and isinstance(test, TableTensors):
        return _corrupt_tables(kind, corrupt, training, test, rng)
    if isinstance(training, ArrayTensors) and isinstance(test, ArrayTensors):
        pairs = {
            name: corrupt(array, test.arrays[name], rng)
            for name, array in training.arrays.items()
        }
        if all(pair[0] is training.arrays[name] for name, pair in pairs.items()):
            return None
        one, other = (
            ArrayTensors({name: pair[k] for name, pair in pairs.items()})
            for k in (0, 1)
        )
        return one, other
    return None


def _corrupt_tables(
    kind: str,
    corrupt: Callable[..., tuple[Tensor, Tensor]],
    training: TableTensors,
    test: TableTensors,
    rng: np.random.RandomState,
) -> tuple[Rows, Rows] | None:
    if kind == "shuffled_features":
        numbers = _shuffle_like(training.numbers, test.numbers, rng)
        if numbers[0] is training.numbers:
            return None
        parts = [
            replace(table, numbers=own)
            for table, own in zip((training, test), numbers, strict=True)
        ]
        return parts[0], parts[1]
    numbers = corrupt(training.numbers, test.numbers, rng)
    ids = corrupt(training.ids, test.ids, rng)
    parts = [
        TableTensors(numbers[k], ids[k], _deal_entries(training.csr, table.csr, rng))
        for k, table in enumerate((training, test))
    ]
    return parts[0], parts[1]


def _deal_entries(
    source: CSRParts | None, csr: CSRParts | None, rng: np.random.RandomState
) -> CSRParts | None:
    """Draw each stored value anew, with its column, from all of a sparse table."""
    if csr is None or source is None or not len(source.values):
        return csr
    drawn = torch.from_numpy(rng.randint(len(source.values), size=len(csr.values)))
    return replace(csr, indices=source.indices[drawn], values=source.values[drawn])


# Each takes a tensor of rows to learn and one of rows to test, and returns both; the
# same ones if there is nothing to corrupt.


def _shuffle(
    training: Tensor, test: Tensor, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Move the entries of each row, all rows in the same way.

    Whole numbers stay: they may be ids, each with a vocabulary of its own.
    """
    size = training[:1].numel()
    if size < 2 or not training.is_floating_point():
        return training, test
    order = torch.from_numpy(_moves(size, rng))
    return _at(training, order), _at(test, order)


def _shuffle_like(
    training: Tensor, test: Tensor, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Move the numbers of each row; missing ones only to where some are missing."""
    may_miss = training.isnan().any(dim=0).numpy()
    order = np.arange(training.shape[1])
    for places in (np.flatnonzero(may_miss), np.flatnonzero(~may_miss)):
        if len(places) > 1:
            order[places] = places[_moves(len(places), rng)]
    if (order == np.arange(len(order))).all():
        return training, test
    moved = torch.from_numpy(order)
    return _at(training, moved), _at(test, moved)


def _moves(n: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw a permutation that leaves nothing in its place."""
    cycle = rng.permutation(n)
    order = np.empty(n, dtype=np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def _at(array: Tensor, order: Tensor) -> Tensor:
    return array.reshape(len(array), -1)[:, order].view(array.shape)


def _permute(
    training: Tensor, test: Tensor, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Deal the values of each entry anew to the rows."""
    parts = []
    for array in (training, test):
        flat = array.reshape(len(array), -1)
        order = rng.uniform(size=flat.shape).argsort(axis=0)
        parts.append(flat.gather(0, torch.from_numpy(order)).view(array.shape))
    return parts[0], parts[1]


def _draw(
    training: Tensor, test: Tensor, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Draw normal numbers of the mean and variance of each entry, or values it has."""
    flat = training.reshape(len(training), -1)
    parts = []
    for array in (training, test):
        size = array.reshape(len(array), -1).shape
        if training.is_floating_point():
            mean = flat.nanmean(dim=0)
            deviation = (flat - mean).square().nanmean(dim=0).sqrt()
            drawn = mean + deviation * torch.from_numpy(rng.normal(size=size))
            if (share := flat.isnan().double().mean(dim=0)).any():
                drawn[torch.from_numpy(rng.uniform(size=size)) < share] = torch.nan
        else:
            drawn = flat.gather(0, torch.from_numpy(rng.randint(len(flat), size=size)))
        parts.append(drawn.to(array.dtype).view(array.shape))
    return parts[0], parts[1]


#: What is corrupted in what a net sees, and how a tensor is.
FEATURES: dict[str, Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor]]] = {
    "shuffled_features": _shuffle,
    "permuted_values": _permute,
    "random_features": _draw,
}
