"""The deep part: embeddings, piecewise-linear numbers and a multi-layer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_memgen.nets.lookup import BinTable
from sklearn_memgen.nets.members import JoinMembers, MemberLinear, SplitMembers

__all__ = ["DeepPart", "NumberInput", "squash", "with_unknown_ids"]

#: Tables of more weights than this get sparse gradients: a step then costs what the
#: batch touches. Below, dense gradients and a fused optimizer are faster.
SPARSE_FROM = 2**18
#: From so many bins on, looking two rows a column up is faster than multiplying.
_MANY_BINS = 256


def squash(numbers: Tensor) -> Tensor:
    """Bend scaled numbers smoothly into (-3, 3), so that no outlier rules a layer."""
    return numbers * torch.rsqrt(1 + (numbers / 3).square())


def with_unknown_ids(
    inputs: dict[str, Tensor], unknown_ids: Tensor, rate: float
) -> dict[str, Tensor]:
    """Put the unknown ids of their columns in the place of a share of the ids."""
    ids = inputs["ids"]
    if not rate or not ids.shape[1]:
        return inputs
    masked = torch.rand(ids.shape, device=ids.device) < rate
    return inputs | {"ids": torch.where(masked, unknown_ids, ids)}


class NumberInput(nn.Module):
    r"""Scaled numbers as the features of a layer: squashed, by bins, and missing flags.

    Parameters
    ----------
    bin_edges : sequence of sequence of float
        Ascending edges of each column's bins, in scaled units. A column with fewer
        than two edges has no bins.
    missing : sequence of bool
        Which columns may hold NaN; each has a flag.
    bins : bool, default=True
        Whether to add the bins. Without them the output is what a linear model needs.

    Notes
    -----
    With edges :math:`b_0 < ... < b_T` a number :math:`x` becomes T features,
    :math:`\min(1, \max(0, (x - b_{t-1}) / (b_t - b_{t-1})))`, after
    Gorishniy et al. (2022), "On Embeddings for Numerical Features in Tabular Deep
    Learning". A missing number has zeros everywhere but in its flag.
    """

    columns: Tensor  # (n_bins,): the column of each bin,
    lefts: Tensor  # (n_bins,): its left edge,
    slopes: Tensor  # (n_bins,): and one over its width
    flagged: Tensor  # (n_flags,): the columns that have a flag

    def __init__(
        self,
        bin_edges: Sequence[Sequence[float]],
        missing: Sequence[bool],
        *,
        bins: bool = True,
    ) -> None:
        super().__init__()
        columns, lefts, widths = [], [], []
        for column, edges in enumerate(bin_edges if bins else ()):
            for left, right in itertools.pairwise(edges):
                columns.append(column)
                lefts.append(float(left))
                widths.append(float(right) - float(left))
        flagged = [column for column, flag in enumerate(missing) if flag]
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64))
        self.register_buffer("lefts", torch.tensor(lefts))
        self.register_buffer("slopes", 1 / torch.tensor(widths))
        self.register_buffer("flagged", torch.tensor(flagged, dtype=torch.int64))
        self.n_outputs = len(missing) + len(columns) + len(flagged)

    @property
    def n_unbinned(self) -> int:
        """Number of outputs before the bins."""
        return self.n_outputs - len(self.columns)

    def forward(self, numbers: Tensor, *, bins: bool = True) -> Tensor:
        """Map (batch, n_numbers) to (batch, n_outputs), or to those before the bins."""
        features = []
        if len(self.flagged):
            flags = torch.isnan(numbers)  # (batch, n_numbers)
            numbers = numbers.nan_to_num()
            features.append(flags[:, self.flagged].to(numbers.dtype))
        features.append(squash(numbers))
        if bins and len(self.columns):
            filled = (numbers[:, self.columns] - self.lefts) * self.slopes
            filled = filled.clamp(0, 1)  # (batch, n_bins)
            if len(self.flagged):
                filled = filled.masked_fill(flags[:, self.columns], 0)
            features.append(filled)
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)


class DeepPart(nn.Module):
    """Embeddings and numbers, concatenated, through a multi-layer perceptron.

    Parameters
    ----------
    n_outputs : int
        Number of logits.
    bin_edges, missing
        See `NumberInput`.
    n_ids : int
        Number of ids of all columns together.
    n_id_columns : int
        Number of id columns; they are the first of `ids` in `forward`.
    n_sparse_features : int
        Width of the sparse part.
    hidden_layer_sizes : sequence of int
        Units of each hidden layer.
    embedding_dim : int
        Dimensions of an id's embedding; a sparse feature's has four times as many.
    dropout : float
        Share of hidden units that are zeroed at random in training.
    n_members : int, default=1
        Number of perceptrons, over the same embeddings.
    """

    def __init__(
        self,
        n_outputs: int,
        *,
        bin_edges: Sequence[Sequence[float]],
        missing: Sequence[bool],
        n_ids: int,
        n_id_columns: int,
        n_sparse_features: int,
        hidden_layer_sizes: Sequence[int],
        embedding_dim: int,
        dropout: float,
        n_members: int = 1,
    ) -> None:
        super().__init__()
        self.n_id_columns = n_id_columns
        self.numbers = NumberInput(bin_edges, missing)
        n_inputs = self.numbers.n_outputs + n_id_columns * embedding_dim
        self.embedding = None
        if n_id_columns:
            sparse = n_ids * embedding_dim > SPARSE_FROM
            self.embedding = nn.Embedding(n_ids, embedding_dim, sparse=sparse)
            nn.init.normal_(self.embedding.weight, std=0.1)
        self.bag = None
        if n_sparse_features:
            width = 4 * embedding_dim
            sparse = n_sparse_features * width > SPARSE_FROM
            self.bag = nn.EmbeddingBag(
                n_sparse_features, width, mode="sum", sparse=sparse
            )
            # From zero, so that a feature never seen in training adds nothing.
            nn.init.zeros_(self.bag.weight)
            n_inputs += width
        self.layers = _perceptrons(
            [n_inputs, *hidden_layer_sizes, n_outputs], dropout, n_members
        )
        self._kept: tuple[list[Tensor], BinTable] | None = None

    def forward(
        self,
        numbers: Tensor,
        ids: Tensor,
        indices: Tensor | None = None,
        values: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Return the logits; see `WideDeep.forward`."""
        embedded = self._embed(ids, indices, values, offsets)
        return self.layers(torch.cat([self.numbers(numbers), *embedded], dim=1))

    def fast_forward(
        self,
        numbers: Tensor,
        ids: Tensor,
        indices: Tensor | None = None,
        values: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Return what `forward` does, but for rounding, for prediction on a CPU.

        The first layer looks its products with the bins up instead of computing them.
        """
        return self.later_layers(
            self.first_layer(numbers, ids, indices, values, offsets)
        )

    def first_layer(
        self,
        numbers: Tensor,
        ids: Tensor,
        indices: Tensor | None = None,
        values: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Return what the first layer does, shape (batch, n_members * n_units)."""
        first: Any = self.layers[0]
        embedded = self._embed(ids, indices, values, offsets)
        n_bins = len(self.numbers.columns)
        if n_bins < _MANY_BINS or numbers.device.type != "cpu":
            return first(torch.cat([self.numbers(numbers), *embedded], dim=1))
        begin = self.numbers.n_unbinned
        end = begin + n_bins
        # Of the weight (n_units, n_unbinned + n_bins + n_embedded) all but the bins'.
        rest = torch.cat([first.weight[:, :begin], first.weight[:, end:]], dim=1)
        features = torch.cat([self.numbers(numbers, bins=False), *embedded], dim=1)
        hidden = F.linear(features, rest, first.bias)
        hidden += self._bin_table(first.weight, begin, end)(numbers)
        return hidden

    @property
    def number_weights(self) -> Tensor:
        """The first layer's weights of flags and squashed numbers, before the bins."""
        first: Any = self.layers[0]
        return first.weight[:, : self.numbers.n_unbinned]

    def later_layers(self, hidden: Tensor) -> Tensor:
        """Return the logits from what the first layer returned."""
        for layer in itertools.islice(self.layers, 1, None):
            hidden = layer(hidden)
        return hidden

    def linear_layers(self) -> list[nn.Linear | MemberLinear]:
        """Return the layers that have weights, in order."""
        linear = (nn.Linear, MemberLinear)
        return [layer for layer in self.layers if isinstance(layer, linear)]

    def last_parameters(self) -> list[Tensor]:
        """Return the weights and biases of the last layer."""
        return list(self.linear_layers()[-1].parameters())

    def _embed(
        self,
        ids: Tensor,
        indices: Tensor | None,
        values: Tensor | None,
        offsets: Tensor | None,
    ) -> list[Tensor]:
        """Return the embeddings of the ids and of the sparse part, if there are any."""
        features = []
        if self.embedding is not None:
            embedded = self.embedding(ids[:, : self.n_id_columns])
            features.append(embedded.flatten(1))  # (batch, n_id_columns * dim)
        if self.bag is not None:
            features.append(self.bag(indices, offsets, per_sample_weights=values))
        return features

    def _bin_table(self, weight: Tensor, begin: int, end: int) -> BinTable:
        """Return the table of the first layer, made anew if its weight has changed."""
        bins = (self.numbers.columns, self.numbers.lefts, self.numbers.slopes)
        sources = (*bins, weight)
        # Compared value by value: fused optimizers change weights without a trace.
        if self._kept is None or not all(map(torch.equal, self._kept[0], sources)):
            table = BinTable(*bins, weight[:, begin:end].T)
            self._kept = [source.clone() for source in sources], table
        return self._kept[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be made again."""
        return {**self.__dict__, "_kept": None}

    def sparse_parameters(self) -> list[Tensor]:
        """Return the parameters whose gradients are sparse."""
        tables = [self.embedding, self.bag]
        return [table.weight for table in tables if table is not None and table.sparse]


def _perceptrons(sizes: list[int], dropout: float, n_members: int) -> nn.Sequential:
    """Make multi-layer perceptrons of the same sizes and inputs.

    Their first layers are one wide layer, which multiplies the inputs once for all.
    """
    layers: list[nn.Module] = []
    for depth, (n_inputs, n_units) in enumerate(itertools.pairwise(sizes)):
        if depth == 0:
            layers.append(nn.Linear(n_inputs, n_members * n_units))
        elif n_members == 1:
            layers.append(nn.Linear(n_inputs, n_units))
        else:
            layers.append(MemberLinear(n_members, n_inputs, n_units))
        if depth < len(sizes) - 2:
            layers.append(nn.ReLU(inplace=True))
            if dropout:
                layers.append(nn.Dropout(dropout))
        if depth == 0 and n_members > 1:
            layers.append(SplitMembers(n_members))
    if n_members > 1:
        layers.append(JoinMembers())
    return nn.Sequential(*layers)
