"""What many nets on subsets tell of each row: its memorization and its influence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.utils import check_random_state

from sklearn_memgen.inspection.memorization_display import MemorizationDisplay

__all__ = ["MemorizationScores"]

#: Training rows whose influence is computed at once.
_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class MemorizationScores:
    """How much nets owe a row's own presence in training.

    Parameters
    ----------
    included : ndarray of shape (n_models, n_rows), bool
        Which rows each net learned.
    predictions : ndarray of shape (n_models, n_rows), int
        The class index that each net predicts for each row.
    outcomes : ndarray of shape (n_models, n_rows)
        What each net made of each row: 1 where it was right and 0 where not, or the
        probability that it gave the label.
    test_outcomes : ndarray of shape (n_models, n_test_rows) or None
        The same of rows that no net learned.
    labels : ndarray of shape (n_rows,)
        The labels.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    index, test_index : Index
        Of the rows, and of those to test.
    is_probability : bool
        Whether outcomes are probabilities.

    See Also
    --------
    memorization_scores : Trains the nets.
    """

    included: np.ndarray
    predictions: np.ndarray
    outcomes: np.ndarray
    test_outcomes: np.ndarray | None
    labels: np.ndarray
    classes: np.ndarray
    index: pd.Index
    test_index: pd.Index | None
    is_probability: bool

    @property
    def n_models(self) -> int:
        """The number of nets."""
        return len(self.included)

    @property
    def memorization(self) -> np.ndarray:
        """The memorization of each row, shape (n_rows,)."""
        return self._scores(slice(None))["memorization"].to_numpy()

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row of `X`.

        Returns
        -------
        frame : DataFrame of shape (n_rows, 8)
            - `label`: the given label;
            - `memorization`: `correct_in` less `correct_out`;
            - `std_error`: its standard error over the nets;
            - `correct_in`, `correct_out`: the mean outcome of nets that learned the
              row, and of those that did not;
            - `n_in`, `n_out`: how many they are;
            - `predicted_out`: the label that most nets predict that did not learn it.
        """
        frame = self._scores(slice(None))
        votes = [
            ((self.predictions == code) & ~self.included).sum(axis=0)
            for code in range(len(self.classes))
        ]
        frame["predicted_out"] = self.classes[np.argmax(votes, axis=0)]
        return frame

    def agreement(self, random_state: int | np.random.RandomState | None = 0) -> float:
        """Compare the scores of two disjoint halves of the nets.

        Parameters
        ----------
        random_state : int, RandomState instance or None, default=0
            Divides the nets.

        Returns
        -------
        correlation : float
            Spearman's rank correlation between the memorization by one half and by the
            other; scores of all nets are more precise than those of a half.
        """
        order = check_random_state(random_state).permutation(self.n_models)
        halves = [order[::2], order[1::2]]
        one, other = (self._scores(nets)["memorization"] for nets in halves)
        known = one.notna().to_numpy() & other.notna().to_numpy()
        return float(spearmanr(one[known], other[known]).statistic)

    def influence(
        self,
        *,
        min_influence: float = 0.15,
        min_memorization: float = 0.25,
        n_std: float = 3.0,
    ) -> pd.DataFrame:
        r"""Find pairs of a row that was learned and one that it helps to get right.

        Parameters
        ----------
        min_influence : float, default=0.15
            Least influence of a pair.
        min_memorization : float, default=0.25
            Least memorization of the row that was learned: those that are not memorized
            have others like them, and no influence of their own.
        n_std : float, default=3
            By how many standard errors the influence must differ from zero. Of a
            million pairs some are large by chance.

        Returns
        -------
        pairs : DataFrame of shape (n_pairs, 4)
            `train_row` and `test_row`, by the index of their tables, `influence` and
            `std_error`, the largest influence first. Without rows to test on they are
            pairs of training rows, by the nets that did not learn the second.

        Notes
        -----
        With :math:`h` the nets,

        .. math:: infl(i, j) = P[h(x_j) = y_j \mid i \in S] - P[h(x_j) = y_j \mid
            i \notin S]

        [1]_, whose authors call 0.15 a high influence.

        References
        ----------
        .. [1] Feldman and Zhang, "What Neural Networks Memorize and Why", 2020,
           https://arxiv.org/abs/2008.03703
        """
        outcomes, counted = self.outcomes, ~self.included
        index = self.index
        if self.test_outcomes is not None and self.test_index is not None:
            outcomes, index = self.test_outcomes, self.test_index
            counted = np.ones(outcomes.shape, dtype=bool)
        chosen = np.flatnonzero(self.memorization >= min_memorization)
        parts = [
            self._influence_of(rows, outcomes, counted, min_influence, n_std)
            for rows in np.split(
                chosen, range(_ROWS_AT_ONCE, len(chosen), _ROWS_AT_ONCE)
            )
        ]
        train, test, influence, error = (
            np.concatenate([part[k] for part in parts]) for k in range(4)
        )
        if self.test_outcomes is None:
            others = train != test
            train, test = train[others], test[others]
            influence, error = influence[others], error[others]
        order = np.argsort(-influence, kind="stable")
        return pd.DataFrame(
            {
                "train_row": self.index[train[order]],
                "test_row": index[test[order]],
                "influence": influence[order],
                "std_error": error[order],
            }
        )

    def plot(self, ax: Any = None) -> MemorizationDisplay:
        """Draw how many rows are memorized how much.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : MemorizationDisplay
            The picture.
        """
        return MemorizationDisplay(self).plot(ax)

    def _scores(self, nets: Any) -> pd.DataFrame:
        included, outcomes = self.included[nets], self.outcomes[nets].astype(float)
        sides = {
            side: _Mean.of(which, outcomes, self.is_probability)
            for side, which in (("in", included), ("out", ~included))
        }
        learned, held_out = sides["in"], sides["out"]
        return pd.DataFrame(
            {
                "label": self.labels,
                "memorization": learned.mean - held_out.mean,
                "std_error": np.sqrt(learned.variance + held_out.variance),
                "correct_in": learned.mean,
                "correct_out": held_out.mean,
                "n_in": learned.n,
                "n_out": held_out.n,
            },
            index=self.index,
        )

    def _influence_of(
        self,
        rows: np.ndarray,
        outcomes: np.ndarray,
        counted: np.ndarray,
        min_influence: float,
        n_std: float,
    ) -> tuple[np.ndarray, ...]:
        """Return training row, other row, influence and error of pairs to keep."""
        included = self.included[:, rows].T.astype(np.float32)
        counted = counted.astype(np.float32)
        values = counted * outcomes
        squares = values * outcomes
        sides = [
            _Mean.by_sums(
                side @ counted, side @ values, side @ squares, self.is_probability
            )
            for side in (included, 1 - included)
        ]
        influence = sides[0].mean - sides[1].mean
        error = np.sqrt(sides[0].variance + sides[1].variance)
        with np.errstate(invalid="ignore"):
            keep = (influence >= min_influence) & (influence > n_std * error)
        at, other = np.nonzero(keep)
        return rows[at], other, influence[keep], error[keep]


@dataclass(frozen=True)
class _Mean:
    """A mean outcome for each row or pair, the variance of the mean, and its nets."""

    mean: np.ndarray
    variance: np.ndarray
    n: np.ndarray

    @classmethod
    def of(
        cls, counted: np.ndarray, outcomes: np.ndarray, is_probability: bool
    ) -> _Mean:
        n = counted.sum(axis=0)
        total = (outcomes * counted).sum(axis=0)
        squares = (outcomes**2 * counted).sum(axis=0)
        return cls.by_sums(n, total, squares, is_probability)

    @classmethod
    def by_sums(
        cls, n: np.ndarray, total: np.ndarray, squares: np.ndarray, is_probability: bool
    ) -> _Mean:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(n > 0, total / n, np.nan)
            if is_probability:
                spread = np.maximum(squares - n * mean**2, 0)
                variance = np.where(n > 1, spread / (n * (n - 1)), np.nan)
            else:
                # One success and one failure more: of few nets that all agree the
                # error is not zero.
                share = (total + 1) / (n + 2)
                variance = np.where(n > 0, share * (1 - share) / (n + 2), np.nan)
        return cls(mean, variance, n)
