"""The XOR problem, and the parity of more bits."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.random import sample_without_replacement

from sklearn_memgen._sklearn import Interval, validate_params


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 2, None, closed="left")],
        "n_informative": [Interval(Integral, 2, 32, closed="both")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "flip_y": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_xor(
    n_samples: int = 100,
    *,
    n_features: int = 2,
    n_informative: int = 2,
    noise: float = 0.1,
    flip_y: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Make clouds around the corners of a square, labeled by the XOR of their bits.

    The smallest problem that no linear model solves: each column by itself tells
    nothing about the class. With `n_informative` of three or more it is the parity of
    as many bits, of which any choice of fewer tells nothing.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows. Classes have equally many, class 0 has the odd one; within a
        class, corners have equally many, give or take one.
    n_features : int, default=2
        Number of columns, at least `n_informative`. Columns after the first
        `n_informative` are bits that are drawn at random and have no effect.
    n_informative : int, default=2
        Number of bits that the class is the parity of, from 2 to 32.
    noise : float, default=0.1
        Standard deviation of the normal noise that is added to all columns. Corners
        are 1 apart. With 0 the rows are the corners themselves.
    flip_y : float, default=0.0
        Fraction of the rows whose label is changed, in [0, 1]. The number is exact,
        `flip_y` times `n_samples`, rounded; `make_classification` of scikit-learn
        draws new labels for its fraction, of which only a part changes.
    random_state : int, RandomState instance or None, default=None
        Determines the rows. Pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float64
        Bits, 0 or 1, with the noise.
    y : ndarray of shape (n_samples,), int64
        The parity of the first `n_informative` bits, 0 or 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or `n_informative` above `n_features`.

    Notes
    -----
    The label of a row with the bits :math:`b_1, \dots, b_k` is

    .. math:: y = b_1 \oplus \dots \oplus b_k = \sum_j b_j \bmod 2.

    For one integer `random_state`, other amounts of noise move the rows along the same
    directions and leave the labels as they are, and a smaller `flip_y` has a subset of
    the changed rows of a larger one.

    That no perceptron of one layer learns parity is shown in [1]_.

    References
    ----------
    .. [1] M. Minsky and S. Papert, "Perceptrons", 1969.

    Examples
    --------
    >>> from sklearn_memgen.datasets import make_xor
    >>> X, y = make_xor(n_samples=4, noise=0, random_state=0)
    >>> sorted(zip(X.tolist(), y.tolist()))
    [([0.0, 0.0], 0), ([0.0, 1.0], 1), ([1.0, 0.0], 1), ([1.0, 1.0], 0)]

    A linear model cannot tell the classes, a tree can:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X, y = make_xor(n_samples=200, random_state=0)
    >>> bool(LogisticRegression().fit(X, y).score(X, y) < 0.8)
    True
    >>> DecisionTreeClassifier().fit(X, y).score(X, y)
    1.0
    """
    if n_informative > n_features:
        raise ValueError(
            f"n_informative must be at most n_features={n_features}; got "
            f"{n_informative}."
        )
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % 2)
    bits = rng.randint(2, size=(n_samples, n_features))
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        # All informative bits but the last are free; that one makes the parity right.
        free = _spread(rng, len(rows), n_informative - 1)
        last = (free.sum(axis=1) + label) % 2
        bits[rows, :n_informative] = np.column_stack([free, last])
    X = bits + noise * rng.standard_normal((n_samples, n_features))
    flipped = rng.permutation(n_samples)[: round(flip_y * n_samples)]
    y[flipped] = 1 - y[flipped]
    return X, y.astype(np.int64)


def _spread(rng, n_rows, n_bits):
    """Draw bits so that each combination is there equally often, give or take one.

    Returns
    -------
    bits : ndarray of shape (n_rows, n_bits)
    """
    n_codes = 2**n_bits
    whole = n_rows - n_rows % n_codes
    rest = sample_without_replacement(n_codes, n_rows - whole, random_state=rng)
    codes = rng.permutation(np.concatenate([np.arange(whole) % n_codes, rest]))
    return codes[:, None] >> np.arange(n_bits) & 1
