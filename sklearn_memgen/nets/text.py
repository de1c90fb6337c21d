"""Transformers as bodies of nets that classify texts, or tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_memgen.nets.body import HeadedNet
from sklearn_memgen.nets.prototypes import PrototypeNet
from sklearn_memgen.nets.text_models import (
    load_transformer,
    longest_input,
    takes_token_types,
)

__all__ = ["TextBody", "TokenBody", "sequence_net", "token_net"]

_POOLINGS = ("mean", "cls", "max")


class _TransformerBody(nn.Module):
    """What bodies of texts and of tokens have in common."""

    def __init__(
        self,
        model: Any,
        *,
        dropout: float | None = 0.1,
        n_features: int | None = None,
        pretrained: bool = True,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = load_transformer(
            model,
            dropout=dropout,
            pretrained=pretrained,
            gradient_checkpointing=gradient_checkpointing,
        )
        config: Any = self.encoder.config
        n_hidden = config.hidden_size
        self.n_features = n_hidden if n_features is None else n_features
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.projection = (
            nn.Identity() if n_features is None else nn.Linear(n_hidden, n_features)
        )
        self._takes_types = takes_token_types(self.encoder)
        self._longest = longest_input(self.encoder)

    def _hidden_states(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None
    ) -> Tensor:
        """Return what the last layer returns, (batch, length, n_hidden)."""
        length = input_ids.shape[1]
        if self._longest is not None and length > self._longest:
            raise ValueError(
                f"a batch has rows of {length} tokens, but the model reads up to "
                f"{self._longest}; lower max_length"
            )
        named = {}
        if self._takes_types and token_type_ids is not None:
            named["token_type_ids"] = token_type_ids
        # Attention over no token at all is not defined: it is to one that is padding.
        empty = attention_mask.sum(1, keepdim=True) == 0
        attended = attention_mask.where(~empty, 1)
        output = self.encoder(input_ids=input_ids, attention_mask=attended, **named)
        return output.last_hidden_state

    def _features(self, vectors: Tensor) -> Tensor:
        return self.projection(self.dropout(vectors))


class TextBody(_TransformerBody):
    """A transformer that makes a vector of a text.

    Parameters
    ----------
    model : str, Path or transformers.PreTrainedModel
        A local folder, a name on the Hugging Face hub, or the model itself, which is
        copied, without its head if it has one. Of a model with encoder and decoder the
        encoder is taken.
    pooling : {"mean", "cls", "max"}, default="mean"
        How vectors of tokens become one: their mean, that of the first token, or the
        largest value of each feature. In a model that reads from left to right, such
        as GPT-2, the first token knows nothing of the rest.
    dropout : float or None, default=0.1
        Share of values that are zeroed at random in training: of the vector, and
        wherever the transformer does so, whatever its configuration says. With 0
        training is repeatable up to rounding without a seed. None leaves the
        transformer as configured, and the vector whole.
    n_features : int, default=None
        Features of a linear layer on the vector; without it the vector is what is
        returned.
    pretrained : bool, default=True
        Whether to begin with the weights that are there. If not they are drawn by
        torch's generator; of a folder ``config.json`` alone is read.
    gradient_checkpointing : bool, default=False
        Whether to compute activations again in the backward pass, which takes about a
        third longer, in the place of keeping those of all layers.

    Attributes
    ----------
    n_features : int
        Number of features.
    encoder : transformers.PreTrainedModel
        The transformer, in float32.

    Raises
    ------
    ImportError
        If transformers is not installed; it is in the extra ``text``.
    TypeError
        If `model` is none of these.
    ValueError
        If a folder lacks the configuration or weights, or `pooling` is unknown.
    OSError
        If there is no such folder, and the hub cannot be reached or has no such model.

    Notes
    -----
    Padding takes no part in any of the poolings. A row without any token has features
    of zeros, before the linear layer.

    Examples
    --------
    >>> import torch
    >>> from transformers import BertConfig, BertModel
    >>> from sklearn_memgen.nets import TextBody
    >>> config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1,
    ...                     num_attention_heads=2, intermediate_size=32)
    >>> model = BertModel(config)
    >>> body = TextBody(model)
    >>> ids = torch.tensor([[2, 9, 8, 3], [2, 7, 3, 0]])
    >>> body(ids, attention_mask=(ids > 0).long()).shape
    torch.Size([2, 16])
    """

    def __init__(self, model: Any, *, pooling: str = "mean", **params: Any) -> None:
        if pooling not in _POOLINGS:
            raise ValueError(
                f"pooling must be one of {list(_POOLINGS)}; got {pooling!r}"
            )
        super().__init__(model, **params)
        self.pooling = pooling

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the features.

        Parameters
        ----------
        input_ids : Tensor of shape (batch, length), int64
            Tokens of each text.
        attention_mask : Tensor of shape (batch, length), int64
            One where there is a token, zero where there is padding.
        token_type_ids : Tensor of shape (batch, length), int64, optional
            Which text of a pair a token is of. Models that tell no pairs apart do
            without it.

        Returns
        -------
        features : Tensor of shape (batch, n_features)
            Those of each text.

        Raises
        ------
        ValueError
            If rows are longer than the model reads.
        """
        hidden = self._hidden_states(input_ids, attention_mask, token_type_ids)
        return self._features(self._pool(hidden, attention_mask.bool()))

    def _pool(self, hidden: Tensor, there: Tensor) -> Tensor:
        """Make one vector of those of the tokens that are there, (batch, n_hidden)."""
        counts = there.sum(1, keepdim=True)
        if self.pooling == "mean":
            weights = there / counts.clamp(min=1)
            return (weights.to(hidden.dtype)[:, None] @ hidden)[:, 0]
        if self.pooling == "cls":
            rows = torch.arange(len(hidden), device=hidden.device)
            pooled = hidden[rows, there.int().argmax(1)]
        else:
            pooled = hidden.masked_fill(~there[..., None], -torch.inf).amax(1)
        return pooled.where(counts > 0, 0)


