"""How accurate rules are, told without labels from where they meet."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from sklearn_memgen._sklearn import Interval, validate_params

__all__ = ["LabelModel", "fit_label_model"]


@dataclass(frozen=True, repr=False)
class LabelModel:
    """Accuracies of rules, and what their votes say of the classes of rows.

    Made by :func:`fit_label_model`.

    Parameters
    ----------
    accuracies : ndarray of shape (n_rules,)
        Estimated share of the votes of each rule that are right.
    class_balance : ndarray of shape (n_classes,)
        Estimated shares of the classes in the rows with votes or labels, of sum 1.
    weights : ndarray of shape (n_rules,)
        How much a vote counts: 1, or 1 / k for each of k rules that voted alike.
    n_votes : ndarray of shape (n_rules,), int
        Number of votes of each rule.
    n_informative : ndarray of shape (n_rules,), int
        Number of those in rows with a label or with another vote. Where it is 0, the
        accuracy is that of the prior.
    n_iter : int
        Number of steps of the EM algorithm.
    converged : bool
        Whether the accuracies came to rest before `max_iter` steps.
    log_posterior : ndarray of shape (n_iter,)
        Logarithm of likelihood times prior, up to a constant, before each step. It
        never falls.
    """

    accuracies: np.ndarray
    class_balance: np.ndarray
    weights: np.ndarray
    n_votes: np.ndarray
    n_informative: np.ndarray
    n_iter: int
    converged: bool
    log_posterior: np.ndarray

    def __repr__(self) -> str:
        n_rules, n_classes = len(self.accuracies), len(self.class_balance)
        end = "converged" if self.converged else "not converged"
        return (
            f"LabelModel of {n_rules} rules and {n_classes} classes, "
            f"{end} after {self.n_iter} steps"
        )

    def posterior(self, votes: sparse.csr_matrix) -> np.ndarray:
        """Return the probabilities of the classes given votes.

        Parameters
        ----------
        votes : csr_matrix of shape (n_rows, n_rules), int
            Code of a class + 1 where a rule votes for it, as in fitting.

        Returns
        -------
        probabilities : ndarray of shape (n_rows, n_classes)
            Those of a row without votes are `class_balance`.

        Raises
        ------
        TypeError, ValueError
            If `votes` is no sparse matrix of such codes and of that many rules.
        """
        n_classes = len(self.class_balance)
        votes = _check_votes(votes, n_classes)
        if votes.shape[1] != len(self.accuracies):
            raise ValueError(
                f"votes must have a column for each of {len(self.accuracies)} rules; "
                f"got {votes.shape[1]}"
            )
        pairs = _pair_up(votes, n_classes)
        found, others, _ = _weigh(pairs, self.accuracies, self.weights, n_classes)
        probabilities = np.repeat(others[:, np.newaxis], n_classes, axis=1)
        probabilities[pairs.row, pairs.label] = found
        probabilities[pairs.n_voted == 0] = self.class_balance
        return probabilities

    def to_frame(self) -> pd.DataFrame:
        """Return the accuracies as a table.

        Returns
        -------
        table : DataFrame of shape (n_rules, 3)
            Columns "accuracy", "n_votes" and "n_informative"; the index is the number
            of the rule.
        """
        return pd.DataFrame(
            {
                "accuracy": self.accuracies,
                "n_votes": self.n_votes,
                "n_informative": self.n_informative,
            },
            index=pd.RangeIndex(len(self.accuracies), name="rule"),
        )


@validate_params(
    {
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "prior_accuracy": [Interval(Real, 0, 1, closed="neither")],
        "prior_strength": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def fit_label_model(
    votes: sparse.csr_matrix,
    *,
    n_classes: int,
    labels: ArrayLike | None = None,
    prior_accuracy: float = 0.9,
    prior_strength: float = 10.0,
    max_iter: int = 100,
    tol: float = 1e-4,
) -> LabelModel:
    r"""Estimate how accurate rules are from where they agree and conflict.

    Parameters
    ----------
    votes : csr_matrix of shape (n_rows, n_rules), int
        Code of a class + 1 where a rule votes for it; nothing where it abstains. Codes
        are 0 to `n_classes` - 1.
    n_classes : int
        Number of classes, at least 2.
    labels : array-like of shape (n_rows,), int, default=None
        Code of the class of a row, -1 where it is not known.
    prior_accuracy : float, default=0.9
        Accuracy of a rule of which nothing is known, between 0 and 1.
    prior_strength : float, default=10.0
        Number of votes that the prior is worth; positive.
    max_iter : int, default=100
        Most steps of the EM algorithm.
    tol : float, default=1e-4
        It ends once no accuracy changes by more.

    Returns
    -------
    model : LabelModel
        Accuracies, and a method for the probabilities of the classes.

    Raises
    ------
    TypeError
        If `votes` is no sparse matrix of integers, or `labels` are no integers.
    ValueError
        If a parameter is out of its range, or the shapes do not fit.

    Notes
    -----
    Given the class of a row, rules err independently of each other. Where a rule of
    accuracy :math:`a_j` votes, it is right with that probability, each of the
    :math:`k - 1` other classes gets its vote with :math:`(1 - a_j) / (k - 1)`, and
    its abstaining tells nothing. This is the model of Dawid and Skene [1]_ with one
    parameter a rule, and Snorkel's without correlations [2]_, [3]_. Before the votes
    all classes are alike, so that a single vote leaves its class the probability
    :math:`a_j`. With shares of classes estimated along, rules of rare classes, which
    vote for nothing else, would be believed ever less.

    The EM algorithm finds the mode under a beta prior that is worth `prior_strength`
    votes: the accuracy of a rule is the mean probability of the classes it voted for.
    Rows with one vote and no label have the same likelihood whatever the accuracies,
    and are left out. A step costs as much as there are votes, whatever the number of
    classes.

    A rule that votes for one class only is known by its overlaps with rules of the
    same class, which raise its accuracy, and by its conflicts, which lower it or
    theirs. So accuracies lean to the prior where there are few overlaps, are those of
    rows with several votes, and come out too high where rules err together. On
    simulated votes of rules that vote for all classes and err independently they came
    out within 0.01 on average; of rules of one class each, which abstain for a reason,
    within 0.03 to 0.07, where the prior was off by 0.14 to 0.20. Rules that vote alike
    in all rows count as one. A row with a label counts as much as one without: a few
    labels do not outweigh many rows in which rules err together.

    It is written here because the public libraries for it bring much else along:
    Snorkel is no longer kept up, and Crowd-Kit, for the answers of people, keeps a
    long table of votes and a dense one of rows and classes.

    References
    ----------
    .. [1] Dawid and Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using
       the EM Algorithm", Applied Statistics 28, 1979.
    .. [2] Ratner et al., "Data Programming: Creating Large Training Sets, Quickly",
       NeurIPS 2016.
    .. [3] Ratner et al., "Training Complex Models with Multi-Task Weak Supervision",
       AAAI 2019.

    Examples
    --------
    Two rules agree, a third one is against them where it can be:

    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sklearn_memgen.rules.label_model import fit_label_model
    >>> votes = sparse.csr_matrix(np.repeat([[1, 1, 2], [1, 1, 0], [2, 2, 1]], 20, 0))
    >>> model = fit_label_model(votes, n_classes=2)
    >>> model.accuracies.round(2)
    array([0.98, 0.98, 0.18])
    >>> model.posterior(sparse.csr_matrix([[1, 0, 2], [0, 0, 0]])).round(2)
    array([[0.97, 0.03],
           [0.66, 0.34]])
    """
    votes = _check_votes(votes, n_classes)
    known = _check_labels(labels, votes.shape[0], n_classes)
    n_votes = _count_votes(votes)
    weights = _share_weights(votes)

    telling = (np.diff(votes.indptr) > 1) | (known >= 0)
    pairs = _pair_up(votes[telling], n_classes)
    n_informative = _count_votes(votes[telling])
    accuracies = np.full(votes.shape[1], float(prior_accuracy))
    path: list[float] = []
    converged = False
    while not converged and len(path) < max_iter:
        found, _, likelihood = _weigh(
            pairs, accuracies, weights, n_classes, known[telling]
        )
        prior = prior_accuracy * np.log(accuracies)
        prior += (1 - prior_accuracy) * np.log1p(-accuracies)
        path.append(float(likelihood + prior_strength * (weights @ prior)))
        right = np.bincount(pairs.rule, found[pairs.of_vote], minlength=len(weights))
        before = accuracies
        accuracies = (right + prior_strength * prior_accuracy) / (
            n_informative + prior_strength
        )
        converged = bool(np.all(np.abs(accuracies - before) <= tol))
    return LabelModel(
        accuracies=accuracies,
        class_balance=_find_balance(votes, known, accuracies, weights, n_classes),
        weights=weights,
        n_votes=n_votes,
        n_informative=n_informative,
        n_iter=len(path),
        converged=converged,
        log_posterior=np.array(path),
    )


class _Pairs(NamedTuple):
    """The distinct pairs of a row and a class that has votes in it."""

    row: np.ndarray  # (n_pairs,)
    label: np.ndarray  # (n_pairs,)
    n_voted: np.ndarray  # (n_rows,), the number of classes with votes
    of_vote: np.ndarray  # (n_votes,), the pair of each vote
    rule: np.ndarray  # (n_votes,)


def _pair_up(votes: sparse.csr_matrix, n_classes: int) -> _Pairs:
    n_rows = votes.shape[0]
    rows = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(votes.indptr))
    keys, of_vote = np.unique(rows * n_classes + votes.data - 1, return_inverse=True)
    row, label = np.divmod(keys, n_classes)
    n_voted = np.bincount(row, minlength=n_rows)
    return _Pairs(row, label, n_voted, of_vote, votes.indices)


def _weigh(
    pairs: _Pairs,
    accuracies: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    known: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the probability of each pair's class, and of each other class of a row.

    All classes without votes in a row are alike, so that no dense matrix of rows and
    classes is needed. The third is the log-likelihood.
    """
    wrong = np.log1p(-accuracies) - np.log(n_classes - 1)
    # Log-odds of a class by the votes for it, against a class without.
    gain = weights * (np.log(accuracies) - wrong)
    score = np.bincount(pairs.of_vote, gain[pairs.rule], minlength=len(pairs.row))
    top = np.zeros(len(pairs.n_voted))
    np.maximum.at(top, pairs.row, score)
    found, others = np.exp(score - top[pairs.row]), np.exp(-top)
    total = (n_classes - pairs.n_voted) * others
    total += np.bincount(pairs.row, found, minlength=len(top))
    found /= total[pairs.row]
    others /= total
    likelihood = top + np.log(total)
    if known is not None:
        clamped = known[pairs.row] >= 0
        right = pairs.label == known[pairs.row]
        likelihood[known >= 0] = 0
        likelihood[pairs.row[right]] = score[right]
        found[clamped] = right[clamped]
    all_wrong = np.sum((weights * wrong)[pairs.rule])
    return found, others, float(likelihood.sum() + all_wrong)


