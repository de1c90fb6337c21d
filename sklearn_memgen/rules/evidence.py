"""What labeled and unlabeled rows say of the precision of rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen.rules.rule import Rule

__all__ = ["Evidence", "named_classes", "sum_rows"]

#: As many rows as the prior precision is worth.
_PRIOR_ROWS = 5.0


def named_classes(rules: list[Rule], classes: np.ndarray) -> sparse.csr_matrix:
    """Return which classes rules name.

    Parameters
    ----------
    rules : list of Rule
        The rules.
    classes : ndarray of shape (n_classes,)
        All classes; rules may name others, which are left out.

    Returns
    -------
    named : csr_matrix of shape (n_rules, n_classes), float
        1 where a rule names a class.
    """
    codes = {label: code for code, label in enumerate(classes.tolist())}
    pairs = [
        (row, codes[label])
        for row, rule in enumerate(rules)
        for label in rule.classes
        if label in codes
    ]
    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    shape = (len(rules), len(classes))
    return sparse.csr_matrix((np.ones(len(pairs)), (rows, columns)), shape=shape)


@dataclass(frozen=True)
class Evidence:
    """How often each rule was right.

    An "assign" rule or a gate is right where the label is its class, a "restrict" rule
    where it is one of its classes, and a "forbid" rule where it is not its class.

    Attributes
    ----------
    n_labeled : ndarray of shape (n_rules,)
        Weight of the labeled rows that it matches.
    n_right : ndarray of shape (n_rules,)
        Weight of those of which it is right.
    is_new : ndarray of shape (n_rules,), bool
        Whether it assigns a class that no label has, so that it cannot be right.
    """

    n_labeled: np.ndarray
    n_right: np.ndarray
    is_new: np.ndarray
    _total: float

    @classmethod
    def collect(
        cls,
        rules: list[Rule],
        matched: sparse.csr_matrix,
        codes: np.ndarray,
        weight: np.ndarray,
        classes: np.ndarray,
    ) -> Evidence:
        """Count on labeled rows.

        Parameters
        ----------
        rules : list of Rule
            The rules, as many as columns of `matched`.
        matched : csr_matrix of shape (n_rows, n_rules), bool
            Which rules hold of which rows.
        codes : ndarray of shape (n_rows,), int
            The class of each row, as its place in `classes`.
        weight : ndarray of shape (n_rows,)
            Weight of each row.
        classes : ndarray of shape (n_classes,)
            All classes.

        Returns
        -------
        evidence : Evidence
            Of all rules.
        """
        n_rows, n_classes = len(codes), len(classes)
        named = named_classes(rules, classes)
        labels = sparse.csr_matrix(
            (weight, (np.arange(n_rows), codes)), shape=(n_rows, n_classes)
        )
        counts = matched.T.astype(float) @ labels
        n_labeled = sum_rows(counts)
        n_named = sum_rows(counts.multiply(named))
        forbids = np.array([rule.kind == "forbid" for rule in rules], dtype=bool)
        assigns = np.array([r.kind in ("assign", "gate") for r in rules], dtype=bool)
        seen = np.zeros(n_classes)
        np.add.at(seen, codes, weight)
        return cls(
            n_labeled=n_labeled,
            n_right=np.where(forbids, n_labeled - n_named, n_named),
            is_new=assigns & (named @ seen == 0),
            _total=float(weight.sum()),
        )

    def precision(
        self, prior: float, unlabeled: sparse.csr_matrix | None = None
    ) -> np.ndarray:
        r"""Estimate how often each rule is right.

        Parameters
        ----------
        prior : float
            What is thought of a rule before it has matched anything.
        unlabeled : csr_matrix of shape (n_unlabeled, n_rules) or None
            Which rules hold of which rows without labels.

        Returns
        -------
        precision : ndarray of shape (n_rules,)
            Of each rule, above 0 and below 1.

        Notes
        -----
        The mean of a Beta distribution, :math:`(k + 5 \pi) / (n + 5)` with :math:`k`
        right of :math:`n` rows and the prior :math:`\pi`. A rule for a class that no
        label has is wrong on all labeled rows that it matches. By how many of these
        there are, one knows how many of the unlabeled rows that it matches are of known
        classes, and takes the others for right; without unlabeled rows its precision is
        the prior.
        """
        n, right = self.n_labeled, self.n_right
        if unlabeled is not None and unlabeled.shape[0]:
            n_matched = unlabeled.getnnz(axis=0).astype(float)
            n_wrong = n * (unlabeled.shape[0] / max(self._total, 1e-9))
            new_right = np.maximum(n_matched - n_wrong, 0.0)
            n = np.where(self.is_new, n_matched, n)
            right = np.where(self.is_new, new_right, right)
        else:
            n = np.where(self.is_new, 0.0, n)
            right = np.where(self.is_new, 0.0, right)
        estimate = (right + _PRIOR_ROWS * prior) / (n + _PRIOR_ROWS)
        return np.clip(estimate, 1e-6, 1 - 1e-6)

    def to_frame(self, ids: list[str]) -> pd.DataFrame:
        """Return the counts, indexed by the ids of the rules.

        Parameters
        ----------
        ids : list of str
            The ids, in the order of the rules.

        Returns
        -------
        counts : DataFrame of n_rules rows
            With the columns "n_labeled" and "n_right".
        """
        index = pd.Index(ids, name="rule", dtype=object)
        counts = {"n_labeled": self.n_labeled, "n_right": self.n_right}
        return pd.DataFrame(counts, index=index)


def sum_rows(matrix: sparse.spmatrix) -> np.ndarray:
    """Return the sum of each row of a sparse matrix, of shape (n_rows,)."""
    return np.asarray(matrix.sum(axis=1)).ravel()
