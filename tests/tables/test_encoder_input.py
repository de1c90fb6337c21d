"""TableEncoder: what may come in, and that nothing in it does harm."""

import time
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from sklearn_memgen.tables import TableEncoder

CROSSES = [("city", "grade"), ("city", "level", "size")]


# --- containers ---------------------------------------------------------------


def test_polars_encodes_as_pandas(make_table, assert_equal):
    X, y = make_table()
    X["grade"] = X["grade"].astype("str")
    encoder = TableEncoder(memorize=["amount"], crosses=CROSSES, n_text_buckets=64)
    encoder.fit(X, y)
    frame = pl.from_pandas(X)
    assert_equal(encoder.transform(frame), encoder.transform(X))
    assert_equal(clone(encoder).fit(frame, y).transform(frame), encoder.transform(X))


NUMERIC = np.array([[1, 2.5], [3, 0], [1, 2.5], [0, 4]])


@pytest.mark.parametrize(
    "other",
    [
        NUMERIC.tolist(),
        NUMERIC.astype(object),
        NUMERIC.astype(str),
        NUMERIC.astype(np.float32),
        np.asfortranarray(NUMERIC),
        sparse.csr_matrix(NUMERIC),
        sparse.coo_array(NUMERIC),
        pd.DataFrame(NUMERIC),
        pd.DataFrame(NUMERIC).astype("Float64"),
    ],
    ids=["list", "object", "str", "float32", "F", "csr", "coo", "frame", "nullable"],
)
def test_array_fitted_another_container_transformed(other, assert_equal):
    encoder = TableEncoder().fit(NUMERIC)
    assert not hasattr(encoder, "feature_names_in_")
    assert_equal(encoder.transform(other), encoder.transform(NUMERIC))


def test_array_of_strings_does_not_depend_on_the_batch(assert_equal):
    """A category that spells a number is the same alone and among letters."""
    X = np.array([[1, "a"], [2, "7"]] * 2)
    encoder = TableEncoder().fit(X)
    assert encoder.column_kinds_.tolist() == ["number", "category"]
    whole = encoder.transform(X)
    assert_equal(encoder.transform(X[1:2]), whole[1:2])
    assert encoder.inverse(whole.ids[1]).tolist() == ["1=7"]


def test_list_of_lists_keeps_types():
    encoder = TableEncoder().fit([[1, "a", None], [2, "b", True], [3, "b", False]])
    assert encoder.column_kinds_.tolist() == ["number", "category", "number"]


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_sparse(kind, form, assert_equal):
    X = kind(NUMERIC).asformat(form)
    encoder = TableEncoder().fit(X)
    table = encoder.transform(X)
    assert table.numbers.shape == table.ids.shape == (4, 0)
    assert table.ids.dtype == torch.int32
    assert table.csr.values.tolist() == pytest.approx(
        [1 / 3, 0.625, 1, 1 / 3, 0.625, 1]
    )
    assert encoder.get_feature_names_out().tolist() == ["x0", "x1"]
    assert encoder.words().tolist() == ["x0", "x1"]
    assert encoder.n_sparse_features_ == encoder.n_features_in_ == 2
    assert encoder.column_kinds_.empty and encoder.memorized_.empty
    assert_equal(encoder.transform(NUMERIC), table)


@pytest.mark.parametrize(
    "params",
    [{"categorical_features": [0]}, {"crosses": [(0, 1)]}, {"memorize": [0]}],
    ids=lambda params: next(iter(params)),
)
def test_sparse_has_no_columns_to_name(params):
    with pytest.raises(ValueError, match=f"{next(iter(params))}=.* needs a table"):
        TableEncoder(**params).fit(sparse.csr_matrix(NUMERIC))


def test_weights_with_sparse_input():
    X = sparse.csr_matrix(NUMERIC)
    encoder = TableEncoder().fit(X, sample_weight=[1, 0, 1, 1])
    assert encoder.transform(X).csr.values.max() == 3


def test_frame_with_any_index(fitted, assert_equal):
    """Labels of rows are never looked at, even if they repeat."""
    encoder, X, y = fitted
    other = X.set_axis(np.zeros(len(X)), axis=0)
    assert_equal(encoder.transform(other), encoder.transform(X))
    assert_equal(clone(encoder).fit(other, y).transform(X), encoder.transform(X))


def test_columns_named_by_integers(make_table):
    X, _ = make_table()
    X = X.set_axis([10, 0, 1, 2, 3, 4, 5], axis=1)
    encoder = TableEncoder(memorize=[10], crosses=[(2, 3)]).fit(X)
    assert encoder.get_feature_names_out()[0] == "10"
    assert list(encoder.crosses_) == ["2 & 3"]
    assert "10 (exact)" in encoder.id_columns_


