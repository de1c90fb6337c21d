"""Rows of data: what the engine asks of them, arrays, and some rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from sklearn_memgen.training.ragged import lengths_of

__all__ = ["ArrayTensors", "Rows", "SelectedRows"]


class Rows(Protocol):
    """What the engine asks of data: `TableTensors`, `ArrayTensors`, or a user's own.

    Rows of different length say so by an attribute `lengths`, a tensor of shape
    (n_rows,): batches then have rows of like length. Rows with several targets, such as
    the tokens of a sentence, have an attribute `n_targets` of that shape, and the net
    returns logits for each target. What is said of the rows of a dataset elsewhere, of
    their labels, weights and traces, is then said of targets.
    """

    @property
    def nbytes(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor | slice) -> Rows: ...

    def to(self, device: Any, *, non_blocking: bool = False) -> Rows: ...

    def pin_memory(self) -> Rows: ...

    def inputs(self) -> Tensor | dict[str, Tensor]: ...


@dataclass(frozen=True)
class ArrayTensors:
    """Arrays of any rank, for a user's own module.

    Parameters
    ----------
    arrays : dict of str to Tensor of shape (n_rows, ...)
        The module's inputs by name; a single one of the name "" is its only input.
    """

    arrays: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, rows: Tensor | slice) -> ArrayTensors:
        return ArrayTensors({name: a[rows] for name, a in self.arrays.items()})

    def to(self, device: Any, *, non_blocking: bool = False) -> ArrayTensors:
        """Return the arrays on `device`."""
        moved = {
            name: array.to(device, non_blocking=non_blocking)
            for name, array in self.arrays.items()
        }
        return ArrayTensors(moved)

    def pin_memory(self) -> ArrayTensors:
        """Return the arrays in page-locked host memory."""
        return ArrayTensors({name: a.pin_memory() for name, a in self.arrays.items()})

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    def inputs(self) -> Tensor | dict[str, Tensor]:
        """Return what the module is called with."""
        return self.arrays.get("", self.arrays)


@dataclass(frozen=True)
class SelectedRows:
    """Some rows of a table, without a copy of them.

    Parameters
    ----------
    table : Rows
        The table.
    rows : Tensor of shape (n_rows,), int64
        Which of its rows, on its device.
    """

    table: Rows
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Tensor | slice) -> Rows:
        return self.table[self.rows[rows]]

    def to(self, device: Any, *, non_blocking: bool = False) -> SelectedRows:
        """Return the rows on `device`, with the whole table."""
        return SelectedRows(
            self.table.to(device, non_blocking=non_blocking),
            self.rows.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> SelectedRows:
        """Return the rows with the whole table in page-locked host memory."""
        return SelectedRows(self.table.pin_memory(), self.rows.pin_memory())

    @property
    def nbytes(self) -> int:
        """Size of the whole table in bytes."""
        return self.table.nbytes

    @property
    def lengths(self) -> Tensor | None:
        """The length of each row, if they differ."""
        lengths = lengths_of(self.table)
        return None if lengths is None else lengths[self.rows]

    @property
    def n_targets(self) -> Tensor | None:
        """The number of targets of each row, if there may be several."""
        counts = getattr(self.table, "n_targets", None)
        return None if counts is None else counts[self.rows]

    def inputs(self) -> Tensor | dict[str, Tensor]:
        """Return what the module is called with."""
        return self.table[self.rows].inputs()
