"""What the votes of rules add to what a learner knows already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

__all__ = ["CastVotes", "find_odds"]

#: Standard deviation of the prior around the odds by which a rule starts.
_SCALE = 2.0
_MAX_ITER = 50
_TOL = 1e-6


@dataclass(frozen=True)
class CastVotes:
    """Votes of rules on rows with labels, beside a learner that did not see the rows.

    Parameters
    ----------
    rule : ndarray of shape (n_votes,), int
        Which rule votes.
    learner : ndarray of shape (n_votes,)
        Probability that the learner gives the rule's class.
    right : ndarray of shape (n_votes,), bool
        Whether that is the label.
    weight : ndarray of shape (n_votes,)
        Weight of the row.
    """

    rule: np.ndarray
    learner: np.ndarray
    right: np.ndarray
    weight: np.ndarray

    @classmethod
    def join(cls, parts: list[CastVotes]) -> CastVotes:
        """Return the votes of several folds."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("rule", "learner", "right", "weight")
            )
        )


def find_odds(votes: CastVotes, start: np.ndarray) -> np.ndarray:
    r"""Return how much the vote of each rule adds to the learner's log-odds.

    Parameters
    ----------
    votes : CastVotes
        What rules and learner said of rows with labels.
    start : ndarray of shape (n_rules,)
        Log-odds by the precision of the rules, which those keep that have no votes.

    Returns
    -------
    odds : ndarray of shape (n_rules,)
        At least 0.

    Notes
    -----
    A learner that has seen the labels knows much of what a rule says, and its
    probability holds that already: a rule that is right in 75 of 100 rows must not
    outvote a learner that knows which 75. The odds :math:`w` of a rule are those of a
    logistic regression whose offset is the learner,

    .. math:: P(y = c) = \sigma(\mathrm{logit}\, p_c + w),

    over the rows that the rule matches, with a normal prior for :math:`w` around
    `start` of standard deviation 2. Where the learner is right anyway, any :math:`w`
    will do, and it stays where it was. Newton's method finds all of them at once.

    Examples
    --------
    The learner knows what rule 0 says, and nothing of what rule 1 says:

    >>> import numpy as np
    >>> from sklearn_memgen.rules.vote_weights import CastVotes, find_odds
    >>> rule = np.repeat([0, 1], 100)
    >>> learner = np.repeat([0.75, 0.2], 100)
    >>> right = np.arange(200) % 4 > 0
    >>> find_odds(CastVotes(rule, learner, right, np.ones(200)), np.ones(2)).round(1)
    array([0. , 2.5])
    """
    n_rules = len(start)
    offset = logit(np.clip(votes.learner, 1e-9, 1 - 1e-9))
    odds, precision = start.astype(float), 1 / _SCALE**2
    for _ in range(_MAX_ITER):
        share = expit(offset + odds[votes.rule])
        gradient = np.bincount(
            votes.rule, votes.weight * (votes.right - share), minlength=n_rules
        )
        curvature = np.bincount(
            votes.rule, votes.weight * share * (1 - share), minlength=n_rules
        )
        step = (gradient - precision * (odds - start)) / (curvature + precision)
        # Far from the optimum the curvature is too small for a full step.
        step = np.clip(step, -1, 1)
        odds = odds + step
        if np.abs(step).max(initial=0) < _TOL:
            break
    return np.maximum(odds, 0.0)
