"""The linear separator of the largest margin, found exactly."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

__all__ = ["NotSeparableError", "max_margin"]

#: Constraints that are added at once, those that are missed by most.
_AT_ONCE = 64
#: The least margin, in units of the longest row, that is told from none, and how far
#: below 1 a constraint may be.
_LEAST_MARGIN, _TOLERANCE = 1e-6, 1e-8
_MESSAGE = "no linear function separates the classes"


class NotSeparableError(ValueError):
    """No linear function separates the classes."""


def max_margin(X: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    r"""Return the hard-margin SVM without intercept.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float64
        The rows.
    codes : ndarray of shape (n_rows,)
        Class indices.
    n_classes : int
        Number of classes.

    Returns
    -------
    weights : ndarray of shape (n_features, n_outputs)
        One output for two classes, that of class 1, else one a class. The smallest
        margin of a row is 1.

    Raises
    ------
    NotSeparableError
        If there is none.

    Notes
    -----
    The shortest :math:`w` with :math:`w \cdot z \ge 1` for all z, which for two classes
    are the rows with the sign of their class and else the differences between the
    weights of the label and of another class (Crammer and Singer [1]_, Kesler's
    construction). This is a least-distance problem, solved by non-negative least
    squares [2]_, of the constraints that matter: those that its solution misses are
    added until none are. If some of the constraints exclude each other, all do.

    References
    ----------
    .. [1] Crammer and Singer, "On the Algorithmic Implementation of Multiclass
       Kernel-based Vector Machines", 2001,
       https://jmlr.org/papers/v2/crammer01a.html
    .. [2] Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen.inspection._max_margin import max_margin
    >>> max_margin(np.array([[2.0, 0.0], [-4.0, 3.0]]), np.array([1, 0]), 2)
    array([[0.5],
           [0. ]])
    """
    n_outputs = 1 if n_classes == 2 else n_classes
    scale = max(float(np.linalg.norm(X, axis=1).max()), np.finfo(float).tiny)
    X = X / scale
    active: list[np.ndarray] = []  # numbers of constraints
    # Begin with the constraints that the difference of the classes' means misses.
    weights = _mean_weights(X, codes, n_classes)
    known = np.zeros(0, dtype=int)
    while True:
        slacks = _slacks(X, codes, weights)  # (n_rows, n_others)
        missed = np.flatnonzero(slacks < 1 - _TOLERANCE)
        missed = np.setdiff1d(missed, known)
        if not len(missed) and active:
            if slacks.min() <= 0:  # by rounding: the margin is as good as none
                raise NotSeparableError(_MESSAGE)
            return weights / (slacks.min() * scale)
        if not len(missed):
            missed = np.array([slacks.argmin()])
        worst = np.argsort(slacks.ravel()[missed], kind="stable")[:_AT_ONCE]
        active.append(_constraints(X, codes, missed[worst], n_outputs))
        known = np.concatenate([known, missed[worst]])
        weights = _shortest(np.concatenate(active)).reshape(X.shape[1], n_outputs)


def _mean_weights(X: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the means of the classes, or the difference of two, (n_features, k)."""
    means = np.stack([X[codes == k].mean(axis=0) for k in range(n_classes)], axis=1)
    return means[:, 1:] - means[:, :1] if n_classes == 2 else means


def _slacks(X: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return by how much the label leads each other class, (n_rows, n_others)."""
    scores = X @ weights
    if scores.shape[1] == 1:
        return scores * (2 * codes[:, None] - 1)
    n_classes = scores.shape[1]
    others = (codes[:, None] + np.arange(1, n_classes)) % n_classes
    own = np.take_along_axis(scores, codes[:, None], axis=1)
    return own - np.take_along_axis(scores, others, axis=1)


def _constraints(
    X: np.ndarray, codes: np.ndarray, chosen: np.ndarray, n_outputs: int
) -> np.ndarray:
    """Return what weights are multiplied by to get slacks, (n_chosen, n_weights)."""
    if n_outputs == 1:
        return X[chosen] * (2 * codes[chosen, None] - 1)
    rows, shifts = np.divmod(chosen, n_outputs - 1)
    own = codes[rows]
    others = (own + shifts + 1) % n_outputs
    signs = np.eye(n_outputs)[own] - np.eye(n_outputs)[others]
    return (X[rows, :, None] * signs[:, None, :]).reshape(len(chosen), -1)


def _shortest(constraints: np.ndarray) -> np.ndarray:
    """Return the shortest w with ``constraints @ w >= 1``."""
    matrix = np.vstack([constraints.T, np.ones(len(constraints))])
    target = np.zeros(len(matrix))
    target[-1] = 1
    shares, _ = nnls(matrix, target, maxiter=100 * len(constraints))
    residual = matrix @ shares - target
    # Its square is m**2 / (1 + m**2), with m the margin in units of the longest row.
    if -residual[-1] < _LEAST_MARGIN**2:
        raise NotSeparableError(_MESSAGE)
    return -residual[:-1] / residual[-1]
