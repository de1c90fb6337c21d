"""What rows that were held out tell: how sure a learner is, and how sure to be."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv

from sklearn_memgen._rule_decisions import Poll
from sklearn_memgen._rule_inputs import MatchedRows
from sklearn_memgen._rule_learning import Labeled, RuleLearning
from sklearn_memgen._warnings import user_stacklevel
from sklearn_memgen.rules.calibration import find_temperature
from sklearn_memgen.rules.declining import find_threshold
from sklearn_memgen.rules.vote_weights import CastVotes, find_odds

__all__ = ["Calibrated", "Calibration", "make_splits"]


@dataclass(frozen=True)
class Calibrated:
    """What rows that were held out have told.

    Attributes
    ----------
    temperature : float
        By which the learner's log-probabilities are divided.
    odds : ndarray of shape (n_rules,) or None
        What the vote of each rule adds to the learner; None if that is not known.
    threshold : float
        Confidence below which rows are declined.
    """

    temperature: float = 1.0
    odds: np.ndarray | None = None
    threshold: float = 0.0


@dataclass(frozen=True)
class _HeldOut:
    """Rows that were held out, and what decides on them, fold by fold."""

    folds: list[tuple[Poll, Labeled]]

    def find_temperature(self) -> float:
        """Return the temperature by which the learner is as sure as it is right."""
        parts = []
        for poll, rows in self.folds:
            known = poll.master.known
            # Of a class that the fold did not know the learner says nothing.
            judged = np.flatnonzero(known[rows.codes])
            codes = np.cumsum(known)[rows.codes[judged]] - 1
            parts.append((poll.learner[judged][:, known], codes, rows.weight[judged]))
        if not any(weight.any() for _, _, weight in parts):
            return 1.0
        return find_temperature(parts)

    def temper(self, temperature: float) -> _HeldOut:
        """Return the same rows, and a learner that is more sure of itself, or less."""
        return _HeldOut([(poll.temper(temperature), rows) for poll, rows in self.folds])

    def find_odds(self, start: np.ndarray) -> np.ndarray:
        """Return what the vote of each rule adds to the learner."""
        cast = [
            poll.master.cast(poll.rows.matched, poll.learner, rows.codes, rows.weight)
            for poll, rows in self.folds
        ]
        return find_odds(CastVotes.join(cast), start)

    def reweigh(self) -> _HeldOut:
        """Return the same rows, those of a fold with odds that others have told."""
        folds = []
        for k, (poll, rows) in enumerate(self.folds):
            others = _HeldOut(self.folds[:k] + self.folds[k + 1 :])
            odds = poll.master.odds
            odds = others.find_odds(odds) if others.folds else odds
            folds.append((poll.reweigh(odds), rows))
        return _HeldOut(folds)

    def decide(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the confidence of each decision, and whether it is right.

        Gates are infinitely sure: they are never declined.
        """
        confidence, right = [], []
        for poll, rows in self.folds:
            decisions = poll.decide()
            confidence.append(np.where(decisions.gated, np.inf, decisions.confidence))
            right.append(decisions.codes == rows.codes)
        return np.concatenate(confidence), np.concatenate(right)


