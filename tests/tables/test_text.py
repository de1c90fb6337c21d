"""Text as hashed n-grams."""

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen.tables.text import TextHasher

TEXTS = pd.Series(["red wine", "red wine from Rome", None, ""], name="t", dtype=object)


def fit(values=TEXTS, n_buckets=2**16):
    return TextHasher.fit(values, label="t", n_buckets=n_buckets)


def test_words_and_pairs_of_words():
    matrix = fit().transform(TEXTS)
    assert matrix.shape == (4, 2**16) and matrix.dtype == np.float32
    assert np.diff(matrix.indptr).tolist() == [3, 7, 0, 0]
    assert (matrix.data > 0).all()


def test_rows_are_of_length_one():
    """A long text counts no more than a short one."""
    matrix = fit().transform(TEXTS)
    lengths = np.linalg.norm(matrix.toarray(), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 0], rtol=1e-6)


def test_buckets_are_named_by_their_terms():
    hasher = fit()
    words = hasher.words()
    matrix = hasher.transform(pd.Series(["red wine"]))
    named = sorted(words[bucket] for bucket in matrix.indices)
    assert named == ["t: red", "t: red wine", "t: wine"]
    unnamed = next(b for b in range(2**16) if b not in hasher.terms)
    assert words[unnamed] == f"t: bucket {unnamed}"


def test_a_bucket_is_named_by_its_most_frequent_term():
    hasher = fit(pd.Series(["often", "rare", "often"]), n_buckets=1)
    assert hasher.words() == ["t: often"]


@pytest.mark.parametrize("values", [[None, None], ["", " "], [np.nan, "?!"]])
def test_no_words(values):
    """All text missing, in fit or later: empty rows, and no failure."""
    values = pd.Series(values, dtype=object)
    assert fit(values).terms == {}
    assert fit(values).transform(values).nnz == 0
    assert fit().transform(values).nnz == 0


def test_any_object_is_text():
    values = pd.Series([{"red": 1}, ["wine"], 2.5, "\ud800 red", "😀"], dtype=object)
    matrix = fit().transform(values)
    assert np.diff(matrix.indptr)[:2].tolist() == [1, 1]
    alone = [fit().transform(values.iloc[[i]]).indices.tolist() for i in range(5)]
    assert [row.indices.tolist() for row in matrix] == alone
