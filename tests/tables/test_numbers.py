"""How numbers go in smoothly."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.tables.numbers import (
    SmoothNumber,
    limit_bins,
    target_edges,
    weighted_quantiles,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)
COLUMNS = st.lists(FLOATS | st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1)


def fit(values, weights=None, n_bins=48):
    return SmoothNumber.fit(np.array(values, dtype=float), weights, n_bins=n_bins)


@given(st.data())
def test_quantiles_count_weights_as_rows(data):
    values = np.array(data.draw(COLUMNS))
    n = len(values)
    weights = np.array(data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n)))
    probabilities = np.linspace(0, 1, 33)
    np.testing.assert_array_equal(
        weighted_quantiles(values, probabilities, weights.astype(float)),
        weighted_quantiles(values.repeat(weights), probabilities, None),
    )


@given(COLUMNS)
def test_quantiles_are_those_of_numpy(values):
    probabilities = np.linspace(0, 1, 9)
    np.testing.assert_array_equal(
        weighted_quantiles(np.array(values), probabilities, None),
        np.quantile(values, probabilities, method="inverted_cdf"),
    )


def test_quantiles_of_nothing():
    assert len(weighted_quantiles(np.empty(0), np.array([0.5]), None)) == 0


@given(st.data())
def test_bins_count_weights_as_rows(data):
    values = np.array(
        data.draw(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1))
    )
    n = len(values)
    weights = np.array(data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n)))
    weighted = fit(values, weights.astype(float), n_bins=4)
    repeated = fit(values.repeat(weights), n_bins=4)
    assert weighted.center == repeated.center
    assert weighted.scale == pytest.approx(repeated.scale)
    np.testing.assert_allclose(weighted.bin_edges, repeated.bin_edges, rtol=1e-5)


@given(COLUMNS, st.integers(0, 9))
def test_edges_ascend_and_stay_finite(values, n_bins):
    """Whatever the numbers, a net gets finite inputs and bins of positive width."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        number = fit(values, n_bins=n_bins)
        scaled = number.transform(np.array(values))
    assert np.isfinite(scaled).all() and scaled.dtype == np.float32
    assert number.scale > 0 and np.isfinite(number.scale)
    edges = number.bin_edges
    assert edges.dtype == np.float32 and len(edges) != 1
    assert (np.diff(edges) > 0).all() and len(edges) <= n_bins + 1


def test_scale_is_robust():
    """One outlier moves neither center nor scale."""
    values = np.arange(101.0)
    assert (fit(values).center, fit(values).scale) == (50, 50)
    values[-1] = 1e9
    assert (fit(values).center, fit(values).scale) == (50, 50)


def test_mostly_one_value_scales_by_deviation():
    """Columns such as capital gains have no interquartile range."""
    values = np.zeros(100)
    values[:4] = 50
    assert fit(values).scale == pytest.approx(values.std())


def test_few_values_have_an_edge_each():
    number = fit([3, 1, 2, 2, 3, 3], n_bins=48)
    np.testing.assert_allclose(
        number.bin_edges * number.scale + number.center, [1, 2, 3]
    )


def test_many_values_have_quantiles_for_edges():
    number = fit(np.arange(1000), n_bins=4)
    edges = number.bin_edges * number.scale + number.center
    np.testing.assert_allclose(edges, [0, 249, 499, 749, 999], atol=1e-3)


@pytest.mark.parametrize("values", [[5, 5, 5], [5], [np.nan, 5], [np.nan, np.nan]])
def test_no_spread_no_bins(values):
    number = fit(values)
    assert len(number.bin_edges) == 0
    scaled = number.transform(np.array([5.0, 7.0]))
    assert np.isfinite(scaled).all() and scaled[1] - scaled[0] == 2


def test_missing_stays_missing_only_where_it_was_seen():
    """Without missing values in fit, one becomes the median: nothing was learned."""
    values = np.array([1.0, np.nan])
    assert np.isnan(fit([1, 2, np.nan]).transform(values))[1]
    assert fit([1, 2, 3]).transform(values)[1] == 0


