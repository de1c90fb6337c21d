"""TableEncoder: what comes out, its words, its parameters, weights and files."""

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_memgen.tables import TableEncoder

CROSSES = [("city", "grade"), ("city", "level", "size")]


def test_output(fitted):
    """Types, shapes and order are those the docstring promises."""
    encoder, X, _ = fitted
    table = encoder.transform(X)
    assert table.numbers.shape == (300, 4) and table.numbers.dtype == torch.float32
    assert table.ids.shape == (300, 9) and table.ids.dtype == torch.int32
    assert table.numbers.is_contiguous() and table.ids.is_contiguous()
    assert len(table.csr) == 300
    assert encoder.get_feature_names_out().tolist() == [
        *("amount", "size", "level", "day"),
        *("amount (exact)", "city", "grade"),
        *("day (month)", "day (day)", "day (weekday)", "day (hour)"),
        *("city & grade", "city & level & size"),
        "note",
    ]


def test_attributes(fitted):
    encoder, X, _ = fitted
    assert encoder.column_kinds_.to_dict() == {
        **dict.fromkeys(["amount", "size", "level"], "number"),
        **dict.fromkeys(["city", "grade"], "category"),
        "day": "datetime",
        "note": "text",
    }
    assert encoder.n_features_in_ == 7
    assert encoder.feature_names_in_.tolist() == X.columns.tolist()
    assert encoder.memorized_.set_index("column")["memorized"].to_dict() == {
        "amount": True,
        "level": False,
    }
    assert encoder.n_sparse_features_ == 2**12
    assert encoder.id_offsets_.dtype == np.int64 and encoder.id_offsets_[0] == 0
    assert len(encoder.id_counts_) == encoder.id_offsets_[-1]


def test_ids_of_each_column_lie_in_its_span(fitted):
    encoder, X, _ = fitted
    ids = encoder.transform(X).ids.numpy()
    assert (ids >= encoder.id_offsets_[:-1]).all()
    assert (ids < encoder.id_offsets_[1:]).all()


def test_counts_are_those_of_the_ids(fitted):
    encoder, X, _ = fitted
    ids = encoder.transform(X).ids.numpy().ravel()
    counted = np.bincount(ids, minlength=len(encoder.id_counts_))
    np.testing.assert_array_equal(encoder.id_counts_, counted)


def test_inverse_names_what_is_in_the_row(fitted):
    """The words of a row's ids are its values."""
    encoder, X, _ = fitted
    names = encoder.get_feature_names_out()[4:-1]
    words = encoder.inverse(encoder.transform(X).ids)
    assert words.shape == (300, 9)
    words = pd.DataFrame(words, columns=names)
    often = X["amount"].map(X["amount"].value_counts()) >= 2
    amounts = X["amount"].map("{:.0f}".format).where(often, "<unknown>")
    assert words["amount (exact)"].tolist() == [
        f"amount={amount}" for amount in amounts
    ]
    for name in ("city", "grade"):
        expected = X[name].astype(object).where(X[name].notna(), "<missing>")
        assert words[name].tolist() == [f"{name}={value}" for value in expected]
    both = words["city"] + " & " + words["grade"]
    assert words["city & grade"].tolist() == both.tolist()
    month = X["day"].dt.month.map("{:.0f}".format).where(X["day"].notna(), "<missing>")
    assert words["day (month)"].tolist() == [f"day (month)={m}" for m in month]


def test_words_reach_into_the_sparse_part(fitted):
    """Behind the ids come the buckets of text, so one array of weights is readable."""
    encoder, X, _ = fitted
    n_ids = encoder.id_offsets_[-1]
    assert len(encoder.words()) == n_ids + encoder.n_sparse_features_
    row = X["note"].first_valid_index()
    indices = encoder.transform(X.iloc[[row]]).csr.indices.numpy()
    words = encoder.inverse(indices + n_ids).tolist()
    assert f"note: {X['note'][row].split()[0]}" in [w.split(" (or")[0] for w in words]


def test_numbers_read_back(fitted):
    """A scaled number is the number, up to its center and scale."""
    encoder, X, _ = fitted
    numbers = encoder.transform(X).numbers.numpy()
    for j, name in enumerate(["amount", "size", "level"]):
        smooth = encoder.numbers_[name]
        np.testing.assert_allclose(
            numbers[:, j] * smooth.scale + smooth.center,
            X[name].to_numpy(float, na_value=np.nan),
            rtol=1e-5,
            atol=1e-5,
        )


@settings(max_examples=25)
@given(rows=st.lists(st.integers(0, 299), min_size=1, max_size=30))
def test_rows_are_encoded_each_by_itself(fitted, rows, assert_equal):
    """Any rows in any order encode as they do in the whole table."""
    encoder, X, _ = fitted
    whole = encoder.transform(X)
    assert_equal(encoder.transform(X.iloc[rows]), whole[torch.tensor(rows)])


