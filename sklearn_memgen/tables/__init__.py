"""From a DataFrame, an array or a sparse matrix to tensors."""

from sklearn_memgen.tables.encoder import TableEncoder
from sklearn_memgen.tables.tensors import CSRParts, TableTensors

__all__ = ["CSRParts", "TableEncoder", "TableTensors"]