@pytest.mark.parametrize("strange", [np.inf, -np.inf, 1e308, -1e308])
def test_strange_numbers_stay_finite(strange):
    """Infinities at predict time are large numbers, and warn of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled = fit([1, 2, 3]).transform(np.array([strange, 2.0]))
    assert abs(scaled[0]) == 1e6 and np.sign(scaled[0]) == np.sign(strange)
    assert scaled[1] == 0


def test_transform_leaves_its_input_alone():
    values = np.array([1.0, np.nan, np.inf])
    fit([1, 2, 3]).transform(values)
    np.testing.assert_array_equal(values, [1, np.nan, np.inf])


@given(
    st.lists(st.integers(1, 40), max_size=30),
    st.integers(0, 200),
)
def test_limit_bins(sizes, n_bins):
    """The total is kept, no column gets more bins, and few bins are left alone."""
    numbers = [fit(np.arange(size), n_bins=40) for size in sizes]
    before = [max(len(number.bin_edges) - 1, 0) for number in numbers]
    limited = limit_bins(numbers, n_bins)
    after = [max(len(number.bin_edges) - 1, 0) for number in limited]
    assert sum(after) <= n_bins
    budget = max(after, default=0)
    for number, thin, m, n in zip(numbers, limited, before, after, strict=True):
        assert n == min(m, budget)
        assert np.isin(thin.bin_edges, number.bin_edges).all()
        if n:  # the outermost edges stay
            assert (
                thin.bin_edges[[0, -1]].tolist() == number.bin_edges[[0, -1]].tolist()
            )
    if sum(before) <= n_bins:
        assert after == before


# Bins by target


def edges(values, y, weights=None, n_bins=48):
    number = SmoothNumber.fit(np.asarray(values, float), weights, n_bins=n_bins, y=y)
    return number.bin_edges * number.scale + number.center


@pytest.mark.parametrize("numeric", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_an_edge_lies_where_the_target_changes(seed, numeric):
    """Between the values beside the step, and hardly anywhere else."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 100, 5000)
    y = (values > 37) ^ (rng.random(5000) < 0.1)
    found = edges(values, y.astype(float if numeric else int))
    assert abs(found - 37).min() < 0.5
    assert len(found) <= 4
    np.testing.assert_allclose(found[[0, -1]], [values.min(), values.max()], atol=1e-3)


@pytest.mark.parametrize("n_classes", [0, 2, 7])
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_one_bin_or_two(seed, n_classes):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, 5000) if n_classes else rng.normal(size=5000)
    assert len(edges(rng.normal(size=5000), y)) <= 3


def test_a_smooth_target_has_many_bins_but_no_more_than_allowed():
    values = np.random.default_rng(0).uniform(0, 6, 20_000)
    assert 15 < len(edges(values, np.sin(values), n_bins=256)) <= 51
    assert len(edges(values, np.sin(values), n_bins=8)) == 9
    assert len(edges(values, np.sin(values), n_bins=1)) <= 3
    assert len(edges(values, np.sin(values), n_bins=0)) == 0


@pytest.mark.parametrize("numeric", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_bins_by_target_count_weights_as_rows(seed, numeric):
    """Rows a bin, and what an edge must gain, are counted by weight."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 6, 1000)
    y = np.sin(values) + rng.normal(0, 0.3, 1000)
    y = y if numeric else (y > 0).astype(int)
    weights = rng.integers(1, 4, 1000)
    weighted = target_edges(values, y, weights.astype(float), n_bins=20)
    repeated = target_edges(values.repeat(weights), y.repeat(weights), None, n_bins=20)
    np.testing.assert_allclose(np.sort(weighted), np.sort(repeated), rtol=1e-5)
    plain = target_edges(values, y, None, n_bins=20)
    assert len(weighted) >= len(plain) > 3


def test_light_rows_draw_no_edges():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 100, 5000)
    y = rng.integers(0, 2, 5000)
    step = rng.random(5000) < 0.5
    y[step] = values[step] > 37
    assert abs(edges(values, y) - 37).min() < 1
    weights = np.where(step, 1e-3, 2.0)
    found = edges(values, y, weights)
    assert len(found) <= 4 and abs(found - 37).min() > 1


def test_missing_values_have_no_part_in_the_bins():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 100, 5000)
    y = (values > 37).astype(int)
    holes = np.where(np.arange(5000) % 3, values, np.nan)
    y = np.where(np.isnan(holes), 1, y)
    number = SmoothNumber.fit(holes, None, n_bins=48, y=y)
    assert number.has_missing
    known = ~np.isnan(holes)
    other = SmoothNumber.fit(values[known], None, n_bins=48, y=y[known])
    np.testing.assert_array_equal(number.bin_edges, other.bin_edges)
    assert len(number.bin_edges) == 3


@pytest.mark.parametrize("y", [np.zeros(300, int), np.full(300, 5.0)])
def test_a_constant_target_has_one_bin(y):
    assert len(edges(np.arange(300.0), y)) == 2


def test_long_columns_are_binned_by_some_of_their_rows(monkeypatch):
    """The outermost edges are those of all rows."""
    monkeypatch.setattr("sklearn_memgen.tables.numbers._MAX_TREE_ROWS", 1000)
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 100, 5000)
    y, weights = (values > 37).astype(int), rng.uniform(1, 2, 5000)
    for given_weights in (None, weights):
        found = edges(values, y, given_weights)
        assert len(found) == 3 and abs(found[1] - 37) < 0.5
        np.testing.assert_allclose(
            found[[0, 2]], [values.min(), values.max()], atol=1e-3
        )


@pytest.mark.parametrize("values", [[5, 5, 5], [5], [np.nan, 5], [np.nan, np.nan]])
def test_no_spread_no_bins_by_target(values):
    assert len(edges(values, np.arange(len(values)) % 2)) == 0
