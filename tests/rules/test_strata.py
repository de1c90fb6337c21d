"""Intervals of the precision of all strata hold it as often as they say."""

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen.rules.reviewing import estimate_precision
from sklearn_memgen.rules.strata import combine


def take_proportionally(sizes, n, rng):
    """A row each and the others in proportion to sizes, as review_sample does."""
    left = (sizes - 1) * (n - len(sizes)) / max(sizes.sum() - len(sizes), 1)
    ends = np.floor(np.cumsum(left) + rng.random()).astype(int)
    return np.minimum(1 + np.diff(ends, prepend=0), sizes)


def take_alike(sizes, n, rng):
    """As many of each stratum, whatever its size."""
    return np.minimum(max(n // len(sizes), 2), sizes)


def simulate(take, n, precision, n_reviews=2000):
    """Return how often the interval lies above the precision, and below it.

    Strata differ in size and in precision, at random anew in each review.
    """
    rng = np.random.default_rng(n)
    misses = np.zeros(2)
    for _ in range(n_reviews):
        n_strata, n_rows = rng.integers(1, 40), rng.integers(1500, 20_000)
        sizes = 1 / np.arange(1, n_strata + 1)
        sizes = np.maximum(n_rows * sizes / sizes.sum(), 1).astype(int)
        wrong = rng.beta(1, rng.choice([2, 20]), n_strata) + 0.001
        mean = precision or rng.uniform(0.9, 0.99)
        wrong = np.minimum(wrong * (1 - mean) * sizes.sum() / (sizes @ wrong), 1)
        n_wrong = rng.binomial(sizes, wrong)
        judged = take(sizes, n, rng)
        found = rng.hypergeometric(n_wrong, sizes - n_wrong, judged)
        _, low, high, _ = combine(judged - found, judged, sizes.astype(float), 0.95)
        truth = 1 - n_wrong.sum() / sizes.sum()
        misses += low > truth + 1e-12, high < truth - 1e-12
    return misses / n_reviews


@pytest.mark.parametrize(
    ("n", "precision"),
    [(100, None), (300, None), (1000, None), (100, 0.9), (300, 0.92), (1000, 0.99)],
)
def test_intervals_hold_the_precision_as_often_as_they_say(n, precision):
    above, below = simulate(take_proportionally, n, precision)
    assert 0.93 < 1 - above - below < 0.97
    # What passes a bar should, all the more, be above it.
    assert above < 0.03


def test_too_few_rows_of_large_strata_are_no_cause_of_trust():
    above, below = simulate(take_alike, 300, None)
    assert 1 - above - below > 0.94


def test_the_estimate_of_a_review_is_this_one():
    """What is simulated here is what users call."""
    sizes, judged, right = np.array([[60, 30, 10], [20, 10, 10], [19, 8, 9]])
    decisions = pd.DataFrame({"label": np.repeat([0, 1, 2], sizes), "source": "rule"})
    verdicts = {}
    for label, rows in decisions.groupby("label").groups.items():
        for i, row in enumerate(rows[: judged[label]]):
            verdicts[row] = i < right[label]
    estimate = estimate_precision(decisions, verdicts)
    wanted = combine(right, judged, sizes.astype(float), 0.95)
    assert (estimate.precision, estimate.low, estimate.high) == wanted[:3]