# --- columns at predict time --------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.drop(columns="city"), "Feature names seen at fit time, yet now"),
        (lambda X: X.rename(columns={"city": "town"}), "unseen at fit time.*\n.*town"),
        (lambda X: X[X.columns[::-1]], "must be in the same order"),
        (lambda X: X.assign(more=1), "unseen at fit time.*\n.*more"),
        (lambda X: X.iloc[:0], r"0 sample\(s\)"),
        (lambda X: X.to_numpy()[:, 1:], "X has 6 features, but TableEncoder is exp"),
        (lambda X: X["city"], "dim|1D"),
        (lambda X: X.set_axis(["a"] * 7, axis=1), "more than one column"),
    ],
    ids=["missing", "renamed", "reordered", "added", "empty", "narrow", "1d", "twice"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_other_columns(fitted, change, message):
    encoder, X, _ = fitted
    with pytest.raises(ValueError, match=message):
        encoder.transform(change(X))


def test_frame_fitted_array_transformed(fitted, assert_equal):
    """As everywhere in scikit-learn: a warning, and the same result."""
    encoder, X, _ = fitted
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        table = encoder.transform(X.to_numpy(object))
    assert_equal(table, encoder.transform(X))


def test_columns_change_their_dtype(fitted, make_table, assert_equal):
    """The same values, held otherwise, encode alike."""
    encoder, X, _ = fitted
    other = X.assign(
        amount=X["amount"].astype(int).astype(object),
        size=X["size"].astype("Float64"),
        level=X["level"].astype("float64"),
        city=X["city"].astype("category"),
        grade=X["grade"].astype("string[pyarrow]"),
        day=X["day"].dt.strftime("%Y-%m-%d"),
        note=X["note"].astype(object),
    )
    assert_equal(encoder.transform(other), encoder.transform(X))
    assert_equal(encoder.transform(X.convert_dtypes()), encoder.transform(X))
    arrow = X.convert_dtypes(dtype_backend="pyarrow")
    assert_equal(encoder.transform(arrow), encoder.transform(X))


# --- bad values ---------------------------------------------------------------

STRANGE = [
    *(None, np.nan, pd.NA, pd.NaT, np.inf, -np.inf, 10**400, 1j, True, -7, 2.5),
    *("", "x", "7", "😀", "a\0b", "\ud800", b"x", "2024-02-30", "2024-01-05"),
    *({"a": 1}, [1, 2], (1, [2]), {1}, object(), np.ones(2)),
    *(pd.Timestamp("2024-01-05", tz="UTC"), pd.Timedelta(1), pd.Period("2024")),
]


@pytest.mark.parametrize(
    "name", ["amount", "size", "level", "city", "grade", "day", "note"]
)
def test_nothing_in_a_row_harms_another(fitted, name, assert_equal):
    """Whatever stands in a column at predict time, all rows encode as they do alone."""
    encoder, X, _ = fitted
    clean, dirty = X.iloc[: len(STRANGE)], X.iloc[: len(STRANGE)].copy()
    dirty[name] = pd.Series(STRANGE, dtype=object, index=dirty.index)
    mixed = pd.concat([clean.astype({name: object}), dirty])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = encoder.transform(mixed)
        alone = [encoder.transform(dirty.iloc[[i]]) for i in range(len(dirty))]
    assert_equal(table[: len(clean)], encoder.transform(clean))
    for i, row in enumerate(alone):
        assert_equal(row, table[len(clean) + i : len(clean) + i + 1])
    assert not table.numbers.isinf().any()
    seen = encoder.transform(X).numbers.isnan().any(dim=0)
    assert (seen | ~table.numbers.isnan().any(dim=0)).all()


def test_unknown_category_is_unknown_in_its_crosses_too(fitted):
    encoder, X, _ = fitted
    names = encoder.get_feature_names_out()[4:-1]
    table = encoder.transform(X.iloc[:1].assign(city="Lima"))
    words = dict(zip(names, encoder.inverse(table.ids[0]), strict=True))
    assert words["city"] == "city=<unknown>"
    assert words["city & grade"] == "city & grade=<unknown>"
    assert words["grade"] == f"grade={X['grade'].iloc[0]}"


def test_missing_values_only_where_they_were_seen(fitted):
    """NaN and the missing id come out only in columns that had them in fit."""
    encoder, X, _ = fitted
    empty = X.iloc[:1].copy()
    for name in X.columns:
        empty[name] = pd.Series([None], dtype=object, index=empty.index)
    table = encoder.transform(empty)
    assert table.numbers[0].isnan().tolist() == [False, True, True, True]
    words = encoder.inverse(table.ids[0])[:3].tolist()
    assert words == ["amount=<unknown>", "city=<missing>", "grade=<unknown>"]
    assert len(table.csr.values) == 0


def test_garbage_warns_once_and_names_the_column(fitted):
    """One column is read once, however many outputs it has."""
    encoder, X, _ = fitted
    dirty = X.astype({"amount": object, "day": object})
    dirty.loc[0, ["amount", "day"]] = "garbage"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder.transform(dirty)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert "'amount' is a column of numbers, but 1 of its values are not" in messages[0]
    assert "'day' is a column of dates, but 1 of its values are not" in messages[1]
    assert all(warning.filename == __file__ for warning in caught)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0, np.inf, 2], ValueError, "infinity in column 'bad'"),
        ([1.0, -np.inf, 2], ValueError, "infinity in column 'bad'"),
        ([1j, 2, 3], ValueError, "Complex data not supported: column 'bad'"),
        (
            [{"a": 1}, "b", "c"],
            TypeError,
            r"'bad'.* argument must be a string or a num",
        ),
        ([[1], [2], [3]], TypeError, r"'bad'.* argument must be a string or a number"),
    ],
    ids=["inf", "-inf", "complex", "dict", "list"],
)
def test_refused_in_fit(values, error, message):
    X = pd.DataFrame({"good": [1, 2, 3], "bad": values})
    with pytest.raises(error, match=message):
        TableEncoder().fit(X)


