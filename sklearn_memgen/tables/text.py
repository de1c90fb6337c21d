"""Free text: hashed word n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer

from sklearn_memgen.tables.values import to_strings

__all__ = ["TextHasher"]

#: Rows whose n-grams are kept as the readable names of buckets.
_N_NAMED_ROWS = 5000


@dataclass(frozen=True)
class TextHasher:
    """Hash the words and word pairs of a text column into buckets.

    Parameters
    ----------
    label : hashable
        The column of the table.
    n_buckets : int
        Number of buckets.
    terms : dict of int to str
        The most frequent n-gram of each bucket that the first training rows filled.
    """

    label: Hashable
    n_buckets: int
    terms: dict[int, str] = field(default_factory=dict, repr=False)

    @classmethod
    def fit(cls, values: pd.Series, *, label: Hashable, n_buckets: int) -> TextHasher:
        """Name the buckets by the n-grams of the first rows."""
        analyze = cls(label, n_buckets)._vectorizer().build_analyzer()
        counts: Counter[str] = Counter()
        for text in to_strings(values.iloc[:_N_NAMED_ROWS]):
            counts.update(analyze(text))
        terms = [term for term, _ in counts.most_common()]
        if not terms:
            return cls(label, n_buckets)
        # The hasher behind HashingVectorizer, fed with one n-gram a row.
        hasher = FeatureHasher(n_buckets, input_type="string", alternate_sign=False)
        buckets = hasher.transform([[term] for term in terms]).indices
        first = np.unique(buckets, return_index=True)[1]
        return cls(label, n_buckets, {int(buckets[i]): terms[i] for i in first})

    def _vectorizer(self) -> HashingVectorizer:
        return HashingVectorizer(
            n_features=self.n_buckets,
            ngram_range=(1, 2),
            alternate_sign=False,
            norm="l2",
            dtype=np.float32,
        )

    def transform(self, values: pd.Series) -> sparse.csr_matrix:
        """Return the length-normalized n-gram counts, shape (n_rows, n_buckets)."""
        return self._vectorizer().transform(to_strings(values))

    def words(self) -> list[str]:
        """Return a readable word for each bucket, shape (n_buckets,)."""
        return [
            f"{self.label}: {self.terms.get(bucket, f'bucket {bucket}')}"
            for bucket in range(self.n_buckets)
        ]
