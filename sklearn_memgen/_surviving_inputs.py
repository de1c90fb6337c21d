"""Which inputs of a net survive pruning, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from sklearn_memgen.nets.deep import DeepPart
from sklearn_memgen.tables import TableEncoder

__all__ = ["surviving_inputs"]

#: What `TableEncoder` puts behind the name of a statistic.
_TARGET = " (target)"


def surviving_inputs(model: Any) -> pd.DataFrame:
    """Return how many of the weights that leave each input survive in the first layer.

    Parameters
    ----------
    model : fitted LotteryPrunedNet
        The model.

    Returns
    -------
    frame : DataFrame, indexed by input, the largest share first
        `n_weights`, `n_remaining` and the share `remaining` of each input. Inputs are
        columns of a table, found crosses and calendar parts, whose numbers, bins,
        embeddings and statistics count together; of an array its features; of an image
        its pixels or channels, by their number.
    """
    masks = model.ticket_.masks
    name, mask = next(iter(masks.items()))
    deep = _deep_part(model.net_.module_)
    if deep is not None and name.endswith("layers.0.weight"):
        labels = _labels_of(deep, model.encoder_)
    else:
        labels = _plain_labels(mask, model)
    # The inputs of a layer are the second dimension of its weight.
    by_input = mask.transpose(0, 1).flatten(1).double()
    frame = pd.DataFrame(
        {
            "input": labels,
            "n_weights": by_input.shape[1],
            "n_remaining": by_input.sum(1).numpy().astype(int),
        }
    )
    frame = frame.groupby("input", sort=False).sum()
    frame["remaining"] = frame["n_remaining"] / frame["n_weights"]
    return frame.sort_values("remaining", ascending=False, kind="stable")


def _deep_part(module: Any) -> DeepPart | None:
    parts = [part for part in module.modules() if isinstance(part, DeepPart)]
    return parts[0] if parts else None


def _plain_labels(mask: Tensor, model: Any) -> list[Any]:
    """Name the inputs of a layer that sees the features themselves."""
    n_inputs = mask.shape[1]
    names = getattr(model, "feature_names_in_", None)
    if names is not None and len(names) == n_inputs and model.encoder_ is None:
        return list(names)
    return list(range(n_inputs))


def _labels_of(deep: DeepPart, encoder: TableEncoder) -> list[str]:
    """Name what each input of the first layer of a deep part comes from."""
    numbers = [str(name) for name in encoder.numbers_]
    for name, statistic in encoder.statistics_.items():
        numbers += [str(name).removesuffix(_TARGET)] * statistic.table.shape[1]
    flagged = [numbers[j] for j in deep.numbers.flagged.tolist()]
    binned = [numbers[j] for j in deep.numbers.columns.tolist()]
    labels = [*flagged, *numbers, *binned]
    if deep.embedding is not None:
        ids = list(encoder.id_columns_)[: deep.n_id_columns]
        labels += np.repeat(ids, deep.embedding.embedding_dim).tolist()
    if deep.bag is not None:
        labels += ["text or sparse input"] * deep.bag.embedding_dim
    return labels
