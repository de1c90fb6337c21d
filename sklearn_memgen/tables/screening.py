"""Which crosses of columns are worth knowing: a screen that is linear in the rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from sklearn_memgen.tables.statistics import cross_fit

__all__ = ["centered_target", "explained", "find_crosses"]

#: Rows that the screen looks at, or fewer if there are many classes; columns it crosses
#: and classes it tells apart.
_MAX_ROWS, _MAX_VALUES, _MAX_COLUMNS, _MAX_CLASSES = 20_000, 40_000, 32, 4
#: A net learns crosses of fewer combinations by itself.
_MIN_COMBINATIONS = 100
#: How many rows a combination's own mean must weigh against zero, and folds.
_PRIOR_ROWS, _N_FOLDS = 10.0, 5
#: What a cross must explain of the target's variance out of fold: in standard errors,
#: and as a share.
_MIN_ERRORS, _MIN_SHARE = 3.0, 2e-3
#: Ridge penalty of the additive model, as a share of its inputs' mean square.
_RIDGE = 1e-3


def centered_target(
    y: np.ndarray, weights: np.ndarray | None, n_classes: int | None = None
) -> np.ndarray:
    """Make a target of columns whose means are zero.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), int or float
        Class indices, or a numeric target if of floats.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    n_classes : int or None, default=None
        So many of the most frequent classes have a column; by default all.

    Returns
    -------
    target : ndarray of shape (n_rows, n_targets)
        One column for a numeric target or two classes, else one a class.
    """
    if y.dtype.kind == "f":
        target = y[:, None].astype(np.float64)
    else:
        sizes = np.bincount(y, weights)
        kept = np.sort(np.argsort(-sizes, kind="stable")[:n_classes])
        kept = kept[1:] if len(sizes) == 2 else kept
        target = (y[:, None] == kept).astype(np.float64)
    return target - np.average(target, axis=0, weights=weights)


def find_crosses(
    ids: Sequence[np.ndarray],
    y: np.ndarray,
    weights: np.ndarray | None,
    rng: np.random.RandomState,
    *,
    max_crosses: int,
) -> list[tuple[tuple[int, ...], float, float]]:
    """Find the pairs and triples of columns that tell what no sum over columns tells.

    Parameters
    ----------
    ids : sequence of ndarray of shape (n_rows,)
        Ids of each column's values.
    y : ndarray of shape (n_rows,), int or float
        Class indices, or a numeric target if of floats.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    rng : RandomState
        Draws the rows and the folds.
    max_crosses : int
        Largest number of pairs, and of triples.

    Returns
    -------
    crosses : list of (columns, gain, standard_error)
        Positions of the crossed columns in `ids`, and the share of the target's
        variance that the cross explains out of fold beyond what was chosen before it.

    Notes
    -----
    A ridge regression on the cross-fitted means of single columns leaves residuals. A
    pair's gain is what its own cross-fitted means explain of them, as in the FAST
    screen of Lou et al. (2013), "Accurate Intelligible Models with Pairwise
    Interactions", but out of fold, so that many rare combinations do not look good by
    chance. Crosses of fewer than 100 combinations are left to the net, which learns
    them from the columns. Pairs enter the additive model best first, each only if it
    still gains when those before it are in, then triples that extend a chosen pair.
    """
    if len(ids) < 2:
        return []
    n_targets = 1 if y.dtype.kind == "f" else min(int(y.max()) + 1, _MAX_CLASSES)
    n_rows = min(_MAX_ROWS, _MAX_VALUES // n_targets)
    rows = rng.permutation(len(y))[:n_rows]
    folds = rng.permutation(len(rows)) % _N_FOLDS
    weights = np.ones(len(rows)) if weights is None else weights[rows]
    target = centered_target(y[rows], weights, _MAX_CLASSES)
    total = float(weights @ (target**2).sum(axis=1))
    screen = _Screen(target, weights, folds, total or 1.0)
    single = [np.unique(column[rows], return_inverse=True)[1] for column in ids]
    screen.inputs = [screen.means(column, target) for column in single]
    columns = [i for i, column in enumerate(single) if column.any()]
    if len(columns) > _MAX_COLUMNS:
        gains = {i: screen.gain(target, screen.inputs[i])[0] for i in columns}
        columns = sorted(sorted(columns, key=gains.__getitem__)[-_MAX_COLUMNS:])
    chosen: list[tuple[tuple[int, ...], float, float]] = []
    parents: dict[tuple[int, ...], np.ndarray]
    parents = {(column,): single[column] for column in columns}
    for _ in ("pairs", "triples"):
        crossed: dict[tuple[int, ...], np.ndarray] = {}
        for (parent, codes), column in itertools.product(parents.items(), columns):
            key = tuple(sorted({*parent, column}))
            n_values = int(single[column].max()) + 1
            many = (int(codes.max()) + 1) * n_values >= _MIN_COMBINATIONS
            if many and len(key) > len(parent) and key not in crossed:
                crossed[key] = codes * n_values + single[column]
        parents = {}
        for key, gain, error in screen.choose(crossed, max_crosses):
            chosen.append((key, gain, error))
            parents[key] = np.unique(crossed[key], return_inverse=True)[1]
    return chosen


def explained(
    codes: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None,
    rng: np.random.RandomState,
) -> tuple[float, float]:
    """Return the share of the target's variance that means by code explain.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,), int
        What rows have in common, from 0.
    y, weights, rng
        See `find_crosses`.

    Returns
    -------
    gain, standard_error : float
        Out of fold, as shares of the variance.
    """
    weights = np.ones(len(y)) if weights is None else weights
    target = centered_target(y, weights, _MAX_CLASSES)
    total = float(weights @ (target**2).sum(axis=1)) or 1.0
    screen = _Screen(target, weights, rng.permutation(len(y)) % _N_FOLDS, total)
    return screen.gain(target, screen.means(codes, target))


class _Screen:
    """The additive model so far, and what a cross adds to it."""

    def __init__(
        self, target: np.ndarray, weights: np.ndarray, folds: np.ndarray, total: float
    ) -> None:
        self.target, self.weights, self.folds = target, weights, folds
        self.total = total
        self.inputs: list[np.ndarray] = []

    def means(self, codes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the cross-fitted means of `values` by code, (n_rows, n_targets)."""
        if codes.max() >= 2 * len(codes):
            codes = np.unique(codes, return_inverse=True)[1]
        sums, counts = cross_fit(codes, values, self.weights, self.folds, _N_FOLDS)
        return sums / (counts + _PRIOR_ROWS)[:, None]

    def residuals(self) -> np.ndarray:
        """Return what the additive model leaves of the target."""
        inputs = np.concatenate(self.inputs, axis=1)
        weighted = inputs * self.weights[:, None]
        gram = weighted.T @ inputs
        ridge = _RIDGE * np.trace(gram) / len(gram) + np.finfo(float).tiny
        gram[np.diag_indices_from(gram)] += ridge
        return self.target - inputs @ np.linalg.solve(gram, weighted.T @ self.target)

    def gain(self, residuals: np.ndarray, means: np.ndarray) -> tuple[float, float]:
        """Return the share of variance that means explain, and its standard error."""
        gains = self.weights * (residuals**2 - (residuals - means) ** 2).sum(axis=1)
        error = gains.std() * np.sqrt(len(gains))
        return float(gains.sum()) / self.total, float(error) / self.total

    def choose(
        self, crossed: dict[tuple[int, ...], np.ndarray], max_crosses: int
    ) -> list[tuple[tuple[int, ...], float, float]]:
        """Choose crosses, best first, and add them to the model."""
        residuals = self.residuals()
        ranked = sorted(
            (
                (self.gain(residuals, self.means(c, residuals)), key)
                for key, c in crossed.items()
            ),
            reverse=True,
        )
        chosen: list[tuple[tuple[int, ...], float, float]] = []
        # Only a few candidates behind the last chosen one are worth a second look.
        for _, key in ranked[: 3 * max_crosses]:
            gain, error = self.gain(residuals, self.means(crossed[key], residuals))
            if gain < _MIN_SHARE or gain < _MIN_ERRORS * error:
                continue
            chosen.append((key, gain, error))
            if len(chosen) == max_crosses:
                break
            self.inputs.append(self.means(crossed[key], self.target))
            residuals = self.residuals()
        return chosen
