"""A vote counts for what it adds to the learner."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from sklearn_memgen.rules.vote_weights import CastVotes, find_odds


def cast(rule, learner, right, weight=None):
    weight = np.ones(len(rule)) if weight is None else weight
    return CastVotes(
        np.asarray(rule, dtype=int),
        np.asarray(learner),
        np.asarray(right, bool),
        weight,
    )


def test_a_rule_that_the_learner_knows_adds_nothing():
    rng = np.random.default_rng(0)
    learner = rng.uniform(0.1, 0.9, 4000)
    right = rng.random(4000) < learner
    found = find_odds(cast(np.zeros(4000, int), learner, right), np.array([2.0]))
    assert found[0] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("planted", [1.0, 3.0])
def test_planted_odds_are_found(planted):
    rng = np.random.default_rng(0)
    learner = rng.uniform(0.05, 0.6, 4000)
    right = rng.random(4000) < expit(logit(learner) + planted)
    found = find_odds(cast(np.zeros(4000, int), learner, right), np.array([1.5]))
    assert found[0] == pytest.approx(planted, abs=0.25)


def test_rules_without_votes_stay_where_they_start():
    found = find_odds(cast([0], [0.5], [True]), np.array([1.0, 4.0]))
    assert found[1] == 4.0
    assert find_odds(cast([], [], []), np.array([3.0])).tolist() == [3.0]


def test_where_the_learner_is_right_anyway_a_vote_keeps_its_odds():
    learner = np.full(300, 0.999)
    found = find_odds(cast(np.zeros(300, int), learner, learner > 0), np.array([5.0]))
    assert found[0] == pytest.approx(5.0, abs=0.1)


def test_a_rule_that_misleads_is_not_heard():
    learner = np.full(200, 0.5)
    right = np.arange(200) < 40
    assert find_odds(cast(np.zeros(200, int), learner, right), np.array([3.0])) == [0.0]


def test_weights_count_as_repeated_rows():
    learner, right = np.array([0.3, 0.4, 0.6, 0.2]), np.array([1, 0, 1, 1], bool)
    weight = np.array([3.0, 1.0, 0.0, 2.0])
    rows = np.repeat(np.arange(4), weight.astype(int))
    one = find_odds(cast([0] * 4, learner, right, weight), np.array([1.0]))
    other = find_odds(cast([0] * 6, learner[rows], right[rows]), np.array([1.0]))
    np.testing.assert_allclose(one, other)


def test_it_is_the_optimum_far_from_the_start():
    """Newton's steps are bounded; the sum of residuals is what the prior pulls."""
    rng = np.random.default_rng(0)
    rule = rng.integers(0, 50, 5000)
    learner = rng.beta(0.2, 2, 5000)
    right = rng.random(5000) < 0.9
    start = np.full(50, 0.5)
    odds = find_odds(cast(rule, learner, right), start)
    share = expit(logit(np.clip(learner, 1e-9, 1)) + odds[rule])
    pull = np.bincount(rule, right - share, minlength=50)
    np.testing.assert_allclose(pull, (odds - start) / 4, atol=1e-4)


def test_it_agrees_with_a_logistic_regression():
    """Of a learner that always says the same, scikit-learn finds the same intercept."""
    rng = np.random.default_rng(0)
    right = rng.random(3000) < 0.7
    odds = find_odds(cast(np.zeros(3000, int), np.full(3000, 0.4), right), np.zeros(1))
    peer = LogisticRegression(C=4.0, fit_intercept=False).fit(np.ones((3000, 1)), right)
    offset = logit(0.4)
    # Its prior is around 0 for the sum; with so many rows priors hardly count.
    assert odds[0] + offset == pytest.approx(peer.coef_[0, 0], abs=0.01)
