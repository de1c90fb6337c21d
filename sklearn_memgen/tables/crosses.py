"""Crosses: combinations of id columns that have ids of their own."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sklearn_memgen.tables.columns import resolve_columns
from sklearn_memgen.tables.ids import CALENDAR, IdColumn
from sklearn_memgen.tables.vocabulary import UNKNOWN, Vocabulary

__all__ = ["Cross", "crossed_part", "fit_cross"]

#: Numbers of at most so many distinct values are crossed by value, others by decile.
_MAX_CROSSED_VALUES = 64

#: Multiplier of the Fibonacci hash: 2**64 divided by the golden ratio, made odd.
_HASH = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Cross:
    """The combinations of two or more id columns.

    A combination in which one part is unknown is itself unknown (id 0). The others
    have an id each by vocabulary, if there are at most `n_buckets`; else they are
    hashed into `n_buckets` buckets, several to a bucket.

    Parameters
    ----------
    parts : tuple of IdColumn
        The columns that are crossed.
    vocabulary : Vocabulary
        Of the combinations, as numbers in mixed radix; when hashed, of the most
        frequent ones, whose words name the buckets.
    n_buckets : int or None
        Number of buckets when hashed, else None.
    counts : ndarray of shape (n_ids,)
        Weighted number of training rows of each id.
    """

    parts: tuple[IdColumn, ...]
    vocabulary: Vocabulary
    n_buckets: int | None
    counts: np.ndarray = field(repr=False)

    @classmethod
    def fit(
        cls,
        parts: tuple[IdColumn, ...],
        ids: list[np.ndarray],
        weights: np.ndarray | None,
        *,
        min_frequency: float,
        n_buckets: int,
    ) -> Cross:
        """Give ids to the combinations in `ids`, an array (n_rows,) for each part.

        Raises
        ------
        ValueError
            If there are more possible combinations than 63 bits can number.
        """
        keys = _keys(parts, ids)
        known = keys >= 0
        weights = np.ones(len(keys)) if weights is None else weights
        vocabulary = Vocabulary.fit(
            keys[known], weights[known], min_frequency=min_frequency
        )
        hashed = len(vocabulary.keys) > n_buckets
        if hashed:
            buckets = _hashed(ids, n_buckets)
            counts = np.bincount(buckets, weights, minlength=n_buckets + 1)
            vocabulary = Vocabulary(
                vocabulary.keys[:n_buckets], vocabulary.counts[: n_buckets + 2]
            )
        else:
            counts = vocabulary.counts.copy()
            counts[UNKNOWN] += weights[~known].sum()
        return cls(parts, vocabulary, n_buckets if hashed else None, counts)

    def extend(
        self,
        parts: tuple[IdColumn, ...],
        ids: list[np.ndarray],
        weights: np.ndarray | None,
        *,
        min_frequency: float,
        n_buckets: int,
    ) -> Cross:
        """Return a cross that has ids for further combinations; those there are stay.

        Parameters
        ----------
        parts : tuple of IdColumn
            The same columns, extended.
        ids : list of ndarray of shape (n_rows,)
            The ids of each in further rows.
        weights : ndarray of shape (n_rows,) or None
            Weights of the rows.
        min_frequency : float
            How often a new combination must occur in these rows.
        n_buckets : int
            No more than so many combinations get an id of their own.

        Returns
        -------
        cross : Cross
            One that is hashed has the same buckets.
        """
        weights = np.ones(len(ids[0])) if weights is None else weights
        # The combinations have other numbers where a part has more ids than before.
        keys = pd.Index(_keys(parts, self._unkeyed(self.vocabulary.keys.to_numpy())))
        vocabulary = Vocabulary(keys, self.vocabulary.counts)
        if self.n_buckets is not None:
            buckets = _hashed(ids, self.n_buckets)
            counts = self.counts + np.bincount(buckets, weights, len(self))
            return Cross(parts, vocabulary, self.n_buckets, counts)
        new_keys = _keys(parts, ids)
        known = new_keys >= 0
        vocabulary = vocabulary.extend(
            new_keys[known],
            weights[known],
            min_frequency=min_frequency,
            max_keys=n_buckets,
        )
        counts = vocabulary.counts.copy()
        with_unknown_part = self.counts[UNKNOWN] - self.vocabulary.counts[UNKNOWN]
        counts[UNKNOWN] += with_unknown_part + weights[~known].sum()
        return Cross(parts, vocabulary, None, counts)

    @property
    def name(self) -> str:
        """Name of the encoded column."""
        # Several parts of one date may be crossed.
        return " & ".join(
            part.name if part.part in CALENDAR else str(part.label)
            for part in self.parts
        )

    def __len__(self) -> int:
        return len(self.counts)

    def encode(self, ids: list[np.ndarray]) -> np.ndarray:
        """Look the ids of combinations up.

        Parameters
        ----------
        ids : list of ndarray of shape (n_rows,)
            The ids of the parts.

        Returns
        -------
        ids : ndarray of shape (n_rows,), int32
            Ids of the combinations; 0 where a part is unknown.
        """
        if self.n_buckets is None:
            return self.vocabulary.encode(_keys(self.parts, ids))
        return _hashed(ids, self.n_buckets)

    def words(self) -> list[str]:
        """Return a readable word for each id, shape (n_ids,).

        A bucket is named after its most frequent combination.
        """
        keys = self.vocabulary.keys.to_numpy(np.int64)
        part_words = [np.array(part.words(), dtype=object) for part in self.parts]
        combinations = zip(
            *(
                words[ids]
                for words, ids in zip(part_words, self._unkeyed(keys), strict=True)
            ),
            strict=True,
        )
        names = [" & ".join(words) for words in combinations]
        if self.n_buckets is None:
            return [f"{self.name}=<unknown>", f"{self.name}=<missing>", *names]
        words = [f"{self.name}=<bucket {i}>" for i in range(len(self))]
        words[UNKNOWN] = f"{self.name}=<unknown>"
        n_named = [0] * len(self)
        buckets = _hashed(self._unkeyed(keys), self.n_buckets)
        for bucket, name in zip(buckets, names, strict=True):
            n_named[bucket] += 1
            if n_named[bucket] == 1:
                words[bucket] = name
        return [
            f"{word} (or {n - 1} others)" if n > 1 else word
            for word, n in zip(words, n_named, strict=True)
        ]

    def _unkeyed(self, keys: np.ndarray) -> list[np.ndarray]:
        """Take the numbers of combinations apart into the ids of their parts."""
        ids = []
        for part in reversed(self.parts):
            keys, digits = np.divmod(keys, len(part))
            ids.append(digits)
        return ids[::-1]


def _keys(parts: tuple[IdColumn, ...], ids: list[np.ndarray]) -> np.ndarray:
    """Number the combinations in mixed radix; one with an unknown part is -1.

    Raises
    ------
    ValueError
        If there are more possible combinations than 63 bits can number.
    """
    sizes = [len(part) for part in parts]
    if math.prod(sizes) >= 2**63:
        names = " & ".join(part.name for part in parts)
        raise ValueError(f"the cross {names} has too many combinations: {sizes}")
    keys = np.zeros(len(ids[0]), dtype=np.int64)
    known = np.ones(len(keys), dtype=bool)
    for part, digits in zip(parts, ids, strict=True):
        keys *= len(part)
        keys += digits
        known &= digits != UNKNOWN
    return np.where(known, keys, -1)


def _hashed(ids: list[np.ndarray], n_buckets: int) -> np.ndarray:
    """Spread combinations over the buckets 1 to `n_buckets`.

    One with an unknown part gets id 0. The bucket depends on the ids of the parts only,
    not on how many there are, so it stays when a part gets more.
    """
    mixed = np.zeros(len(ids[0]), dtype=np.uint64)
    known = np.ones(len(mixed), dtype=bool)
    for digits in ids:
        mixed = (mixed ^ digits.astype(np.uint64)) * _HASH
        mixed ^= mixed >> np.uint64(32)
        known &= digits != UNKNOWN
    buckets = mixed % np.uint64(n_buckets) + np.uint64(1)
    return np.where(known, buckets, UNKNOWN).astype(np.int32)


def crossed_part(
    values: pd.Series,
    kind: str,
    id_columns: dict[str, IdColumn],
    weights: np.ndarray | None,
    *,
    min_frequency: float,
) -> IdColumn:
    """Return the ids by which a category or a number takes part in crosses.

    Parameters
    ----------
    values : Series of shape (n_rows,)
        The column, as `read_columns` returns it.
    kind : {"category", "number"}
        Its kind.
    id_columns : dict of str to IdColumn
        Ids that columns have already.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    min_frequency : float
        How often a value must occur to have an id.

    Returns
    -------
    part : IdColumn
        The column's own ids, if it has any; else exact values if a number has few, or
        its deciles.
    """
    label = values.name
    name = f"{label} (exact)" if kind == "number" else str(label)
    if name in id_columns:
        return id_columns[name]
    part = "category"
    if kind == "number":
        part = "exact" if values.nunique() <= _MAX_CROSSED_VALUES else "decile"
    return IdColumn.fit(values, part, weights, min_frequency=min_frequency)


def fit_cross(
    table: pd.DataFrame,
    given: tuple[Hashable, ...],
    columns: dict[Hashable, pd.Series],
    kinds: pd.Series,
    id_columns: dict[str, IdColumn],
    weights: np.ndarray | None,
    *,
    min_frequency: float,
    n_buckets: int,
) -> Cross:
    """Cross columns of a table.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The table.
    given : tuple of column names or positions
        The columns to cross.
    columns : dict of Series of shape (n_rows,)
        All columns, as `read_columns` returns them.
    kinds : Series of shape (n_columns,)
        Kinds by column label.
    id_columns : dict of str to IdColumn
        Ids that columns have already; they take part by these.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    min_frequency : float
        How often a combination must occur to have an id.
    n_buckets : int
        Crosses with more combinations are hashed into so many buckets.

    Returns
    -------
    cross : Cross
        The cross.

    Raises
    ------
    ValueError
        If these are not two or more different columns, categories or numbers.
    """
    is_sequence = isinstance(given, (tuple, list))
    labels = resolve_columns(table, given, "crosses") if is_sequence else []
    if len(set(labels)) < max(2, len(labels)):
        raise ValueError(
            "crosses must be tuples of two or more different columns, such as "
            f"[('education', 'occupation')]; got {given!r}"
        )

    for label in labels:
        if kinds[label] not in ("category", "number"):
            raise ValueError(
                f"crosses names column {label!r}, which is of kind {kinds[label]}; "
                "only categories and numbers can be crossed"
            )
    parts = tuple(
        crossed_part(
            columns[label],
            kinds[label],
            id_columns,
            weights,
            min_frequency=min_frequency,
        )
        for label in labels
    )
    return Cross.fit(
        parts,
        [part.encode(columns[part.label]) for part in parts],
        weights,
        min_frequency=min_frequency,
        n_buckets=n_buckets,
    )
