"""Rules and a learner in one classifier: stages, evidence, declining, editing."""

import pickle
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from sklearn_memgen import Rule, RuleAugmentedClassifier, RuleSet, col

TITLE = col("title")


def make_learner():
    words = make_column_transformer((CountVectorizer(), "title"))
    return make_pipeline(words, MultinomialNB())


@pytest.fixture
def titles():
    """Twenty titles of two classes, with a price."""
    words = ["gold ring", "silver ring", "motor oil", "engine oil"] * 5
    X = pd.DataFrame({"title": words, "price": np.arange(20.0)})
    return X, np.array(["rings", "rings", "oils", "oils"] * 5)


def make_new(*words):
    return pd.DataFrame({"title": list(words), "price": 1.0})


def fit(titles, *rules, **params):
    return RuleAugmentedClassifier(make_learner(), RuleSet(rules), **params).fit(
        *titles
    )


# Stages


def test_without_rules_it_is_the_learner(titles):
    X, y = titles
    model = RuleAugmentedClassifier(make_learner()).fit(X, y)
    alone = make_learner().fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    assert (model.decide(X)["source"] == "learner").all()


def test_each_decision_tells_its_source_and_evidence(titles):
    model = fit(
        titles,
        Rule(TITLE.contains("engine"), "oils", "gate", id="gate"),
        Rule(TITLE.contains("ring"), "rings", id="rings"),
        Rule(TITLE.contains("snake"), "oils", id="snake"),
        Rule(TITLE.contains("earring"), "rings", "forbid", id="earrings"),
    )
    new = make_new("engine ring", "gold ring", "gold snake", "motor", "gold earring")
    told = model.decide(new.set_index(pd.Index(list("abcde"))))
    assert told["source"].tolist() == ["gate", "both", "rule", "learner", "learner"]
    assert told["label"].tolist() == ["oils", "rings", "oils", "oils", "oils"]
    assert told["rules"].tolist() == [
        ("gate", "rings"),
        ("rings",),
        ("snake",),
        (),
        ("earrings", "rings"),
    ]
    assert told["vetoed"].tolist() == [(), (), (), (), ("rings",)]
    assert told["learner_label"].tolist()[:3] == ["rings", "rings", "rings"]
    assert told.index.tolist() == list("abcde")


def test_predictions_and_probabilities_agree_with_what_is_told(titles):
    model = fit(
        titles,
        Rule(TITLE.contains("engine"), "rings", "gate"),
        Rule(TITLE.contains("gold"), "oils"),
        Rule(TITLE.contains("oil"), "oils", "forbid"),
    )
    X = titles[0]
    told, probabilities = model.decide(X), model.predict_proba(X)
    assert told["label"].tolist() == model.predict(X).tolist()
    np.testing.assert_array_equal(told["confidence"], probabilities.max(axis=1))
    best = model.classes_[probabilities.argmax(axis=1)]
    assert told["label"].tolist() == best.tolist()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


# Weights of rules


def test_rules_are_weighed_by_their_precision_on_labeled_rows(titles):
    model = fit(
        titles,
        Rule(TITLE.contains("ring"), "rings", id="good"),
        Rule(TITLE.contains("oil") | TITLE.contains("gold"), "oils", id="fair"),
        Rule(TITLE.contains("nothing"), "oils", id="unseen"),
    )
    table = model.rule_precision_
    assert table["n_labeled"].to_dict() == {"fair": 15, "good": 10, "unseen": 0}
    assert table["n_right"].to_dict() == {"fair": 10, "good": 10, "unseen": 0}
    expected = {"fair": 14.75 / 20, "good": 14.75 / 15, "unseen": 0.95}
    assert table["precision"].to_dict() == pytest.approx(expected)


def test_given_weights_are_taken_as_they_are(titles):
    rules = [
        Rule(TITLE.contains("blue"), "rings", id="a"),
        Rule(TITLE.contains("blue"), "oils", id="b", weight=1.5),
    ]
    model = fit(titles, *rules, rule_weights="given")
    assert (model.rule_precision_["precision"] == 0.95).all()
    assert model.predict(make_new("blue")) == ["oils"]


