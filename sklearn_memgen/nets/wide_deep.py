"""Wide and deep, joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_memgen.nets.deep import (
    SPARSE_FROM,
    DeepPart,
    NumberInput,
    with_unknown_ids,
)

__all__ = ["WideDeep", "WidePart", "add_logits"]

#: The same for the weights of ids. FTRL takes a dense step on 2**16 weights in 1.3 to
#: 1.6 times the time of a sparse one, on 2**14 in 0.9. Text touches many more weights.
_WIDE_SPARSE_FROM = 2**16


class WidePart(nn.Module):
    """A linear model: one weight an id and class, and a linear term on the numbers.

    Parameters
    ----------
    n_outputs : int
        Number of logits.
    missing : sequence of bool of length n_numbers
        Which number columns may hold NaN.
    n_ids : int
        Number of ids of all columns together.
    n_sparse_features : int
        Width of the sparse part.
    """

    def __init__(
        self,
        n_outputs: int,
        *,
        missing: Sequence[bool],
        n_ids: int,
        n_sparse_features: int,
    ) -> None:
        super().__init__()
        self.numbers = NumberInput([()] * len(missing), missing, bins=False)
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        self.slopes = nn.Parameter(torch.zeros(self.numbers.n_outputs, n_outputs))
        self.ids = _weights(n_ids, n_outputs, sparse_from=_WIDE_SPARSE_FROM)
        self.bag = _weights(n_sparse_features, n_outputs, sparse_from=SPARSE_FROM)

    def forward(
        self,
        numbers: Tensor,
        ids: Tensor,
        indices: Tensor | None = None,
        values: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Return the logits, shape (batch, n_outputs); see `WideDeep.forward`."""
        logits = self.numbers(numbers) @ self.slopes + self.bias
        if self.ids is not None and self.ids.sparse:
            logits = logits + self.ids(ids)
        elif self.ids is not None:
            # The same sum, as vmap can compute it for many nets at once.
            logits = logits + F.embedding(ids, self.ids.weight).sum(1)
        if self.bag is not None:
            logits = logits + self.bag(indices, offsets, per_sample_weights=values)
        return logits

    def tables(self) -> list[Tensor]:
        """Return the weights of the ids and of the sparse part, where there are any."""
        return [table.weight for table in (self.ids, self.bag) if table is not None]


def _weights(
    n_rows: int, n_outputs: int, *, sparse_from: int
) -> nn.EmbeddingBag | None:
    if n_rows == 0:
        return None
    sparse = n_rows * n_outputs > sparse_from
    table = nn.EmbeddingBag(n_rows, n_outputs, mode="sum", sparse=sparse)
    nn.init.zeros_(table.weight)
    return table


