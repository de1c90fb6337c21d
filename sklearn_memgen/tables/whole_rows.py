"""Whole rows that repeat: what a row was like that was just the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sklearn_memgen.tables.ids import IdColumn
from sklearn_memgen.tables.values import elapsed_days
from sklearn_memgen.tables.vocabulary import Vocabulary

__all__ = ["WholeRow"]

#: Odd multipliers of the mixing function of SplitMix64.
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class WholeRow:
    """The rows of a table that occur again in all their numbers, dates and categories.

    Categories are compared by their ids: values too rare for an id are all the same.

    Parameters
    ----------
    numbers : tuple of hashable
        The columns of numbers and dates.
    categories : tuple of IdColumn
        The categories.
    vocabulary : Vocabulary
        Of the rows, as hashes of 64 bits.
    """

    numbers: tuple[Hashable, ...]
    categories: tuple[IdColumn, ...]
    vocabulary: Vocabulary

    @classmethod
    def fit(
        cls,
        columns: dict[Hashable, pd.Series],
        numbers: tuple[Hashable, ...],
        categories: tuple[IdColumn, ...],
        read: Callable[[IdColumn], np.ndarray],
        *,
        min_frequency: float,
    ) -> WholeRow:
        """Remember the rows that repeat.

        Parameters
        ----------
        columns : dict of Series of shape (n_rows,)
            The columns of the table, as `read_columns` returns them.
        numbers : tuple of hashable
            Labels of the columns of numbers and dates.
        categories : tuple of IdColumn
            The categories.
        read : callable
            Returns the ids of a category, shape (n_rows,).
        min_frequency : float
            How often a row must occur, but at least twice. A row of weight 2 occurs
            once: where weights follow the label, it would give itself away.
        """
        keys = _hash_rows(columns, numbers, [read(part) for part in categories])
        vocabulary = Vocabulary.fit(keys, min_frequency=max(min_frequency, 2))
        return cls(numbers, categories, vocabulary)

    def extend(
        self,
        columns: dict[Hashable, pd.Series],
        categories: tuple[IdColumn, ...],
        read: Callable[[IdColumn], np.ndarray],
        *,
        min_frequency: float,
    ) -> WholeRow:
        """Return one that remembers further rows; `categories` are extended ones."""
        keys = _hash_rows(columns, self.numbers, [read(part) for part in categories])
        vocabulary = self.vocabulary.extend(keys, min_frequency=max(min_frequency, 2))
        return replace(self, categories=categories, vocabulary=vocabulary)

    @property
    def name(self) -> str:
        """Name of the encoded column."""
        return "whole row"

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(
        self,
        columns: dict[Hashable, pd.Series],
        read: Callable[[IdColumn], np.ndarray],
    ) -> np.ndarray:
        """Look the ids of rows up, shape (n_rows,), int32; 0 for a new row."""
        ids = [read(part) for part in self.categories]
        return self.vocabulary.encode(_hash_rows(columns, self.numbers, ids))

    def words(self) -> list[str]:
        """Return a readable word for each id."""
        counts = self.vocabulary.counts
        words = [f"{self.name} seen {count:g} times" for count in counts]
        words[:2] = [f"{self.name}=<unknown>", f"{self.name}=<missing>"]
        return words


def _hash_rows(
    columns: dict[Hashable, pd.Series],
    numbers: tuple[Hashable, ...],
    ids: list[np.ndarray],
) -> np.ndarray:
    """Hash the values of each row, shape (n_rows,), int64."""
    parts = [code.astype(np.uint64) for code in ids]
    for label in numbers:
        column = columns[label]
        if column.dtype.kind == "M":
            floats = elapsed_days(column)
        else:
            floats = column.to_numpy(np.float64)
        # One zero and one NaN, of the several that floats have.
        floats = np.where(np.isnan(floats), np.nan, floats + 0.0)
        parts.append(floats.view(np.uint64))
    keys = np.zeros(len(parts[0]), dtype=np.uint64)
    for position, part in enumerate(parts, 1):
        keys = (keys ^ part) + np.uint64(position)
        keys = (keys ^ (keys >> np.uint64(30))) * _FIRST
        keys = (keys ^ (keys >> np.uint64(27))) * _SECOND
        keys ^= keys >> np.uint64(31)
    return keys.view(np.int64)
