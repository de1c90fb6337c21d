"""From a DataFrame, an array, a sparse matrix or texts to tensors."""

from sklearn_memgen.tables.encoder import TableEncoder
from sklearn_memgen.tables.tensors import CSRParts, TableTensors
from sklearn_memgen.tables.text_encoder import TextEncoder
from sklearn_memgen.tables.token_encoder import TokenEncoder
from sklearn_memgen.tables.tokens import TokenTensors

__all__ = [
    "CSRParts",
    "TableEncoder",
    "TableTensors",
    "TextEncoder",
    "TokenEncoder",
    "TokenTensors",
]
