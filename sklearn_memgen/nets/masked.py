"""Nets that learn to fill in what was masked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sklearn_memgen.nets.body import TableBody

__all__ = ["MaskedArrayNet", "MaskedTableNet", "draw_mask"]

#: The unknown and the missing id, with which the ids of each column begin.
_N_SPECIAL = 2


def draw_mask(
    shape: Sequence[int],
    rate: float,
    *,
    device: torch.device | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw which cells are masked, each with the probability `rate`."""
    return torch.rand(tuple(shape), generator=generator, device=device) < rate


class _MaskedNet(nn.Module):
    """What nets of tables and of arrays share.

    Parameters
    ----------
    body : Module
        Maps its inputs to features of shape (batch, n_features).
    n_features : int
        Number of features.
    n_outputs : int
        Number of outputs of the linear decoder.
    mask_rate : float
        Probability of a cell to be masked.
    """

    def __init__(
        self, body: nn.Module, n_features: int, n_outputs: int, mask_rate: float
    ) -> None:
        super().__init__()
        self.body = body
        self.mask_rate = mask_rate
        self.decoder = nn.Linear(n_features, n_outputs)

    def optimizer_groups(self) -> dict[str, list[Tensor]]:
        """Name the parameters that have an optimizer of their own: those of the body.

        Returns
        -------
        groups : dict of str to list of Parameter
            See `WideDeep.optimizer_groups`.
        """
        return getattr(self.body, "optimizer_groups", dict)()


