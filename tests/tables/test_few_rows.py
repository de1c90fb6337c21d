"""Few rows are read value by value, many by distinct values; the result is the same."""

import datetime
import pickle
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.tables import TableEncoder, vocabulary
from sklearn_memgen.tables.vocabulary import Vocabulary

WORDS = ["a", "b", "a\0", "😀", "1", "new", None]
WHOLE = [0, 1, 7, -3, 2**40, None]
MIXED = [
    *("a", "1", 1, 1.0, True, None, np.nan, pd.NA, pd.NaT, -0.0, 0, b"a", np.str_("b")),
    *(Decimal(1), Decimal("nan"), (1, 2), np.float64(1), np.int64(1), object, [1]),
    *(datetime.date(2024, 1, 5), pd.Timestamp("2024-01-05"), 1j),
]
DATES = [pd.Timestamp(2024, 1, 5, 3), pd.Timestamp(1999, 12, 31), None]
DTYPES = {
    "str": (WORDS, "str"),
    "string": (WORDS, "string"),
    "object": (WORDS, object),
    "category": (WORDS, "category"),
    "arrow string": (WORDS, pd.ArrowDtype(pa.string())),
    "int": ([v for v in WHOLE if v is not None], "int64"),
    "small int": ([0, 1, 7], "int8"),
    "uint": ([0, 1, 2**60], "uint64"),
    "float": ([*WHOLE, 0.1, -0.0, 1e300], "float64"),
    "float32": ([0.1, 2.5, None], "float32"),
    "Int64": (WHOLE, "Int64"),
    "Float64": ([*WHOLE, 0.1], "Float64"),
    "arrow int": (WHOLE, pd.ArrowDtype(pa.int64())),
    "bool": ([True, False], "bool"),
    "boolean": ([True, False, None], "boolean"),
    "category of int": (WHOLE, "category"),
    "date": (DATES, "datetime64[us]"),
    "arrow date": (DATES, pd.ArrowDtype(pa.timestamp("us"))),
    "mixed": (MIXED, object),
}


@pytest.mark.parametrize("seen", DTYPES)
@pytest.mark.parametrize("read", DTYPES)
def test_values_are_found_alike_alone_and_together(seen, read, monkeypatch):
    """Whatever was seen in training, and whatever comes."""
    values, dtype = DTYPES[seen]
    keys = [v for v in values if v.__hash__ is not None]
    fitted = Vocabulary.fit(pd.Series(keys, dtype=dtype).repeat(2))
    values, dtype = DTYPES[read]
    column = pd.Series(values, dtype=dtype)
    together = fitted.encode(column)
    monkeypatch.setattr(vocabulary, "_FEW_ROWS", 0)
    np.testing.assert_array_equal(together, fitted.encode(column))


@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("then", DTYPES)
def test_extended_vocabularies_find_values_alike(first, then, monkeypatch):
    """A column may come with another dtype when its vocabulary is extended."""
    columns = [
        pd.Series(DTYPES[name][0], dtype=DTYPES[name][1]) for name in (first, then)
    ]
    hashable = [value.__hash__ is not None for value in DTYPES[first][0]]
    fitted = Vocabulary.fit(columns[0][hashable].repeat(2))
    fitted.encode(columns[0])  # which it remembers
    extended = fitted.extend(columns[1].repeat(2))
    assert extended.keys[: len(fitted.keys)].tolist() == fitted.keys.tolist()
    together = [extended.encode(column) for column in columns]
    monkeypatch.setattr(vocabulary, "_FEW_ROWS", 0)
    for ids, column in zip(together, columns, strict=True):
        np.testing.assert_array_equal(ids, extended.encode(column))


@given(st.data())
def test_rows_encode_alone_as_they_do_together(data):
    """All kinds of columns, whichever values stand in a row."""
    kinds = [name for name in DTYPES if name != "mixed"]
    n_rows = data.draw(st.integers(1, 6))
    columns = {}
    for name in kinds:
        values, dtype = DTYPES[name]
        drawn = st.lists(st.sampled_from(values), min_size=n_rows, max_size=n_rows)
        columns[name] = pd.Series(data.draw(drawn), dtype=dtype)
    table = pd.DataFrame(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = ENCODER.transform(table)
        many = pd.concat([table] * (1001 // n_rows + 1), ignore_index=True)
        among_many = ENCODER.transform(many)[:n_rows]
        alone = [ENCODER.transform(table.iloc[[i]]) for i in range(n_rows)]
    for name in ("numbers", "ids"):
        expected = getattr(whole, name).numpy()
        np.testing.assert_array_equal(getattr(among_many, name).numpy(), expected)
        rows = np.concatenate([getattr(row, name).numpy() for row in alone])
        np.testing.assert_array_equal(rows, expected)


def fit_encoder():
    columns = {
        name: pd.Series((values * 12)[:12], dtype=dtype)
        for name, (values, dtype) in DTYPES.items()
        if name != "mixed"
    }
    crosses = [("str", "category"), ("int", "string")]
    return TableEncoder(
        memorize="exact",
        crosses=crosses,
        categorical_features=["small int", "Int64"],
        min_frequency=1,
    ).fit(pd.DataFrame(columns))


ENCODER = fit_encoder()


def test_what_can_be_made_again_is_not_pickled():
    """A model that has served is no larger than before."""
    fitted = Vocabulary.fit(pd.Series(["a", "b"] * 2))
    before = pickle.dumps(fitted)
    fitted.encode(pd.Series(["a"]))
    assert pickle.dumps(fitted) == before
    assert pickle.loads(before).encode(pd.Series(["b"])).tolist() == [3]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_other_columns_are_still_refused(make_table):
    """The short way past the check of names is for equal names only."""
    X, y = make_table()
    model = WideDeepClassifier(max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="same order"):
        model.predict(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="WideDeepClassifier is expecting 7 features"):
        model.predict(X.to_numpy()[:, 1:])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        model.predict(X.iloc[:0])
