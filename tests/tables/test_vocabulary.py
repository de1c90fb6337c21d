"""Values and their ids."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.tables.vocabulary import (
    MISSING,
    UNKNOWN,
    Vocabulary,
    count_classes,
)

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=40)


def as_objects(values):
    return pd.Series(values, dtype=object)


@given(WORDS, st.integers(1, 4))
def test_round_trip(values, min_frequency):
    """A frequent value comes back from its id; a rare one is unknown."""
    vocabulary = Vocabulary.fit(as_objects(values), min_frequency=min_frequency)
    ids = vocabulary.encode(as_objects(values))
    words = vocabulary.words()
    for value, id_ in zip(values, ids, strict=True):
        if value is None:
            assert id_ == MISSING
        elif values.count(value) >= min_frequency:
            assert words[id_] == value
        else:
            assert id_ == UNKNOWN


@given(WORDS)
def test_counts_are_those_of_the_ids(values):
    vocabulary = Vocabulary.fit(as_objects(values))
    counted = np.bincount(vocabulary.encode(as_objects(values)), minlength=2)
    np.testing.assert_array_equal(vocabulary.counts, counted)
    assert vocabulary.counts.dtype == np.float64


@given(st.data())
def test_weight_is_repetition(data):
    """A value of weight 3 is a value seen three times."""
    values = data.draw(WORDS)
    n = len(values)
    weights = np.array(data.draw(st.lists(st.integers(1, 4), min_size=n, max_size=n)))
    repeated = Vocabulary.fit(as_objects(values).repeat(weights))
    weighted = Vocabulary.fit(as_objects(values), weights.astype(float))
    assert weighted.keys.tolist() == repeated.keys.tolist()
    np.testing.assert_array_equal(weighted.counts, repeated.counts)


def test_most_frequent_first():
    vocabulary = Vocabulary.fit(pd.Series(list("abbcccdddd")), min_frequency=1)
    assert vocabulary.keys.tolist() == list("dcba")


def test_missing_id_only_if_values_were_missing():
    """An id that no training row had would mean nothing to a model."""
    with_missing = Vocabulary.fit(pd.Series(["a", "a", None]))
    without = Vocabulary.fit(pd.Series(["a", "a"]))
    assert with_missing.encode(pd.Series([None, "a"])).tolist() == [MISSING, 2]
    assert without.encode(pd.Series([None, "a"])).tolist() == [UNKNOWN, 2]


STRINGS = ["a", "b", "a", "b", None]
STRING_DTYPES = [
    *(object, "str", "string", "category"),
    pd.ArrowDtype(pa.string()),
    pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())),
]
NUMBER_DTYPES = [
    *(object, "float64", "float32", "Int64", "Float64", "category"),
    pd.ArrowDtype(pa.int64()),
    pd.ArrowDtype(pa.float32()),
]


@pytest.mark.parametrize("read", STRING_DTYPES, ids=str)
@pytest.mark.parametrize("seen", STRING_DTYPES, ids=str)
def test_strings_match_whatever_holds_them(seen, read):
    """A model fitted on categories may meet Arrow strings, and the other way round."""
    vocabulary = Vocabulary.fit(pd.Series(STRINGS, dtype=seen))
    ids = vocabulary.encode(pd.Series(["b", "z", None, "a"], dtype=read))
    assert ids.tolist() == [3, UNKNOWN, MISSING, 2]


@pytest.mark.parametrize("read", NUMBER_DTYPES, ids=str)
@pytest.mark.parametrize("seen", NUMBER_DTYPES, ids=str)
def test_numbers_match_whatever_holds_them(seen, read):
    """Integers turn to floats once one is missing; they are the same values."""
    vocabulary = Vocabulary.fit(pd.Series([7, 8, 7, 8, None], dtype=seen))
    ids = vocabulary.encode(pd.Series([8, 9, None, 7], dtype=read))
    assert ids.tolist() == [3, UNKNOWN, MISSING, 2]


def test_booleans_match_objects():
    vocabulary = Vocabulary.fit(pd.Series([True, False] * 2))
    read = vocabulary.encode(pd.Series([False, "x", None], dtype=object))
    assert read.tolist() == [3, UNKNOWN, UNKNOWN]


def test_categories_unseen_in_fit_are_unknown():
    """Categories a dtype declares but no row has get no id."""
    seen = pd.Series(pd.Categorical(["a", "a"], categories=["z", "a"]))
    vocabulary = Vocabulary.fit(seen)
    assert vocabulary.keys.tolist() == ["a"]
    read = pd.Series(pd.Categorical(["z", "q", "a"], categories=["q", "z", "a"]))
    assert vocabulary.encode(read).tolist() == [UNKNOWN, UNKNOWN, 2]


@pytest.mark.parametrize(
    "values",
    [
        as_objects([{"a": 1}, "a", [1], (1, [2])]),
        pd.Series([[1], None, [2], [3]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
        as_objects([1j, np.float64(2), b"a", object()]),
    ],
    ids=["unhashable", "arrow list", "strange"],
)
def test_strange_values_are_unknown(values):
    """Nothing that stands in a row at predict time fails, nor hides another row."""
    vocabulary = Vocabulary.fit(pd.Series(["a", "a", "b", "b"]))
    ids = vocabulary.encode(values)
    expected = [2 if isinstance(v, str) and v == "a" else UNKNOWN for v in values]
    assert ids.tolist() == expected
    assert ids.dtype == np.int32


def test_emoji_and_nul_are_told_apart():
    """Strings do not end at a NUL, and any script is a value."""
    values = pd.Series(["a\0b", "a\0c", "a", "😀", "😁"] * 2)
    vocabulary = Vocabulary.fit(values)
    assert vocabulary.words()[2:] == ["a\0b", "a\0c", "a", "😀", "😁"]
    assert vocabulary.encode(values).tolist() == [2, 3, 4, 5, 6] * 2


def test_words_of_floats_are_short():
    vocabulary = Vocabulary.fit(np.array([7688.0, 0.1, 1e12] * 2))
    assert vocabulary.words()[2:] == ["7688", "0.1", "1e+12"]


def test_no_value_at_all():
    """All values missing, or all rare: two ids that are there, and no more."""
    empty = Vocabulary.fit(pd.Series([None, None], dtype=object))
    assert len(empty) == 2 and empty.counts.tolist() == [0, 2]
    rare = Vocabulary.fit(pd.Series(["a", "b"]))
    assert len(rare) == 2 and rare.counts.tolist() == [2, 0]
    assert rare.encode(pd.Series(["a"])).tolist() == [UNKNOWN]


def test_count_classes():
    ids, y = np.array([0, 1, 1, 2]), np.array([1, 0, 0, 1])
    counts = count_classes(ids, y, None, (4, 2))
    assert counts.tolist() == [[0, 1], [2, 0], [0, 1], [0, 0]]
    weighted = count_classes(ids, y, np.array([1, 2, 3, 4.5]), (4, 2))
    assert weighted.tolist() == [[0, 1], [5, 0], [0, 4.5], [0, 0]]


# Extending


def test_extending_appends_new_values_and_adds_counts_up():
    old = Vocabulary.fit(pd.Series(["a", "b", "a", "b", "b", "c"]))
    new = old.extend(pd.Series(["z", "a", "z", None, "c", "y", "x", "x", "x"]))
    assert new.keys.tolist() == ["b", "a", "x", "z"]
    # Unknown: c and, now, c and y, which are too rare in either table.
    assert new.counts.tolist() == [3, 1, 3, 3, 3, 2]
    assert old.keys.tolist() == ["b", "a"]
    assert old.counts.tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize(
    ("first", "then", "ids"),
    [
        ([1.0, 1.0], [2, 2, 1], [3, 3, 2]),
        (["a", "a"], [7, 7, "a"], [3, 3, 2]),
        ([], ["a", "a", "b"], [2, 2, 0]),
        (pd.Categorical(["a", "a"]), pd.Categorical(["b", "b", "a"]), [3, 3, 2]),
        (["a", "a"], [{}, [], "a"], [0, 0, 2]),
    ],
)
def test_extending_by_values_of_any_dtype(first, then, ids):
    old = Vocabulary.fit(pd.Series(first))
    new = old.extend(pd.Series(then), min_frequency=2)
    assert new.encode(pd.Series(then)).tolist() == ids


def test_extending_within_limits_and_by_weight():
    old = Vocabulary.fit(pd.Series(["a", "a"]))
    rows, weights = pd.Series(["x", "y", "z"]), np.array([3.0, 2.0, 0.5])
    new = old.extend(rows, weights, min_frequency=1)
    assert new.keys.tolist() == ["a", "x", "y"]
    assert new.counts.tolist() == [0.5, 0, 2, 3, 2]
    assert old.extend(rows, weights, max_keys=2).keys.tolist() == ["a", "x"]
    assert old.extend(rows, weights, max_keys=0).keys.tolist() == ["a"]


def test_extending_by_another_dtype_keeps_keys_apart():
    """Whole ids come as floats where one is missing; floats cannot tell all apart."""
    vocabulary = Vocabulary.fit(pd.Series([2**60, 2**60 + 1]), min_frequency=1)
    extended = vocabulary.extend(pd.Series([3.0, None]), min_frequency=1)
    assert extended.encode(pd.Series([2**60, 2**60 + 1, 3])).tolist() == [2, 3, 4]
    flags = Vocabulary.fit(pd.Series([0.0, 1.0]), min_frequency=1)
    flags = flags.extend(pd.Series([True, False]), min_frequency=1)
    assert flags.encode(pd.Series([0.0, 1.0])).tolist() == [2, 3]
