"""The XOR problem is what it is said to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_memgen.datasets import make_xor

sizes = st.integers(1, 70)
seeds = st.integers(0, 2**32 - 1)


@given(n_samples=sizes, n_informative=st.integers(2, 5), extra=st.integers(0, 3))
def test_labels_are_the_parity_of_the_first_bits(n_samples, n_informative, extra):
    X, y = make_xor(
        n_samples,
        n_features=n_informative + extra,
        n_informative=n_informative,
        noise=0,
        random_state=0,
    )
    assert X.shape == (n_samples, n_informative + extra)
    assert X.dtype == np.float64 and y.dtype == np.int64
    assert set(X.ravel()) <= {0.0, 1.0}
    np.testing.assert_array_equal(X[:, :n_informative].sum(axis=1) % 2, y)


@given(n_samples=sizes, n_informative=st.integers(2, 5), seed=seeds)
def test_classes_and_corners_are_balanced(n_samples, n_informative, seed):
    X, y = make_xor(
        n_samples,
        n_features=n_informative,
        n_informative=n_informative,
        noise=0,
        random_state=seed,
    )
    assert (y == 0).sum() - (y == 1).sum() == n_samples % 2
    codes = (X @ 2 ** np.arange(n_informative)).astype(int)
    counts = np.bincount(codes, minlength=2**n_informative)
    parity = np.array([code.bit_count() % 2 for code in range(2**n_informative)])
    for label in (0, 1):
        assert np.ptp(counts[parity == label]) <= 1


def test_four_rows_are_the_four_corners():
    for seed in range(5):
        X, y = make_xor(n_samples=4, noise=0, random_state=seed)
        rows = sorted((*map(int, x), label) for x, label in zip(X, y, strict=True))
        assert rows == [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]


def test_many_bits_spread_over_the_corners():
    """No list of all corners is made, and none of the bits is left alone."""
    X, y = make_xor(500, n_features=32, n_informative=32, noise=0, random_state=0)
    assert len(np.unique(X, axis=0)) == 500
    assert (abs(X.mean(axis=0) - 0.5) < 0.15).all()
    assert (abs(np.corrcoef(X.T) - np.eye(32)) < 0.25).all()
    np.testing.assert_array_equal(X.sum(axis=1) % 2, y)


def test_rows_come_in_no_order():
    X, y = make_xor(400, n_features=3, noise=0, random_state=0)
    half = y[:200].mean(), X[:200].mean()
    assert all(0.35 < share < 0.65 for share in half)
    assert 100 < (np.diff(y) != 0).sum() < 300
    assert 0.35 < X[:, 2].mean() < 0.65
    _, flipped = make_xor(400, n_features=3, flip_y=0.5, noise=0, random_state=0)
    assert 70 < (y != flipped)[:200].sum() < 130


def test_no_part_of_the_bits_tells_the_class():
    X, y = make_xor(800, n_features=4, n_informative=3, noise=0.1, random_state=0)
    assert LogisticRegression().fit(X, y).score(X, y) < 0.6
    without_one = DecisionTreeClassifier(max_leaf_nodes=4, random_state=0).fit(
        X[:, :2], y
    )
    assert without_one.score(X[:, :2], y) < 0.6
    neighbors = KNeighborsClassifier().fit(X[::2, :3], y[::2])
    assert neighbors.score(X[1::2, :3], y[1::2]) > 0.99


def test_noise_is_a_standard_deviation_and_moves_nothing_else():
    corners, y = make_xor(5000, noise=0, random_state=1)
    little, y_little = make_xor(5000, noise=0.1, random_state=1)
    much, _ = make_xor(5000, noise=0.3, random_state=1)
    np.testing.assert_array_equal(y_little, y)
    assert (little - corners).std() == pytest.approx(0.1, rel=0.05)
    np.testing.assert_allclose(3 * (little - corners), much - corners)


@given(n_samples=sizes, fraction=st.floats(0, 1), seed=seeds)
def test_flipped_labels_are_counted_exactly(n_samples, fraction, seed):
    X, y = make_xor(n_samples, random_state=seed)
    X_flipped, y_flipped = make_xor(n_samples, flip_y=fraction, random_state=seed)
    np.testing.assert_array_equal(X, X_flipped)
    flipped = y != y_flipped
    assert flipped.sum() == round(fraction * n_samples)
    _, y_fewer = make_xor(n_samples, flip_y=fraction / 2, random_state=seed)
    assert not ((y != y_fewer) & ~flipped).any()


def test_random_state_repeats():
    first, same, other = (make_xor(random_state=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_samples": 0}, "'n_samples'.*Got 0"),
        ({"n_features": 1}, "'n_features'.*Got 1"),
        ({"n_informative": 1}, "'n_informative'.*Got 1"),
        ({"n_informative": 33, "n_features": 40}, "'n_informative'.*Got 33"),
        ({"n_informative": 3}, "n_informative must be at most n_features=2; got 3"),
        ({"noise": -0.1}, "'noise'.*Got -0.1"),
        ({"flip_y": 1.1}, "'flip_y'.*Got 1.1"),
    ],
)
def test_bad_parameters_are_named_with_their_value(params, message):
    with pytest.raises(ValueError, match=message):
        make_xor(**params)