class MaskedTableNet(_MaskedNet):
    r"""Predict masked cells of a table from the other cells of the row.

    A masked category has the unknown id of its column, a masked number is missing. The
    net is its own loss, as its inputs are its targets: with `masked` among the inputs
    `forward` returns the loss of each row.

    Parameters
    ----------
    body : TableBody
        The body. Its numbers must all have a flag for missing ones.
    id_offsets : sequence of int of length n_id_columns + 1
        Where the ids of each id column begin, and the number of ids. The first two of
        each column are the unknown and the missing one, which are no targets.
    number_edges : sequence of sequence of float, of length n_numbers
        Ascending inner edges of the bins to predict of each number, in scaled units. A
        number without edges is no target.
    number_cells, id_cells : sequence of int
        Which column of the table each number and each id column belongs to, from 0:
        what a date or a number goes in by is masked together.
    mask_rate : float
        Probability of a cell to be masked.

    Notes
    -----
    The loss of masked cell :math:`j` is :math:`-\log p_j(t)`, of a softmax over the ids
    or bins of its column alone. Cells that are not masked, and those whose value is
    missing or unknown, have no loss.

    References
    ----------
    .. [1] Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
       Language Understanding", 2019, https://arxiv.org/abs/1810.04805

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.nets import MaskedTableNet, TableBody
    >>> body = TableBody(bin_edges=[[-1.0, 1.0]], missing=[True], id_offsets=[0, 4],
    ...                  hidden_layer_sizes=(8,))
    >>> net = MaskedTableNet(body, id_offsets=[0, 4], number_edges=[[0.0]],
    ...                      number_cells=[0], id_cells=[1], mask_rate=0.5)
    >>> numbers, ids = torch.zeros(3, 1), torch.full((3, 1), 2)
    >>> masked = torch.tensor([[False, True], [True, True], [False, False]])
    >>> (net(numbers, ids, masked=masked) > 0).tolist()
    [True, True, False]
    """

    body: TableBody
    columns: Tensor  # (n_logits,): the target column of each logit
    starts: Tensor  # (n_targets,): the first logit of each target column
    edges: Tensor  # (n_numbers, n_edges): filled up by infinity
    cells: Tensor  # (n_targets,): the cell of each target column
    is_open: Tensor  # (n_targets,): whether there are two bins or values at least

    def __init__(
        self,
        body: TableBody,
        *,
        id_offsets: Sequence[int],
        number_edges: Sequence[Sequence[float]],
        number_cells: Sequence[int],
        id_cells: Sequence[int],
        mask_rate: float,
    ) -> None:
        offsets = torch.tensor(list(id_offsets))
        n_bins = torch.tensor([len(e) + 1 for e in number_edges], dtype=torch.int64)
        sizes = torch.cat([n_bins, offsets.diff()])
        super().__init__(body, body.n_features, int(sizes.sum()), mask_rate)
        self.n_cells = max([*number_cells, *id_cells]) + 1
        edges = torch.full(
            (len(number_edges), max(map(len, number_edges), default=0)), torch.inf
        )
        for row, values in zip(edges, number_edges, strict=True):
            row[: len(values)] = torch.tensor(list(values))
        self.register_buffer("edges", edges)
        is_open = torch.cat([n_bins > 1, offsets.diff() > _N_SPECIAL + 1])
        self.register_buffer("is_open", is_open)
        self.register_buffer("cells", torch.tensor([*number_cells, *id_cells]))
        self.register_buffer("starts", sizes.cumsum(0) - sizes)
        columns = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        self.register_buffer("columns", columns)

    def draw_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a batch's inputs with the mask of its cells, for training."""
        ids = inputs["ids"]
        shape = (len(ids), self.n_cells)
        return inputs | {"masked": draw_mask(shape, self.mask_rate, device=ids.device)}

    def forward(
        self,
        numbers: Tensor,
        ids: Tensor,
        *sparse: Tensor,
        masked: Tensor | None = None,
        **named: Tensor,
    ) -> Tensor:
        """Return the losses, or without a mask the features.

        Parameters
        ----------
        numbers, ids, *sparse, **named
            See `WideDeep.forward`.
        masked : Tensor of shape (batch, n_cells), bool, optional
            The cells to predict.

        Returns
        -------
        losses or features : Tensor of shape (batch,) or (batch, n_features)
            The sums of the losses of each row's masked cells, in nats, over the mean
            number of masked cells a row. So their mean is that of all masked cells.
        """
        if masked is None:
            return self.body(numbers, ids, *sparse, **named)
        masked = masked[:, self.cells]  # (batch, n_targets)
        n_numbers = numbers.shape[1]
        features = self.body(
            numbers.masked_fill(masked[:, :n_numbers], torch.nan),
            torch.where(masked[:, n_numbers:], self.body.unknown_ids, ids),
            *sparse,
            **named,
        )
        targets, there = self.targets(numbers, ids)
        losses = self._cell_losses(self.decoder(features).float(), targets)
        return _row_losses(losses, masked & there)

    def predict_only(self, cells: Sequence[int]) -> None:
        """Leave all but some cells out of the loss; all are masked as before.

        Parameters
        ----------
        cells : sequence of int
            The cells that remain.
        """
        chosen = torch.tensor(list(cells), device=self.cells.device)
        self.is_open = self.is_open & torch.isin(self.cells, chosen)

    def targets(self, numbers: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is to be predicted, and where there is something.

        Returns
        -------
        targets : Tensor of shape (batch, n_targets), int64
            Bins of the numbers and ids within their columns.
        there : Tensor of shape (batch, n_targets), bool
            False for missing and unknown values, and in columns of a single value.
        """
        bins = (numbers[:, :, None] > self.edges).sum(2)  # 0 where missing
        codes = ids - self.body.unknown_ids
        there = torch.cat([~numbers.isnan(), codes >= _N_SPECIAL], dim=1)
        return torch.cat([bins, codes.long()], dim=1), there & self.is_open

    def _cell_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each cell, shape (batch, n_targets)."""
        index = self.columns.expand(len(logits), -1)
        # A softmax over the logits of each column: their largest, then the sum.
        peaks = torch.full_like(targets, -torch.inf, dtype=logits.dtype)
        peaks = peaks.scatter_reduce(1, index, logits.detach(), "amax")
        powers = (logits - peaks[:, self.columns]).exp()
        sums = torch.zeros_like(peaks).index_add(1, self.columns, powers)
        return peaks + sums.log() - logits.gather(1, self.starts + targets)


class MaskedArrayNet(_MaskedNet):
    """Reconstruct masked entries of an array from its other entries.

    A masked entry is 0. The loss is the squared error. The net is its own loss; see
    `MaskedTableNet`.

    Parameters
    ----------
    body : Module
        Maps an array of shape (batch, ...) to features of shape (batch, n_features).
    n_features : int
        Number of features.
    n_entries : int
        Number of entries of an array of one row.
    mask_rate : float
        Probability of an entry to be masked.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.nets import MaskedArrayNet
    >>> net = MaskedArrayNet(torch.nn.Flatten(), 4, 4, mask_rate=0.5)
    >>> net(torch.ones(3, 2, 2), masked=torch.ones(3, 2, 2, dtype=torch.bool)).shape
    torch.Size([3])
    """

    def __init__(
        self, body: nn.Module, n_features: int, n_entries: int, mask_rate: float
    ) -> None:
        super().__init__(body, n_features, n_entries, mask_rate)

    def draw_inputs(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return a batch's inputs with the mask of their entries, for training."""
        masked = draw_mask(inputs.shape, self.mask_rate, device=inputs.device)
        return {"x": inputs, "masked": masked}

    def forward(self, x: Tensor, *, masked: Tensor | None = None) -> Tensor:
        """Return the losses, or without a mask the features; see `MaskedTableNet`."""
        if masked is None:
            return self.body(x)
        rebuilt = self.decoder(self.body(x.masked_fill(masked, 0))).float()
        errors = (rebuilt - x.flatten(1)).square()
        return _row_losses(errors, masked.flatten(1))


def _row_losses(losses: Tensor, counted: Tensor) -> Tensor:
    """Return rows' sums of the losses that count, over their mean number a row."""
    mean = counted.sum(dtype=losses.dtype).clamp(min=1) / len(losses)
    return torch.where(counted, losses, 0).sum(1) / mean
