"""Torch modules. They know tensors only: no NumPy and no scikit-learn here."""

from sklearn_memgen.nets.attribution import attribute_last_numbers
from sklearn_memgen.nets.deep import DeepPart, NumberInput
from sklearn_memgen.nets.inheritance import inherit_weights
from sklearn_memgen.nets.wide_deep import WideDeep, WidePart

__all__ = [
    "DeepPart",
    "NumberInput",
    "WideDeep",
    "WidePart",
    "attribute_last_numbers",
    "inherit_weights",
]