def test_a_label_model_finds_the_rule_that_is_often_contradicted():
    """Without a label on the rows that rules meet, agreement alone tells."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    X = pd.DataFrame({"z": truth}, dtype=float)
    rules = []
    for name, accuracy in {
        "good": 0.9,
        "fair": 0.85,
        "well": 0.88,
        "bad": 0.55,
    }.items():
        said = np.where(rng.random(2000) < accuracy, truth, 1 - truth)
        X[name] = said
        rules += [
            Rule(col(name) == label, label, id=f"{name}{label}") for label in (0, 1)
        ]
    y = pd.Series(truth, dtype="Int64")
    y[20:] = pd.NA
    model = RuleAugmentedClassifier(
        DummyClassifier(), RuleSet(rules), rule_weights="label_model"
    ).fit(X, y)
    precision = model.rule_precision_["precision"]
    assert precision[["bad0", "bad1"]].max() < 0.7
    assert precision[["good0", "good1", "well0", "well1"]].min() > 0.8


# Declining


def test_by_default_nothing_is_declined(titles):
    model = fit(titles, Rule(TITLE.contains("gold"), "oils"))
    assert "declined" not in set(model.decide(make_new("gold", "x", "ring oil")).source)


def test_rows_of_a_low_confidence_are_declined(titles):
    model = fit(titles, min_confidence=0.9, abstain_label="unknown")
    new = make_new("gold ring", "new words")
    assert model.predict(new).tolist() == ["rings", "unknown"]
    assert model.decide(new)["source"].tolist() == ["learner", "declined"]
    assert model.set_params(abstain_label=None).predict(new).tolist() == ["rings", None]


def test_a_label_for_declined_rows_keeps_integers(titles):
    X, y = titles
    model = RuleAugmentedClassifier(
        make_learner(), min_confidence=0.9, abstain_label=-1
    ).fit(X, (y == "rings").astype(int))
    predicted = model.predict(make_new("gold ring", "new words"))
    assert predicted.tolist() == [1, -1]
    assert predicted.dtype.kind == "i"


def test_rows_for_which_rules_leave_no_class_are_declined(titles):
    rules = [Rule(TITLE.contains("gold"), c, "forbid") for c in ("rings", "oils")]
    model = fit(titles, *rules)
    told = model.decide(make_new("gold ring"))
    assert told["source"].tolist() == ["declined"]
    assert told["vetoed"].tolist() == [("oils", "rings")]
    np.testing.assert_allclose(model.predict_proba(make_new("gold")).sum(), 1)


def make_noisy(n_rows, seed=0):
    """A number that tells the class the better, the farther it is from 0."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"x": rng.normal(size=n_rows)})
    return X, (X["x"] + rng.logistic(0, 0.4, n_rows) > 0).to_numpy()


def test_target_precision_is_kept_on_new_rows():
    model = RuleAugmentedClassifier(
        LogisticRegression(), target_precision=0.92, random_state=0
    ).fit(*make_noisy(3000))
    X, y = make_noisy(20_000, seed=1)
    told = model.decide(X)
    decided = told["source"] != "declined"
    right = told["label"] == y
    assert right.mean() < 0.9
    assert right[decided].mean() >= 0.92
    # With these rows 60 % could be decided, if one knew the threshold.
    assert decided.mean() > 0.48
    assert told.loc[decided, "confidence"].min() >= model.threshold_


def test_a_precision_out_of_reach_declines_all_but_gates():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=300)})
    y = rng.integers(0, 2, 300)
    gate = Rule(col("x") > 2, 1, "gate")
    model = RuleAugmentedClassifier(
        LogisticRegression(), RuleSet([gate]), target_precision=0.99
    )
    with pytest.warns(UserWarning, match=r"target_precision=0.99 is out of reach"):
        model.fit(X, y)
    assert model.threshold_ == np.inf
    told = model.decide(pd.DataFrame({"x": [0.0, 3.0]}))
    assert told["source"].tolist() == ["declined", "gate"]