@dataclass(frozen=True)
class Calibration:
    """Calibrates the learner, and finds a threshold for what is decided.

    Parameters
    ----------
    learning : RuleLearning
        What learns and decides; clones of it learn from parts of the rows.
    labeled : Labeled
        Rows with labels.
    unlabeled : MatchedRows or None
        Rows without, which all folds learn from.
    groups : ndarray of shape (n_rows,) or None
        Groups of the rows with labels.
    cv, n_jobs, random_state
        See `RuleAugmentedClassifier`.
    """

    learning: RuleLearning
    labeled: Labeled
    unlabeled: MatchedRows | None
    groups: np.ndarray | None
    cv: Any
    n_jobs: int | None
    random_state: Any

    def run(
        self,
        precision: np.ndarray,
        *,
        votes: bool,
        target: float | None,
        certainty: float,
    ) -> Calibrated:
        """Calibrate votes, and find the threshold.

        Parameters
        ----------
        precision : ndarray of shape (n_rules,)
            Of each rule, in the order of their ids.
        votes : bool
            Whether to calibrate the votes, if rules vote beside the learner.
        target : float or None
            Precision that is wanted. Without one, the first fold has to do.
        certainty : float
            See `find_threshold`.

        Returns
        -------
        calibrated : Calibrated
            What was found.

        Warns
        -----
        UserWarning
            If the target is out of reach.
        """
        votes = votes and self.learning.has_votes
        if target is None and not (votes and self._has_rows_enough()):
            return Calibrated()
        held_out = self._hold_out(1 if target is None else None)
        temperature, odds, threshold = 1.0, None, 0.0
        if votes:
            temperature = held_out.find_temperature()
            held_out = held_out.temper(temperature)
            if self.learning.rule_weights != "given":
                odds = held_out.find_odds(self.learning.odds_of(precision))
                held_out = held_out.reweigh()
        if target is not None:
            confidence, right = held_out.decide()
            threshold = find_threshold(
                confidence, right, target=target, certainty=certainty
            )
            if threshold == np.inf:
                _warn_of_precision(target, right)
        return Calibrated(temperature, odds, threshold)

    def _has_rows_enough(self) -> bool:
        """Return whether each fold can have a row of two classes at least."""
        second = np.sort(np.bincount(self.labeled.codes))[-2:].min()
        return second >= (_count_folds(self.cv) or 0)

    def _hold_out(self, n_folds: int | None) -> _HeldOut:
        """Ask about rows from which neither the learner nor weights were learned."""
        labeled = self.labeled
        splits = make_splits(
            self.cv, labeled.rows.data, labeled.codes, self.groups, self.random_state
        )
        return _HeldOut(
            Parallel(n_jobs=self.n_jobs)(
                delayed(_ask_fold)(
                    self.learning,
                    labeled.take(train),
                    self.unlabeled,
                    labeled.take(test),
                )
                for train, test in splits[:n_folds]
            )
        )


def _warn_of_precision(target: float, right: np.ndarray) -> None:
    warnings.warn(
        f"target_precision={target} is out of reach: of the {len(right):,} decisions "
        f"on rows held out {right.mean():.1%} are right, and the surest of them are "
        "too few or too often wrong to be certain of more. All rows are declined that "
        "no gate decides",
        UserWarning,
        stacklevel=user_stacklevel(),
    )


def _ask_fold(
    learning: RuleLearning, train: Labeled, unlabeled: MatchedRows | None, test: Labeled
) -> tuple[Poll, Labeled]:
    learned = learning.learn(train, unlabeled)
    return learning.poll(learned.estimator, learned.precision, test.rows), test


def _count_folds(cv: Any) -> int | None:
    """Return the number of folds, None if `cv` is more than a number."""
    if cv is None:
        return 5
    return int(cv) if isinstance(cv, int | np.integer) else None


def make_splits(
    cv: Any, data: Any, codes: np.ndarray, groups: Any, random_state: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the splits by which decisions are made on rows held out.

    Parameters
    ----------
    cv : int, splitter, iterable or None
        None is 5 folds. Numbers of folds are shuffled and stratified, and keep rows of
        a group together.
    data : DataFrame, array or sparse matrix of shape (n_rows, n_columns)
        The rows.
    codes : ndarray of shape (n_rows,), int
        Their classes.
    groups : array-like of shape (n_rows,) or None
        Their groups.
    random_state : int, RandomState or None
        Of the shuffle.

    Returns
    -------
    splits : list of (train, test)
        Positions of rows.
    """
    n_splits = _count_folds(cv)
    if n_splits is not None:
        folds = StratifiedKFold if groups is None else StratifiedGroupKFold
        cv = folds(n_splits, shuffle=True, random_state=random_state)
    splitter = check_cv(cv, codes, classifier=True)
    with warnings.catch_warnings():
        # Rare classes are in some folds only, which is all right here.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter.split(data, codes, groups))