def test_input_is_left_alone(fitted):
    encoder, X, y = fitted
    before = X.copy(deep=True)
    clone(encoder).fit(X, y).transform(X)
    pd.testing.assert_frame_equal(X, before)


def test_fit_transform(fitted, assert_equal):
    encoder, X, y = fitted
    assert_equal(clone(encoder).fit_transform(X, y), encoder.transform(X))


@pytest.mark.parametrize("through", ["pickle", "joblib"])
def test_round_trip_through_a_file(fitted, through, assert_equal):
    encoder, X, _ = fitted
    file = io.BytesIO()
    module = {"pickle": pickle, "joblib": joblib}[through]
    module.dump(encoder, file)
    file.seek(0)
    loaded = module.load(file)
    assert_equal(loaded.transform(X), encoder.transform(X))
    assert loaded.words().tolist() == encoder.words().tolist()


def test_no_rows_in_the_pickle(fitted):
    """What is kept of a table grows with its values, not with its rows."""
    encoder, X, y = fitted
    sizes = [
        len(
            pickle.dumps(
                clone(encoder).fit(X.loc[np.arange(300).repeat(n)], y.repeat(n))
            )
        )
        for n in (2, 20)
    ]
    assert sizes[1] < 1.1 * sizes[0]


def test_clone_and_params():
    encoder = TableEncoder(memorize=["a"], crosses=[("a", "b")], n_bins=7)
    copy = clone(encoder)
    assert copy.get_params() == encoder.get_params() and not hasattr(copy, "numbers_")
    assert encoder.set_params(n_bins=9).n_bins == 9
    assert repr(encoder) == (
        "TableEncoder(crosses=[('a', 'b')], memorize=['a'], n_bins=9)"
    )


def test_random_state_repeats_a_fit(make_table):
    X, y = make_table()
    first, again = (TableEncoder(random_state=3, n_bins=8).fit(X, y) for _ in range(2))
    pd.testing.assert_frame_equal(first.memorized_, again.memorized_)
    assert first.memorized_["gain"].notna().any()
    state = np.random.get_state()[1].copy()
    TableEncoder(random_state=3).fit(X, y)
    assert (np.random.get_state()[1] == state).all()


def test_not_fitted(make_table):
    X, _ = make_table(5)
    for call in (
        lambda: TableEncoder().transform(X),
        lambda: TableEncoder().get_feature_names_out(),
        lambda: TableEncoder().words(),
    ):
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_global_output_setting(container, make_table):
    """A user's wish for frames from transformers does not reach tensors."""
    X, _ = make_table(20)
    with sklearn.config_context(transform_output=container):
        assert len(TableEncoder().fit_transform(X)) == 20


# --- parameters ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memorize", "all"),
        ("memorize", 3),
        ("categorical_features", "city"),
        ("numeric_features", 1),
        ("text_features", True),
        ("crosses", "city"),
        ("crosses", None),
        ("min_frequency", 0),
        ("min_frequency", "2"),
        ("n_bins", -1),
        ("n_bins", 2.5),
        ("n_cross_buckets", 0),
        ("n_text_buckets", 0),
        ("random_state", "seed"),
    ],
)
def test_bad_parameter_is_named(name, value, make_table):
    X, _ = make_table(20)
    with pytest.raises(ValueError, match=f"The '{name}' parameter of TableEncoder"):
        TableEncoder(**{name: value}).fit(X)


def test_kinds_by_name_position_and_mask(make_table):
    X, _ = make_table()
    mask = X.columns == "amount"
    for given_columns in (["amount"], [0], mask, mask.tolist()):
        encoder = TableEncoder(categorical_features=given_columns).fit(X)
        assert encoder.column_kinds_["amount"] == "category"
    kinds = TableEncoder(text_features=["city"]).fit(X).column_kinds_
    assert kinds["city"] == "text"
    encoder = TableEncoder(numeric_features=["c"]).fit(
        pd.DataFrame({"c": ["1", "2.5"]})
    )
    assert encoder.numbers_["c"].center == 1


@pytest.mark.parametrize(
    "params",
    [
        {"categorical_features": ["ctiy"]},
        {"numeric_features": ["ctiy"]},
        {"text_features": ["ctiy"]},
        {"memorize": ["ctiy"]},
        {"crosses": [("ctiy", "grade")]},
    ],
    ids=lambda params: next(iter(params)),
)
def test_typo_in_a_column(params, make_table):
    X, _ = make_table(20)
    message = f"{next(iter(params))} names column 'ctiy'.*Did you mean 'city'"
    with pytest.raises(ValueError, match=message):
        TableEncoder(**params).fit(X)


def test_memorize_names_a_category(make_table):
    X, _ = make_table(20)
    with pytest.raises(ValueError, match=r"memorize names columns \['city'\]"):
        TableEncoder(memorize=["city"]).fit(X)


