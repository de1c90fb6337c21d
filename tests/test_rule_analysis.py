"""The analyst's loop: audit, suggest, review, and again."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_memgen import Rule, RuleAugmentedClassifier, RuleSet, col
from sklearn_memgen.rules import estimate_precision

TITLE = col("title")


@pytest.fixture(scope="module")
def batches(offers):
    """Some offers, and others of other products."""
    product = offers["cluster_id"] % 10
    return offers[product == 0], offers[product == 1]


@pytest.fixture(scope="module")
def fitted(batches):
    """A classifier that knows no microwaves, but for one rule that sees some."""
    labeled, new = batches
    labeled = labeled[labeled["category"] != "Microwaves"]
    words = make_column_transformer((TfidfVectorizer(), "title"))
    model = RuleAugmentedClassifier(
        make_pipeline(words, LogisticRegression(C=10, tol=1e-2)),
        RuleSet(
            [
                Rule(TITLE.contains("microwave oven"), "Microwaves", id="oven"),
                Rule(TITLE.contains("dishwasher"), "Dishwashers", id="dishwasher"),
                Rule(TITLE.contains("apple"), "CPUs", id="wrong"),
            ]
        ),
        classes=sorted(new["category"].unique()),
    )
    return model.fit(labeled[["title"]], labeled["category"])


def test_an_audit_tells_good_rules_from_bad_ones(batches, fitted):
    _, new = batches
    table = fitted.audit(new[["title"]], new["category"])
    assert table.loc["dishwasher", "precision"] > 0.99
    assert table.loc["oven", "n_gained"] == table.loc["oven", "n_right"] > 10
    assert table.loc["wrong", "precision"] == 0
    assert table.loc["wrong", "agreement"] == 0
    matched = new["title"].str.contains("dishwasher").sum()
    assert table.loc["dishwasher", "n_rows"] == matched


def test_gains_are_those_of_taking_the_rule_away(batches, fitted):
    _, new = batches
    X, y = new[["title"]], new["category"].to_numpy()
    gained = fitted.audit(X, y).loc["oven", ["n_gained", "n_lost"]].tolist()
    with_it = fitted.predict(X) == y
    fitted.rules.disable("oven")
    without = fitted.predict(X) == y
    fitted.rules.enable("oven")
    assert gained == [(with_it & ~without).sum(), (without & ~with_it).sum()]


def test_an_audit_leaves_out_missing_labels_and_counts_strange_ones(batches, fitted):
    _, new = batches
    some = new[new["title"].str.contains("dishwasher")].iloc[:3]
    table = fitted.audit(some[["title"]], ["Dishwashers", None, "Toasters"])
    row = table.loc["dishwasher"]
    assert (row["n_rows"], row["n_labeled"], row["n_right"]) == (3, 2, 1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.audit(some[["title"]], ["Dishwashers"])


def test_suggestions_mend_what_is_wrong(batches, fitted):
    """Rules for the errors of one batch, which are microwaves, help with the next."""
    batch, new = batches
    X, y = batch[["title"]], batch["category"]
    found = fitted.suggest_rules(X, y, random_state=0).to_frame()
    assert found.sort_values("gain")["then"].iloc[-1] == "Microwaves"
    before = (fitted.predict(new[["title"]]) == new["category"]).mean()
    suggested = fitted.suggest_rules(X, y, classes=["Microwaves"], random_state=0)
    better = RuleSet([*fitted.rules, *suggested.rules])
    model = RuleAugmentedClassifier(
        fitted.estimator, better, classes=fitted.classes_
    ).fit(X[y != "Microwaves"], y[y != "Microwaves"])
    assert (model.predict(new[["title"]]) == new["category"]).mean() > before + 0.02


def test_all_rows_count_as_gain_if_one_wants_so(batches, fitted):
    batch, _ = batches
    X, y = batch[["title"]], batch["category"]
    every = fitted.suggest_rules(X, y, errors_only=False, random_state=0)
    errors = fitted.suggest_rules(X, y, random_state=0)
    assert every.to_frame()["gain"].sum() > 2 * errors.to_frame()["gain"].sum()


def test_a_review_says_whether_a_batch_passes(batches, fitted):
    _, new = batches
    X = new[["title"]]
    sample = fitted.review_sample(X, 300, random_state=0)
    assert len(sample) == 300
    assert sample.index.isin(new.index).all()
    verdicts = new["category"].reindex(sample.index)
    estimate = estimate_precision(fitted.decide(X), verdicts, bar=0.5)
    right = np.mean(fitted.predict(X) == new["category"])
    assert estimate.passes
    assert estimate.low <= right <= estimate.high
