"""Thresholds keep the precision that they promise."""

import numpy as np
import pytest

from sklearn_memgen.rules.declining import find_threshold


def draw(n_rows, rng):
    """Confidences that are calibrated, and which decisions are right."""
    confidence = rng.beta(2, 1, n_rows)
    return confidence, rng.random(n_rows) < confidence


def test_precision_holds_on_new_rows_as_often_as_promised():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        threshold = find_threshold(*draw(500, rng), target=0.85, certainty=0.9)
        confidence, right = draw(20_000, rng)
        kept = confidence >= threshold
        held.append(not kept.any() or right[kept].mean() >= 0.85)
    assert np.mean(held) >= 0.9


def test_more_rows_let_more_be_decided():
    rng = np.random.default_rng(0)
    few, many = (
        np.mean([find_threshold(*draw(n, rng), target=0.85) for _ in range(20)])
        for n in (300, 30_000)
    )
    assert many < few - 0.02
    # The precision above a threshold t of these rows is 0.85 at t = 0.68.
    assert many == pytest.approx(0.68, abs=0.03)


def test_nothing_is_declined_where_all_is_precise():
    confidence = np.linspace(0.4, 1, 1000)
    assert find_threshold(confidence, np.ones(1000, dtype=bool), target=0.95) == 0.0


@pytest.mark.parametrize("n_rows", [0, 1, 10, 1000])
def test_all_is_declined_where_nothing_is_certain(n_rows):
    right = np.zeros(n_rows, dtype=bool)
    right[: min(n_rows // 2, 10)] = True
    confidence = np.linspace(1, 0.4, n_rows) if n_rows else np.empty(0)
    assert find_threshold(confidence, right, target=0.9) == np.inf


def test_rows_that_are_never_declined_count():
    """Wrong gates must be made up for by the others."""
    rng = np.random.default_rng(0)
    confidence, right = draw(5000, rng)
    alone = find_threshold(confidence, right, target=0.85)
    gates = np.full(500, np.inf), np.arange(500) % 2 == 0
    both = np.r_[confidence, gates[0]], np.r_[right, gates[1]]
    assert find_threshold(*both, target=0.85) > alone + 0.05