def test_memorize(make_table):
    X, y = make_table(3000)
    chosen = {
        memorize: [
            name
            for name in TableEncoder(memorize=memorize, random_state=0)
            .fit(X, y)
            .id_columns_
            if name.endswith("(exact)")
        ]
        for memorize in ("none", "exact", "auto")
    }
    assert chosen == {
        "none": [],
        "exact": ["amount (exact)", "level (exact)"],
        "auto": ["amount (exact)"],
    }


def test_labels_of_any_kind(make_table):
    """Strings, booleans and a Series say the same to the test of exact values."""
    X, y = make_table(1000)
    frames = [
        TableEncoder(random_state=0).fit(X, labels).memorized_
        for labels in (y, np.array(["no", "yes"])[y], y.astype(bool), pd.Series(y - 5))
    ]
    assert frames[0]["gain"].notna().any()
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


def test_crosses_too_many_are_hashed(make_table):
    X, _ = make_table()
    encoder = TableEncoder(crosses=[("city", "level")], n_cross_buckets=4).fit(X)
    assert len(encoder.crosses_["city & level"]) == 5
    assert encoder.crosses_["city & level"].n_buckets == 4


def test_same_name_twice(make_table):
    """Two outputs of one name would hide each other."""
    X = pd.DataFrame({"a": [1.0, 1, 2, 2], "a (exact)": list("xxyy")})
    with pytest.raises(ValueError, match=r"two encoded columns .*'a \(exact\)'"):
        TableEncoder(memorize="exact").fit(X)
    X, _ = make_table(20)
    with pytest.raises(ValueError, match="given twice"):
        TableEncoder(crosses=[("city", "grade")] * 2).fit(X)


def test_min_frequency_counts_weights():
    X = pd.DataFrame({"c": ["a", "b", "b", "c"]})
    encoder = TableEncoder(min_frequency=1.5).fit(X, sample_weight=[1.5, 0.7, 0.7, 9])
    assert encoder.words().tolist() == ["c=<unknown>", "c=<missing>", "c=c", "c=a"]


# --- sample weights -----------------------------------------------------------


def test_weight_is_repetition(make_table, assert_equal):
    """Scales, bins, ids, crosses and counts of weighted rows are those of copies."""
    X, _ = make_table()
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    params = {"memorize": "exact", "crosses": CROSSES, "text_features": ["note"]}
    weighted = TableEncoder(**params).fit(X, sample_weight=weights)
    repeated = TableEncoder(**params).fit(X.loc[np.arange(len(X)).repeat(weights)])
    assert_equal(weighted.transform(X), repeated.transform(X))
    np.testing.assert_array_equal(weighted.id_counts_, repeated.id_counts_)
    for name, number in weighted.numbers_.items():
        edges = repeated.numbers_[name].bin_edges
        np.testing.assert_array_equal(number.bin_edges, edges)


def test_row_of_weight_zero_is_not_seen():
    """Not even its infinities and missing values."""
    X = pd.DataFrame({"a": [1.0, 2, np.inf], "b": [1.0, 2, None], "c": list("xxz")})
    encoder = TableEncoder(min_frequency=1).fit(X, [0, 1, 1], sample_weight=[1, 1, 0])
    assert encoder.words().tolist() == ["c=<unknown>", "c=<missing>", "c=x"]
    assert not encoder.numbers_["b"].has_missing


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], "sample_weight.shape"),
        ([[1, 1, 1]] * 2, "1D array or scalar"),
        ([1, -1, 1], "[Nn]egative values"),
        ([0, 0, 0], "sample_weight must have a value above zero|zero"),
        ([1, np.nan, 1], "NaN"),
        ([1, np.inf, 1], "infinity"),
    ],
)
def test_bad_weights(weights, message):
    X = pd.DataFrame({"a": [1.0, 2, 3]})
    with pytest.raises(ValueError, match=message):
        TableEncoder().fit(X, sample_weight=weights)


def test_labels_of_another_length():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TableEncoder().fit(pd.DataFrame({"a": [1.0, 2]}), [0, 1, 1])


def test_a_continuous_target_is_judged_by_its_means():
    """By default the numbers would be labels, each of one row."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"price": rng.integers(0, 300, 3000)})
    y = 5 * (rng.random(300) < 0.2)[X["price"]] + rng.normal(size=3000)
    encoder = TableEncoder(target_type="continuous").fit(X, y)
    assert list(encoder.id_columns_) == ["price (exact)"]
    assert encoder.memorized_["memorized"].tolist() == [True]
    losses = [e.fit(X, y).memorized_["loss_bins"][0] for e in (encoder, TableEncoder())]
    assert losses[0] < 3 < losses[1]  # nats of a density, and of 3,000 classes
    with pytest.raises(ValueError, match="y contains NaN"):
        encoder.fit(X, np.where(X["price"] == 1, np.nan, y))
