"""A learner catches up with what rules decide on rows without labels."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GroupKFold, ShuffleSplit
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sklearn_memgen import Rule, RuleAugmentedClassifier, RuleSet, col
from sklearn_memgen._rule_calibration import make_splits
from sklearn_memgen._rule_inputs import MatchedRows
from sklearn_memgen._rule_learning import Labeled, keep_shares

TITLE = col("title")


def make_learner():
    words = make_column_transformer((CountVectorizer(), "title"))
    return make_pipeline(words, MultinomialNB())


def draw(kinds, n_rows, seed=0):
    """Titles of a noun that rules know, and an adjective that only the class has."""
    rng = np.random.default_rng(seed)
    words = {
        "rings": (["ring", "band"], ["gold", "silver", "diamond"]),
        "oils": (["oil", "fluid"], ["motor", "engine", "brake"]),
        "pens": (["pen", "biro"], ["ink", "gel", "felt"]),
    }
    y = rng.choice(kinds, n_rows)
    titles = [" ".join(rng.choice(part) for part in words[label][::-1]) for label in y]
    return pd.DataFrame({"title": titles}), y


X, y = draw(["rings", "oils"], 200)
MORE, TRUTH = draw(["rings", "oils", "pens"], 600, seed=1)
PENS = Rule(TITLE.matches(r"\bpen\b"), "pens", id="pens")
CLASSES = ["oils", "pens", "rings"]


def make(*rules, **params):
    return RuleAugmentedClassifier(
        make_learner(), RuleSet(rules), classes=CLASSES, random_state=0, **params
    )


def test_the_learner_catches_up_on_a_class_without_labels():
    """It learns the adjectives, which no rule names."""
    model = make(PENS).fit(X, y, MORE)
    assert "pens" in model.estimator_.classes_
    model.set_params(rules=None)
    assert model.predict(pd.DataFrame({"title": ["gel biro"]})) == ["pens"]
    n_pens = MORE["title"].str.contains(r"\bpen\b").sum()
    assert model.n_labeled_by_rules_.to_dict() == {
        "oils": 0,
        "pens": n_pens,
        "rings": 0,
    }


def test_it_learns_from_rules_only_if_it_may():
    model = make(PENS, learn_from_rules=False).fit(X, y, MORE)
    assert model.estimator_.classes_.tolist() == ["oils", "rings"]
    assert model.n_labeled_by_rules_.sum() == 0


def test_missing_labels_are_unlabeled_rows():
    rows = pd.concat([X, MORE])
    labels = np.r_[y.astype(object), np.full(len(MORE), None)]
    one = make(PENS).fit(rows, labels)
    other = make(PENS).fit(X, y, MORE)
    np.testing.assert_allclose(one.predict_proba(MORE), other.predict_proba(MORE))
    mixed = make(PENS).fit(pd.concat([X, MORE[:300]]), labels[:500], MORE[300:])
    np.testing.assert_allclose(mixed.predict_proba(MORE), other.predict_proba(MORE))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_labels_may_be_of_any_kind(missing):
    labels = pd.Series(y, dtype=object)
    labels[:50] = missing
    model = make().fit(X, labels)
    np.testing.assert_array_equal(
        model.predict_proba(X), make().fit(X[50:], y[50:]).predict_proba(X)
    )


def test_integers_beside_missing_labels_stay_integers():
    codes = pd.Series((y == "rings").astype(float))
    codes[:20] = np.nan
    model = RuleAugmentedClassifier(make_learner()).fit(X, codes)
    assert model.classes_.tolist() == [0, 1]
    assert model.classes_.dtype.kind == "i"


def test_rules_that_are_often_wrong_label_nothing():
    """The rule for pens matches all silver rings, which are wrong for certain."""
    wrong = Rule(TITLE.matches("pen|silver|gold"), "pens", id="wrong")
    model = make(wrong).fit(X, y, MORE)
    assert model.rule_precision_.loc["wrong", "precision"] < 0.9
    assert model.n_labeled_by_rules_.sum() == 0


def test_rows_that_rules_contradict_each_other_about_are_left_out():
    other = Rule(TITLE.matches(r"\bpen\b"), "oils", id="oils")
    model = make(PENS, other, rule_weights="given").fit(X, y, MORE)
    assert model.n_labeled_by_rules_.sum() == 0


def test_rows_for_which_rules_forbid_the_class_are_left_out():
    no_gel = Rule(TITLE.contains("gel"), "pens", "forbid")
    model = make(PENS, no_gel).fit(X, y, MORE)
    labeled = MORE["title"].str.contains(r"\bpen\b") & ~MORE["title"].str.contains(
        "gel"
    )
    assert model.n_labeled_by_rules_["pens"] == labeled.sum()


def test_classes_of_many_rules_do_not_crowd_out_the_others():
    """Known classes keep their shares, a new one has that of the unlabeled rows."""
    rows = MatchedRows(np.zeros((9, 1)), sparse.csr_matrix((9, 0), dtype=bool))
    labeled = Labeled(rows.take(np.arange(4)), np.array([0, 0, 0, 1]), np.ones(4))
    by_rules = Labeled(
        rows.take(np.arange(5)), np.array([0, 0, 0, 2, 2]), np.full(5, 0.9)
    )
    weight = keep_shares(labeled, by_rules, 10, 3)
    codes = np.array([0, 0, 0, 1, 0, 0, 0, 2, 2])
    assert weight.sum() == pytest.approx(4 + 5 * 0.9)
    shares = np.bincount(codes, weight) / weight.sum()
    new = 2 * 0.9 / 10
    np.testing.assert_allclose(shares, [0.75 * (1 - new), 0.25 * (1 - new), new])
    # Within a class, rows that rules labeled count by their confidence.
    assert weight[4] / weight[0] == pytest.approx(0.9)


def test_gates_label_rows_too():
    gate = Rule(PENS.when, "pens", "gate")
    assert make(gate).fit(X, y, MORE).n_labeled_by_rules_["pens"] > 0


def test_a_learner_that_takes_no_weights_learns_from_rules_without():
    words = make_column_transformer((CountVectorizer(), "title"))
    learner = make_pipeline(words, KNeighborsClassifier(1))
    model = RuleAugmentedClassifier(learner, RuleSet([PENS]), classes=CLASSES)
    assert "pens" in model.fit(X, y, MORE).estimator_.classes_
    with pytest.raises(TypeError, match="Pipeline takes no sample_weight"):
        model.fit(X, y, MORE, sample_weight=np.ones(len(X)))


def test_unlabeled_rows_have_the_same_columns():
    with pytest.raises(ValueError, match="feature names"):
        make(PENS).fit(X, y, MORE.rename(columns={"title": "name"}))


def test_a_new_class_is_judged_by_what_unlabeled_rows_add():
    """No gold ring is a pen; a rule for gold finds nothing that is not gold before."""
    gold = Rule(TITLE.contains("gold"), "pens", id="gold")
    precision = make(PENS, gold).fit(X, y, MORE).rule_precision_["precision"]
    assert precision["pens"] > 0.95
    assert precision["gold"] < 0.3


def test_held_out_rows_are_decided_by_what_was_not_learned_from_them():
    """Words of one row each: a learner that saw them would be sure, and is not."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"title": [f"word{i}" for i in range(400)]})
    labels = rng.choice(["oils", "rings"], 400)
    with pytest.warns(UserWarning, match="out of reach"):
        make(target_precision=0.9).fit(rows, labels)


