"""The voting master: a learner and rules vote, and rules filter what wins."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import softmax

from sklearn_memgen.rules.evidence import named_classes
from sklearn_memgen.rules.rule import Rule
from sklearn_memgen.rules.ruleset import RuleSet
from sklearn_memgen.rules.vote_weights import CastVotes

__all__ = ["Decisions", "VotingMaster", "log_odds"]


def log_odds(precision: np.ndarray, n_classes: int) -> np.ndarray:
    """Return how much rules speak for their class, beside any one other class.

    Parameters
    ----------
    precision : ndarray of shape (n_rules,)
        How often each is right, between 0 and 1.
    n_classes : int
        Number of classes.

    Returns
    -------
    odds : ndarray of shape (n_rules,)
        ``log(precision * (n_classes - 1) / (1 - precision))``, but at least 0: a rule
        that is worse than a guess says nothing.
    """
    others = (1 - precision) / max(n_classes - 1, 1)
    return np.maximum(np.log(precision / others), 0.0)


@dataclass(frozen=True)
class Decisions:
    """What was decided of each row.

    Attributes
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Of each class, after the filter.
    codes : ndarray of shape (n_rows,), int
        The class, as its place in `classes`; -1 where rules leave none.
    confidence : ndarray of shape (n_rows,)
        Probability of that class, 0 where there is none.
    gated : ndarray of shape (n_rows,), bool
        Whether a gate decided.
    voted : ndarray of shape (n_rows,), bool
        Whether a rule assigned the class.
    learner_codes : ndarray of shape (n_rows,), int
        The class that the learner would have chosen.
    learner_confidence : ndarray of shape (n_rows,)
        Its probability in the eyes of the learner.
    vetoed : csr_matrix of shape (n_rows, n_classes), bool
        Classes that had more votes than the one chosen, and that rules ruled out.
    """

    probabilities: np.ndarray
    codes: np.ndarray
    confidence: np.ndarray
    gated: np.ndarray
    voted: np.ndarray
    learner_codes: np.ndarray
    learner_confidence: np.ndarray
    vetoed: sparse.csr_matrix


@dataclass(frozen=True)
class _Kind:
    """The enabled rules of one kind, as arrays.

    Attributes
    ----------
    columns : ndarray of shape (n,), int
        Their columns among those that were matched.
    named : csr_matrix of shape (n, n_classes), float
        1 for the classes that each names.
    """

    columns: np.ndarray
    named: sparse.csr_matrix

    @classmethod
    def of(cls, kind: str, rules: list[Rule], named: sparse.csr_matrix) -> _Kind:
        """Take the rules of a kind; `named` has the classes of all rules."""
        columns = np.flatnonzero([rule.kind == kind for rule in rules])
        return cls(columns, named[columns])

    def __len__(self) -> int:
        return len(self.columns)

    def matched(self, matched: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the columns of its rules, as numbers."""
        return matched[:, self.columns].astype(float)

    def count(self, matched: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return how many of its rules name each class."""
        return self.matched(matched) @ self.named

    def strongest(
        self, matched: sparse.csr_matrix, strength: np.ndarray
    ) -> sparse.csr_matrix:
        """Return the largest strength of the rules that name each class."""
        votes = self.matched(matched).tocoo()
        classes = self.named.indices[votes.col]  # each of its rules names one
        values = strength[self.columns[votes.col]]
        shape = (matched.shape[0], self.named.shape[1])
        # The last of equal places is kept: the largest.
        order = np.lexsort((values, classes, votes.row))
        rows, classes, values = votes.row[order], classes[order], values[order]
        last = np.ones(len(rows), dtype=bool)
        last[:-1] = (rows[1:] != rows[:-1]) | (classes[1:] != classes[:-1])
        places = (rows[last], classes[last])
        return sparse.csr_matrix((values[last], places), shape=shape)


class VotingMaster:
    r"""Combines the votes of a learner and of rules, as equals.

    Parameters
    ----------
    rules : RuleSet
        The rules. Those disabled have no say.
    classes : ndarray of shape (n_classes,)
        All classes.
    known : ndarray of shape (n_classes,), bool
        Which of them the learner knows.
    precision : ndarray of shape (n_rules,)
        How often each rule is right, in the order of the ids of `rules`.
    odds : ndarray of shape (n_rules,)
        What the vote of each adds to the log-odds of its class; by default
        `log_odds` of its precision.
    learner_trust : float, default=0.98
        The most that the learner is believed, where rules vote as well.

    Notes
    -----
    *Votes.* With the learner's probabilities :math:`p_c` and a rule of log-odds
    :math:`o_r` and weight :math:`w_r` that assigns class :math:`c(r)`, a class has the
    score

    .. math:: \log p_c + \max_{r: c(r) = c} w_r o_r

    and the softmax of the scores are the probabilities: the learner's are the prior,
    rules are evidence. By default :math:`o_r = \log(a_r (K - 1) / (1 - a_r))` with the
    rule's precision :math:`a_r` and :math:`K` classes, so that one rule beside an
    indifferent learner is as sure as its precision. Of rules that agree the strongest
    counts alone, so that a rule that is written twice, or that another one contains,
    changes nothing; it is the maximum that makes the order of rules not matter, either.
    Where a rule votes, :math:`p` is mixed with as much of the uniform distribution as
    `learner_trust` leaves. Of a class that it does not know a learner cannot speak:
    with a vote for such a class :math:`p_c` is that of the best other class, without
    one it is 0.

    *Filter.* "restrict" leaves the classes it names, "forbid" takes its class away, and
    what remains is scaled to a sum of 1. If rules leave none, there is no decision.

    *Gates* are final. The class of the strongest gate has a probability of its
    precision, but more than one half; the learner's view of the others has the rest.
    """

    def __init__(
        self,
        rules: RuleSet,
        classes: np.ndarray,
        known: np.ndarray,
        precision: np.ndarray,
        odds: np.ndarray | None = None,
        *,
        learner_trust: float = 0.98,
    ) -> None:
        self.known = known
        self.precision = precision
        self.learner_trust = learner_trust
        each = list(rules)
        self._weights = np.array([rule.weight for rule in each], dtype=float)
        self.odds = log_odds(precision, len(classes)) if odds is None else odds
        self.strength = self._weights * self.odds
        named = named_classes(each, classes)
        self._assign, self._forbid, self._restrict, self._gate = (
            _Kind.of(kind, each, named)
            for kind in ("assign", "forbid", "restrict", "gate")
        )

    def reweigh(self, odds: np.ndarray) -> VotingMaster:
        """Return the same master with other odds of the rules."""
        other = copy.copy(self)
        other.odds, other.strength = odds, self._weights * odds
        return other

    def decide(self, matched: sparse.csr_matrix, learner: np.ndarray) -> Decisions:
        """Decide on the class of each row.

        Parameters
        ----------
        matched : csr_matrix of shape (n_rows, n_rules), bool
            Which rules hold of which rows.
        learner : ndarray of shape (n_rows, n_classes)
            Probabilities by the learner, 0 for classes that it does not know.

        Returns
        -------
        decisions : Decisions
            Of each row.
        """
        rows = np.arange(len(learner))
        votes = self._assign.strongest(matched, self.strength)
        pooled = self._pool(votes, learner)
        filtered, is_left = self._filter(matched, pooled)
        probabilities, gated = self._pass_gates(matched, filtered, learner)
        codes = np.where(is_left | gated, probabilities.argmax(axis=1), -1)
        confidence = np.where(codes < 0, 0.0, probabilities[rows, codes])
        assigned = self._assign.count(matched).toarray()[rows, codes] > 0
        learner_codes = learner.argmax(axis=1)
        return Decisions(
            probabilities=probabilities,
            codes=codes,
            confidence=confidence,
            gated=gated,
            voted=gated | (assigned & (codes >= 0)),
            learner_codes=learner_codes,
            learner_confidence=learner[rows, learner_codes],
            vetoed=self._find_vetoed(pooled, codes, gated),
        )

    def _pool(self, votes: sparse.csr_matrix, learner: np.ndarray) -> np.ndarray:
        """Return the probabilities after all votes."""
        rows = np.flatnonzero(np.diff(votes.indptr))
        if not len(rows):
            return learner
        odds, prior = votes[rows].toarray(), self._doubt(learner[rows])
        best = prior.max(axis=1, keepdims=True)
        prior = np.where((odds > 0) & ~self.known, best, prior)
        with np.errstate(divide="ignore"):  # log 0 is a class that nobody speaks for
            pooled = softmax(np.log(prior) + odds, axis=1)
        everything = learner.copy()
        everything[rows] = pooled
        return everything

    def _doubt(self, learner: np.ndarray) -> np.ndarray:
        """Return probabilities of the learner as far as it is believed beside rules."""
        doubt = (1 - self.learner_trust) / max(self.known.sum(), 1)
        return np.where(self.known, self.learner_trust * learner + doubt, 0.0)

    def cast(
        self,
        matched: sparse.csr_matrix,
        learner: np.ndarray,
        codes: np.ndarray,
        weight: np.ndarray,
    ) -> CastVotes:
        """Return the votes of rules, and whether they are right.

        Parameters
        ----------
        matched : csr_matrix of shape (n_rows, n_rules), bool
            Which rules hold of which rows.
        learner : ndarray of shape (n_rows, n_classes)
            Probabilities by the learner.
        codes : ndarray of shape (n_rows,), int
            The classes of the rows, as places in `classes`.
        weight : ndarray of shape (n_rows,)
            Weights of the rows.

        Returns
        -------
        votes : CastVotes
            Those for classes that the learner knows, on rows of such classes.
        """
        votes = self._assign.matched(matched).tocoo()
        classes = self._assign.named.indices[votes.col]
        judged = self.known[classes] & self.known[codes[votes.row]]
        rows, classes = votes.row[judged], classes[judged]
        return CastVotes(
            rule=self._assign.columns[votes.col[judged]],
            learner=self._doubt(learner)[rows, classes],
            right=codes[rows] == classes,
            weight=weight[rows],
        )

    def _filter(
        self, matched: sparse.csr_matrix, pooled: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities of the classes that rules leave, and if there are any.

        Where none is left they stay as they were.
        """
        is_left = np.ones(len(pooled), dtype=bool)
        if not len(self._restrict) and not len(self._forbid):
            return pooled, is_left
        n_restricting = np.asarray(self._restrict.matched(matched).sum(axis=1)).ravel()
        forbidden = self._forbid.count(matched)
        rows = np.flatnonzero((n_restricting > 0) | (np.diff(forbidden.indptr) > 0))
        if not len(rows):
            return pooled, is_left
        some = matched[rows]
        allowed = self._restrict.count(some).toarray() >= n_restricting[rows, None]
        allowed &= forbidden[rows].toarray() == 0
        left = np.where(allowed, pooled[rows], 0.0)
        mass = left.sum(axis=1, keepdims=True)
        # Classes that nobody voted for, but the only ones that are left.
        left = np.where(mass > 0, left, allowed)
        mass = left.sum(axis=1, keepdims=True)
        filtered = pooled.copy()
        with np.errstate(invalid="ignore"):
            filtered[rows] = np.where(mass > 0, left / mass, pooled[rows])
        is_left[rows] = mass[:, 0] > 0
        return filtered, is_left

    def _pass_gates(
        self, matched: sparse.csr_matrix, filtered: np.ndarray, learner: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities with those of gates in place, and where gates decide."""
        count = self._gate.count(matched)
        gated = np.diff(count.indptr) > 0
        rows = np.flatnonzero(gated)
        if not len(rows):
            return filtered, gated
        some, each = matched[rows], np.arange(len(rows))
        named = count[rows].toarray() > 0
        strength = self._gate.strongest(some, self.strength).toarray()
        winners = np.where(named, strength, -1.0).argmax(axis=1)
        precision = self._gate.strongest(some, self.precision).toarray()
        share = np.clip(precision[each, winners], 0.501, 1.0)
        others = learner[rows] + 1e-9
        others[each, winners] = 0.0
        result = filtered.copy()
        result[rows] = others / others.sum(axis=1, keepdims=True) * (1 - share)[:, None]
        result[rows, winners] = share
        return result, gated

    def _find_vetoed(
        self, pooled: np.ndarray, codes: np.ndarray, gated: np.ndarray
    ) -> sparse.csr_matrix:
        """Return the classes of more votes than the one that was chosen."""
        rows = np.flatnonzero((pooled.argmax(axis=1) != codes) & ~gated)
        chosen = codes[rows]
        own = np.where(chosen < 0, -1.0, pooled[rows, chosen])
        places, classes = np.nonzero(pooled[rows] > own[:, None])
        ones = np.ones(len(places), dtype=bool)
        return sparse.csr_matrix((ones, (rows[places], classes)), shape=pooled.shape)
