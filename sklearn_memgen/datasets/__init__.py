"""Tables to learn from: a generator with known parts, and a fetcher."""

from sklearn_memgen.datasets._adult import fetch_adult
from sklearn_memgen.datasets._generators import make_memgen_classification

__all__ = ["fetch_adult", "make_memgen_classification"]
