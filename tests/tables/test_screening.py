"""The screen for crosses finds what is there, and nothing else."""

import numpy as np
import pytest

from sklearn_memgen.tables import screening
from sklearn_memgen.tables.screening import centered_target, find_crosses


def draw_columns(n_rows=6000, sizes=(12, 12, 12, 12), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, size, n_rows) for size in sizes]


def find(ids, y, weights=None, seed=0, max_crosses=8):
    rng = np.random.RandomState(seed)
    return find_crosses(ids, y, weights, rng, max_crosses=max_crosses)


def by_combination(ids, seed=1):
    """A sign for each combination, which no sum over the columns tells."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], [int(column.max()) + 1 for column in ids])[
        tuple(ids)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("numeric", [True, False])
def test_a_planted_pair(numeric, seed):
    ids = draw_columns(seed=seed)
    y = by_combination(ids[1:3]) + np.random.default_rng(seed).normal(size=6000)
    found = find(ids, y if numeric else (y > 0).astype(int), seed=seed)
    (pair, gain, error), *others = found
    assert pair == (1, 2) and not others
    assert 0.2 < gain < (0.55 if numeric else 0.6) and 0 < error < gain / 3


def test_the_gain_is_a_share_of_the_variance():
    """Of signs without noise a pair explains nearly all, whatever their unit."""
    ids = draw_columns(10_000)
    y = by_combination(ids[:2])
    (_, gain, _), *_ = find(ids, y)
    (_, scaled, _), *_ = find(ids, 1e3 * y + 5)
    assert 0.8 < gain < 1 and scaled == pytest.approx(gain)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_triple(seed):
    """Beyond the pair that it extends."""
    ids = draw_columns(12_000, (12, 12, 6, 12), seed)
    y = by_combination(ids[:2]) + by_combination(ids[:3], 2)
    pair, triple, *others = find(ids, y, seed=seed)
    assert pair[0] == (0, 1) and triple[0] == (0, 1, 2)
    assert pair[1] > 0.4 and triple[1] > 0.25
    assert all(gain < 0.002 for _, gain, _ in others)  # what shrinkage has left


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [(12,) * 8, (2000,) * 4, (3000, 50, 5, 2)])
def test_nothing_in_noise(sizes, seed):
    """Many rare combinations do not look good by chance."""
    rng = np.random.default_rng(seed)
    ids = draw_columns(6000, sizes, seed)
    assert find(ids, rng.normal(size=6000), seed=seed) == []
    assert find(ids, rng.integers(0, 3, 6000), seed=seed) == []


def test_nothing_in_sums_over_columns():
    ids = draw_columns()
    rng = np.random.default_rng(0)
    y = sum(rng.normal(size=12)[column] for column in ids) + rng.normal(size=6000)
    assert find(ids, y) == []


def test_small_crosses_are_left_to_the_net():
    """It learns fewer than 100 combinations from the columns."""
    ids = draw_columns(sizes=(9, 11, 4))
    assert find(ids, by_combination(ids[:2])) == []


def test_one_column_or_constant_columns_cross_with_nothing():
    ids = draw_columns()
    y = by_combination(ids[:2])
    assert find(ids[:1], y) == []
    assert find([ids[0], np.zeros(6000, dtype=int)], y) == []


def test_a_constant_target():
    assert find(draw_columns(), np.full(6000, 3.0)) == []
    assert find(draw_columns(), np.zeros(6000, dtype=int)) == []


def test_no_more_crosses_than_asked_for():
    ids = draw_columns(12_000, (12,) * 6)
    y = sum(by_combination(ids[i : i + 2], i) for i in (0, 2, 4))
    found = [key for key, _, _ in find(ids, y, max_crosses=2)]
    assert len([key for key in found if len(key) == 2]) == 2
    assert set(found) > {(0, 1)} or set(found) > {(2, 3)} or set(found) > {(4, 5)}


def test_many_columns_keep_those_that_tell_something(monkeypatch):
    monkeypatch.setattr(screening, "_MAX_COLUMNS", 3)
    ids = draw_columns(sizes=(12,) * 10)
    rng = np.random.default_rng(0)
    y = by_combination([ids[3], ids[8]])
    y += rng.normal(size=12)[ids[3]] + rng.normal(size=12)[ids[8]]
    assert [key for key, _, _ in find(ids, y)] == [(3, 8)]


def test_work_does_not_grow_beyond_the_rows_looked_at(monkeypatch):
    """As many sums over as many rows, however long the table."""
    sizes = []

    def counted(codes, *args):
        sizes.append(len(codes))
        return cross_fit(codes, *args)

    cross_fit = screening.cross_fit
    monkeypatch.setattr(screening, "cross_fit", counted)
    calls = []
    for n_rows in (20_000, 80_000):
        sizes.clear()
        find(draw_columns(n_rows), np.random.default_rng(0).normal(size=n_rows))
        assert set(sizes) == {20_000}
        calls.append(len(sizes))
    assert calls[0] == calls[1]


def test_rows_of_a_small_weight_tell_little():
    """A pair that is there only in rows that hardly count is not found."""
    ids = draw_columns()
    light = np.random.default_rng(2).random(6000) < 0.5
    y = np.random.default_rng(3).normal(size=6000)
    y[light] += 3 * by_combination(ids[:2])[light]
    assert [key for key, _, _ in find(ids, y)] == [(0, 1)]
    assert find(ids, y, np.where(light, 1e-6, 1.0)) == []


def test_weights_of_one_change_nothing():
    ids = draw_columns()
    y = by_combination(ids[:2]) + np.random.default_rng(3).normal(size=6000)
    assert find(ids, y, np.ones(6000)) == find(ids, y) != []


def test_targets_are_centered():
    y = np.array([0, 1, 2, 2, 1, 0, 0, 3])
    weights = np.arange(1.0, 9)
    target = centered_target(y, weights)
    assert target.shape == (8, 4)
    np.testing.assert_allclose(weights @ target, 0, atol=1e-12)
    most = centered_target(y, None, 2)  # of the classes 0 and 1, or 2
    assert most.shape == (8, 2) and (most[y == 0, 0] > 0).all()
    assert centered_target(y % 2, None).shape == (8, 1)
    assert centered_target(y.astype(float), None).shape == (8, 1)
