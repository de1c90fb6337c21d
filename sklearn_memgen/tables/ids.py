"""Id columns: each value of a column, or of a part of it, as an id."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from sklearn_memgen.tables.numbers import weighted_quantiles
from sklearn_memgen.tables.values import to_floats
from sklearn_memgen.tables.vocabulary import Vocabulary

__all__ = ["CALENDAR", "IdColumn", "has_many_values"]

#: Parts of a date that are ids, and what pandas calls them.
CALENDAR = {"month": "month", "day": "day", "weekday": "day_of_week", "hour": "hour"}
_N_DECILES = 10
#: A category of so many values has target statistics.
_MANY_VALUES = 30


def has_many_values(values: pd.Series) -> bool:
    """Tell whether a category has so many values that many are rare."""
    return values.nunique() >= _MANY_VALUES


@dataclass(frozen=True)
class IdColumn:
    """A column whose values are ids.

    Parameters
    ----------
    label : hashable
        The column of the table.
    part : {"category", "frequent", "exact", "decile", "month", "day", "weekday", \
            "hour"}
        What of it is looked up: the category, the category if it is frequent, the exact
        number, the number's decile (a part of crosses only) or a part of the date.
    vocabulary : Vocabulary
        The values that have ids.
    edges : ndarray of shape (n_edges,)
        Inner edges of the deciles.
    """

    label: Hashable
    part: str
    vocabulary: Vocabulary
    edges: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    @classmethod
    def fit(
        cls,
        values: pd.Series,
        part: str,
        weights: np.ndarray | None,
        *,
        min_frequency: float,
    ) -> IdColumn:
        """Give ids to the values of a column, shape (n_rows,)."""
        edges = np.empty(0)
        if part == "decile":
            floats = to_floats(values)
            known = ~np.isnan(floats)
            probabilities = np.linspace(0, 1, _N_DECILES + 1)[1:-1]
            edges = np.unique(
                weighted_quantiles(
                    floats[known],
                    probabilities,
                    None if weights is None else weights[known],
                )
            )
        keys = _read(values, part, edges)
        vocabulary = Vocabulary.fit(keys, weights, min_frequency=min_frequency)
        return cls(values.name, part, vocabulary, edges)

    def extend(
        self, values: pd.Series, weights: np.ndarray | None, *, min_frequency: float
    ) -> IdColumn:
        """Return a column that has ids for further values; see `Vocabulary.extend`."""
        keys = _read(values, self.part, self.edges)
        vocabulary = self.vocabulary.extend(keys, weights, min_frequency=min_frequency)
        return replace(self, vocabulary=vocabulary)

    @property
    def name(self) -> str:
        """Name of the encoded column."""
        if self.part == "category":
            return str(self.label)
        return f"{self.label} ({self.part})"

    @property
    def counts(self) -> np.ndarray:
        """Weighted number of training rows of each id, shape (n_ids,)."""
        return self.vocabulary.counts

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, values: pd.Series) -> np.ndarray:
        """Look the ids of a column's values up, shape (n_rows,), int32.

        Warns
        -----
        UserWarning
            If no value is known, and they are strings where others were in training,
            or the other way round: 10115 is not "10115".
        """
        ids = self.vocabulary.encode(_read(values, self.part, self.edges))
        if _is_category(self.part) and len(self.vocabulary.keys) and not ids.any():
            self._warn_of_other_type(values.dropna())
        return ids

    def _warn_of_other_type(self, values: pd.Series) -> None:
        if len(values) == 0:
            return
        seen, given = self.vocabulary.keys[:1].tolist()[0], values.iloc[:1].tolist()[0]
        if isinstance(seen, str) != isinstance(given, str):
            warnings.warn(
                f"no value of column {self.label!r} is known: there are values such as "
                f"{given!r} now, where training had values such as {seen!r}",
                UserWarning,
                stacklevel=2,
            )

    def words(self) -> list[str]:
        """Return a readable word for each id, such as "education=Bachelors"."""
        words = self.vocabulary.words()
        if self.part == "decile":
            bounds = [f"{edge:.6g}" for edge in self.edges]
            spans = [
                f"[{lower}, {upper})"
                for lower, upper in zip(
                    ["-inf", *bounds], [*bounds, "inf"], strict=True
                )
            ]
            words[2:] = [spans[int(decile)] for decile in self.vocabulary.keys]
        plain = _is_category(self.part) or self.part == "exact"
        subject = self.label if plain else self.name
        return [f"{subject}={word}" for word in words]


def _is_category(part: str) -> bool:
    return part in ("category", "frequent")


def _read(values: pd.Series, part: str, edges: np.ndarray) -> pd.Series | np.ndarray:
    """Take the part that is looked up of a column as `read_columns` returns it."""
    if _is_category(part):
        return values
    if part in CALENDAR:
        # Integers would turn to floats where a date is missing.
        return getattr(values.dt, CALENDAR[part]).to_numpy(np.float64)
    floats = to_floats(values)
    if part == "exact":
        return floats
    deciles = np.searchsorted(edges, floats, side="right").astype(np.float64)
    deciles[np.isnan(floats)] = np.nan
    return deciles
