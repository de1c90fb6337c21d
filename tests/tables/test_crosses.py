"""Crosses of columns."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.tables.crosses import Cross, fit_cross
from sklearn_memgen.tables.ids import IdColumn

PAIRS = st.lists(
    st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", "z"])),
    min_size=1,
    max_size=40,
)


def columns_of(rows, names="pqr"):
    values = zip(*rows, strict=True)
    return {
        name: pd.Series(list(column), name=name, dtype=object)
        for name, column in zip(names, values, strict=False)
    }


def fit(columns, weights=None, min_frequency=2, n_buckets=2**16):
    parts = tuple(
        IdColumn.fit(values, "category", weights, min_frequency=min_frequency)
        for values in columns.values()
    )
    ids = [part.encode(columns[part.label]) for part in parts]
    options = {"min_frequency": min_frequency, "n_buckets": n_buckets}
    return Cross.fit(parts, ids, weights, **options), ids


def test_combinations_have_ids_and_words():
    rows = [("a", "x"), ("a", "x"), ("b", "y"), ("b", "y"), ("a", "y"), ("c", "x")]
    cross, ids = fit(columns_of(rows))
    assert cross.name == "p & q" and len(cross) == 4
    assert cross.words() == [
        *("p & q=<unknown>", "p & q=<missing>"),
        *("p=a & q=x", "p=b & q=y"),
    ]
    # A rare combination and one with a rare part are unknown.
    assert cross.encode(ids).tolist() == [2, 2, 3, 3, 0, 0]
    assert cross.counts.tolist() == [2, 0, 2, 2]


@given(PAIRS)
def test_round_trip(rows):
    """An id's word names the values of its row, missing ones among them."""
    cross, ids = fit(columns_of(rows), min_frequency=1)
    words = cross.words()
    for (p, q), id_ in zip(rows, cross.encode(ids), strict=True):
        assert words[id_] == f"p={p or '<missing>'} & q={q}"


@given(PAIRS, st.integers(1, 3), st.sampled_from([1, 3, 2**16]))
def test_counts_are_those_of_the_ids(rows, min_frequency, n_buckets):
    """By vocabulary or hashed, every row is counted where it is encoded."""
    cross, ids = fit(columns_of(rows), None, min_frequency, n_buckets)
    counted = np.bincount(cross.encode(ids), minlength=len(cross))
    np.testing.assert_array_equal(cross.counts, counted)
    assert len(cross.words()) == len(cross)


@given(PAIRS, st.data())
def test_weight_is_repetition(rows, data):
    n = len(rows)
    weights = np.array(data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)))
    repeated = [rows[i] for i in np.arange(n).repeat(weights)]
    weighted, _ = fit(columns_of(rows), weights.astype(float))
    other, _ = fit(columns_of(repeated))
    assert weighted.words() == other.words()
    np.testing.assert_array_equal(weighted.counts, other.counts)


def grid(n):
    """All pairs of n values, each twice, the first one often."""
    rows = [(f"v{i}", f"w{j}") for i in range(n) for j in range(n)] * 2
    return rows + rows[:1] * 5


def test_too_many_combinations_are_hashed():
    rows = grid(20)
    cross, ids = fit(columns_of(rows), n_buckets=64)
    encoded = cross.encode(ids)
    assert cross.n_buckets == 64 and len(cross) == 65
    assert encoded.min() >= 1 and encoded.max() <= 64
    # Spread: no bucket holds much more than its share.
    assert (cross.counts[1:] > 0).all() and cross.counts.max() < 4 * len(rows) / 64
    words = cross.words()
    assert words[0] == "p & q=<unknown>"
    assert words[encoded[0]].startswith("p=v0 & q=w0 (or ")


def test_hashed_combination_with_an_unknown_part_is_unknown():
    rows = [*grid(20), ("rare", "w0")]
    cross, ids = fit(columns_of(rows), n_buckets=64)
    assert cross.encode(ids)[-1] == 0 and cross.counts[0] == 1


def test_exactly_as_many_combinations_as_buckets_are_not_hashed():
    assert fit(columns_of(grid(8)), n_buckets=64)[0].n_buckets is None
    assert fit(columns_of(grid(8)), n_buckets=63)[0].n_buckets == 63


def test_three_columns():
    rows = [("a", "x", 1), ("a", "x", 2)] * 2
    cross, ids = fit(columns_of(rows))
    assert cross.words()[2:] == ["p=a & q=x & r=1", "p=a & q=x & r=2"]
    assert cross.encode(ids).tolist() == [2, 3, 2, 3]


def test_all_unknown():
    cross, ids = fit(columns_of([("a", "x"), ("b", "y")]))
    assert cross.encode(ids).tolist() == [0, 0] and cross.counts.tolist() == [2, 0]


def test_more_combinations_than_can_be_numbered():
    part = fit(columns_of([("a", "x")]), min_frequency=1)[0].parts[0]

    class Huge(IdColumn):
        def __len__(self):
            return 2**32

    huge = Huge(part.label, part.part, part.vocabulary)
    with pytest.raises(ValueError, match="p & p has too many combinations"):
        Cross.fit((huge, huge), [], None, min_frequency=2, n_buckets=10)


KINDS = {"city": "category", "few": "number", "many": "number", "day": "datetime"}


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    city = pd.Series(rng.choice(["Rome", "Oslo"], 1000), name="city")
    few = pd.Series(rng.choice([0.0, 1.5], 1000), name="few")
    many = pd.Series(rng.normal(size=1000), name="many")
    day = pd.Series(pd.Timestamp("2024-01-01"), index=range(1000), name="day")
    return {"city": city, "few": few, "many": many, "day": day}


def cross_of(columns, given, id_columns=None):
    if id_columns is None:
        city = IdColumn.fit(columns["city"], "category", None, min_frequency=2)
        id_columns = {"city": city}
    options = {"min_frequency": 2, "n_buckets": 2**16}
    table, kinds = pd.DataFrame(columns), pd.Series(KINDS)
    return fit_cross(table, given, columns, kinds, id_columns, None, **options)


def test_numbers_of_few_values_are_crossed_by_value(columns):
    cross = cross_of(columns, ("city", "few"))
    assert sorted(cross.words()[2:]) == [
        *("city=Oslo & few=0", "city=Oslo & few=1.5"),
        *("city=Rome & few=0", "city=Rome & few=1.5"),
    ]


def test_numbers_of_many_values_are_crossed_by_decile(columns):
    cross = cross_of(columns, ("city", 2))
    assert cross.name == "city & many" and len(cross) == 2 + 2 * 10
    assert all("many (decile)=[" in word for word in cross.words()[2:])


def test_memorized_numbers_are_crossed_by_value(columns):
    """Crosses take part by the ids that a column has already."""
    exact = IdColumn.fit(columns["many"].round(), "exact", None, min_frequency=2)
    cross = cross_of(columns, ("few", "many"), {"many (exact)": exact})
    assert cross.parts[1] is exact


@pytest.mark.parametrize(
    "given", ["city", ("city",), (), ("city", "city"), ("city", 0), 3, None], ids=repr
)
def test_no_cross(columns, given):
    with pytest.raises(ValueError, match="crosses must be tuples of two or more"):
        cross_of(columns, given)


def test_cross_of_a_column_that_is_not_there(columns):
    with pytest.raises(ValueError, match=r"crosses names column 'town'.*does not have"):
        cross_of(columns, ("city", "town"))


def test_cross_of_a_date(columns):
    with pytest.raises(ValueError, match="'day', which is of kind datetime"):
        cross_of(columns, ("city", "day"))
