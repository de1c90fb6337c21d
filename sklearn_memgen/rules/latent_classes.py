"""Rules that match rows of classes that nobody sees: rates, and expected counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

__all__ = ["Counts", "MatchedPairs", "Rates"]


@dataclass(frozen=True)
class Counts:
    """Expected numbers of rows, from which the rates of a step are.

    Attributes
    ----------
    in_class : ndarray of shape (n_classes,)
        Rows of each class.
    right : ndarray of shape (n_rules,)
        Rows that a rule matches, of its class.
    matched : ndarray of shape (n_rules,)
        Rows that it matches.
    n_rows : int
        All rows.
    """

    in_class: np.ndarray
    right: np.ndarray
    matched: np.ndarray
    n_rows: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.in_class + other.in_class,
            self.right + other.right,
            self.matched + other.matched,
            self.n_rows + other.n_rows,
        )


@dataclass(frozen=True)
class Rates:
    """What the model is made of, and the logarithms that a step needs.

    Attributes
    ----------
    balance : ndarray of shape (n_classes,)
        Shares of the classes.
    inside, outside : ndarray of shape (n_rules,)
        How often a rule matches a row of its class, and one of another class.
    weights : ndarray of shape (n_rules,)
        How much it counts.
    assigned : ndarray of shape (n_rules,), int
        Its class.
    """

    balance: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    weights: np.ndarray
    assigned: np.ndarray

    @classmethod
    def of(
        cls,
        counts: Counts,
        weights: np.ndarray,
        assigned: np.ndarray,
        prior: tuple[float, float],
    ) -> Rates:
        """Return the rates of the highest posterior, given expected counts."""
        right, wrong = prior
        n_classes = len(counts.in_class)
        own = counts.in_class[assigned]
        other = np.maximum(counts.n_rows - own, 0.0)
        missed = counts.matched - counts.right
        rates = (counts.right + right) / (own + right + 1)
        others = (missed + wrong) / (other + wrong + 1)
        return cls(
            (counts.in_class + 1) / (counts.n_rows + n_classes),
            np.clip(rates, 1e-12, 1 - 1e-12),
            np.clip(others, 1e-12, 1 - 1e-12),
            weights,
            assigned,
        )

    @property
    def gain(self) -> np.ndarray:
        """What a match adds to the log-odds of the rule's class."""
        inside = np.log(self.inside) - np.log1p(-self.inside)
        outside = np.log(self.outside) - np.log1p(-self.outside)
        return self.weights * (inside - outside)

    @property
    def silent(self) -> np.ndarray:
        """Log-probability of each class and no match, beside one of no class at all."""
        silence = self.weights * (np.log1p(-self.inside) - np.log1p(-self.outside))
        base = np.bincount(self.assigned, silence, minlength=len(self.balance))
        return np.log(self.balance) + base

    def log_posterior(
        self, counts: Counts, prior: tuple[float, float], rows: float
    ) -> float:
        """Return likelihood times prior, given what the likelihood of `rows` is."""
        right, wrong = prior
        outside = counts.matched * np.log(self.outside)
        outside += (counts.n_rows - counts.matched) * np.log1p(-self.outside)
        own = right * np.log(self.inside) + np.log1p(-self.inside)
        own += wrong * np.log(self.outside) + np.log1p(-self.outside)
        return float(rows + self.weights @ (outside + own) + np.log(self.balance).sum())


@dataclass(frozen=True)
class MatchedPairs:
    """Rows without labels, as pairs of a row and a class that a rule assigns it.

    Attributes
    ----------
    row, label : ndarray of shape (n_pairs,), int
        The pairs, each once.
    of_match : ndarray of shape (n_matches,), int
        The pair of each match.
    rule : ndarray of shape (n_matches,), int
        Its rule.
    n_rows : int
        Number of rows.
    """

    row: np.ndarray
    label: np.ndarray
    of_match: np.ndarray
    rule: np.ndarray
    n_rows: int

    @classmethod
    def of(
        cls, matched: sparse.csr_matrix, assigned: np.ndarray, n_classes: int
    ) -> MatchedPairs:
        entries = matched.tocoo()
        keys = entries.row.astype(np.int64) * n_classes + assigned[entries.col]
        pairs, of_match = np.unique(keys, return_inverse=True)
        row, label = np.divmod(pairs, n_classes)
        return cls(row, label, of_match, entries.col, matched.shape[0])

    def weigh(self, rates: Rates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what a row's probabilities are made of.

        Returns
        -------
        found : ndarray of shape (n_pairs,)
            Probability of the class of each pair.
        shares : ndarray of shape (n_rows,)
            Of a class that no rule assigns to a row, the probability is this times
            ``exp(rates.silent)``.
        likelihood : ndarray of shape (n_rows,)
            Its logarithm for each row, beside that of a row of no class at all.
        """
        gain = np.bincount(
            self.of_match, rates.gain[self.rule], minlength=len(self.row)
        )
        silent = rates.silent
        total = logsumexp(silent)
        score = silent[self.label] + gain
        top = np.full(self.n_rows, total)
        np.maximum.at(top, self.row, score)
        top_of_pair = top[self.row]
        found = np.exp(score - top_of_pair)
        # The classes of pairs stand in the sum with what their matches make of them.
        change = found - np.exp(silent[self.label] - top_of_pair)
        mass = np.exp(total - top)
        mass += np.bincount(self.row, change, minlength=self.n_rows)
        return found / mass[self.row], np.exp(-top) / mass, top + np.log(mass)

    def count(self, rates: Rates, n_rules: int) -> tuple[Counts, float]:
        """Return expected counts, and the log-likelihood of all rows."""
        found, shares, likelihood = self.weigh(rates)
        silent = np.exp(rates.silent)
        others = shares[self.row] * silent[self.label]
        in_class = shares.sum() * silent
        in_class += np.bincount(self.label, found - others, minlength=len(silent))
        right = np.bincount(self.rule, found[self.of_match], minlength=n_rules)
        matched = np.bincount(self.rule, minlength=n_rules).astype(float)
        return Counts(in_class, right, matched, self.n_rows), likelihood.sum()
