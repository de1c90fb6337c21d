"""How sure one must be, so that what is decided is precise."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta

__all__ = ["find_threshold"]

#: Rows that are wrong in the first step, if the target is just met.
_FEWEST_WRONG = 20
#: By how much the rows grow from step to step.
_GROWTH = 1.02


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
    Fixed sequence testing [1]_: from the surest rows on, ever more are let in, two
    percent more at a time, as long as the exact lower bound of Clopper and Pearson for
    the precision of all that are in reaches the target. As it stops at the first bound
    that does not, the steps need no correction for their number. The first step has
    :math:`20 / (1 - target)` rows, of which 20 are wrong if the target is just met: of
    fewer, chance would decide.

    References
    ----------
    .. [1] Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to
       Achieve Risk Control", 2021, https://arxiv.org/abs/2110.01052

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen.rules.declining import find_threshold
    >>> confidence = np.linspace(0, 1, 1001)
    >>> right = np.random.default_rng(0).random(1001) < confidence
    >>> round(find_threshold(confidence, right, target=0.8), 2)
    0.7
    """
    if not len(confidence):
        return math.inf
    order = np.argsort(-confidence, kind="stable")
    levels, n_right = confidence[order], np.cumsum(right[order])
    # Rows of the same confidence come in together.
    is_last = np.append(levels[1:] != levels[:-1], True)
    ends = np.flatnonzero(is_last)
    threshold, n = math.inf, math.ceil(_FEWEST_WRONG / (1 - target))
    while True:
        end = ends[np.searchsorted(ends, min(n, len(levels)) - 1)]
        n_kept, n_wrong = end + 1, end + 1 - n_right[end]
        bound = beta.ppf(1 - certainty, n_kept - n_wrong, n_wrong + 1)
        if not bound >= target:  # NaN, where none is right
            return threshold
        if n_kept == len(levels):
            # Rows that are less sure than any of these are let in, too.
            return 0.0
        # Between two confidences there was no row: the middle is as good as any.
        threshold = float(min(levels[end], 1.0) + levels[end + 1]) / 2
        n = math.ceil(n_kept * _GROWTH)