class TokenBody(_TransformerBody):
    """A transformer that makes a vector of each marked token.

    Parameters
    ----------
    model, dropout, n_features, pretrained, gradient_checkpointing
        See `TextBody`; `dropout` and `n_features` are of the vectors of tokens.

    Attributes
    ----------
    n_features : int
        Number of features.
    encoder : transformers.PreTrainedModel
        The transformer, in float32.

    Raises
    ------
    ImportError, TypeError, ValueError, OSError
        See `TextBody`.

    Examples
    --------
    >>> import torch
    >>> from transformers import BertConfig, BertModel
    >>> from sklearn_memgen.nets import TokenBody
    >>> config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1,
    ...                     num_attention_heads=2, intermediate_size=32)
    >>> model = BertModel(config)
    >>> body = TokenBody(model, n_features=8)
    >>> ids = torch.tensor([[2, 9, 8, 3], [2, 7, 3, 0]])
    >>> body(ids, attention_mask=(ids > 0).long(), marked=ids > 3).shape
    torch.Size([3, 8])
    """

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        marked: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the features.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids
            See `TextBody.forward`.
        marked : Tensor of shape (batch, length), bool
            Which tokens have features, such as the first of each word.

        Returns
        -------
        features : Tensor of shape (n_marked, n_features)
            Those of the first row, by their position, then those of the second, and so
            on.

        Raises
        ------
        ValueError
            If rows are longer than the model reads.
        """
        hidden = self._hidden_states(input_ids, attention_mask, token_type_ids)
        return self._features(hidden[marked])


def sequence_net(
    model: Any,
    n_classes: int,
    *,
    head: str = "linear",
    n_prototype_features: int = 300,
    **body_params: Any,
) -> HeadedNet | PrototypeNet:
    """Make a net that classifies texts, for the `module` of a `NetClassifier`.

    Parameters
    ----------
    model
        See `TextBody`.
    n_classes : int
        Number of classes, and of logits.
    head : {"linear", "prototype"}, default="linear"
        What makes logits of the features: a linear layer, or the distances to means of
        classes; see `PrototypeNet`.
    n_prototype_features : int, default=300
        Features that a prototype head compares, made by a linear layer. The default is
        that of Tanzer et al. [1]_.
    **body_params
        The other parameters of `TextBody`; a prototype head sets `n_features`.

    Returns
    -------
    net : HeadedNet or PrototypeNet
        Takes what `tables.TextEncoder` makes.

    Raises
    ------
    ImportError, TypeError, ValueError, OSError
        See `TextBody`. An unknown head is a ValueError, too.

    References
    ----------
    .. [1] Tanzer, Ruder and Rei, "Memorisation versus Generalisation in Pre-trained
       Language Models", 2022, https://arxiv.org/abs/2105.00828

    Examples
    --------
    >>> import torch
    >>> from transformers import BertConfig, BertModel
    >>> from sklearn_memgen.nets import sequence_net
    >>> config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1,
    ...                     num_attention_heads=2, intermediate_size=32)
    >>> model = BertModel(config)
    >>> net = sequence_net(model, n_classes=5, pooling="cls")
    >>> ids = torch.tensor([[2, 9, 8, 3], [2, 7, 3, 0]])
    >>> net(input_ids=ids, attention_mask=(ids > 0).long()).shape
    torch.Size([2, 5])
    """
    body = partial(TextBody, model, **body_params)
    return _with_head(body, n_classes, head, n_prototype_features)


def token_net(
    model: Any,
    n_classes: int,
    *,
    head: str = "linear",
    background: int | None = None,
    n_prototype_features: int = 300,
    **body_params: Any,
) -> HeadedNet | PrototypeNet:
    """Make a net that classifies tokens, for the `module` of a `NetClassifier`.

    Parameters
    ----------
    model, n_classes, n_prototype_features
        See `sequence_net`.
    head : {"linear", "prototype"}, default="linear"
        See `sequence_net`; "prototype" with a `background` is the ProtoBERT of
        Tanzer et al. [1]_.
    background : int, default=None
        The class of tokens that are nothing, such as "O", which has no prototype; see
        `PrototypeNet`. A linear head treats it as any other.
    **body_params
        The other parameters of `TokenBody`; a prototype head sets `n_features`.

    Returns
    -------
    net : HeadedNet or PrototypeNet
        Takes what `tables.TokenEncoder` makes, and has logits of shape (n_marked,
        n_classes).

    Raises
    ------
    ImportError, TypeError, ValueError, OSError
        See `sequence_net`.

    References
    ----------
    .. [1] Tanzer, Ruder and Rei, "Memorisation versus Generalisation in Pre-trained
       Language Models", 2022, https://arxiv.org/abs/2105.00828

    Examples
    --------
    >>> import torch
    >>> from transformers import BertConfig, BertModel
    >>> from sklearn_memgen.nets import token_net
    >>> config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1,
    ...                     num_attention_heads=2, intermediate_size=32)
    >>> model = BertModel(config)
    >>> net = token_net(model, n_classes=5, head="prototype", background=0)
    >>> ids = torch.tensor([[2, 9, 8, 3], [2, 7, 3, 0]])
    >>> net(input_ids=ids, attention_mask=(ids > 0).long(), marked=ids > 3).shape
    torch.Size([3, 5])
    """
    body = partial(TokenBody, model, **body_params)
    return _with_head(body, n_classes, head, n_prototype_features, background)


def _with_head(
    make_body: Callable[..., TextBody | TokenBody],
    n_classes: int,
    head: str,
    n_features: int,
    background: int | None = None,
) -> HeadedNet | PrototypeNet:
    if head == "linear":
        body = make_body()
        return HeadedNet(body, body.n_features, n_classes)
    if head == "prototype":
        body = make_body(n_features=n_features)
        return PrototypeNet(body, n_features, n_classes, background=background)
    raise ValueError(f"head must be one of ['linear', 'prototype']; got {head!r}")
