"""What each rule did on labeled rows: coverage, precision, overlaps, gains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen.rules.evidence import Evidence, named_classes, sum_rows
from sklearn_memgen.rules.intervals import wilson_interval
from sklearn_memgen.rules.rule import Rule

__all__ = ["audit_rules"]


def audit_rules(
    rules: list[Rule],
    matched: sparse.csr_matrix,
    classes: np.ndarray,
    codes: np.ndarray,
    learner_codes: np.ndarray,
    decide: Callable[[np.ndarray, sparse.csr_matrix], np.ndarray],
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Judge each rule by what it did on rows.

    Parameters
    ----------
    rules : list of Rule
        The rules, as many as columns of `matched`.
    matched : csr_matrix of shape (n_rows, n_rules), bool
        Which rules hold of which rows.
    classes : ndarray of shape (n_classes,)
        All classes.
    codes : ndarray of shape (n_rows,), int
        The class of each row, as its place in `classes`; -1 for rows without label,
        and -2 for labels that are no class.
    learner_codes : ndarray of shape (n_rows,), int
        The class that the learner would have chosen.
    decide : callable
        Takes positions of rows, and which rules are to hold of them, and returns the
        classes that are decided, -1 for none.
    confidence : float, default=0.95
        Probability that the interval of a precision holds it.

    Returns
    -------
    audit : DataFrame of n_rules rows, indexed by ids
        As of `RuleAugmentedClassifier.audit`.
    """
    is_labeled = codes != -1
    labeled = matched[is_labeled]
    kept = np.flatnonzero(codes[is_labeled] >= 0)
    ones = np.ones(len(kept))
    evidence = Evidence.collect(
        rules, labeled[kept], codes[is_labeled][kept], ones, classes
    )
    # Labels that are no class are right for rules that forbid, and for no others.
    n_strange = labeled.getnnz(axis=0) - labeled[kept].getnnz(axis=0)
    forbids = np.array([rule.kind == "forbid" for rule in rules], dtype=bool)
    n_labeled = (evidence.n_labeled + n_strange).astype(int)
    n_right = (evidence.n_right + np.where(forbids, n_strange, 0)).astype(int)
    low, high = wilson_interval(n_right, n_labeled, confidence)
    n_rows = matched.getnnz(axis=0)
    overlapping, conflicting = _count_meetings(rules, matched, classes)
    gained, lost = _count_changes(matched, codes, decide)
    named = named_classes(rules, classes)
    agreed = matched.T.astype(float) @ sparse.csr_matrix(
        (np.ones(len(codes)), (np.arange(len(codes)), learner_codes)),
        shape=(len(codes), len(classes)),
    )
    n_named = sum_rows(agreed.multiply(named))
    n_agreed = np.where(forbids, n_rows - n_named, n_named)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "kind": [rule.kind for rule in rules],
                "then": [rule.then for rule in rules],
                "n_rows": n_rows,
                "coverage": n_rows / len(codes),
                "n_labeled": n_labeled,
                "n_right": n_right,
                "precision": n_right / n_labeled,
                "precision_low": low,
                "precision_high": high,
                "n_overlapping": overlapping,
                "n_conflicting": conflicting,
                "agreement": n_agreed / n_rows,
                "n_gained": gained,
                "n_lost": lost,
            },
            index=pd.Index([rule.id for rule in rules], name="rule", dtype=object),
        )


def _count_meetings(
    rules: list[Rule], matched: sparse.csr_matrix, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count rows of which another rule says the same, and something contrary."""
    kinds = np.array([rule.kind for rule in rules], dtype=object)
    named = named_classes(rules, classes)
    numbers = matched.astype(float)
    entries = numbers.tocoo()
    row, column = entries.row, entries.col

    says = pd.factorize(pd.Series([(r.kind, r.classes) for r in rules], dtype=object))[
        0
    ]
    effects = sparse.csr_matrix(
        (np.ones(len(rules)), (np.arange(len(rules)), says)), dtype=float
    )
    n_same = sum_rows((numbers @ effects)[row].multiply(effects[column]))

    def count(kind: str) -> sparse.csr_matrix:
        of_kind = sparse.diags_array((kinds == kind).astype(float))
        return sparse.csr_matrix(numbers @ of_kind @ named)

    assigned = count("assign")
    n_assigned = sum_rows(assigned)[row]
    n_inside = sum_rows(assigned[row].multiply(named[column]))
    n_forbidden = sum_rows(count("forbid")[row].multiply(named[column]))
    n_restricting = (numbers @ (kinds == "restrict").astype(float))[row]
    n_allowed = sum_rows(count("restrict")[row].multiply(named[column]))
    n_gates = (numbers @ (kinds == "gate").astype(float))[row]

    kind = kinds[column]
    outside = n_assigned > n_inside
    contrary = np.select(
        [kind == "assign", kind == "restrict", kind == "forbid"],
        [
            outside | (n_forbidden > 0) | (n_restricting > n_allowed),
            outside,
            n_inside > 0,
        ],
        n_gates > n_same,
    )
    n_rules = len(rules)
    overlapping = np.bincount(column[n_same > 1], minlength=n_rules)
    conflicting = np.bincount(column[contrary.astype(bool)], minlength=n_rules)
    return overlapping, conflicting


def _count_changes(
    matched: sparse.csr_matrix,
    codes: np.ndarray,
    decide: Callable[[np.ndarray, sparse.csr_matrix], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Count rows that are right because of each rule, and those that are wrong."""
    n_rows, n_rules = matched.shape
    right = decide(np.arange(n_rows), matched) == codes
    by_rule = matched.tocsc()
    gained, lost = np.zeros(n_rules, dtype=int), np.zeros(n_rules, dtype=int)
    for column in range(n_rules):
        rows = by_rule.indices[by_rule.indptr[column] : by_rule.indptr[column + 1]]
        rows = rows[codes[rows] != -1]
        if not len(rows):
            continue
        others = matched[rows]
        others.data = others.indices != column
        others.eliminate_zeros()
        without = decide(rows, others) == codes[rows]
        gained[column] = (right[rows] & ~without).sum()
        lost[column] = (without & ~right[rows]).sum()
    return gained, lost