def _find_balance(
    votes: sparse.csr_matrix,
    known: np.ndarray,
    accuracies: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
) -> np.ndarray:
    """Return the mean of the labels and, without one, of the probabilities."""
    pairs = _pair_up(votes[known < 0], n_classes)
    found, others, _ = _weigh(pairs, accuracies, weights, n_classes)
    others = np.where(pairs.n_voted > 0, others, 0)
    # Of each row first what every class has, then what those with votes have above it.
    counts = np.bincount(
        pairs.label, found - others[pairs.row], minlength=n_classes
    ) + np.sum(others)
    counts += np.bincount(known[known >= 0], minlength=n_classes)
    total = counts.sum()
    return counts / total if total else np.full(n_classes, 1 / n_classes)


def _count_votes(votes: sparse.csr_matrix) -> np.ndarray:
    return np.bincount(votes.indices, minlength=votes.shape[1])


def _share_weights(votes: sparse.csr_matrix) -> np.ndarray:
    """Return 1 over the number of rules that vote as each one does, in all rows."""
    columns = votes.tocsc()
    bounds = zip(columns.indptr[:-1], columns.indptr[1:], strict=True)
    contents = pd.Series(
        [
            columns.indices[i:j].tobytes() + columns.data[i:j].tobytes()
            for i, j in bounds
        ],
        dtype=object,
    )
    return 1.0 / contents.groupby(contents).transform("size").to_numpy(dtype=float)


