"""How sure one must be, so that what is decided is precise."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta

__all__ = ["find_threshold"]


def find_threshold(
    confidence: np.ndarray,
    right: np.ndarray,
    *,
    target: float,
    certainty: float = 0.95,
) -> float:
    r"""Return the confidence from which on decisions are as precise as wanted.

    Parameters
    ----------
    confidence : ndarray of shape (n_rows,)
        Of decisions on rows that nothing was learned from; ``inf`` for rows that are
        never declined.
    right : ndarray of shape (n_rows,), bool
        Which of the decisions are right.
    target : float
        Precision that is wanted of those that are not declined.
    certainty : float, default=0.95
        Probability with which it holds on rows of the same kind.

    Returns
    -------
    threshold : float
        Rows of a lower confidence are to be declined; ``inf`` if all are.

    Notes
    -----
    Selection with guaranteed risk [1]_: a binary search over the confidences, each step
    of which asks whether the exact lower bound of Clopper and Pearson for the precision
    above a confidence reaches the target. So that all :math:`k = \lceil \log_2 n
    \rceil` steps are right at once, each has an error probability of
    :math:`(1 - certainty) / k`.

    References
    ----------
    .. [1] Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks",
       NeurIPS 2017, https://arxiv.org/abs/1705.08500

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen.rules.declining import find_threshold
    >>> confidence = np.linspace(0, 1, 1001)
    >>> right = np.random.default_rng(0).random(1001) < confidence
    >>> round(find_threshold(confidence, right, target=0.8), 2)
    0.72
    """
    levels = np.unique(confidence)[::-1]
    n_steps = max(1, math.ceil(math.log2(max(len(confidence), 2))))
    error = (1 - certainty) / n_steps
    low, high, best = 0, len(levels) - 1, -1
    while low <= high:
        middle = (low + high) // 2
        kept = confidence >= levels[middle]
        n, n_right = int(kept.sum()), int(right[kept].sum())
        bound = beta.ppf(error, n_right, n - n_right + 1) if n_right else 0.0
        if bound >= target:
            best, low = middle, middle + 1
        else:
            high = middle - 1
    if best < 0:
        return math.inf
    # Where all are precise enough, rows that are less sure than any seen are, too.
    return 0.0 if best == len(levels) - 1 else float(levels[best])
