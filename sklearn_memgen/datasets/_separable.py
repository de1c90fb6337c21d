"""Two classes that a line separates, and of which the widest margin is known."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from sklearn_memgen._sklearn import Interval, validate_params

#: The points that the margin rests on, those of class 1; class 0 has their negatives.
_SUPPORT = np.array([[0.5, 1.5], [1.5, 0.5]])
#: How far the other points are from the line, and how far along it, at most.
_DISTANCES, _SPREAD = (1.8, 3.5), 1.5


@validate_params(
    {
        "n_others": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_separable(
    n_others: int = 12,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Make points of two classes whose max-margin separator is known.

    The data of Figure 1 of Soudry et al. [1]_: four support vectors, and points that
    are further away from the separating line, and so have no say in it.

    Parameters
    ----------
    n_others : int, default=12
        Number of points that are no support vectors. Classes have equally many, class 1
        has the odd one.
    random_state : int, RandomState instance or None, default=None
        Determines these points. Pass an int for the same ones at every call.

    Returns
    -------
    X : ndarray of shape (4 + n_others, 2), float64
        The support vectors (0.5, 1.5) and (1.5, 0.5) of class 1, their negatives of
        class 0, and the other points.
    y : ndarray of shape (4 + n_others,), int64
        The classes, 0 or 1.

    Raises
    ------
    ValueError
        If `n_others` is negative.

    Notes
    -----
    The separator of the largest margin goes through the origin, in the direction
    :math:`(1, 1) / \sqrt{2}`, with or without an intercept. Its margin, the distance of
    the nearest point, is :math:`\sqrt{2}`; other points are at a distance from 1.8 to
    3.5. The paper does not say how it drew them.

    References
    ----------
    .. [1] Soudry, Hoffer, Nacson, Gunasekar and Srebro, "The Implicit Bias of Gradient
       Descent on Separable Data", 2018, https://arxiv.org/abs/1710.10345

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from sklearn_memgen.datasets import make_separable
    >>> X, y = make_separable(random_state=0)
    >>> X.shape
    (16, 2)
    >>> svm = SVC(kernel="linear", C=1e6).fit(X, y)
    >>> (svm.coef_ / (svm.coef_**2).sum() ** 0.5).round(4)
    array([[0.7071, 0.7071]])
    """
    rng = check_random_state(random_state)
    distances = rng.uniform(*_DISTANCES, size=n_others)
    along = rng.uniform(-_SPREAD, _SPREAD, size=n_others)
    labels = np.arange(n_others) % 2 == 0
    signed = np.where(labels, distances, -distances)
    axes = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    others = np.column_stack([signed, along]) @ axes
    X = np.concatenate([_SUPPORT, -_SUPPORT, others])
    return X, np.concatenate([[1, 1, 0, 0], labels]).astype(np.int64)