# Checks


def _check_votes(votes: Any, n_classes: int) -> sparse.csr_matrix:
    if not sparse.issparse(votes):
        raise TypeError(
            "votes must be a sparse matrix, of rows and rules; got "
            f"{type(votes).__name__}"
        )
    if votes.dtype.kind not in "iu":
        raise TypeError(
            "votes must be integers, the code of a class + 1; got the type "
            f"{votes.dtype}"
        )
    checked = sparse.csr_matrix(votes, dtype=np.int64, copy=True)
    checked.sum_duplicates()
    checked.eliminate_zeros()
    if checked.nnz and not 1 <= checked.data.min() <= checked.data.max() <= n_classes:
        raise ValueError(
            f"votes must lie between 1 and n_classes={n_classes}; got "
            f"{checked.data.min()} to {checked.data.max()}"
        )
    return checked


def _check_labels(labels: ArrayLike | None, n_rows: int, n_classes: int) -> np.ndarray:
    if labels is None:
        return np.full(n_rows, -1)
    known = np.asarray(labels)
    if known.shape != (n_rows,):
        raise ValueError(
            f"labels must have one code for each of {n_rows} rows; got the shape "
            f"{known.shape}"
        )
    if known.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, -1 where unknown; got the type {known.dtype}"
        )
    if n_rows and not -1 <= known.min() <= known.max() < n_classes:
        raise ValueError(
            f"labels must lie between -1 and n_classes - 1 = {n_classes - 1}; got "
            f"{known.min()} to {known.max()}"
        )
    return known.astype(np.int64)
