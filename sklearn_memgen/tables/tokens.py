"""Texts as a network takes them: sub-word tokens of rows of different length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from sklearn_memgen.tables.tensors import take_runs

__all__ = ["TokenTensors"]


@dataclass(frozen=True)
class TokenTensors:
    """Sub-word tokens of texts, back to back, which are padded batch by batch.

    Parameters
    ----------
    ids : Tensor of shape (n_tokens,), int32
        The ids of all rows, those of special tokens among them.
    starts : Tensor of shape (n_rows + 1,), int64
        Where each row begins in `ids`; the last entry is `n_tokens`.
    padding_id : int
        The id that fills shorter rows of a batch.
    marked : Tensor of shape (n_tokens,), bool, default=None
        Which tokens carry a label.
    types : Tensor of shape (n_tokens,), uint8, default=None
        Which text of a pair each token is of.

    See Also
    --------
    TextEncoder, TokenEncoder : Make them from texts, and from lists of words.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.tables.tokens import TokenTensors
    >>> ids = torch.tensor([2, 8, 3, 2, 3, 2, 9, 9, 3], dtype=torch.int32)
    >>> tokens = TokenTensors(ids, torch.tensor([0, 3, 5, 9]), padding_id=0)
    >>> tokens
    TokenTensors(n_rows=3, n_tokens=9, marked=None, device=cpu)
    >>> tokens[:2].inputs()["input_ids"]
    tensor([[2, 8, 3],
            [2, 3, 0]])
    """

    ids: Tensor
    starts: Tensor
    padding_id: int
    marked: Tensor | None = None
    types: Tensor | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: Tensor | slice) -> TokenTensors:
        """Take the rows of a slice (as views) or of an index tensor (as copies)."""
        starts, tokens = take_runs(self.starts, rows)
        return replace(self._mapped(lambda part: part[tokens]), starts=starts)

    def __repr__(self) -> str:
        marked = None if self.marked is None else int(self.marked.sum())
        return (
            f"TokenTensors(n_rows={len(self)}, n_tokens={len(self.ids)}, "
            f"marked={marked}, device={self.ids.device})"
        )

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> TokenTensors:
        """Change what there is one of a token."""
        return replace(
            self,
            ids=change(self.ids),
            marked=None if self.marked is None else change(self.marked),
            types=None if self.types is None else change(self.types),
        )

    @property
    def lengths(self) -> Tensor:
        """The number of tokens of each row, shape (n_rows,), int64."""
        return self.starts.diff()

    # The engine asks at each batch.
    @cached_property
    def n_targets(self) -> Tensor | None:
        """The number of marked tokens of each row, shape (n_rows,), int64."""
        if self.marked is None:
            return None
        before = self.starts.new_zeros(len(self.marked) + 1)
        torch.cumsum(self.marked, 0, out=before[1:])
        return before[self.starts].diff()

    def inputs(self) -> dict[str, Tensor]:
        """Return the keyword arguments of a module's `forward`.

        Returns
        -------
        inputs : dict of str to Tensor of shape (n_rows, longest)
            `input_ids` and `attention_mask`, int64, and where there are such
            `token_type_ids`, int64, and `marked`, bool. Rows are padded on the right
            to the longest of them.
        """
        lengths = self.lengths
        longest = int(lengths.max()) if len(self) else 0
        places = torch.arange(longest, device=lengths.device) < lengths[:, None]

        def padded(values: Tensor, filler: int | bool) -> Tensor:
            full = values.new_full(places.shape, filler)
            return full.masked_scatter_(places, values)

        inputs = {
            "input_ids": padded(self.ids.long(), self.padding_id),
            "attention_mask": places.long(),
        }
        if self.types is not None:
            inputs["token_type_ids"] = padded(self.types.long(), 0)
        if self.marked is not None:
            inputs["marked"] = padded(self.marked, False)
        return inputs

    def to(
        self, device: torch.device | str, *, non_blocking: bool = False
    ) -> TokenTensors:
        """Return the tokens on `device`."""
        moved = self._mapped(lambda part: part.to(device, non_blocking=non_blocking))
        return replace(moved, starts=self.starts.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TokenTensors:
        """Return the tokens in page-locked host memory, from which copies overlap."""
        pinned = self._mapped(lambda part: part.pin_memory())
        return replace(pinned, starts=self.starts.pin_memory())

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        parts = (self.ids, self.starts, self.marked, self.types)
        return sum(part.nbytes for part in parts if part is not None)
