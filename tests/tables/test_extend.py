"""TableEncoder.extend: new values get ids, and the ids there are keep their order."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklearn_memgen.tables import TableEncoder

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from([1.0, 2.0, 3.0])),
    min_size=2,
    max_size=30,
)


def table_of(rows):
    return pd.DataFrame(rows, columns=["letter", "number"]).astype({"letter": object})


def words_of(encoder, X):
    return encoder.inverse(encoder.transform(X).ids)


def make_encoder(**params):
    params = {"crosses": [("letter", "number")], "memorize": "exact"} | params
    return TableEncoder(categorical_features=["letter"], **params)


@given(ROWS, ROWS)
def test_old_ids_mean_what_they_meant(first, then):
    """Column by column the old words begin the new ones; known rows keep theirs."""
    encoder = make_encoder().fit(table_of(first))
    words, offsets = encoder.words(), encoder.id_offsets_
    before = words_of(encoder, table_of(first))
    encoder.extend(table_of(then))
    new_words, new_offsets = encoder.words(), encoder.id_offsets_
    for j, (start, stop) in enumerate(itertools.pairwise(offsets)):
        begin = new_offsets[j]
        assert new_words[begin : begin + stop - start].tolist() == (
            words[start:stop].tolist()
        )
    assert len(set(new_words)) == len(new_words)
    after = words_of(encoder, table_of(first))
    for old, new in zip(before.flat, after.flat, strict=True):
        assert old == new or old.endswith("<unknown>")
    assert encoder.id_counts_.sum() == (len(new_offsets) - 1) * (len(first) + len(then))


@given(ROWS, ROWS)
def test_hashed_crosses_keep_their_buckets(first, then):
    encoder = make_encoder(n_cross_buckets=1, min_frequency=1).fit(table_of(first))
    cross = encoder.crosses_["letter & number"]
    before = encoder.transform(table_of(first)).ids[:, -1] - encoder.id_offsets_[-2]
    encoder.extend(table_of(then))
    after = encoder.transform(table_of(first)).ids[:, -1] - encoder.id_offsets_[-2]
    if cross.n_buckets is not None:
        assert encoder.crosses_["letter & number"].n_buckets == 1
        known = (before != 0).numpy()
        assert (before == after)[known].all()


def test_buckets_do_not_depend_on_how_many_values_a_part_has():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 40, (2000, 2)), columns=["p", "q"]).astype(str)
    encoder = TableEncoder(crosses=[("p", "q")], n_cross_buckets=50).fit(X)
    before = encoder.transform(X).ids[:, -1] - encoder.id_offsets_[-2]
    words = encoder.crosses_["p & q"].words()
    encoder.extend(X + "'")
    assert len(encoder.id_columns_["p"]) == 2 + 80
    after = encoder.transform(X).ids[:, -1] - encoder.id_offsets_[-2]
    assert (before == after).all()
    assert encoder.crosses_["p & q"].words() == words
    assert len(np.unique(before)) == 50
    sizes = np.bincount(before)[1:]  # 32 combinations a bucket, spread evenly
    assert sizes.max() < 4 * sizes.mean()


def test_a_cross_gets_no_more_ids_than_buckets():
    first = table_of([("a", 1.0)] * 2)
    encoder = make_encoder(n_cross_buckets=3, min_frequency=1).fit(first)
    later = [("b", 1.0)] * 3 + [("c", 2.0)] * 2 + [("b", 3.0), ("c", 3.0)]
    encoder.extend(table_of(later))
    cross = encoder.crosses_["letter & number"]
    assert cross.n_buckets is None
    assert len(cross.vocabulary.keys) == 3
    assert encoder.inverse(encoder.transform(table_of([("b", 1.0)])).ids)[0, -1] == (
        "letter=b & number=1"
    )


def test_scales_and_choices_stay():
    X = table_of([("a", 1.0), ("b", 2.0)] * 10)
    encoder = make_encoder(memorize="none").fit(X)
    numbers, table = encoder.numbers_, encoder.transform(X)
    encoder.extend(X.assign(number=X["number"] * 100 + np.arange(20) % 2))
    assert encoder.numbers_ is numbers
    assert list(encoder.id_columns_) == ["letter"]
    np.testing.assert_array_equal(encoder.transform(X).numbers, table.numbers)


def test_weights_and_other_columns():
    X = table_of([("a", 1.0), ("b", 2.0)] * 2)
    encoder = make_encoder().fit(X)
    later = table_of([("x", 1.0), ("y", 1.0), ("z", 1.0)])
    encoder.extend(later, sample_weight=[2.0, 1.0, 0.0])
    assert encoder.id_columns_["letter"].vocabulary.keys.tolist() == ["a", "b", "x"]
    with pytest.raises(ValueError, match="feature names"):
        encoder.extend(later.rename(columns={"letter": "sign"}))
    with pytest.raises(ValueError, match="above zero|zero"):
        encoder.extend(later, sample_weight=[0.0, 0.0, 0.0])


def test_sparse_matrices_have_no_values_to_add():
    X = sparse.csr_matrix(np.eye(4))
    encoder = TableEncoder().fit(X)
    assert encoder.extend(X).n_sparse_features_ == 4
