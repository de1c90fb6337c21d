"""The widest margin of separable points is the one that is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import SVC

from sklearn_memgen.datasets import make_separable


@given(n_others=st.integers(0, 60), seed=st.integers(0, 2**32 - 1))
def test_svm_finds_the_direction_and_the_margin(n_others, seed):
    X, y = make_separable(n_others, random_state=seed)
    svm = SVC(kernel="linear", C=1e6, tol=1e-8).fit(X, y)
    norm = np.linalg.norm(svm.coef_)
    np.testing.assert_allclose(svm.coef_[0] / norm, np.sqrt([0.5, 0.5]), atol=1e-4)
    assert 1 / norm == pytest.approx(np.sqrt(2), abs=1e-4)
    assert svm.intercept_ == pytest.approx(0, abs=1e-4)


@given(n_others=st.integers(0, 60), seed=st.integers(0, 2**32 - 1))
def test_other_points_are_beyond_the_margin(n_others, seed):
    X, y = make_separable(n_others, random_state=seed)
    assert X.shape == (4 + n_others, 2) and X.dtype == np.float64
    assert y.dtype == np.int64
    assert (y == 1).sum() - (y == 0).sum() == n_others % 2
    distances = (2 * y - 1) * X.sum(axis=1) / np.sqrt(2)
    np.testing.assert_allclose(distances[:4], np.sqrt(2))
    assert (distances[4:] > np.sqrt(2) + 0.3).all()


def test_a_seed_repeats_the_points():
    one, other = (make_separable(random_state=3)[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_others", [-1, 2.5, "many"])
def test_a_wrong_number_is_told(n_others):
    with pytest.raises(ValueError, match="n_others"):
        make_separable(n_others)
