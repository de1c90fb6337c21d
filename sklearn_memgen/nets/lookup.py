"""A layer over piecewise-linear numbers, looked up instead of multiplied."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BinTable"]


class BinTable:
    r"""The product of piecewise-linear bins and a weight matrix, as a table.

    Parameters
    ----------
    columns, lefts, slopes : Tensor of shape (n_bins,)
        Column, left edge and inverse width of each bin, column after column.
    weight : Tensor of shape (n_bins, n_units)
        The matrix.

    Notes
    -----
    A number in bin :math:`t` of its column fills the bins before :math:`t`, a share
    :math:`f` of bin :math:`t`, and none behind it. Its product with the weights is
    :math:`\sum_{s<t} w_s + f w_t`: a sum over two rows of a table instead of one over
    all bins. The running sums are made in float64, so that the result differs from the
    product by no more than the rounding of float32.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.nets import NumberInput
    >>> from sklearn_memgen.nets.lookup import BinTable
    >>> bins = NumberInput([[0.0, 1.0, 3.0]], [False])
    >>> weight = torch.tensor([[10.0], [100.0]])
    >>> table = BinTable(bins.columns, bins.lefts, bins.slopes, weight)
    >>> numbers = torch.tensor([[-1.0], [0.5], [1.0], [2.0], [9.0]])
    >>> table(numbers).flatten().tolist()
    [0.0, 5.0, 10.0, 60.0, 110.0]
    """

    def __init__(
        self, columns: Tensor, lefts: Tensor, slopes: Tensor, weight: Tensor
    ) -> None:
        self.lefts, self.slopes = lefts, slopes
        self.binned, counts = torch.unique_consecutive(columns, return_counts=True)
        self.starts = counts.cumsum(0) - counts  # the first bin of each column
        self.last = counts - 1
        rank = torch.arange(len(columns)) - self.starts.repeat_interleave(counts)
        self.edges = torch.full((len(counts), int(counts.max())), torch.inf)
        row = torch.arange(len(counts)).repeat_interleave(counts)
        self.edges[row, rank] = lefts
        exact = weight.double()
        before = exact.cumsum(0) - exact
        before -= before[self.starts].repeat_interleave(counts, dim=0)
        # Row 2 t has the bins before t, row 2 t + 1 bin t itself.
        self.table = torch.stack([before, exact], dim=1).flatten(0, 1).float()

    def __call__(self, numbers: Tensor) -> Tensor:
        """Map (batch, n_numbers), NaN where missing, to (batch, n_units)."""
        numbers = numbers[:, self.binned]
        found = torch.searchsorted(self.edges, numbers.T.contiguous(), right=True)
        # NaN is found behind all edges; (batch, n_binned)
        bins = (found.T - 1).clamp_(min=0).minimum(self.last) + self.starts
        shares = ((numbers - self.lefts[bins]) * self.slopes[bins]).clamp_(0, 1)
        missing = torch.isnan(shares)
        bins = torch.where(missing, self.starts, bins)  # before which there is none
        shares = shares.masked_fill_(missing, 0)
        rows = torch.cat([2 * bins, 2 * bins + 1], dim=1)
        weights = torch.cat([torch.ones_like(shares), shares], dim=1)
        return F.embedding_bag(rows, self.table, mode="sum", per_sample_weights=weights)
