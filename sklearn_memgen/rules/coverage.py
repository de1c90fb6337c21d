"""Few rules that cover many rows: greedy weighted coverage."""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["cover_greedily"]


def cover_greedily(
    matched: sparse.sparray | sparse.spmatrix,
    weights: np.ndarray,
    max_picks: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Pick sets of rows one by one, each for the rows that it adds.

    Parameters
    ----------
    matched : sparse matrix of shape (n_sets, n_rows), bool
        The rows of each set.
    weights : ndarray of shape (n_sets,)
        What a row is worth that a set adds; those of no worth are not picked.
    max_picks : int, default=None
        The largest number of sets; None for as many as add a row.

    Returns
    -------
    picked : ndarray of shape (n_picked,), int
        The sets, in the order in which they were picked. Of two sets of the same worth
        it is the former.
    gains : ndarray of shape (n_picked,), int
        How many rows each adds to those before it, at least one.

    Notes
    -----
    Each pick is the set :math:`s` of the greatest :math:`w_s |R_s \setminus C|`, where
    :math:`C` are the rows covered so far, as "Greedy" of [1]_. With equal weights that
    covers at least 63 percent of what the best choice of as many sets would.

    References
    ----------
    .. [1] Suganthan et al., "Why Big Data Industrial Systems Need Rules and What We Can
       Do About It", SIGMOD 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sklearn_memgen.rules.coverage import cover_greedily
    >>> rows = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]], dtype=bool)
    >>> cover_greedily(sparse.csr_array(rows), np.ones(3))
    (array([1, 2]), array([3, 1]))
    """
    by_set = sparse.csr_array(matched, dtype=np.int64)
    by_row = by_set.tocsc()
    counts = np.diff(by_set.indptr).astype(np.int64)
    covered = np.zeros(by_set.shape[1], dtype=bool)
    picked: list[int] = []
    gains: list[int] = []
    most = len(counts) if max_picks is None else min(max_picks, len(counts))
    while len(picked) < most:
        worth = counts * weights
        best = int(worth.argmax())
        if worth[best] <= 0:
            break
        rows = by_set.indices[by_set.indptr[best] : by_set.indptr[best + 1]]
        new = rows[~covered[rows]]
        covered[new] = True
        picked.append(best)
        gains.append(len(new))
        # Each set loses the rows that are covered now; the picked one is left without.
        lost = by_row[:, new]
        counts -= np.bincount(lost.indices, minlength=len(counts))
    return np.array(picked, dtype=np.intp), np.array(gains, dtype=np.intp)
