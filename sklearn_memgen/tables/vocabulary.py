"""Values that have ids of their own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["MISSING", "UNKNOWN", "Vocabulary", "count_classes"]

#: The id of every value that is not in a vocabulary.
UNKNOWN = 0
#: The id of a missing value.
MISSING = 1
_N_SPECIAL = 2
#: In up to so many rows each value is looked up by itself; in more, each distinct one.
#: pandas needs some 100 microseconds to begin with, in which Python looks 1,000 up.
_FEW_ROWS = 1000


def _factorize(values: pd.Series | np.ndarray) -> tuple[np.ndarray, pd.Index]:
    """Number the distinct values; missing ones get -1."""
    try:
        codes, uniques = pd.factorize(values)
    except (TypeError, NotImplementedError):
        # A list or a dict, say, among the values of one row: a value as unknown as
        # any other, and no reason to fail for the rest.
        codes, uniques = pd.factorize(pd.Series(values).astype(object).map(_hashable))
    return codes, pd.Index(uniques)


def _as_list(values: Any) -> list:
    """Return the values as Python objects, a missing category as None."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values.tolist()
    # Which takes pandas ten times as long.
    array: Any = values.array
    categories, codes = array.categories, array.codes.tolist()
    known = {code: categories[code] for code in {*codes} if code >= 0}
    return [known.get(code) for code in codes]


#: Stands for a value that cannot be a key.
_UNHASHABLE = object()


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return _UNHASHABLE
    return value


def _as_keys(uniques: pd.Index) -> pd.Index:
    """Return numbers as they are, and other values as objects.

    So they match whichever dtype they have at predict time: strings, categories or
    Arrow strings.
    """
    if pd.api.types.is_numeric_dtype(uniques.dtype):
        return uniques
    return pd.Index(uniques.astype(object), dtype=object)


def _joined(keys: pd.Index, new: pd.Index) -> pd.Index:
    """Append keys, as objects if they have no common dtype that keeps them apart."""
    if len(keys) == 0 or len(new) == 0:
        return new if len(keys) == 0 else keys
    plain = isinstance(keys.dtype, np.dtype) and isinstance(new.dtype, np.dtype)
    if plain or keys.dtype == new.dtype:
        joined = keys.append(new)
        if joined[: len(keys)].is_unique:
            return joined
    return pd.Index([*keys, *new], dtype=object)


def _count(
    values: pd.Series | np.ndarray, weights: np.ndarray | None
) -> tuple[pd.Index, np.ndarray, float]:
    """Return the distinct values, their weighted counts, and that of missing ones."""
    codes, uniques = _factorize(values)
    # Shifting by one gives the missing values, code -1, a place in the counts.
    counts = np.bincount(codes + 1, weights, minlength=len(uniques) + 1)
    counts = counts.astype(np.float64)
    return uniques, counts[1:], counts[0]


def _most_frequent(counts: np.ndarray, min_frequency: float) -> np.ndarray:
    """Return the positions of the counts that are large enough, largest first."""
    frequent = np.flatnonzero(counts >= min_frequency)
    return frequent[np.argsort(-counts[frequent], kind="stable")]


class _IdByValue(dict):
    """Ids by value, for values of the plain types."""

    def __init__(self, keys: pd.Index, missing: int) -> None:
        super().__init__((key, id_) for id_, key in enumerate(keys, _N_SPECIAL))
        self._missing = missing

    def __missing__(self, value: Any) -> int:
        kind = type(value)
        if value is None or value is pd.NA or (kind is float and value != value):
            return self._missing
        if kind is str or kind is float or kind is int:
            return UNKNOWN
        raise TypeError("pandas has rules of its own for this type")


