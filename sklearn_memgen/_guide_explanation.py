"""A guide in words: which columns, layers and units may change how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from sklearn_memgen.nets import TableBody
from sklearn_memgen.training import Guide

__all__ = ["explain_guide"]


def explain_guide(
    guide: Guide, module: nn.Module, encoder: Any, features: Sequence[Any] | None
) -> pd.DataFrame:
    """Return how much columns, layers and units may change.

    Parameters
    ----------
    guide : Guide
        By the names of the module's parameters.
    module : HeadedNet
        The net.
    encoder : TableEncoder or None
        What made the inputs of the net.
    features : sequence or None
        Names of the inputs of a net without an encoder, if they are columns.

    Returns
    -------
    frame : DataFrame of shape (n_features + n_layers + n_units, 5)
        See `GuidedTransferClassifier.explain_guide`.
    """
    full = {
        name: guide.get(name, torch.ones(())).expand(parameter.shape)
        for name, parameter in module.named_parameters()
    }
    body: Any = module.body
    if isinstance(body, TableBody):
        of_features = _table_features(full, body, encoder)
    else:
        of_features = _array_features(full, features)
    rows = [("feature", *row) for row in _joined(of_features)]
    rows += [("layer", *row) for row in _joined(_layers(full))]
    rows += [("unit", *row) for row in _joined(_units(full))]
    return pd.DataFrame(rows, columns=["kind", "name", "n_parameters", "mean", "zeros"])


def _joined(parts: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, int, Any, Any]]:
    """Join the multipliers of each name: their number, mean and share of zeros."""
    joined: dict[str, list[Tensor]] = {}
    for name, multipliers in parts:
        joined.setdefault(name, []).append(multipliers.flatten())
    for name, several in joined.items():
        all_of_it = torch.cat(several).double()
        zeros = (all_of_it == 0).double().mean().item()
        yield name, len(all_of_it), all_of_it.mean().item(), zeros


def _layer_of(name: str) -> str:
    return name.rpartition(".")[0] or name


def _layers(full: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, multipliers in full.items():
        yield _layer_of(name), multipliers


def _units(full: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Give each output of a layer its weights and its bias; embeddings have none."""
    for name, multipliers in full.items():
        layer = _layer_of(name)
        weight = full.get(f"{layer}.weight")
        if weight is None or weight.ndim < 2 or f"{layer}.bias" not in full:
            continue
        for unit, part in enumerate(multipliers):
            yield f"{layer}[{unit}]", part


def _table_features(
    full: dict[str, Tensor], body: TableBody, encoder: Any
) -> Iterator[tuple[str, Tensor]]:
    """Give each column of a table the weights that nothing else goes in by."""
    deep = body.deep
    numbers, columns = list(encoder.numbers_), list(encoder.id_columns_.values())
    first = full["body.deep.layers.0.weight"]  # (n_units, n_inputs)
    # In the order in which `NumberInput` and `DeepPart` concatenate them.
    inputs = [numbers[column] for column in deep.numbers.flagged.tolist()]
    inputs += numbers
    inputs += [numbers[column] for column in deep.numbers.columns.tolist()]
    labels = [str(column.label) for column in columns]
    if deep.embedding is not None:
        inputs += [
            label for label in labels for _ in range(deep.embedding.embedding_dim)
        ]
    for name, weights in zip(inputs, first.T, strict=False):
        yield name, weights
    if deep.embedding is not None:
        embedded = full["body.deep.embedding.weight"]
        ends = encoder.id_offsets_.tolist()
        for label, begin, end in zip(labels, ends, ends[1:], strict=False):
            yield label, embedded[begin:end]
    if deep.bag is not None:
        of_rows = encoder.columns_of_words()[encoder.id_offsets_[-1] :]
        for name, weights in zip(of_rows, full["body.deep.bag.weight"], strict=True):
            yield str(name), weights


def _array_features(
    full: dict[str, Tensor], features: Sequence[Any] | None
) -> Iterator[tuple[str, Tensor]]:
    """Give each input the weights of the first layer, if that has one for each."""
    first = next((m for name, m in full.items() if name.startswith("body.")), None)
    if features is None or first is None or first.ndim != 2:
        return
    if first.shape[1] == len(features):
        for name, weights in zip(features, first.T, strict=True):
            yield str(name), weights
