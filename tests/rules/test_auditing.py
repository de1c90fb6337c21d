"""An audit counts what each rule did."""

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen.rules import Rule, RuleSet, col
from sklearn_memgen.rules.auditing import audit_rules
from sklearn_memgen.rules.voting import VotingMaster

CLASSES = np.array(["a", "b"])


def audit(rules, x, codes, learner):
    rules, X = RuleSet(rules), pd.DataFrame({"x": x})
    matched, learner = rules.match(X), np.array(learner, dtype=float)
    master = VotingMaster(
        rules, CLASSES, np.ones(2, bool), np.full(len(rules), 0.99), learner_trust=0.9
    )
    return audit_rules(
        list(rules),
        matched,
        CLASSES,
        np.array(codes),
        learner.argmax(axis=1),
        lambda rows, some: master.decide(some, learner[rows]).codes,
    )


A, B = [0.9, 0.1], [0.1, 0.9]


def test_coverage_precision_and_agreement():
    table = audit(
        [Rule(col("x") == 1, "a", id="r"), Rule(col("x") == 1, "b", "forbid", id="f")],
        [1, 1, 1, 1, 0],
        [0, 0, 1, -1, 0],
        [A, B, B, A, A],
    )
    row = table.loc["r"]
    assert (row["kind"], row["then"], row["n_rows"]) == ("assign", "a", 4)
    assert row["coverage"] == 0.8
    assert (row["n_labeled"], row["n_right"]) == (3, 2)
    assert row["precision"] == pytest.approx(2 / 3)
    assert row["precision_low"] < 2 / 3 < row["precision_high"]
    assert row["agreement"] == 0.5
    # "not b" is right where the label is a, and the learner says a twice.
    assert (table.loc["f", "n_right"], table.loc["f", "agreement"]) == (2, 0.5)


def test_rows_that_are_right_or_wrong_because_of_a_rule():
    table = audit(
        [Rule(col("x") == 1, "a", id="r")], [1, 1, 1, 1], [0, 0, 1, 1], [A, B, B, A]
    )
    # Row 1 is gained, row 2 lost; the learner is right and wrong of the others anyway.
    assert (table.loc["r", "n_gained"], table.loc["r", "n_lost"]) == (1, 1)


def test_a_rule_that_another_one_contains_gains_nothing_alone():
    rules = [Rule(col("x") > 0, "a", id="wide"), Rule(col("x") == 1, "a", id="narrow")]
    table = audit(rules, [1, 2], [0, 0], [B, B])
    assert table["n_gained"].to_dict() == {"narrow": 0, "wide": 1}
    assert table["n_overlapping"].to_dict() == {"narrow": 1, "wide": 1}


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        (("a", "assign"), ("b", "assign"), True),
        (("a", "assign"), ("a", "assign"), False),
        (("a", "assign"), ("a", "forbid"), True),
        (("a", "assign"), ("b", "forbid"), False),
        (("a", "assign"), (["b"], "restrict"), True),
        (("a", "assign"), (["a", "b"], "restrict"), False),
        (("a", "gate"), ("b", "gate"), True),
        (("a", "gate"), ("a", "gate"), False),
    ],
)
def test_conflicts_are_counted_on_both_sides(one, other, conflict):
    rules = [
        Rule(col("x") > 0, *one, id="one"),
        Rule(col("x") == 1, *other, id="other"),
    ]
    table = audit(rules, [1, 2, 1], [0, 0, 0], [A, A, A])
    expected = 2 if conflict else 0
    assert table["n_conflicting"].to_dict() == {"one": expected, "other": expected}


def test_labels_that_are_no_class_are_wrong_but_for_rules_that_forbid():
    rules = [
        Rule(col("x") == 1, "a", id="r"),
        Rule(col("x") == 1, "a", "forbid", id="f"),
    ]
    table = audit(rules, [1, 1], [-2, 0], [A, A])
    assert table["n_right"].to_dict() == {"f": 1, "r": 1}
    assert table["n_labeled"].tolist() == [2, 2]


def test_a_rule_that_matches_nothing_has_no_precision():
    table = audit([Rule(col("x") == 5, "a", id="r")], [1], [0], [A])
    assert table.loc["r", "n_rows"] == 0
    assert np.isnan(table.loc["r", "precision"])
    assert (table.loc["r", "precision_low"], table.loc["r", "precision_high"]) == (0, 1)
