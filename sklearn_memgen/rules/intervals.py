"""Intervals of shares, such as the precision of a rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

__all__ = ["wilson_interval"]


def wilson_interval(
    successes: ArrayLike, counts: ArrayLike, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return Wilson's score interval of shares.

    Parameters
    ----------
    successes : array-like of shape (n,)
        How often it went well; may be weighted.
    counts : array-like of shape (n,)
        Out of how many.
    confidence : float, default=0.95
        Probability that the interval, of two sides, holds the share.

    Returns
    -------
    low, high : ndarray of shape (n,)
        Its ends, 0 and 1 where nothing was counted.

    Notes
    -----
    With :math:`k` of :math:`n` and the normal quantile :math:`z` it is
    :math:`(k + z^2/2 \pm z\sqrt{k(n - k)/n + z^2/4}) / (n + z^2)` [1]_. Unlike the
    normal interval it has sensible ends at shares of 0 and 1, where good rules are.

    References
    ----------
    .. [1] Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion",
       Statistical Science 16, 2001.

    Examples
    --------
    >>> from sklearn_memgen.rules.intervals import wilson_interval
    >>> low, high = wilson_interval([10, 95, 0], [10, 100, 0])
    >>> low.round(3), high.round(3)
    (array([0.722, 0.888, 0.   ]), array([1.   , 0.978, 1.   ]))
    """
    n, k = np.asarray(counts, dtype=float), np.asarray(successes, dtype=float)
    z = norm.ppf(0.5 + confidence / 2)
    spread = k * (n - k) / np.maximum(n, 1e-9)  # without rows k is 0, too
    middle = (k + z**2 / 2) / (n + z**2)
    half = z * np.sqrt(spread + z**2 / 4) / (n + z**2)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