@dataclass(frozen=True)
class Vocabulary:
    """The values of a column that are remembered, each by an id.

    Id 0 stands for every value not in the vocabulary, id 1 for a missing one.

    Parameters
    ----------
    keys : Index of shape (n_ids - 2,)
        The remembered values, most frequent first; key `k` has id `k + 2`.
    counts : ndarray of shape (n_ids,)
        Weighted number of training rows of each id, added up over all tables that it
        was fitted to or extended by.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen.tables.vocabulary import Vocabulary
    >>> vocabulary = Vocabulary.fit(pd.Series(["a", "b", "a", None, "a", "b", "c"]))
    >>> vocabulary.keys.tolist(), vocabulary.counts.tolist()
    (['a', 'b'], [1.0, 1.0, 3.0, 2.0])
    >>> vocabulary.encode(pd.Series(["b", "c", None])).tolist()
    [3, 0, 1]
    """

    keys: pd.Index
    counts: np.ndarray

    @classmethod
    def fit(
        cls,
        values: pd.Series | np.ndarray,
        weights: np.ndarray | None = None,
        *,
        min_frequency: float = 2,
    ) -> Vocabulary:
        """Remember the values whose weighted count is at least `min_frequency`."""
        uniques, counts, n_missing = _count(values, weights)
        frequent = _most_frequent(counts, min_frequency)
        n_rest = counts.sum() - counts[frequent].sum()
        counts = np.concatenate([[n_rest, n_missing], counts[frequent]])
        return cls(_as_keys(uniques[frequent]), counts)

    def extend(
        self,
        values: pd.Series | np.ndarray,
        weights: np.ndarray | None = None,
        *,
        min_frequency: float = 2,
        max_keys: int | None = None,
    ) -> Vocabulary:
        """Return a vocabulary that remembers further values; the ids there are stay.

        Parameters
        ----------
        values : Series or ndarray of shape (n_rows,)
            Further rows.
        weights : ndarray of shape (n_rows,), default=None
            Weights of the rows.
        min_frequency : float, default=2
            How often a new value must occur in these rows.
        max_keys : int, default=None
            No more than so many values are remembered in all.

        Returns
        -------
        vocabulary : Vocabulary
            With the new values at the end, most frequent first, and the counts of all
            rows seen so far.
        """
        uniques, counts, n_missing = _count(values, weights)
        uniques = _as_keys(uniques)
        positions = self.keys.get_indexer(uniques)
        known = positions >= 0
        frequent = _most_frequent(np.where(known, 0, counts), min_frequency)
        if uniques.dtype == object:
            keys = uniques[frequent]
            frequent = frequent[[key is not _UNHASHABLE for key in keys]]
        if uniques.dtype != self.keys.dtype:
            # pandas does not find True among numbers, where it would be a second 1.
            repeated = _joined(self.keys, uniques[frequent]).duplicated()
            frequent = frequent[~repeated[len(self.keys) :]]
        if max_keys is not None:
            frequent = frequent[: max(max_keys - len(self.keys), 0)]
        total = np.concatenate([self.counts, counts[frequent]])
        total[positions[known] + _N_SPECIAL] += counts[known]
        total[UNKNOWN] += counts[~known].sum() - counts[frequent].sum()
        total[MISSING] += n_missing
        return Vocabulary(_joined(self.keys, uniques[frequent]), total)

    def __len__(self) -> int:
        return len(self.counts)

    def encode(self, values: pd.Series | np.ndarray) -> np.ndarray:
        """Look the ids of values up.

        Parameters
        ----------
        values : Series or ndarray of shape (n_rows,)
            Any values; those that were not remembered get id 0.

        Returns
        -------
        ids : ndarray of shape (n_rows,), int32
            A missing value gets id 1 if there were missing values in training, else
            0: an id that no training row had would mean nothing to a model.
        """
        if len(values) <= _FEW_ROWS and self._can_look_up(values.dtype):
            try:
                found = map(self._ids.__getitem__, _as_list(values))
                return np.fromiter(found, np.int32, len(values))
            except TypeError:  # a value of another type, or that is no key
                pass
        codes, uniques = _factorize(values)
        positions = self.keys.get_indexer(_as_keys(uniques))
        ids = np.empty(len(uniques) + 1, dtype=np.int32)
        ids[:-1] = np.where(positions >= 0, positions + _N_SPECIAL, UNKNOWN)
        ids[-1] = self._missing
        return ids[codes]  # the code of a missing value, -1, reads the last entry

    @property
    def _missing(self) -> int:
        """The id of a missing value."""
        return MISSING if self.counts[MISSING] > 0 else UNKNOWN

    @cached_property
    def _ids(self) -> _IdByValue:
        return _IdByValue(self.keys, self._missing)

    @cached_property
    def _strings_only(self) -> bool:
        return pd.api.types.infer_dtype(self.keys) in ("string", "empty")

    def _can_look_up(self, dtype: Any) -> bool:
        """Tell whether Python and pandas agree on which values are equal to keys.

        Strings equal strings only. Numbers of several types are another matter: pandas
        takes True for 1 in one array and not in another.
        """
        if self.keys.dtype.kind in "fi":
            return self.keys.dtype == dtype
        return self._strings_only

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be made again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def words(self) -> list[str]:
        """Return a readable word for each id, shape (n_ids,)."""
        return ["<unknown>", "<missing>", *map(_word, self.keys)]


def _word(key: Hashable) -> str:
    if isinstance(key, float):
        return f"{key:.12g}"
    return str(key)


def count_classes(
    ids: np.ndarray, y: np.ndarray, weights: np.ndarray | None, shape: tuple[int, int]
) -> np.ndarray:
    """Count the rows of each id and class.

    Parameters
    ----------
    ids, y : ndarray of shape (n_rows,)
        Ids and class indices.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    shape : (n_ids, n_classes)
        Of the result.

    Returns
    -------
    counts : ndarray of shape (n_ids, n_classes)
        Weighted counts.
    """
    flat = np.bincount(ids * np.int64(shape[1]) + y, weights, shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)
