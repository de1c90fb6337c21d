"""Rules and a learner vote as equals, and no order of rules matters."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_memgen.rules import Rule, RuleSet, col
from sklearn_memgen.rules.voting import VotingMaster, log_odds

CLASSES = np.array(["a", "b", "c"])


def vote(rules, X, learner, precision=0.95, known=(True, True, True), trust=0.98):
    rules = RuleSet(rules)
    precision = np.broadcast_to(np.asarray(precision, dtype=float), len(rules))
    known = np.array(known)
    master = VotingMaster(rules, CLASSES, known, precision, learner_trust=trust)
    return master.decide(rules.match(X), np.array(learner, dtype=float))


def rule(value, then, kind="assign", **params):
    return Rule(col("x") == value, then, kind, **params)


X = pd.DataFrame({"x": [0, 1]})
SURE_OF_A = [[0.9, 0.05, 0.05]] * 2


def test_without_votes_the_learner_decides_alone():
    decisions = vote([rule(7, "b")], X, SURE_OF_A)
    np.testing.assert_array_equal(decisions.probabilities, SURE_OF_A)
    assert decisions.codes.tolist() == [0, 0]
    assert not decisions.voted.any()


def test_one_vote_beside_an_indifferent_learner_is_as_sure_as_its_precision():
    """The formula: the learner is the prior, a rule is evidence of its precision."""
    indifferent = [[1 / 3, 1 / 3, 1 / 3]] * 2
    decisions = vote([rule(0, "b")], X, indifferent, precision=0.8, trust=1.0)
    np.testing.assert_allclose(decisions.probabilities[0], [0.1, 0.8, 0.1])
    np.testing.assert_allclose(decisions.probabilities[1], indifferent[1])


def test_a_precise_rule_overrules_a_learner_that_is_less_sure():
    decisions = vote([rule(0, "b")], X, SURE_OF_A, precision=0.99)
    assert decisions.codes.tolist() == [1, 0]
    assert decisions.voted.tolist() == [True, False]
    assert decisions.learner_codes.tolist() == [0, 0]
    assert vote([rule(0, "b")], X, SURE_OF_A, precision=0.6).codes.tolist() == [0, 0]


def test_a_learner_that_is_certain_is_believed_up_to_its_trust():
    certain = [[1.0, 0.0, 0.0]] * 2
    assert vote([rule(0, "b")], X, certain, precision=0.995).codes[0] == 1
    assert vote([rule(0, "b")], X, certain, precision=0.995, trust=1.0).codes[0] == 0


def test_a_rule_worse_than_a_guess_says_nothing():
    decisions = vote([rule(0, "b")], X, SURE_OF_A, precision=0.2, trust=1.0)
    np.testing.assert_allclose(decisions.probabilities, SURE_OF_A)


def test_a_weight_counts_as_that_many_votes():
    """Weight 2 is the evidence of two independent rules."""
    indifferent = [[1 / 3, 1 / 3, 1 / 3]]
    one = vote([rule(0, "b", weight=2)], X[:1], indifferent, precision=0.8, trust=1.0)
    odds = one.probabilities[0, 1] / one.probabilities[0, 0]
    assert odds == pytest.approx((0.8 / 0.1) ** 2)


def test_a_rule_written_twice_changes_nothing():
    once = vote([rule(0, "b", id="1")], X, SURE_OF_A)
    twice = vote([rule(0, "b", id="1"), rule(0, "b", id="2")], X, SURE_OF_A)
    np.testing.assert_array_equal(once.probabilities, twice.probabilities)


def test_of_a_class_that_it_does_not_know_the_learner_cannot_speak():
    """Its certainty of another class does not count against a class it never saw."""
    known = (True, True, False)
    learner = [[0.999, 0.001, 0.0]] * 2
    decisions = vote([rule(0, "c")], X, learner, known=known)
    assert decisions.codes.tolist() == [2, 0]
    assert decisions.probabilities[0, 2] > 0.9
    assert decisions.probabilities[1, 2] == 0


def test_forbidden_classes_leave_the_next_best():
    learner = [[0.6, 0.3, 0.1]] * 2
    decisions = vote([rule(0, "a", "forbid")], X, learner)
    np.testing.assert_allclose(decisions.probabilities[0], [0, 0.75, 0.25])
    assert decisions.codes.tolist() == [1, 0]
    assert decisions.vetoed.toarray().tolist() == [[True, False, False], [False] * 3]
    assert not decisions.voted[0]


def test_restriction_leaves_the_classes_that_it_names():
    learner = [[0.6, 0.3, 0.1]] * 2
    decisions = vote([rule(0, ["b", "c"], "restrict")], X, learner)
    np.testing.assert_allclose(decisions.probabilities[0], [0, 0.75, 0.25])
    both = [rule(0, ["a", "b"], "restrict"), rule(0, ["b", "c"], "restrict")]
    np.testing.assert_allclose(vote(both, X, learner).probabilities[0], [0, 1, 0])


def test_a_restriction_to_a_class_without_votes_is_kept():
    learner = [[1.0, 0.0, 0.0]] * 2
    decisions = vote([rule(0, ["b", "c"], "restrict")], X, learner)
    np.testing.assert_allclose(decisions.probabilities[0], [0, 0.5, 0.5])


def test_rules_that_leave_no_class_leave_the_row_undecided():
    rules = [rule(0, [label], "restrict", id=label) for label in "ab"]
    decisions = vote(rules, X, SURE_OF_A)
    assert decisions.codes.tolist() == [-1, 0]
    assert decisions.confidence.tolist() == [0.0, 0.9]
    np.testing.assert_allclose(decisions.probabilities[0].sum(), 1)
    assert not decisions.voted[0]


def test_a_filter_acts_on_what_rules_assign():
    rules = [rule(0, "b"), rule(0, "b", "forbid")]
    decisions = vote(rules, X, SURE_OF_A, precision=0.99)
    assert decisions.codes[0] == 0
    assert decisions.vetoed.toarray()[0].tolist() == [False, True, False]


def test_gates_are_final():
    """No vote and no filter moves them, and their class has most of the probability."""
    rules = [rule(0, "c", "gate"), rule(0, "c", "forbid"), rule(0, "b")]
    decisions = vote(rules, X, SURE_OF_A, precision=0.9)
    assert decisions.codes.tolist() == [2, 0]
    assert decisions.gated.tolist() == [True, False]
    assert decisions.probabilities[0, 2] == pytest.approx(0.9)
    assert decisions.vetoed.nnz == 0
    poor = vote(rules, X, SURE_OF_A, precision=0.1)
    assert poor.codes[0] == 2


def test_of_two_gates_the_more_precise_one_decides():
    rules = [rule(0, "b", "gate", id="1"), rule(0, "c", "gate", id="2")]
    assert vote(rules, X, SURE_OF_A, precision=[0.9, 0.95]).codes[0] == 2
    assert vote(rules, X, SURE_OF_A, precision=[0.95, 0.9]).codes[0] == 1


def test_log_odds_of_a_guess_are_zero():
    np.testing.assert_allclose(log_odds(np.array([0.25, 0.1]), 4), [0, 0], atol=1e-12)


rules_strategy = st.lists(
    st.builds(
        lambda value, then, kind, weight: (value, then, kind, weight),
        st.integers(0, 3),
        st.sampled_from("abc"),
        st.sampled_from(["assign", "forbid", "restrict", "gate"]),
        st.sampled_from([0.5, 1.0, 2.0]),
    ),
    max_size=12,
)


@given(rules_strategy, st.randoms(use_true_random=False), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_order_of_rules_never_changes_a_result(specs, random, seed):
    """Ids decide on the order of columns, so they are dealt out at random."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"x": rng.integers(0, 4, 20)})
    learner = rng.dirichlet([0.3] * 3, size=20)
    precision = rng.uniform(0.3, 1, len(specs))
    results = []
    for order in (
        list(range(len(specs))),
        random.sample(range(len(specs)), len(specs)),
    ):
        rules = [
            rule(*specs[i][:3], weight=specs[i][3], id=f"{place:02}")
            for place, i in enumerate(order)
        ]
        results.append(vote(rules, X, learner, precision=precision[order]))
    one, other = results
    np.testing.assert_allclose(one.probabilities, other.probabilities)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.vetoed.toarray(), other.vetoed.toarray())
    np.testing.assert_allclose(one.probabilities.sum(axis=1), 1)
    decided = one.codes >= 0
    best = one.probabilities.argmax(axis=1)
    np.testing.assert_array_equal(one.codes[decided], best[decided])
