"""Random subsets of rows that leave each row out as often as any other."""

from __future__ import annotations

import numpy as np

__all__ = ["draw_subsets"]


def draw_subsets(
    codes: np.ndarray, n_subsets: int, share: float, rng: np.random.RandomState
) -> np.ndarray:
    """Draw subsets of one size, each class in them by about its share of all rows.

    Each is a random subset of its own. Together they are balanced: over all of them a
    row is left out as often as any other, give or take one, which makes means over the
    subsets with and without a row as precise as their number allows.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,)
        Class indices.
    n_subsets : int
        How many.
    share : float
        Share of the rows in each, between 0 and 1.
    rng : RandomState
        Draws them.

    Returns
    -------
    included : ndarray of shape (n_subsets, n_rows), bool
        Which rows each subset has.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen.inspection._subsets import draw_subsets
    >>> codes = np.repeat([0, 1], 10)
    >>> included = draw_subsets(codes, 10, 0.7, np.random.RandomState(0))
    >>> set(included.sum(axis=1).tolist()), set(included.sum(axis=0).tolist())
    ({14}, {7})
    """
    n_rows = len(codes)
    n_out = n_rows - round(share * n_rows)
    included = np.ones((n_subsets, n_rows), dtype=bool)
    waiting = np.arange(0)  # rows that are next to be left out
    for k in range(n_subsets):
        if len(waiting) < n_out:
            order = _mix_classes(codes, rng)
            # Those that wait go first, and not twice into one subset.
            late = np.isin(order, waiting)
            waiting = np.concatenate([waiting, order[~late], order[late]])
        included[k, waiting[:n_out]] = False
        waiting = waiting[n_out:]
    return included


def _mix_classes(codes: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return all rows in random order, in which classes are mixed evenly."""
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    sizes = np.bincount(codes)
    of_class = codes[order]
    rank = np.arange(len(codes)) - (sizes.cumsum() - sizes)[of_class]
    place = (rank + rng.uniform(size=len(sizes))[of_class]) / sizes[of_class]
    return order[np.argsort(place, kind="stable")]
