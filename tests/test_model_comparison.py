"""compare_predictions: what a new model changes, and where."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_regression
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

from sklearn_memgen import WideDeepClassifier, compare_predictions
from tests.conftest import make_mixed_table


class Fixed(ClassifierMixin, BaseEstimator):
    """A classifier that says what it was told."""

    def __init__(self, probabilities, classes=("no", "yes")):
        self.probabilities = probabilities
        self.classes = classes
        self.classes_ = np.array(classes)

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.asarray(self.probabilities, dtype=float)


def of_yes(p):
    return Fixed(np.column_stack([1 - np.asarray(p), p]))


def test_the_same_model_moves_nothing(mixed_table):
    X, _ = mixed_table
    model = of_yes(np.full(len(X), 0.3))
    comparison = compare_predictions(model, model, X)
    assert comparison.summary["n_rows"] == len(X)
    assert not comparison.summary.drop("n_rows").any()
    assert len(comparison.flips) == 0
    assert (comparison.groups["excess"] == 0).all()
    assert "0.0% move" in repr(comparison)
    assert "moves more than elsewhere" not in repr(comparison)


def test_figures_of_a_few_rows():
    X = pd.DataFrame({"a": list("xxyy")}, index=[7, 8, 9, 10])
    old, new = of_yes([0.1, 0.4, 0.6, 0.9]), of_yes([0.1, 0.6, 0.4, 0.8])
    comparison = compare_predictions(old, new, X, min_rows=1)
    np.testing.assert_allclose(comparison.movement, [0, 0.2, 0.2, 0.1])
    summary = comparison.summary
    assert summary["moved"] == 0.75
    assert summary["flipped"] == 0.5
    np.testing.assert_allclose(
        summary[["mean", "median", "max"]].astype(float), [0.125, 0.15, 0.2]
    )
    assert comparison.flips[["from", "to", "n_rows"]].to_numpy().tolist() == [
        ["no", "yes", 1],
        ["yes", "no", 1],
    ]
    frame = comparison.to_frame()
    assert frame.index.tolist() == [7, 8, 9, 10]
    assert list(frame) == [
        "old_label",
        "new_label",
        "flipped",
        "old_probability",
        "new_probability",
        "movement",
    ]
    assert frame["new_probability"].tolist() == [0.1, 0.6, 0.4, 0.8]
    assert compare_predictions(old, new, X, tolerance=0.15).summary["moved"] == 0.5


def test_a_planted_change_comes_first():
    """One city in one column has moved; noise moves all rows a little."""
    rng = np.random.default_rng(0)
    X, _ = make_mixed_table(2000, seed=1)
    before = rng.uniform(0.2, 0.8, len(X))
    noise = rng.normal(0, 0.02, len(X))
    moved = before + noise + 0.15 * (X["city"] == "Oslo").to_numpy()
    groups = compare_predictions(of_yes(before), of_yes(moved), X).groups
    assert groups.loc[0, ["column", "value"]].tolist() == ["city", "Oslo"]
    assert groups.loc[0, "n_rows"] == (X["city"] == "Oslo").sum()
    assert groups.loc[0, "excess"] == pytest.approx(0.15, abs=0.02)
    # Columns with nothing to do with it: no group is out of the noise.
    rest = groups[groups["column"].isin(["number", "nullable", "flag", "day"])]
    assert (rest["excess"] < 4 * rest["standard_error"]).all()
    assert {"<missing>"} <= set(groups.loc[groups["column"] == "number", "value"])


def test_one_wild_row_is_no_group():
    """Rare values are taken together, so that a single row does not lead the list."""
    n_rows = 1000
    X = pd.DataFrame(
        {"key": [f"id-{i % 500}" for i in range(n_rows)], "half": ["a", "b"] * 500}
    )
    old, new = np.full(n_rows, 0.5), np.full(n_rows, 0.5)
    new[3] = 1.0
    new[X["half"] == "b"] += 0.1
    comparison = compare_predictions(of_yes(old), of_yes(new), X)
    assert comparison.groups.loc[0, "value"] == "b"
    assert "id-3" not in set(comparison.groups["value"])
    alone = compare_predictions(of_yes(old), of_yes(new), X, min_rows=1).groups
    assert "id-3" in set(alone["value"])


def test_numbers_and_dates_come_in_quantiles():
    n_rows = 1000
    X = pd.DataFrame(
        {
            "number": np.linspace(0, 1, n_rows),
            "day": pd.date_range("2024-01-01", periods=n_rows, freq="h"),
        }
    )
    old, new = np.full(n_rows, 0.5), np.full(n_rows, 0.5)
    new[-100:] = 0.9
    groups = compare_predictions(of_yes(old), of_yes(new), X).groups
    assert groups["column"].value_counts().tolist() == [10, 10]
    assert set(groups["column"][:2]) == {"number", "day"}
    assert groups["n_rows"].between(95, 105).all()
    values = dict(zip(groups["column"][:2], groups["value"][:2], strict=True))
    assert values["number"].endswith(", 1]")
    assert values["day"].startswith("[2024-02-07")


def test_classes_that_overlap():
    """A class that one of them does not know has probability zero there."""
    X = np.zeros((2, 1))
    old = Fixed([[0.5, 0.5], [0.9, 0.1]], classes=("a", "b"))
    new = Fixed([[0.5, 0.2, 0.3], [0.0, 0.0, 1.0]], classes=("b", "a", "c"))
    comparison = compare_predictions(old, new, X)
    np.testing.assert_allclose(comparison.movement, [0.3, 1.0])
    assert comparison.classes.tolist() == ["a", "b", "c"]
    assert comparison.to_frame()["old_probability_c"].tolist() == [0, 0]
    assert comparison.flips.loc[0, ["from", "to"]].tolist() == ["a", "b"]


def test_categories_that_the_old_model_does_not_know_are_a_group():
    X, y = make_mixed_table(600)
    later = X.copy()
    later.loc[later.index[:200], "city"] = "Quito"
    old = WideDeepClassifier(max_epochs=3, random_state=0).fit(X, y)
    new = WideDeepClassifier(max_epochs=30, random_state=1).fit(later, y)
    groups = compare_predictions(old, new, later).groups
    city = groups[groups["column"] == "city"].set_index("value")
    assert city.loc["<unknown to the old model>", "n_rows"] == 200
    assert "Quito" not in city.index


def test_regressors():
    X, y = make_regression(300, 4, random_state=0)
    old, new = LinearRegression().fit(X, y), LinearRegression().fit(X, y + 5)
    comparison = compare_predictions(old, new, X)
    np.testing.assert_allclose(comparison.movement, 5)
    assert comparison.tolerance == pytest.approx(0.01 * old.predict(X).std())
    assert list(comparison.to_frame()) == [
        "old_value",
        "new_value",
        "change",
        "movement",
    ]
    assert comparison.summary["moved"] == 1
    assert "flip" not in repr(comparison).splitlines()[2:3]


@pytest.mark.parametrize("wrap", [sparse.csr_matrix, pl.DataFrame, np.asarray])
def test_inputs_of_other_kinds(wrap):
    X, y = make_regression(100, 3, random_state=0)
    models = [LogisticRegression(C=c).fit(X, y > 0) for c in (0.01, 1.0)]
    comparison = compare_predictions(*models, wrap(X))
    assert comparison.summary["moved"] > 0.5
    assert (len(comparison.groups) == 0) == (wrap is sparse.csr_matrix)


def test_errors_name_what_is_wrong():
    X, y = make_regression(50, 3, random_state=0)
    classifier, regressor = DummyClassifier().fit(X, y > 0), LinearRegression()
    regressor.fit(X, y)
    svc = LinearSVC().fit(X, y > 0)
    with pytest.raises(TypeError, match=r"old=DummyClassifier \(a cla.*a regressor"):
        compare_predictions(classifier, regressor, X)
    with pytest.raises(TypeError, match=r"new=LinearSVC \(without predict_proba"):
        compare_predictions(classifier, svc, X)
    with pytest.raises(ValueError, match=r"no class in common.*'no'.*\[False, True\]"):
        compare_predictions(of_yes(np.ones(50)), classifier, X)
    with pytest.raises(ValueError, match="n_bins must be at least 1; got 0"):
        compare_predictions(classifier, classifier, X, n_bins=0)
    with pytest.raises(NotFittedError):
        compare_predictions(classifier, DummyClassifier(), X)