# The learner's probabilities


class Timid(MultinomialNB):
    """Right as often as its parent, and hardly ever sure of it."""

    def predict_proba(self, X):
        timid = super().predict_proba(X) ** 0.01
        return timid / timid.sum(axis=1, keepdims=True)


def make_timid():
    words = make_column_transformer((CountVectorizer(), "title"))
    return make_pipeline(words, Timid())


def test_a_learner_that_is_right_but_timid_is_heard():
    """A rule of a precision of 70 % would overrule it, where it is right."""
    rows, labels = draw(["rings", "oils"], 400, seed=2)
    fair = Rule(TITLE.matches("gold|silver|motor"), "rings", id="fair")
    params = {"rules": RuleSet([fair]), "random_state": 0}
    timid = RuleAugmentedClassifier(make_timid(), calibrate=False, **params)
    heard = RuleAugmentedClassifier(make_timid(), **params)
    new, truth = draw(["rings", "oils"], 400, seed=3)
    assert np.mean(timid.fit(rows, labels).predict(new) == truth) < 0.9
    assert np.mean(heard.fit(rows, labels).predict(new) == truth) == 1.0
    assert heard.temperature_ < 0.1 and timid.temperature_ == 1.0


def test_a_vote_that_tells_the_learner_nothing_new_does_not_count_twice():
    """Silver is a ring in two of three rows, and the learner knows in which."""
    rng = np.random.default_rng(0)
    rows, labels = draw(["rings", "oils"], 600, seed=2)
    silver = (labels == "rings") | (rng.random(600) < 0.5)
    rows["title"] = np.where(silver, "silver " + rows["title"], rows["title"])
    rule = RuleSet([Rule(TITLE.contains("silver "), "rings", id="silver")])
    model = RuleAugmentedClassifier(make_learner(), rules=rule, random_state=0)
    table = model.fit(rows[:400], labels[:400]).rule_precision_
    assert 0.6 < table.loc["silver", "precision"] < 0.75
    assert model.predict(rows[400:]).tolist() == labels[400:].tolist()


