"""Rules can be searched over, one by one."""

import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV

from sklearn_memgen import Rule, RuleAugmentedClassifier, RuleSet, col

X = pd.DataFrame({"x": [0, 1] * 20})
y = [0, 1] * 20


def make_rules():
    return RuleSet(
        [
            Rule(col("x") == 0, 0, "gate", id="right"),
            Rule(col("x") == 1, 0, "gate", id="wrong", note="by a novice"),
        ]
    )


def test_a_search_turns_off_the_rule_that_is_wrong():
    rules = make_rules()
    model = RuleAugmentedClassifier(DummyClassifier(), rules, calibrate=False)
    grid = {"rules__wrong__enabled": [True, False], "rules__right__weight": [1.0, 2.0]}
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    assert search.best_params_["rules__wrong__enabled"] is False
    assert not search.best_estimator_.rules.is_enabled("wrong")
    assert rules == make_rules()  # clones are searched, not the rules themselves


def test_parameters_go_round():
    rules = make_rules()
    rules.disable("wrong")
    params = rules.get_params()
    assert params["wrong__enabled"] is False and params["right__weight"] == 1.0
    assert make_rules().set_params(**params) == rules
    assert rules.get_params(deep=False) == {}


def test_a_weight_leaves_all_else_as_it_is():
    rules = make_rules().set_params(wrong__weight=0.5)
    assert rules["wrong"].weight == 0.5
    assert rules["wrong"].note == "by a novice"
    assert rules.version == 1
    assert make_rules()["wrong"].when == rules["wrong"].when


def test_ids_may_have_underscores_and_sets_of_classes():
    rules = RuleSet([Rule(col("x") > 0, [0, 1], "restrict", id="a__b")])
    rules.set_params(a__b__weight=3)
    assert rules["a__b"].weight == 3
    assert rules["a__b"].classes == (0, 1)


def test_clones_do_not_share_edits():
    rules = make_rules()
    copy = clone(rules)
    copy.set_params(right__enabled=False)
    assert rules.is_enabled("right")
    model = RuleAugmentedClassifier(DummyClassifier(), rules)
    assert "RuleSet of 2 rules" in repr(model)
    assert model._repr_html_()


@pytest.mark.parametrize(
    ("error", "message", "params"),
    [
        (
            ValueError,
            "got 'wrnog__enabled'; did you mean 'wrong__enabled'",
            "wrnog__enabled",
        ),
        (ValueError, "ID__enabled and ID__weight; got 'right__then'", "right__then"),
        (ValueError, "got 'zzz'", "zzz"),
        (TypeError, "right__enabled must be True or False; got 1", "right__enabled"),
        (TypeError, "weight must be a number; got True", "right__weight"),
    ],
)
def test_wrong_parameters_change_nothing(error, message, params):
    rules = make_rules()
    value = 1 if params.endswith("enabled") else True
    with pytest.raises(error, match=message):
        rules.set_params(**{"wrong__enabled": False, params: value})
    assert rules == make_rules()
