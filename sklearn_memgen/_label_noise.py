"""Label noise of a known rate, injected into labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["LabelNoise", "check_levels", "draw_folds", "draw_other_classes"]

#: By how much the rows of a transition matrix may miss a sum of one.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class LabelNoise:
    """How labels become wrong; see `NoisyFineTuneProbe`.

    Parameters
    ----------
    kind : "uniform", ndarray of shape (n_classes, n_classes), or callable
        What becomes of a label.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    exact : bool
        Whether the number of wrong labels is the level times the rows, or on average.

    Raises
    ------
    ValueError
        If a transition matrix is of a wrong shape, has negative entries or rows that do
        not sum to one, or changes no label.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._label_noise import LabelNoise
    >>> noise = LabelNoise("uniform", np.array(["a", "b", "c"]), exact=True)
    >>> codes = np.zeros(10, dtype=int)
    >>> np.bincount(noise.inject(codes, 0.4, np.random.RandomState(0)) > 0)
    array([6, 4])
    """

    kind: Any
    classes: np.ndarray
    exact: bool

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) and not callable(self.kind):
            object.__setattr__(self, "kind", self._check_matrix(self.kind))

    def _check_matrix(self, matrix: Any) -> np.ndarray:
        matrix, n = np.asarray(matrix, dtype=float), len(self.classes)
        if matrix.shape != (n, n):
            raise ValueError(
                f"noise is a matrix of shape {matrix.shape}; for the {n} classes "
                f"{self.classes.tolist()!r} it must be of shape {(n, n)}"
            )
        if not np.isfinite(matrix).all() or (matrix < 0).any():
            raise ValueError(
                "noise is a matrix with entries that are negative or not finite; they "
                "must be probabilities"
            )
        sums = matrix.sum(axis=1)
        if (wrong := np.abs(sums - 1) > _ROUNDING).any():
            k = int(wrong.argmax())
            raise ValueError(
                f"row {k} of the matrix noise, of class {self.classes[k].item()!r}, "
                f"sums to {sums[k]:g}; each row must sum to 1"
            )
        if not (1 - np.diag(matrix)).any():
            raise ValueError("noise is the identity matrix, which changes no label")
        return matrix

    def inject(
        self, codes: np.ndarray, level: float, rng: np.random.RandomState
    ) -> np.ndarray:
        """Return class indices of which a share, the level, is wrong.

        Parameters
        ----------
        codes : ndarray of shape (n_rows,)
            Class indices.
        level : float
            The share, from 0 on and below 1.
        rng : RandomState
            Draws rows and classes.

        Returns
        -------
        noisy : ndarray of shape (n_rows,)
            Others, but for level 0, where they are the same.
        """
        if level == 0:
            return codes.copy()
        if callable(self.kind):
            return self._call(codes, level, rng)
        n = len(self.classes)
        rates = np.full(n, level)
        if not isinstance(self.kind, str):
            changes = 1 - np.diag(self.kind)
            # The classes of these rows may be among those that never change.
            mean = max(changes[codes].mean(), np.finfo(float).tiny)
            rates = np.minimum(level * changes / mean, 1.0)
        noisy = codes.copy()
        rows = self._choose(rates[codes], rng)
        if isinstance(self.kind, str):
            noisy[rows] = draw_other_classes(codes[rows], n, rng)
            return noisy
        others = self.kind * (1 - np.eye(n))
        ends = others.cumsum(axis=1)[codes[rows]]
        drawn = rng.uniform(size=len(rows)) * ends[:, -1]
        # The first class whose end is beyond; rounding cannot lead past the last.
        noisy[rows] = (drawn[:, None] >= ends[:, :-1]).sum(axis=1)
        return noisy

    def _choose(self, rates: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return the rows whose labels change, each with its own probability."""
        drawn = rng.uniform(size=len(rates))
        if not self.exact:
            return np.flatnonzero(drawn < rates)
        # Systematic sampling in random order: each row has its rate, and the number is
        # the sum of the rates.
        order = np.argsort(drawn, kind="stable")
        ends = np.rint(np.cumsum(rates[order]))
        return np.sort(order[np.diff(ends, prepend=0) > 0])

    def _call(
        self, codes: np.ndarray, level: float, rng: np.random.RandomState
    ) -> np.ndarray:
        assert callable(self.kind)
        labels = np.asarray(self.kind(self.classes[codes].copy(), level, rng))
        if labels.shape != codes.shape:
            raise ValueError(
                f"noise must return labels of shape {codes.shape}; it returned an "
                f"array of shape {labels.shape}"
            )
        strange = sorted(set(labels.tolist()) - set(self.classes.tolist()), key=str)
        if strange:
            raise ValueError(
                f"noise must return labels from {self.classes.tolist()!r}; it returned "
                f"{strange!r}"
            )
        return np.searchsorted(self.classes, labels)


def check_levels(noise_levels: ArrayLike) -> list[float]:
    """Return levels of noise in ascending order.

    Raises
    ------
    ValueError
        If one is no number from 0 on and below 1, if 0 is missing, or one is there
        twice.
    """
    try:
        levels = np.ravel(np.asarray(noise_levels, dtype=float)).tolist()
    except (TypeError, ValueError):
        raise ValueError(
            f"noise_levels must be numbers; got {noise_levels!r}"
        ) from None
    for level in levels:
        if not 0 <= level < 1:
            raise ValueError(
                "noise_levels must be shares from 0 on and below 1; got "
                f"{level:g} among {levels}"
            )
    if 0 not in levels or len(set(levels)) < len(levels):
        raise ValueError(
            "noise_levels must have 0, whose nets predict, and each level once; "
            f"got {levels}"
        )
    return sorted(levels)


def draw_other_classes(
    codes: np.ndarray, n_classes: int, rng: np.random.RandomState
) -> np.ndarray:
    """Draw for each class index one of the others, all with the same probability."""
    return (codes + rng.randint(1, n_classes, size=len(codes))) % n_classes


def draw_folds(
    codes: np.ndarray, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    """Divide rows into folds of about even size, each class as evenly as can be.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,)
        Class indices.
    n_folds : int
        Number of folds.
    rng : RandomState
        Draws them.

    Returns
    -------
    folds : ndarray of shape (n_rows,)
        From 0 to `n_folds` - 1, or -1 for the only row of a class, which is in none, so
        that no class is without rows when a fold is held out.
    """
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    folds = np.empty(len(codes), dtype=int)
    folds[order] = np.arange(len(codes)) % n_folds
    folds[np.bincount(codes)[codes] == 1] = -1
    return folds
