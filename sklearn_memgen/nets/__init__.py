"""Torch modules. They know tensors only: no NumPy and no scikit-learn here."""

from sklearn_memgen.nets.attribution import attribute_last_numbers
from sklearn_memgen.nets.body import (
    HeadedNet,
    HeadedTableNet,
    TableBody,
    count_features,
)
from sklearn_memgen.nets.compaction import compact_module
from sklearn_memgen.nets.deep import DeepPart, NumberInput
from sklearn_memgen.nets.inheritance import inherit_body, inherit_weights
from sklearn_memgen.nets.layer_graph import CannotCompactError
from sklearn_memgen.nets.masked import MaskedArrayNet, MaskedTableNet, draw_mask
from sklearn_memgen.nets.prototypes import PrototypeNet
from sklearn_memgen.nets.seen_units import SeenUnits
from sklearn_memgen.nets.sparse_linear import (
    BATCH_SIZES,
    SparseLinear,
    choose_kernel,
    store_sparsely,
)
from sklearn_memgen.nets.text import TextBody, TokenBody, sequence_net, token_net
from sklearn_memgen.nets.wide_deep import WideDeep, WidePart

__all__ = [
    "BATCH_SIZES",
    "CannotCompactError",
    "DeepPart",
    "HeadedNet",
    "HeadedTableNet",
    "MaskedArrayNet",
    "MaskedTableNet",
    "NumberInput",
    "PrototypeNet",
    "SeenUnits",
    "SparseLinear",
    "TableBody",
    "TextBody",
    "TokenBody",
    "WideDeep",
    "WidePart",
    "attribute_last_numbers",
    "choose_kernel",
    "compact_module",
    "count_features",
    "draw_mask",
    "inherit_body",
    "inherit_weights",
    "sequence_net",
    "store_sparsely",
    "token_net",
]
