"""Rows that mine rules, rows that choose among them, and rows that judge the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import binom, false_discovery_control

from sklearn_memgen.rules.conditions import Condition
from sklearn_memgen.rules.intervals import wilson_interval
from sklearn_memgen.rules.rule import Rule
from sklearn_memgen.rules.ruleset import RuleSet
from sklearn_memgen.rules.targets import MINED, PARTS

__all__ = ["Judgment", "judge", "match_conditions", "part_rows"]

_N_FOLDS = 4
_PART_OF_FOLD = np.array([MINED, *PARTS], dtype=np.int8)
#: Of the rules that are better than chance, at most this share is so by chance.
_FALSE_DISCOVERIES = 0.05


def part_rows(
    codes: np.ndarray,
    groups: np.ndarray | None,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Part labeled rows at random: half of them to be mined, two quarters to judge.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,), int
        Classes, each of which is parted as evenly as can be; -1 for unlabeled rows.
    groups : ndarray of shape (n_rows,), int, default=None
        Rows of a group stay together.
    random_state : RandomState
        Draws the parts.

    Returns
    -------
    parts : ndarray of shape (n_rows,), int8
        One of `PARTS`, or -1 for unlabeled rows.
    """
    rows = np.flatnonzero(codes >= 0)
    own = np.arange(len(rows)) if groups is None else groups[rows]
    _, first, group = np.unique(own, return_index=True, return_inverse=True)
    order = random_state.permutation(len(first))
    order = order[np.argsort(codes[rows[first[order]]], kind="stable")]
    fold = np.empty(len(first), dtype=np.intp)
    fold[order] = (np.arange(len(order)) + random_state.randint(_N_FOLDS)) % _N_FOLDS
    parts = np.full(len(codes), -1, dtype=np.int8)
    parts[rows] = _PART_OF_FOLD[fold[group]]
    return parts


def match_conditions(
    conditions: Sequence[Condition], X: pd.DataFrame
) -> sparse.csc_array:
    """Return which conditions hold of which rows.

    Parameters
    ----------
    conditions : sequence of Condition
        The conditions.
    X : DataFrame of shape (n_rows, n_columns)
        The table.

    Returns
    -------
    matched : csc_array of shape (n_rows, n_conditions), bool
        What `RuleSet.match` finds.
    """
    rules = RuleSet(
        Rule(condition, "any", id=f"{number:09d}")
        for number, condition in enumerate(conditions)
    )
    return sparse.csc_array(rules.match(X))


@dataclass(frozen=True)
class Judgment:
    """What rows that had no say in mining or choosing a rule tell of it.

    Parameters
    ----------
    support : ndarray of shape (n_rules,), int
        Labeled rows, of all parts, that speak for or against the rule.
    precision : ndarray of shape (n_rules,)
        Share for it, among the rows held out; NaN without any.
    precision_low : ndarray of shape (n_rules,)
        Lower end of Wilson's 95 percent interval of the precision.
    held_out : ndarray of shape (n_rules,), int
        Number of rows held out that the rule matches.
    kept : ndarray of shape (n_rules,), bool
        Whether it cleared the bar.
    """

    support: np.ndarray
    precision: np.ndarray
    precision_low: np.ndarray
    held_out: np.ndarray
    kept: np.ndarray


def judge(
    counts: np.ndarray,
    n_right: np.ndarray,
    shares: np.ndarray,
    families: np.ndarray,
    *,
    min_support: int,
    min_precision: float,
) -> Judgment:
    """Choose rules by one half of the rows, and judge them by the other.

    Parameters
    ----------
    counts, n_right : ndarray of shape (n_parts, n_rules), int
        Rows of each part that a rule matches, and for how many of them it is right.
    shares : ndarray of shape (n_parts, n_rules)
        The share that a rule would be right for by chance.
    families : ndarray of shape (n_rules,), int
        Rules that compete with each other, such as those of a class, have one number.
    min_support : int
        The smallest number of rows that a rule matches.
    min_precision : float
        The bar.

    Returns
    -------
    judgment : Judgment
        Of each rule.

    Notes
    -----
    A rule clears the bar in a half if its precision there is at least `min_precision`
    and better than chance, by a binomial test; among many candidates some are by
    chance, so that the level of the test is the one at which of those that pass 5
    percent are expected to [1]_. If it clears it in one half, its precision is that of
    the other one; if in both, that of both. No row takes part in both the choice and
    the judgment of a rule, so that the precision, unlike that of chosen rules where
    they were chosen, is not too high: they would be right as often in new data.

    References
    ----------
    .. [1] Benjamini and Hochberg, "Controlling the False Discovery Rate", Journal of
       the Royal Statistical Society B 57, 1995.
    """
    parts = [part for part in PARTS if part != MINED]
    n, right = counts[parts], n_right[parts]
    clears = (n > 0) & (right >= min_precision * n)
    by_chance = binom.sf(right - 1, n, shares[parts])
    for half in range(len(parts)):
        for family in np.unique(families[clears[half]]):
            rivals = (families == family) & (n[half] > 0)
            rate = false_discovery_control(by_chance[half, rivals])
            clears[half, rivals] &= rate <= _FALSE_DISCOVERIES
    others = clears[::-1]
    held_out, right = (n * others).sum(axis=0), (right * others).sum(axis=0)
    low, _ = wilson_interval(right, held_out)
    with np.errstate(invalid="ignore"):
        precision = right / held_out
    support = counts.sum(axis=0)
    return Judgment(
        support=support,
        precision=precision,
        precision_low=low,
        held_out=held_out,
        kept=clears.any(axis=0) & (support >= min_support),
    )
