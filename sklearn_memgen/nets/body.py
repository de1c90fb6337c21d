"""Bodies that turn inputs into features, and heads that turn these into logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_memgen.nets.deep import DeepPart, with_unknown_ids

__all__ = ["HeadedNet", "HeadedTableNet", "TableBody", "count_features", "draws_inputs"]


class TableBody(nn.Module):
    """Embeddings, numbers and hidden layers of a table, without a head.

    Parameters
    ----------
    bin_edges, missing, n_sparse_features
        See `WideDeep`.
    id_offsets : sequence of int of length n_id_columns + 1
        Where the ids of each id column begin, and the number of ids.
    hidden_layer_sizes : sequence of int, of one layer at least
        Units of each hidden layer; those of the last are the features.
    embedding_dim : int, default=8
        Dimensions of an id's embedding.
    dropout : float, default=0.0
        Share of hidden units that are zeroed at random in training.
    unknown_rate : float, default=0.0
        See `WideDeep`; it is for nets with a head.

    Attributes
    ----------
    n_features : int
        Number of features.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.nets import TableBody
    >>> body = TableBody(bin_edges=[[-1.0, 1.0]], missing=[False],
    ...                  id_offsets=[0, 4], hidden_layer_sizes=(16, 8))
    >>> body(torch.zeros(5, 1), torch.ones(5, 1, dtype=torch.int32)).shape
    torch.Size([5, 8])
    """

    unknown_ids: Tensor  # (n_id_columns,): the unknown id of each column

    def __init__(
        self,
        *,
        bin_edges: Sequence[Sequence[float]],
        missing: Sequence[bool],
        id_offsets: Sequence[int],
        n_sparse_features: int = 0,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        embedding_dim: int = 8,
        dropout: float = 0.0,
        unknown_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.unknown_rate = unknown_rate
        self.n_features = hidden_layer_sizes[-1]
        unknown = torch.tensor(list(id_offsets[:-1]), dtype=torch.int32)
        self.register_buffer("unknown_ids", unknown)
        # The last hidden layer is what a deep part has for its logits.
        self.deep = DeepPart(
            self.n_features,
            bin_edges=bin_edges,
            missing=missing,
            n_ids=int(id_offsets[-1]),
            n_id_columns=len(id_offsets) - 1,
            n_sparse_features=n_sparse_features,
            hidden_layer_sizes=hidden_layer_sizes[:-1],
            embedding_dim=embedding_dim,
            dropout=dropout,
        )
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Return the features, (batch, n_features); inputs are those of `WideDeep`."""
        return self.dropout(F.relu(self.deep(*inputs, **named)))

    def fast_forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Return what `forward` does, but for rounding, for prediction on a CPU."""
        return F.relu(self.deep.fast_forward(*inputs, **named))

    @property
    def draws_inputs(self) -> bool:
        """Whether `draw_inputs` draws anything."""
        return bool(self.unknown_rate and len(self.unknown_ids))

    def draw_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a batch's inputs with unknown ids at random, for training."""
        return with_unknown_ids(inputs, self.unknown_ids, self.unknown_rate)

    def optimizer_groups(self) -> dict[str, list[Tensor]]:
        """Name the parameters that have an optimizer of their own."""
        return {"sparse": self.deep.sparse_parameters()}


def draws_inputs(module: nn.Module) -> bool:
    """Tell whether there is anything random in the inputs of a module in training.

    A module may say so by its attribute `draws_inputs`; without one it does if it has a
    method `draw_inputs`.
    """
    return getattr(module, "draws_inputs", hasattr(module, "draw_inputs"))


class HeadedNet(nn.Module):
    """A body and a linear layer on its features.

    Parameters
    ----------
    body : Module
        Maps its inputs to features of shape (batch, n_features).
    n_features : int
        Number of features.
    n_outputs : int
        Number of outputs.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.nets import HeadedNet
    >>> net = HeadedNet(torch.nn.Flatten(), n_features=16, n_outputs=3)
    >>> net(torch.zeros(5, 4, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(self, body: nn.Module, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the outputs, shape (batch, n_outputs)."""
        return self.head(self.body(*inputs, **named))

    def optimizer_groups(self) -> dict[str, list[Tensor]]:
        """Name the parameters that have an optimizer of their own: those of the body.

        Returns
        -------
        groups : dict of str to list of Parameter
            See `WideDeep.optimizer_groups`.
        """
        return getattr(self.body, "optimizer_groups", dict)()

    @property
    def draws_inputs(self) -> bool:
        """Whether the body draws its inputs for training."""
        return draws_inputs(self.body)

    def draw_inputs(self, inputs: Any) -> Any:
        """Return a batch's inputs as the body draws them for training, if it does."""
        draw = getattr(self.body, "draw_inputs", None)
        return inputs if draw is None else draw(inputs)


class HeadedTableNet(HeadedNet):
    """A `TableBody` and a linear layer on its features; see `HeadedNet`."""

    body: TableBody

    def fast_forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Return what `forward` does, but for rounding, for prediction on a CPU."""
        return self.head(self.body.fast_forward(*inputs, **named))


def count_features(body: nn.Module, inputs: Any) -> int:
    """Return the number of features of a body, from inputs of two rows or more.

    Raises
    ------
    ValueError
        If it does not return features of shape (batch, n_features).
    """
    was_training = body.training
    named = inputs if isinstance(inputs, dict) else {}
    with torch.no_grad():
        features = body.eval()(*([] if named else [inputs]), **named)
    body.train(was_training)
    rows = next(iter(named.values())) if named else inputs
    shape = tuple(getattr(features, "shape", ()))
    if len(shape) != 2 or shape[0] != len(rows):
        raise ValueError(
            "the body must return features of shape (batch, n_features); for "
            f"{len(rows)} rows it returned {shape or type(features).__name__}"
        )
    return shape[1]
