"""Data to learn from: generators whose truth is known, and a fetcher."""

from sklearn_memgen.datasets._adult import fetch_adult
from sklearn_memgen.datasets._generators import make_memgen_classification
from sklearn_memgen.datasets._separable import make_separable
from sklearn_memgen.datasets._xor import make_xor

__all__ = ["fetch_adult", "make_memgen_classification", "make_separable", "make_xor"]
