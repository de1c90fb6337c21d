"""A learner's probabilities come to mean what they say."""

import numpy as np
import pytest

from sklearn_memgen.rules.calibration import find_temperature, temper


def draw(n_rows, temperature, seed=0, n_classes=4):
    """Labels drawn by probabilities, which then are made too sure or too timid."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet(np.full(n_classes, 0.5), n_rows)
    codes = np.array([rng.choice(n_classes, p=p) for p in honest])
    distorted = honest ** (1 / temperature)
    return distorted / distorted.sum(axis=1, keepdims=True), codes, np.ones(n_rows)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_a_planted_temperature_is_found(temperature):
    part = draw(4000, temperature)
    assert find_temperature([part]) == pytest.approx(1 / temperature, rel=0.1)


def test_folds_and_weights_count_as_rows():
    probabilities, codes, ones = draw(600, 0.3)
    whole = find_temperature([(probabilities, codes, ones)])
    parts = [
        (probabilities[:200], codes[:200], ones[:200]),
        (probabilities[200:], codes[200:], ones[200:]),
    ]
    assert find_temperature(parts) == pytest.approx(whole)
    weight = np.where(np.arange(600) < 200, 2.0, 0.0)
    twice = [
        (probabilities[:200], codes[:200], ones[:200]),
        (probabilities[:200], codes[:200], ones[:200]),
    ]
    weighted = find_temperature([(probabilities, codes, weight)])
    assert weighted == pytest.approx(find_temperature(twice))


def test_few_rows_that_are_right_do_not_make_it_certain():
    probabilities = np.tile([0.6, 0.4], (8, 1))
    found = find_temperature([(probabilities, np.zeros(8, dtype=int), np.ones(8))])
    assert 0.9 < temper(probabilities, found)[0, 0] < 0.97


def test_zeros_of_trees_are_not_believed_where_they_are_wrong():
    probabilities = np.tile([1.0, 0.0], (100, 1))
    codes = (np.arange(100) < 10).astype(int)
    found = find_temperature([(probabilities, codes, np.ones(100))])
    assert temper(probabilities, found)[0, 1] == pytest.approx(0.1, abs=0.01)


def test_order_and_sum_stay():
    probabilities, _, _ = draw(100, 1.0)
    for temperature in (0.01, 0.5, 2.0, 100.0):
        tempered = temper(probabilities, temperature)
        np.testing.assert_allclose(tempered.sum(axis=1), 1)
        best = probabilities.argmax(axis=1)
        np.testing.assert_array_equal(tempered.argmax(axis=1), best)
    assert temper(probabilities, 1.0) is probabilities
