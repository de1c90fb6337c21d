"""Torch modules. They know tensors only: no NumPy and no scikit-learn here."""

from sklearn_memgen.nets.deep import DeepPart, NumberInput
from sklearn_memgen.nets.inheritance import inherit_weights
from sklearn_memgen.nets.wide_deep import WideDeep, WidePart

__all__ = ["DeepPart", "NumberInput", "WideDeep", "WidePart", "inherit_weights"]