def test_rows_of_a_group_are_held_out_together():
    """Of rows that repeat, a learner knows the ones that it has seen."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 4)
    X = pd.DataFrame({"title": [f"item{g}" for g in groups]})
    y = rng.integers(0, 2, 300)[groups]
    model = RuleAugmentedClassifier(
        make_learner(), target_precision=0.9, random_state=0
    )
    assert model.fit(X, y).threshold_ < 1
    with pytest.warns(UserWarning, match="out of reach"):
        assert model.fit(X, y, groups=groups).threshold_ == np.inf


# Classes


def test_rules_may_bring_classes_that_no_label_has(titles):
    X, y = titles
    rules = RuleSet([Rule(TITLE.contains("binder"), "office", id="b")])
    model = RuleAugmentedClassifier(make_learner(), rules)
    with pytest.warns(UserWarning, match=r"1 class .*'office' \(rule 'b'\)"):
        model.fit(X, y)
    assert model.classes_.tolist() == ["office", "oils", "rings"]
    assert model.predict(make_new("gold ring binder")).tolist() == ["office"]
    assert model.predict_proba(X).shape == (20, 3)
    assert (model.predict_proba(X)[:, 0] == 0).all()


def test_classes_that_are_given_are_all_there_are(titles, tmp_path):
    X, y = titles
    (tmp_path / "rules.csv").write_text(
        'id,when,then\nb,"title.contains(""binder"")",ofice\n'
    )
    rules = RuleSet.from_csv(tmp_path / "rules.csv")
    model = RuleAugmentedClassifier(
        make_learner(), rules, classes=["office", "oils", "rings"]
    )
    with pytest.raises(ValueError, match=r"line 2.*'b'.*unknown class 'ofice'"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"y has the labels \['rings'\]"):
        model.set_params(rules=None, classes=["oils", "office"]).fit(X, y)


def test_classes_of_rules_are_of_the_type_of_labels(titles):
    with pytest.raises(ValueError, match="rule 'r' names the class 1, but labels"):
        fit(titles, Rule(TITLE.contains("ring"), 1, id="r"))


@pytest.mark.parametrize("labels", [[0, 1], [False, True], [2.0, 3.0], ["x", "y"]])
def test_labels_keep_their_type(labels):
    X = pd.DataFrame({"x": [0.0, 1.0] * 10})
    y = np.array(labels * 10)
    then = labels[1] if not isinstance(labels[1], float) else int(labels[1])
    rules = RuleSet([Rule(col("x") == 0.5, then)])
    model = RuleAugmentedClassifier(LogisticRegression(), rules).fit(X, y)
    assert model.classes_.dtype == np.unique(y).dtype
    assert model.predict(pd.DataFrame({"x": [0.5]})).tolist() == [labels[1]]


# Rules that change


def test_rules_act_at_the_next_prediction(titles):
    model = fit(titles, Rule(TITLE.contains("gold"), "oils", "gate", id="g"))
    new = make_new("gold ring", "blue thing")
    assert model.predict(new).tolist()[0] == "oils"
    model.rules.disable("g")
    assert model.predict(new).tolist()[0] == "rings"
    model.rules.add(Rule(TITLE.contains("blue"), "gems", id="blue"))
    assert model.predict(new).tolist() == ["rings", "gems"]
    assert "gems" in model.classes_
    model.set_params(rules=None)
    assert model.decide(new)["source"].tolist() == ["learner", "learner"]


def test_a_rule_that_was_changed_is_judged_anew(titles):
    model = fit(titles, Rule(TITLE.contains("ring"), "oils", id="r"))
    assert model.rule_precision_.loc["r", "precision"] < 0.5
    assert model.decide(make_new("blue ring"))["source"].tolist() == ["learner"]
    model.rules.remove("r")
    model.rules.add(Rule(TITLE.contains("blue"), "oils", id="r"))
    assert model.decide(make_new("blue ring"))["source"].tolist() == ["rule"]


def test_a_column_that_is_missing_is_named_with_the_rule(titles):
    model = fit(titles, Rule(TITLE.contains("gold"), "oils"))
    model.rules.add(Rule(col("brand") == "Acme", "oils", id="acme"))
    with pytest.raises(ValueError, match="rule 'acme': X has no column brand"):
        model.predict(titles[0])


# Around it


def test_it_travels(titles):
    X = titles[0]
    rules = [Rule(TITLE.contains("gold"), "oils", "gate", id="g")]
    model = fit(titles, *rules)
    again = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(again.decide(X), model.decide(X))
    copy = clone(model)
    assert copy.rules == model.rules
    copy.rules.disable("g")
    assert model.rules.is_enabled("g")


def test_parameters_of_learner_and_rules_can_be_searched(titles):
    X, y = titles
    good = RuleSet([Rule(TITLE.contains("ring"), "rings", "gate")])
    bad = RuleSet([Rule(TITLE.contains("ring"), "oils", "gate")])
    model = Pipeline(
        [
            ("same", FunctionTransformer()),
            ("rules", RuleAugmentedClassifier(make_learner())),
        ]
    )
    grid = {
        "rules__rules": [bad, good],
        "rules__estimator__multinomialnb__alpha": [0.1, 1.0],
        "rules__prior_precision": [0.9],
    }
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    assert search.best_params_["rules__rules"] == good
    assert cross_val_score(search.best_estimator_, X, y, cv=2).mean() == 1.0


def test_weights_reach_the_learner_and_the_precision_of_rules():
    X = pd.DataFrame({"x": [0.0, 0.0, 1.0, 1.0]})
    y = np.array([0, 1, 0, 1])
    rules = RuleSet([Rule(col("x") == 1, 1, id="r")])
    weight = [1, 0.0, 1.0, 3]
    model = RuleAugmentedClassifier(LogisticRegression(), rules)
    model.fit(X, y, sample_weight=weight)
    alone = LogisticRegression().fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(model.estimator_.coef_, alone.coef_)
    columns = ["precision", "n_labeled", "n_right"]
    assert model.rule_precision_.loc["r", columns].tolist() == [7.75 / 9, 4.0, 3.0]
    repeated = model.fit(X.iloc[[0, 2, 3, 3, 3]], y[[0, 2, 3, 3, 3]])
    assert repeated.rule_precision_.loc["r", columns].tolist() == [7.75 / 9, 4.0, 3.0]


def test_weights_reach_the_last_step_of_a_pipeline(titles):
    X, y = titles
    weight = np.linspace(0.1, 5, 20)
    model = RuleAugmentedClassifier(make_learner()).fit(X, y, sample_weight=weight)
    alone = make_learner().fit(X, y, multinomialnb__sample_weight=weight)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


def test_arrays_sparse_matrices_and_other_frames():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)
    rules = RuleSet([Rule(col(2) > 0.5, 1, "gate")])
    expected = np.where(X[:, 2] > 0.5, 1, LogisticRegression().fit(X, y).predict(X))
    model = RuleAugmentedClassifier(LogisticRegression(), rules)
    for rows in (X, X.tolist(), sparse.csr_matrix(X), sparse.csc_array(X)):
        assert model.fit(rows, y).predict(rows).tolist() == expected.tolist()
    named = RuleSet([Rule(col("c") > 0.5, 1, "gate")])
    frame = pl.DataFrame(X, schema=["a", "b", "c"])
    model.set_params(rules=named).fit(frame, y)
    assert model.predict(frame).tolist() == expected.tolist()
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]


# Wrong use


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rules": "rules.csv"}, "'rules' parameter"),
        ({"rules": [TITLE.contains("x")]}, "a RuleSet holds rules; got"),
        ({"rule_weights": "majority"}, "'rule_weights' parameter"),
        ({"target_precision": 1.5}, "'target_precision' parameter"),
        ({"estimator": LinearSVC()}, "'estimator' parameter"),
    ],
)
def test_wrong_parameters_are_named(titles, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        RuleAugmentedClassifier(make_learner()).set_params(**params).fit(*titles)


def test_a_typo_in_a_parameter_is_told():
    with pytest.raises(TypeError, match="target_precison"):
        RuleAugmentedClassifier(target_precison=0.9)


def test_labels_that_are_all_missing_are_refused(titles):
    with pytest.raises(ValueError, match="y has no labels: all 20 are missing"):
        RuleAugmentedClassifier(make_learner()).fit(titles[0], [None] * 20)


def test_an_empty_frame_is_refused(titles):
    model = fit(titles)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        model.predict(titles[0].iloc[:0])


def test_deciding_costs_little_beside_the_learner():
    """A thousand rules on ten thousand rows."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        rng.normal(size=(10_000, 20)), columns=[f"x{i}" for i in range(20)]
    )
    y = rng.integers(0, 3, len(X))
    rules = RuleSet(
        Rule(col(f"x{i % 20}") > 1 + i / 500, i % 3, id=f"r{i}") for i in range(1000)
    )
    model = RuleAugmentedClassifier(DummyClassifier(), rules).fit(X, y)
    model.decide(X)
    started = time.perf_counter()
    told = model.decide(X)
    seconds = time.perf_counter() - started
    assert len(told) == 10_000
    assert seconds < 5
