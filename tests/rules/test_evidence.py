"""The precision of rules, from labels and without."""

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen.rules import Rule, RuleSet, col
from sklearn_memgen.rules.evidence import Evidence

CLASSES = np.array(["a", "b", "new"])
LABELED = pd.DataFrame({"x": [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]})
CODES = np.array([0, 0, 0, 1, 1, 1, 0, 1, 0, 1])


def collect(rules, weight=None):
    rules = RuleSet(rules)
    weight = np.ones(len(CODES)) if weight is None else weight
    return rules, Evidence.collect(
        list(rules), rules.match(LABELED), CODES, weight, CLASSES
    )


@pytest.mark.parametrize(
    ("kind", "then", "n_right"),
    [("assign", "a", 3), ("gate", "b", 1), ("forbid", "a", 1), ("restrict", "ab", 4)],
)
def test_a_rule_is_right_by_its_kind(kind, then, n_right):
    then = list(then) if kind == "restrict" else then
    _, evidence = collect([Rule(col("x") == 0, then, kind)])
    assert evidence.n_labeled.tolist() == [4]
    assert evidence.n_right.tolist() == [n_right]
    assert evidence.precision(0.8)[0] == pytest.approx((n_right + 4) / 9)


def test_weights_count_as_repeated_rows():
    weight = np.array([2.0, 0, 0, 3, 1, 1, 1, 1, 1, 1])
    _, evidence = collect([Rule(col("x") == 0, "a")], weight)
    assert (evidence.n_labeled[0], evidence.n_right[0]) == (5, 2)


def test_a_rule_that_matches_nothing_has_its_prior():
    _, evidence = collect([Rule(col("x") == 9, "a")])
    assert evidence.precision(0.9)[0] == pytest.approx(0.9)


def test_rules_of_a_new_class_are_not_judged_by_labels_that_cannot_be_right():
    _, evidence = collect([Rule(col("x") == 1, "new"), Rule(col("x") == 1, "a")])
    judged = dict(zip(evidence.is_new, evidence.precision(0.9), strict=True))
    assert judged[True] == pytest.approx(0.9)
    assert judged[False] == pytest.approx(4.5 / 7)


def test_what_a_rule_of_a_new_class_matches_beyond_known_classes_is_right():
    """20 % of the labeled rows match, and so 20 of 100 unlabeled ones are wrong."""
    rules, evidence = collect([Rule(col("x") == 1, "new")])
    some = pd.DataFrame({"x": [1] * 80 + [0] * 20})
    assert evidence.precision(0.9, rules.match(some))[0] == pytest.approx(64.5 / 85)
    none = pd.DataFrame({"x": [1] * 20 + [0] * 80})
    assert evidence.precision(0.9, rules.match(none))[0] == pytest.approx(4.5 / 25)


def test_no_rules_are_no_evidence():
    rules, evidence = collect([])
    assert len(evidence.precision(0.9, rules.match(LABELED))) == 0
    assert evidence.to_frame([]).empty