def test_odds_of_rules_that_were_not_met_are_those_of_their_precision():
    table = make(PENS).fit(X, y).rule_precision_
    assert table.loc["pens", "odds"] == pytest.approx(np.log(0.95 * 2 / 0.05))
    given = Rule(TITLE.contains("ring"), "oils", id="given")
    table = make(given, rule_weights="given").fit(X, y).rule_precision_
    assert table.loc["given", "odds"] == pytest.approx(np.log(0.95 * 2 / 0.05))


def test_without_votes_nothing_is_calibrated():
    forbid = Rule(TITLE.contains("gold"), "oils", "forbid")
    model = RuleAugmentedClassifier(make_timid(), RuleSet([forbid])).fit(X, y)
    assert model.temperature_ == 1.0


def test_too_few_rows_leave_the_learner_as_it_is():
    model = make(PENS).fit(X[:6], np.array(["rings", "oils"] * 3))
    assert model.temperature_ == 1.0


# Folds


@pytest.mark.parametrize("groups", [None, np.arange(40) // 4])
def test_folds_hold_out_each_row_once_and_groups_together(groups):
    codes = np.arange(40) % 2
    splits = make_splits(None, np.zeros((40, 1)), codes, groups, 0)
    assert len(splits) == 5
    held_out = np.concatenate([test for _, test in splits])
    assert sorted(held_out) == list(range(40))
    if groups is not None:
        for train, test in splits:
            assert not set(groups[train]) & set(groups[test])


def test_folds_may_be_a_splitter_or_positions():
    codes, groups = np.arange(12) % 2, np.arange(12) // 3
    rows = np.zeros((12, 1))
    splits = make_splits(
        ShuffleSplit(1, test_size=3, random_state=0), rows, codes, None, 0
    )
    assert [len(test) for _, test in splits] == [3]
    assert len(make_splits(GroupKFold(4), rows, codes, groups, 0)) == 4
    given = [(np.arange(6), np.arange(6, 12))]
    assert len(make_splits(given, rows, codes, None, 0)) == 1


def test_rows_are_taken_in_the_order_asked_for():
    """Folds of a user may be bootstraps, as long as the table."""
    rows = MatchedRows(np.arange(4)[:, None], sparse.csr_matrix(np.eye(4, dtype=bool)))
    labeled = Labeled(rows, np.arange(4), np.ones(4))
    some = labeled.take(np.array([2, 0, 2, 1]))
    assert some.rows.data.ravel().tolist() == some.codes.tolist() == [2, 0, 2, 1]
    assert some.rows.matched.indices.tolist() == [2, 0, 2, 1]


def test_classes_of_few_rows_are_held_out_without_a_warning(recwarn):
    codes = np.array([0] * 20 + [1] * 20 + [2])
    make_splits(5, np.zeros((41, 1)), codes, None, 0)
    assert not recwarn.list
