"""The encoded table: a few tensors that can be moved, sliced and printed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["CSRParts", "TableTensors", "take_runs"]


def take_runs(starts: Tensor, rows: Tensor | slice) -> tuple[Tensor, Tensor | slice]:
    """Find what belongs to some rows in a tensor that has all rows back to back.

    Parameters
    ----------
    starts : Tensor of shape (n_rows + 1,), int64
        Where each row begins; the last entry is where the last row ends.
    rows : Tensor of shape (n,), int64 or bool, or slice
        Some of the rows, on the device of `starts`.

    Returns
    -------
    starts : Tensor of shape (n + 1,), int64
        Where each of these rows begins when they are put back to back.
    entries : slice, or Tensor of int64
        Their entries, row by row; a slice for a slice of step 1.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.tables.tensors import take_runs
    >>> take_runs(torch.tensor([0, 2, 2, 5]), torch.tensor([2, 0]))
    (tensor([0, 3, 5]), tensor([2, 3, 4, 0, 1]))
    """
    if isinstance(rows, slice) and rows.step in (None, 1):
        start, stop, _ = rows.indices(len(starts) - 1)
        own = starts[start : max(start, stop) + 1]
        return own - own[0], slice(int(own[0]), int(own[-1]))
    begins = starts[:-1][rows]
    lengths = starts[1:][rows] - begins
    own = lengths.new_zeros(len(lengths) + 1)
    torch.cumsum(lengths, 0, out=own[1:])
    # The k-th entry of the result lies `k - own[row]` behind the start of its row.
    n_entries = int(own[-1])
    entries = torch.arange(n_entries, device=starts.device)
    entries += (begins - own[:-1]).repeat_interleave(lengths, output_size=n_entries)
    return own, entries


@dataclass(frozen=True)
class CSRParts:
    """The rows of a sparse matrix in compressed form.

    Parameters
    ----------
    indptr : Tensor of shape (n_rows + 1,), int64
        Where each row begins in `indices`. It always stays on the host: cutting rows
        out needs their lengths, and reading those from a GPU would stall it.
    indices : Tensor of shape (n_nonzero,), int64
        Column of each stored value.
    values : Tensor of shape (n_nonzero,), float32
        The stored values.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: Tensor | slice) -> CSRParts:
        if not isinstance(rows, slice):
            rows = rows.to("cpu")
        indptr, span = take_runs(self.indptr, rows)
        if not isinstance(span, slice):
            span = span.to(self.indices.device)
        return CSRParts(indptr, self.indices[span], self.values[span])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> CSRParts:
        """Return the parts with `indices` and `values` on `device`."""
        return replace(
            self,
            indices=self.indices.to(device, non_blocking=non_blocking),
            values=self.values.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> CSRParts:
        """Return the parts in page-locked host memory."""
        return replace(
            self, indices=self.indices.pin_memory(), values=self.values.pin_memory()
        )

    @property
    def nbytes(self) -> int:
        """Size on the device in bytes."""
        return self.indices.nbytes + self.values.nbytes


@dataclass(frozen=True)
class TableTensors:
    """A table as a network takes it.

    Parameters
    ----------
    numbers : Tensor of shape (n_rows, n_numbers), float32
        Robustly scaled numbers. NaN marks a missing value and occurs only in the
        columns that had missing values when the encoder was fitted.
    ids : Tensor of shape (n_rows, n_id_columns), int32
        One id per categorical, remembered or crossed column. The columns share one
        id space: the ids of column `j` begin at `TableEncoder.id_offsets_[j]`.
    csr : CSRParts or None, default=None
        The stored values of sparse input, or the hashed n-grams of text columns.

    See Also
    --------
    TableEncoder : Makes them from a DataFrame, an array or a sparse matrix.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.tables import TableTensors
    >>> table = TableTensors(torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.int32))
    >>> table
    TableTensors(n_rows=3, numbers=2, ids=1, csr=None, device=cpu)
    >>> len(table[:2])
    2
    """

    numbers: Tensor
    ids: Tensor
    csr: CSRParts | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Tensor | slice) -> TableTensors:
        """Take the rows of a slice (as views) or of an index tensor (as copies)."""
        csr = None if self.csr is None else self.csr[rows]
        return TableTensors(self.numbers[rows], self.ids[rows], csr)

    def __repr__(self) -> str:
        csr = None if self.csr is None else f"{len(self.csr.values)} values"
        return (
            f"TableTensors(n_rows={len(self)}, numbers={self.numbers.shape[1]}, "
            f"ids={self.ids.shape[1]}, csr={csr}, device={self.numbers.device})"
        )

    def inputs(self) -> dict[str, Tensor]:
        """Return the keyword arguments of a module's `forward`.

        Returns
        -------
        inputs : dict of str to Tensor
            `numbers` and `ids`; with sparse parts also `indices`, `values` and
            `offsets` (n_rows,), as `torch.nn.functional.embedding_bag` takes them.
        """
        inputs = {"numbers": self.numbers, "ids": self.ids}
        if self.csr is not None:
            device = self.csr.indices.device
            inputs["indices"] = self.csr.indices
            inputs["values"] = self.csr.values
            inputs["offsets"] = self.csr.indptr[:-1].to(device, non_blocking=True)
        return inputs

    def to(
        self, device: torch.device | str, *, non_blocking: bool = False
    ) -> TableTensors:
        """Return the table on `device`."""
        csr = self.csr
        return TableTensors(
            self.numbers.to(device, non_blocking=non_blocking),
            self.ids.to(device, non_blocking=non_blocking),
            None if csr is None else csr.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> TableTensors:
        """Return the table in page-locked host memory, from which copies overlap."""
        return TableTensors(
            self.numbers.pin_memory(),
            self.ids.pin_memory(),
            None if self.csr is None else self.csr.pin_memory(),
        )

    @property
    def nbytes(self) -> int:
        """Size on the device in bytes."""
        sparse = 0 if self.csr is None else self.csr.nbytes
        return self.numbers.nbytes + self.ids.nbytes + sparse