def test_spelled_infinity_is_refused():
    """Strings are read before they are checked."""
    with pytest.raises(ValueError, match="infinity in column 'bad'"):
        TableEncoder(numeric_features=["bad"]).fit(pd.DataFrame({"bad": ["1", "inf"]}))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"a": []}), r"0 sample\(s\)"),
        (pd.DataFrame(index=[0, 1]), r"0 feature\(s\)"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"more than one .*\['a'\]"),
    ],
    ids=["no rows", "no columns", "names twice"],
)
def test_no_table(X, message):
    with pytest.raises(ValueError, match=message):
        TableEncoder().fit(X)


@pytest.mark.filterwarnings("ignore:no value of column .a. is known")
@pytest.mark.parametrize(
    "values",
    [[np.nan] * 3, [None] * 3, [5.0] * 3, ["x"] * 3, pd.array([None] * 3, "Int64")],
    ids=["nan", "none", "constant", "one word", "NA"],
)
def test_column_that_says_nothing(values):
    """Empty and constant columns encode, and so does something new in them."""
    X = pd.DataFrame({"a": values, "b": [1.0, 2, 3]})
    encoder = TableEncoder(memorize="exact", crosses=[("a", "b")], min_frequency=1)
    table = encoder.fit(X, [0, 1, 0]).transform(X)
    assert len(set(map(str, table.numbers[:, 0].tolist()))) == (
        1 if "a" in encoder.numbers_ else 3
    )
    assert len(encoder.transform(X.assign(a=7.0))) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(encoder.transform(X.assign(a="new"))) == 3


def test_one_row(make_table):
    X, _ = make_table(1)
    encoder = TableEncoder(memorize="exact", crosses=CROSSES, n_text_buckets=8)
    assert len(encoder.fit_transform(X, [1])) == 1


def test_emoji_and_nul():
    X = pd.DataFrame({"c": ["😀", "a\0b", "a\0c", "a"] * 2})
    encoder = TableEncoder().fit(X)
    words = encoder.inverse(encoder.transform(X).ids)[:4, 0].tolist()
    assert words == ["c=😀", "c=a\0b", "c=a\0c", "c=a"]


def test_mixed_types_in_one_column():
    X = pd.DataFrame({"c": pd.Series([1, "a", None, 2.5] * 2, dtype=object)})
    encoder = TableEncoder().fit(X)
    words = encoder.inverse(encoder.transform(X).ids)[:4, 0].tolist()
    assert words == ["c=1", "c=a", "c=<missing>", "c=2.5"]


# --- size ---------------------------------------------------------------------


def test_ten_thousand_columns():
    """A wide table takes seconds, and its bins do not swamp a net."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 10_000))).add_prefix("c")
    X["c0"] = rng.choice(["a", "b"], 200)
    start = time.process_time()  # a busy machine is no failure
    encoder = TableEncoder().fit(X, rng.integers(0, 2, 200))
    table = encoder.transform(X)
    assert time.process_time() - start < 60
    assert table.numbers.shape == (200, 9_999) and table.ids.shape == (200, 1)
    n_bins = sum(max(len(n.bin_edges) - 1, 0) for n in encoder.numbers_.values())
    assert n_bins <= 1536


def test_bins_are_shared_out_among_columns():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(500, 100)))
    encoder = TableEncoder().fit(X)
    assert {len(n.bin_edges) - 1 for n in encoder.numbers_.values()} == {15}


def test_adult(data_folder):
    """On the real table, out of the box: kinds, missing values, what is remembered."""
    X = pd.read_parquet(data_folder / "tabular" / "adult.parquet")
    y = X.pop("target")
    encoder = TableEncoder(crosses=[("education", "occupation")], random_state=0)
    table = encoder.fit(X, y).transform(X)
    numbers = X.select_dtypes("number").columns
    assert encoder.column_kinds_[encoder.column_kinds_ == "number"].index.tolist() == (
        numbers.tolist()
    )
    assert (encoder.column_kinds_.drop(numbers) == "category").all()
    memorized = encoder.memorized_.set_index("column")["memorized"]
    assert memorized["capital-gain"] and memorized["capital-loss"]
    assert not memorized["fnlwgt"]
    assert not table.numbers.isnan().any()
    words = encoder.inverse(table.ids)
    assert (words == "occupation=<missing>").sum() == X["occupation"].isna().sum()
    expected = "education=" + X["education"] + " & occupation=" + X["occupation"]
    both = words[:, -1] == expected.fillna("")
    assert both[X["occupation"].notna()].mean() > 0.99
