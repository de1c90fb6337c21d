"""Data that lives on the device, and batches that are indexed out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sklearn_memgen.training.ragged import (
    by_length,
    lengths_of,
    pool_by_length,
    targets_of,
)
from sklearn_memgen.training.rows import ArrayTensors, Rows, SelectedRows

__all__ = [
    "MEMORY_SHARE",
    "ArrayTensors",
    "Batch",
    "Origin",
    "Pass",
    "ResidentBatches",
    "ResidentDataset",
    "Rows",
    "SelectedRows",
]

#: Rows that are gathered at once. Batches are views into such a block, which saves
#: most of the cost of an index call a batch, and bounds the memory of the copy.
_BLOCK_ROWS = 2**14
#: Share of the device's free memory that data may take; the rest is for the net.
MEMORY_SHARE = 0.5


class Batch(tuple):
    """The pair (inputs, y) that skorch knows, with the rows' weights and numbers.

    Attributes
    ----------
    weight : Tensor of shape (batch,) or None
        Sample weights.
    rows : Tensor of shape (batch,) or slice
        Which rows of the dataset these are; which of its targets, if rows have several.
    support : Tensor of shape (batch,), bool, or None
        Of an episode, which rows are its support; see `EpisodicBatches`.
    share : float
        What share of the targets of its step it has: 1, or less if it is one of the
        parts that a step is computed in.
    begins_step, ends_step : bool
        Whether it is the first of them, and the last.
    """

    weight: Tensor | None
    rows: Tensor | slice
    support: Tensor | None = None
    share: float = 1.0
    begins_step: bool = True
    ends_step: bool = True

    def __new__(
        cls, inputs: Any, y: Tensor | None, weight: Tensor | None, rows: Tensor | slice
    ) -> Batch:
        batch = super().__new__(cls, (inputs, y))
        batch.weight = weight
        batch.rows = rows
        return batch


@dataclass(frozen=True)
class Origin:
    """Which of the rows, or targets, given to an estimator a dataset has.

    Rows held out for early stopping and rows of weight zero are not in it.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,)
        The number of each row of the dataset among those given.
    targets : ndarray of shape (n_given,)
        The targets of all rows given.
    """

    rows: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class ResidentDataset(Dataset):
    """Inputs, targets and weights of some rows, as tensors on one device.

    Parameters
    ----------
    X : Rows of length n_rows
        The inputs, such as `TableTensors`.
    y : Tensor of shape (n_rows,) or (n_targets,), default=None
        Class indices.
    weight : Tensor of the shape of `y`, default=None
        Sample weights.
    origin : Origin, default=None
        Where the rows come from, if they are not all that were given. It stays on the
        host.
    """

    X: Rows
    y: Tensor | None = None
    weight: Tensor | None = None
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def targets(self) -> Tensor:
        """The targets, which must be there."""
        if self.y is None:
            raise ValueError("the dataset has no targets")
        return self.y

    def __getitem__(self, rows: int | slice) -> tuple[Any, Any]:
        """Return inputs and target of some rows, as torch datasets do."""
        if isinstance(rows, int):
            rows = slice(rows, rows + 1)
        return self.batch(rows)

    def targets_of(self, rows: Tensor | slice) -> Tensor | slice:
        """Return which targets belong to some rows: the same numbers, or several."""
        return targets_of(self.X, rows)

    def n_targets(self, rows: slice) -> int:
        """Return how many targets belong to rows that follow one another."""
        targets = self.targets_of(rows)
        assert isinstance(targets, slice)
        return targets.stop - targets.start

    def take(self, rows: Tensor | slice) -> ResidentDataset:
        """Return some rows, without origin: views for a slice, copies for a tensor."""
        targets = self.targets_of(rows)
        return ResidentDataset(
            self.X[rows],
            None if self.y is None else self.y[targets],
            None if self.weight is None else self.weight[targets],
        )

    def select(self, rows: Tensor) -> ResidentDataset:
        """Return some rows, with origin; those of `X` are not copied."""
        chosen = rows.to(_device_of(self))
        targets = self.targets_of(chosen)
        assert isinstance(targets, Tensor)
        origin = self.origin
        if origin is None and self.y is not None:
            origin = Origin(np.arange(len(self.y)), self.y.cpu().numpy())
        if origin is not None:
            origin = replace(origin, rows=origin.rows[targets.cpu().numpy()])
        return ResidentDataset(
            SelectedRows(self.X, chosen),
            None if self.y is None else self.y[targets],
            None if self.weight is None else self.weight[targets],
            origin,
        )

    def weighted(self, factor: Tensor | float) -> ResidentDataset:
        """Return the dataset with all weights multiplied."""
        if self.weight is None:
            raise ValueError("the dataset has no weights to multiply")
        return replace(self, weight=torch.mul(self.weight, factor))

    def batch(self, rows: slice, numbers: Tensor | slice | None = None) -> Batch:
        """Return some rows as a batch; `numbers` are theirs in a larger dataset."""
        targets = self.targets_of(rows)
        return Batch(
            self.X[rows].inputs(),
            None if self.y is None else self.y[targets],
            None if self.weight is None else self.weight[targets],
            targets if numbers is None else numbers,
        )

    def to(self, device: Any, *, non_blocking: bool = False) -> ResidentDataset:
        """Return the dataset on `device`."""
        return self._moved(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> ResidentDataset:
        """Return the dataset in page-locked host memory."""
        return self._moved(lambda part: part.pin_memory())

    def _moved(self, move: Callable[[Any], Any]) -> ResidentDataset:
        return replace(
            self,
            X=move(self.X),
            y=None if self.y is None else move(self.y),
            weight=None if self.weight is None else move(self.weight),
        )

    def resident(self, device: torch.device) -> ResidentDataset:
        """Bring the dataset to `device`, or pin it to the host where it is too large.

        Parameters
        ----------
        device : torch.device
            Where the net is.

        Returns
        -------
        dataset : ResidentDataset
            On `device` if it takes no more than half of the free memory there; else
            on the host, from where `ResidentBatches` streams it.
        """
        if device.type != "cuda":
            return self.to(device)
        free, _ = torch.cuda.mem_get_info(device)
        if self.X.nbytes <= MEMORY_SHARE * free:
            return self.to(device)
        return self.pin_memory()


class ResidentBatches:
    """Iterate over a dataset in batches that are on the device.

    Rows of different length are batched with others of like length.

    Parameters
    ----------
    dataset : ResidentDataset
        On the device, or in pinned host memory, from where blocks of it are streamed.
    batch_size : int
        Rows a batch; the last may have fewer.
    shuffle : bool, default=False
        Whether to draw a new order at every pass, by torch's global generator.
    device : torch.device or str, default="cpu"
        Where the batches go.
    micro_batch_size : int, default=None
        Most rows at once: larger batches come in parts. See `Batch`.
    """

    def __init__(
        self,
        dataset: ResidentDataset,
        *,
        batch_size: int,
        shuffle: bool = False,
        device: torch.device | str = "cpu",
        micro_batch_size: int | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.device = torch.device(device)
        self.micro_batch_size = micro_batch_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def draw_order(self) -> Tensor | None:
        """Draw the order of a pass, on the host; None is that of the dataset."""
        lengths = lengths_of(self.dataset.X)
        if not self.shuffle:
            return None if lengths is None else by_length(lengths).cpu()
        order = torch.randperm(len(self.dataset))
        if lengths is None:
            return order
        return pool_by_length(order, lengths.cpu(), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n_rows, size = len(self.dataset), self.batch_size
        block_size = size * max(1, _BLOCK_ROWS // size)
        home = _device_of(self.dataset)
        order = self.draw_order()
        order = None if order is None else order.to(home)
        for start in range(0, n_rows, block_size):
            stop = min(start + block_size, n_rows)
            rows = slice(start, stop) if order is None else order[start:stop]
            block = self.dataset.take(rows)
            if home.type == "cpu" and self.device.type == "cuda":
                # From pinned memory the copy runs beside the computation.
                block = block.pin_memory().to(self.device, non_blocking=True)
            for begin in range(0, stop - start, size):
                end = min(begin + size, stop - start)
                for part in self._parts(begin, end):
                    at = slice(start + part.start, start + part.stop)
                    numbers = self.dataset.targets_of(
                        at if order is None else order[at]
                    )
                    batch = block.batch(part, numbers)
                    if part != slice(begin, end):
                        n_targets = block.n_targets(slice(begin, end))
                        batch.share = block.n_targets(part) / max(n_targets, 1)
                        batch.begins_step = part.start == begin
                        batch.ends_step = part.stop == end
                    yield batch

    def _parts(self, begin: int, end: int) -> list[slice]:
        """Return the rows of each part of a batch; mostly there is one."""
        size = min(self.micro_batch_size or self.batch_size, self.batch_size)
        starts = range(begin, end, size)
        return [slice(start, min(start + size, end)) for start in starts]


@dataclass(frozen=True)
class Pass:
    """A pass over batches that a net waits for; see `ResidentNet.passes`.

    Parameters
    ----------
    iterator : ResidentBatches
        The batches.
    training : bool
        Whether to learn from them, or only to validate.
    """

    iterator: ResidentBatches
    training: bool


def _device_of(dataset: ResidentDataset) -> torch.device:
    inputs = dataset.X[:1].inputs()
    tensor = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
    return tensor.device