class WideDeep(nn.Module):
    r"""A linear model that memorizes and a deep net that generalizes, trained jointly.

    Parameters
    ----------
    n_outputs : int
        Number of logits: 1 for two classes, else one a class.
    bin_edges : sequence of sequence of float, of length n_numbers
        Edges of the piecewise-linear bins of each number column.
    missing : sequence of bool of length n_numbers
        Which number columns may hold NaN.
    id_offsets : sequence of int of length n_id_columns + 1
        Where the ids of each id column begin, and the number of ids.
    n_deep_id_columns : int
        The first so many id columns go into the deep part, too; the rest are crosses.
    n_sparse_features : int, default=0
        Width of the sparse part.
    hidden_layer_sizes : sequence of int, default=(128, 128)
        Units of the deep part's hidden layers; none leaves it out.
    embedding_dim : int, default=8
        Dimensions of an id's embedding.
    dropout : float, default=0.0
        Share of hidden units zeroed at random in training.
    wide : bool, default=True
        Whether there is a wide part.
    unknown_rate : float, default=0.0
        Share of ids that are replaced at random, in training, by the unknown id of
        their column, so that it is trained as well; see `draw_inputs`.
    n_members : int, default=1
        Number of perceptrons in the deep part. They share embeddings and the wide part.

    Notes
    -----
    .. math:: z(x) = w^T [x, \phi(x)] + W a(x) + b

    with the ids and numbers :math:`x`, their crosses :math:`\phi(x)` and the deep
    part's last activations :math:`a(x)`: eq. 3 of Cheng et al. (2016), "Wide & Deep
    Learning for Recommender Systems". Both parts learn from the one loss.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.nets import WideDeep
    >>> net = WideDeep(1, bin_edges=[[-1.0, 0.0, 1.0]], missing=[False],
    ...                id_offsets=[0, 4, 9], n_deep_id_columns=1)
    >>> net(torch.zeros(5, 1), torch.tensor([[1, 5]] * 5)).shape
    torch.Size([5, 1])
    """

    unknown_ids: Tensor  # (n_id_columns,): the unknown id of each column

    def __init__(
        self,
        n_outputs: int,
        *,
        bin_edges: Sequence[Sequence[float]],
        missing: Sequence[bool],
        id_offsets: Sequence[int],
        n_deep_id_columns: int,
        n_sparse_features: int = 0,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        embedding_dim: int = 8,
        dropout: float = 0.0,
        wide: bool = True,
        unknown_rate: float = 0.0,
        n_members: int = 1,
    ) -> None:
        super().__init__()
        self.unknown_rate = unknown_rate
        self.id_offsets = list(id_offsets)
        unknown = torch.tensor(list(id_offsets[:-1]), dtype=torch.int32)
        self.register_buffer("unknown_ids", unknown)
        self.wide = None
        if wide:
            self.wide = WidePart(
                n_outputs,
                missing=missing,
                n_ids=int(id_offsets[-1]),
                n_sparse_features=n_sparse_features,
            )
        self.deep = None
        if len(hidden_layer_sizes):
            self.deep = DeepPart(
                n_outputs,
                bin_edges=bin_edges,
                missing=missing,
                n_ids=int(id_offsets[n_deep_id_columns]),
                n_id_columns=n_deep_id_columns,
                n_sparse_features=n_sparse_features,
                hidden_layer_sizes=hidden_layer_sizes,
                embedding_dim=embedding_dim,
                dropout=dropout,
                n_members=n_members,
            )

    def forward(
        self,
        numbers: Tensor,
        ids: Tensor,
        indices: Tensor | None = None,
        values: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        numbers : Tensor of shape (batch, n_numbers), float
            Scaled numbers, NaN where missing.
        ids : Tensor of shape (batch, n_id_columns), int
            Ids in the space that all columns share.
        indices, values : Tensor of shape (n_nonzero,), optional
            Columns and values of the sparse part, row after row.
        offsets : Tensor of shape (batch,), int, optional
            Where each row begins in `indices` and `values`.

        Returns
        -------
        logits : Tensor of shape (batch, n_outputs) or (batch, n_members, n_outputs)
            The sum of both parts' logits, for each of several members.
        """
        inputs = (numbers, ids, indices, values, offsets)
        deep = None if self.deep is None else self.deep(*inputs)
        return add_logits(deep, None if self.wide is None else self.wide(*inputs))

    @property
    def draws_inputs(self) -> bool:
        """Whether `draw_inputs` draws anything."""
        return bool(self.unknown_rate and len(self.unknown_ids))

    def draw_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a batch's inputs with unknown ids at random, for training.

        It is not part of `forward`, so that nets that are computed together can draw
        each for itself.
        """
        return with_unknown_ids(inputs, self.unknown_ids, self.unknown_rate)

    def fast_forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Return what `forward` does, but for rounding, for prediction on a CPU."""
        if self.deep is None:
            return self(*inputs, **named)
        deep = self.deep.fast_forward(*inputs, **named)
        return add_logits(
            deep, None if self.wide is None else self.wide(*inputs, **named)
        )

    @torch.no_grad()
    def scale_logits(self, factor: float) -> None:
        """Multiply all logits, by the weights that they are linear in."""
        linear: list[Tensor] = []
        if self.wide is not None:
            linear += self.wide.parameters()
        if self.deep is not None:
            linear += self.deep.last_parameters()
        for parameter in linear:
            parameter.mul_(factor)

    def id_tables(self) -> list[str]:
        """Name the parameters that have a row for each id, of all or the first columns.

        Returns
        -------
        names : list of str
            As in `named_parameters`.
        """
        tables = {"wide.ids.weight", "deep.embedding.weight"}
        return [name for name, _ in self.named_parameters() if name in tables]

    def optimizer_groups(self) -> dict[str, list[Tensor]]:
        """Name the parameters that have an optimizer of their own.

        Returns
        -------
        groups : dict of str to list of Parameter
            "wide": the weights of ids and sparse features, for an optimizer that
            keeps them few; "sparse": the embeddings whose gradients are sparse. All
            other parameters belong to the main optimizer.
        """
        return {
            "wide": [] if self.wide is None else self.wide.tables(),
            "sparse": [] if self.deep is None else self.deep.sparse_parameters(),
        }


def add_logits(deep: Tensor | None, wide: Tensor | None) -> Tensor:
    """Add the wide part's logits to those of the deep part, or of each member."""
    if deep is None:
        return cast(Tensor, wide)  # there is one of them at least
    if wide is None:
        return deep
    return deep + (wide if deep.ndim == 2 else wide[:, None])
