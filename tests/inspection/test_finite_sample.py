"""A net of two layers that fits any labels, without training."""

import math

import numpy as np
import pytest
import torch

from sklearn_memgen.inspection.finite_sample import finite_sample_net


@pytest.mark.parametrize("n, d", [(1, 1), (2, 3), (300, 1), (1000, 20)])
def test_two_layers_of_2n_plus_d_weights_fit_any_labels(n, d):
    """Theorem 1 of Zhang et al."""
    rng = np.random.default_rng(n)
    X, y = rng.normal(size=(n, d)), rng.integers(10, size=n)
    net = finite_sample_net(X, y)
    assert sum(p.numel() for p in net.parameters()) == 2 * n + d
    with torch.no_grad():
        values = net(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(values, y, atol=1e-5)
    np.testing.assert_array_equal(values.round(), y)


def test_its_weights_solve_the_triangular_system():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    net = finite_sample_net(X, y)
    a, b, w = (p.detach().numpy() for p in net.parameters())
    order = np.argsort(X @ a)
    matrix = np.maximum((X @ a)[order][:, None] - b, 0)
    assert not np.triu(matrix, 1).any()
    np.testing.assert_allclose(w, np.linalg.solve(matrix, y[order]), rtol=1e-6)


def test_equal_rows_are_one_row_if_their_values_are():
    X = [[0.0, 1.0], [2.0, 1.0], [0.0, 1.0]]
    net = finite_sample_net(X, [3, 4, 3])
    assert net.weights.shape == (2,)
    with pytest.raises(ValueError, match="rows 0 and 2 of X are equal.* 3 and 5"):
        finite_sample_net(X, [3, 4, 5])


@pytest.mark.parametrize(
    "X, y, message",
    [
        ([[0.0], [1.0]], [1, 2, 3], r"each of the 2 rows of X.*\(3,\)"),
        ([[0.0], [math.nan]], [1, 2], "X contains NaN"),
        ([[0.0], [1.0]], [1, math.inf], "y contains infinity"),
        ([[0.0], [1e-300], [1.0]], [1, 2, 3], "do not tell apart"),
        ([[0.0], [1.0]], ["a", "b"], "could not convert"),
    ],
)
def test_rows_that_cannot_be_fitted(X, y, message):
    with pytest.raises(ValueError, match=message):
        finite_sample_net(X, y)
