"""Columns of a table as features of trees, and the conditions of their splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen.rules.column import col
from sklearn_memgen.rules.column_values import ColumnValues
from sklearn_memgen.rules.conditions import Condition

__all__ = ["CategoryFeature", "NumberFeature", "read_features"]

#: Only so many of the most frequent values of a category are looked at.
_MAX_CATEGORIES = 50
#: Longer texts are no names of categories that an analyst would read.
_MAX_CHARACTERS = 200


@dataclass(frozen=True)
class NumberFeature:
    """A column of numbers, as one feature: their ranks, missing ones lowest.

    Parameters
    ----------
    name : str or int
        Name of the column.
    values : ndarray of shape (n_values,)
        The distinct values, ascending; that at place r has the rank r.
    has_missing : bool
        Whether values are missing, which have the rank -1.
    matrix : ndarray of shape (n_rows, 1), float32
        The ranks.
    """

    name: str | int
    values: np.ndarray
    has_missing: bool
    matrix: np.ndarray

    def write(self, splits: Sequence[tuple[int, float, bool]]) -> list[Condition]:
        """Return what splits of a path say together, in the form of conditions.

        Parameters
        ----------
        splits : sequence of (int, float, bool)
            The feature, counted from 0, the threshold, and whether it is exceeded.

        Returns
        -------
        conditions : list of Condition
            One, or two if missing values are let in: without them, and with them.
        """
        last = len(self.values) - 1
        low, high = -2, last  # ranks above low, up to high
        for _, threshold, above in splits:
            cut = math.floor(threshold)
            low, high = (max(low, cut), high) if above else (low, min(high, cut))
        column = col(self.name)
        if high < 0:
            return [column.isna()]
        if low < 0:
            present = ~column.isna() if high == last else column <= self._at_least(high)
            let_in = low < -1 and self.has_missing
            return [present, present | column.isna()] if let_in else [present]
        if low + 1 == high and math.isfinite(self.values[high]):
            return [column == self.values[high]]
        if high == last:
            return [column > self._at_least(low)]
        return [column.between(self._at_most(low + 1), self._at_least(high))]

    def _at_least(self, rank: int) -> float:
        """Return a number from the value of a rank to below the next one."""
        return round_between(self.values[rank], self.values[rank + 1])

    def _at_most(self, rank: int) -> float:
        """Return a number from above the value before that of a rank to the latter."""
        return -round_between(-self.values[rank], -self.values[rank - 1])


@dataclass(frozen=True)
class CategoryFeature:
    """A column of categories, as one feature for each of its frequent values.

    Parameters
    ----------
    name : str or int
        Name of the column.
    values : list
        The values, None for missing ones.
    is_complete : bool
        Whether there are no others.
    matrix : ndarray of shape (n_rows, n_values), float32
        1 where a row has the value, else 0.
    """

    name: str | int
    values: list[Any]
    is_complete: bool
    matrix: np.ndarray

    def write(self, splits: Sequence[tuple[int, float, bool]]) -> list[Condition]:
        """Return what splits of a path say together; see :class:`NumberFeature`."""
        column = col(self.name)
        for place, _, is_value in splits:
            if is_value:
                value = self.values[place]
                return [column.isna() if value is None else column == value]
        excluded = {place for place, _, _ in splits}
        left = [
            value
            for place, value in enumerate(self.values)
            if place not in excluded and value is not None
        ]
        out = [self.values[p] for p in excluded if self.values[p] is not None]
        if self.is_complete and not left:
            return [column.isna()]
        if not out:
            return [~column.isna()]
        if self.is_complete and len(left) <= len(out):
            present = column == left[0] if len(left) == 1 else column.isin(left)
        else:
            present = column != out[0] if len(out) == 1 else ~column.isin(out)
        let_in = None in self.values and self.values.index(None) not in excluded
        return [present, present | column.isna()] if let_in else [present]


def read_features(
    X: pd.DataFrame, roles: dict[str | int, str], min_count: int
) -> list[NumberFeature | CategoryFeature]:
    """Read the columns of numbers and categories.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table.
    roles : dict of str or int to {"text", "number", "category"}
        Of its columns; texts are left out.
    min_count : int
        Only categories in so many rows are looked at, the most frequent 50 of them.

    Returns
    -------
    features : list of NumberFeature or CategoryFeature
        Of columns in which there is something to split.
    """
    features: list[NumberFeature | CategoryFeature] = []
    for name, role in roles.items():
        if role == "number":
            column = ColumnValues(X[name])
            ranks = np.full((len(X), 1), -1, dtype=np.float32)
            present = X[name][column.present].to_numpy(dtype=float)
            values, places = np.unique(present, return_inverse=True)
            ranks[column.present, 0] = places
            has_missing = not column.present.all()
            if len(values) + has_missing > 1 and len(values):
                features.append(NumberFeature(name, values, has_missing, ranks))
        elif role == "category":
            codes, uniques = pd.factorize(X[name].astype(object), use_na_sentinel=True)
            counts = np.bincount(codes + 1, minlength=len(uniques) + 1)
            order = np.argsort(-counts, kind="stable")[:_MAX_CATEGORIES]
            kept = order[counts[order] >= min_count]
            named = [None if k == 0 else uniques[k - 1] for k in kept]
            short = [len(str(value)) <= _MAX_CHARACTERS for value in named]
            kept, named = kept[short], list(compress(named, short))
            matrix = (codes[:, None] + 1 == kept).astype(np.float32)
            is_complete = bool(counts[kept].sum() == len(X))
            if len(kept) and (len(kept) > 1 or not is_complete):
                features.append(CategoryFeature(name, named, is_complete, matrix))
    return features


def round_between(low: float, high: float) -> float:
    """Return the number of the fewest decimal digits from `low` to below `high`.

    Parameters
    ----------
    low, high : float
        The ends, the former smaller; they may be infinite.

    Returns
    -------
    number : float
        At least `low` and less than `high`, and finite.

    Examples
    --------
    >>> from sklearn_memgen.rules.features import round_between
    >>> round_between(17, 40), round_between(0.1234, 0.1299), round_between(5, 6)
    (30.0, 0.127, 5.0)
    """
    low, high = float(low), float(high)
    if math.isinf(low):
        low = high - max(1.0, abs(high)) if math.isfinite(high) else -1.0
    if math.isinf(high):
        high = low + max(1.0, abs(low))
    middle = low / 2 + high / 2
    largest = math.floor(math.log10(max(abs(low), abs(high))))
    for digits in range(-largest - 1, 18 - largest):
        for number in (round(middle, digits), round(low, digits)):
            if low <= number < high:
                return number
    return low
