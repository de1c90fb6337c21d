"""The parts of the generated table are what they are said to be."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_memgen.datasets import make_memgen_classification

PAIR = ["cat_0", "cat_1"]


def make(n_samples=5_000, **params):
    params = {"random_state": 0, "return_parts": True, **params}
    return make_memgen_classification(n_samples, **params)


def pair_of(X):
    return X["cat_0"] + " & " + X["cat_1"]


def without_cross(model):
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), lambda X: X.filter(like="cat_").columns),
        remainder="passthrough",
    )
    return make_pipeline(encode, model)


def accuracy_by_part(model, table):
    """Accuracy of a model on each part of a quarter of the rows, kept aside."""
    train, test = train_test_split(np.arange(len(table[0])), random_state=0)
    X, y, parts = table
    correct = model.fit(X.iloc[train], y.iloc[train]).predict(X.iloc[test])
    return (correct == y.iloc[test]).groupby(parts.iloc[test]).mean()


# --- shape and form -------------------------------------------------------------


def test_columns_dtypes_and_names():
    X, y, parts = make(300, n_numeric=3, n_categorical=2)
    assert list(X) == ["num_0", "num_1", "num_2", "cat_0", "cat_1"]
    assert (X.dtypes[:3] == np.float64).all()
    assert all(pd.api.types.is_string_dtype(X[name]) for name in PAIR)
    assert not X.isna().any(axis=None)
    assert (y.name, y.dtype) == ("target", np.int64)
    assert set(parts) <= {"general", "exception", "noise"}
    assert X.index.equals(y.index) and X.index.equals(parts.index)


def test_parts_are_returned_only_where_asked_for():
    X, y, _ = make(300)
    X_again, y_again = make(300, return_parts=False)
    pd.testing.assert_frame_equal(X, X_again)
    pd.testing.assert_series_equal(y, y_again)


def test_levels_are_readable_and_as_many_as_asked_for():
    X, _, _ = make(n_categories=6)
    assert sorted(X["cat_3"].unique()) == [f"level_0{i}" for i in range(6)]


@pytest.mark.parametrize("n_samples", [1, 2, 7, 40])
def test_tiny_tables_by_default(n_samples):
    X, y, _ = make(n_samples)
    assert len(X) == len(y) == n_samples


# --- random_state ---------------------------------------------------------------


def test_same_seed_same_table_and_other_seed_other_table():
    first, again, other = make(500), make(500), make(500, random_state=1)
    for a, b in zip(first, again, strict=True):
        assert a.equals(b)
    assert not first[0].equals(other[0])


def test_a_random_state_instance_moves_on():
    rng = np.random.RandomState(0)
    first, second = make(300, random_state=rng), make(300, random_state=rng)
    assert first[0].equals(make(300)[0])
    assert not first[0].equals(second[0])


def test_global_random_state_is_left_alone():
    np.random.seed(0)
    expected = np.random.RandomState(0).rand()
    make(300)
    assert np.random.rand() == expected


def test_exceptions_do_not_depend_on_the_number_of_rows():
    def label_of_pair(n_samples):
        X, y, parts = make(n_samples, n_exceptions=64)
        return y[parts == "exception"].groupby(pair_of(X)).first()

    pd.testing.assert_series_equal(label_of_pair(1_000), label_of_pair(5_000))


# --- the parts ------------------------------------------------------------------


@pytest.mark.parametrize(
    "exception_fraction, noise", [(0.15, 0.05), (0.3, 0.1), (0, 0)]
)
def test_counts_of_parts_are_exact(exception_fraction, noise):
    _, _, parts = make(4_001, exception_fraction=exception_fraction, noise=noise)
    assert (parts == "exception").sum() == round(exception_fraction * 4_001)
    assert (parts == "noise").sum() == round(noise * 4_001)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_noise_rows_and_only_they_contradict_the_table_without_noise(n_classes):
    X, y, parts = make(n_classes=n_classes, noise=0.1)
    X_clean, y_clean, _ = make(n_classes=n_classes, noise=0)
    pd.testing.assert_frame_equal(X, X_clean)
    assert ((y != y_clean) == (parts == "noise")).all()
    assert y.between(0, n_classes - 1).all()


def test_less_noise_is_a_subset_of_more_noise():
    less, more = make(noise=0.05)[2], make(noise=0.1)[2]
    assert (more[less == "noise"] == "noise").all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_exception_pairs_repeat_with_one_label_and_in_no_other_part(n_classes):
    X, y, parts = make(n_classes=n_classes, n_exceptions=50)
    pair, is_exception = pair_of(X), parts == "exception"
    by_pair = y[is_exception].groupby(pair).agg(["size", "nunique"])
    assert len(by_pair) == 50
    assert (by_pair["nunique"] == 1).all()
    assert set(by_pair["size"]) == {15}  # 750 rows over 50 pairs
    assert not pair[~is_exception].isin(by_pair.index).any()


def test_looking_up_the_pair_solves_the_exceptions():
    X, y, parts = make()
    train, test = train_test_split(np.arange(len(y)), random_state=0)
    memory = y.iloc[train].groupby(pair_of(X).iloc[train]).agg(lambda s: s.mode()[0])
    recalled = pair_of(X).iloc[test].map(memory)
    seen = (parts.iloc[test] == "exception") & recalled.notna()
    assert seen.sum() > 150
    assert (recalled[seen] == y.iloc[test][seen]).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_single_categories_tell_nothing_about_exceptions(n_classes):
    X, y, parts = make(n_classes=n_classes, n_exceptions=n_classes * 32)
    exceptions = parts == "exception"
    pairs = X.assign(target=y)[exceptions].drop_duplicates(PAIR)
    for name in PAIR:
        assert (pd.crosstab(pairs[name], pairs["target"]) == 1).all(axis=None)
        share = exceptions.groupby(X[name]).mean()
        assert share.std() < 0.04  # sampling alone gives about 0.03


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_balanced_in_every_part(n_classes):
    _, y, parts = make(n_classes=n_classes, n_exceptions=n_classes * 32)
    share = pd.crosstab(parts, y, normalize="index") * n_classes
    assert share.loc[["general", "exception"]].sub(1).abs().max(axis=None) < 0.25


# --- what models make of it -----------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(max_iter=300),
        HistGradientBoostingClassifier(max_iter=60, random_state=0),
    ],
    ids=["linear", "boosting"],
)
def test_without_a_cross_the_rule_is_learned_and_exceptions_are_missed(
    model, n_classes
):
    table = make(n_classes=n_classes)
    accuracy = accuracy_by_part(without_cross(model), table)
    constant = accuracy_by_part(DummyClassifier(), table)
    assert accuracy["general"] > constant["general"] + 0.2
    assert accuracy["exception"] < 0.5 / (n_classes - 1)
    assert accuracy["noise"] < 0.5 / (n_classes - 1)


def test_a_linear_model_is_not_enough_for_the_rule():
    table = make(8_000, exception_fraction=0, noise=0)
    linear = accuracy_by_part(without_cross(LogisticRegression(max_iter=300)), table)
    boosting = HistGradientBoostingClassifier(random_state=0)
    smooth = accuracy_by_part(without_cross(boosting), table)
    assert smooth["general"] > linear["general"] + 0.04
    assert smooth["general"] > 0.85


def test_a_linear_model_with_the_cross_memorizes_the_exceptions():
    X, y, parts = make()
    table = X.assign(cat_cross=pair_of(X)), y, parts
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [*PAIR, "cat_cross"]),
        remainder="drop",
    )
    model = make_pipeline(encode, LogisticRegression(max_iter=300))
    assert accuracy_by_part(model, table)["exception"] > 0.9


# --- sizes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "n_samples, n_classes, expected",
    [(10_000, 2, 128), (5_000, 2, 64), (10_000, 3, 96), (1_000, 2, 15), (20, 2, 1)],
)
def test_default_number_of_exceptions(n_samples, n_classes, expected):
    X, _, parts = make(n_samples, n_classes=n_classes)
    assert pair_of(X)[parts == "exception"].nunique() == expected


@pytest.mark.parametrize("n_categories, n_classes", [(4, 2), (6, 3), (7, 3), (9, 2)])
def test_up_to_half_of_all_pairs_can_be_exceptions(n_categories, n_classes):
    n_exceptions = n_categories**2 // 2
    X, _, parts = make(
        n_categories=n_categories, n_classes=n_classes, n_exceptions=n_exceptions
    )
    assert pair_of(X)[parts == "exception"].nunique() == n_exceptions


def test_the_least_of_columns_still_has_contradicting_rows():
    X, _, parts = make(n_numeric=1, n_categorical=2, n_exceptions=100)
    assert X.shape == (5_000, 3)
    assert (parts == "exception").sum() == 750


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_samples": 0}, "'n_samples'.*Got 0"),
        ({"n_samples": 10.5}, "'n_samples'.*Got 10.5"),
        ({"n_numeric": 0}, "'n_numeric'.*Got 0"),
        ({"n_categorical": 1}, "'n_categorical'.*Got 1"),
        ({"noise": 1.0}, "'noise'.*Got 1.0"),
        ({"noise": float("nan")}, "'noise'.*Got nan"),
        ({"exception_fraction": -0.1}, "'exception_fraction'.*Got -0.1"),
        ({"n_classes": 1}, "'n_classes'.*Got 1"),
        ({"random_state": "seed"}, "'random_state'.*Got 'seed'"),
        ({"exception_fraction": 0.6, "noise": 0.4}, "less than 1; got .*0.6.*0.4"),
        ({"n_categories": 5, "n_classes": 3}, "n_categories must be .*3.*got 5"),
        ({"n_categories": 8, "n_exceptions": 33}, "half of the 64 pairs.*32; got 33"),
        ({"n_exceptions": 400}, "n_exceptions=400.*750 exception rows.*at most 375"),
    ],
)
def test_bad_parameters_are_named_with_their_value(params, message):
    with pytest.raises(ValueError, match=message):
        make(**params)
