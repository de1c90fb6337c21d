"""Conditions that may become rules, from texts and from tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sklearn_memgen.rules.column import col
from sklearn_memgen.rules.conditions import Condition
from sklearn_memgen.rules.coverage import cover_greedily
from sklearn_memgen.rules.paths import PathMiner
from sklearn_memgen.rules.sequences import Sequences, mine_sequences, write_pattern
from sklearn_memgen.rules.targets import MINED, Target, Targets

__all__ = ["Candidate", "Search", "find_candidates"]

#: So many times as many sequences of words as rules are wanted are looked at closer.
_PER_RULE = 3
#: Trees for all classes, as far as the least and the most for each class allow it.
_MAX_TREES = 2_000
_N_TREES = (10, 20)


@dataclass(frozen=True)
class Candidate:
    """A condition that may become a rule.

    Parameters
    ----------
    when : Condition
        The condition.
    target : Target
        What it may say.
    overlap : float
        Share of the words of the class's name that are among those of the condition.
    """

    when: Condition
    target: Target
    overlap: float = 0.0


@dataclass(frozen=True)
class Search:
    """What is looked for in which rows.

    Parameters
    ----------
    targets : Targets
        The classes of the rows.
    wanted : list of Target
        Those that rules are wanted for.
    parts : ndarray of shape (n_rows,), int
        `MINED` for rows that are mined, -1 for unlabeled ones.
    in_focus : ndarray of shape (n_rows,), bool
        Rows that are to be covered.
    min_count : int
        In so many mined rows for its target a condition holds at least.
    min_precision : float
        Share of rows for the target, of those that it matches.
    max_length : int
        The largest number of words or simple conditions.
    max_rules : int
        The largest number of rules for each target.
    """

    targets: Targets
    wanted: list[Target]
    parts: np.ndarray
    in_focus: np.ndarray
    min_count: int
    min_precision: float
    max_length: int
    max_rules: int

    @property
    def bars(self) -> tuple[float, float]:
        """Precisions on mined rows: the bar, and one halfway between it and 1.

        What just clears the bar where it was found often fails it elsewhere.
        """
        return self.min_precision, (1 + self.min_precision) / 2

    def rows_to_cover(self, target: Target) -> np.ndarray:
        """Return the rows in focus that a rule for a target may gain by what is known.

        Parameters
        ----------
        target : Target
            The target.

        Returns
        -------
        rows : ndarray of shape (n_rows,), bool
            Mined rows that speak for the target, and unlabeled ones: the labels of
            rows that are held out must not choose rules.
        """
        positive, _ = self.targets.masks(target)
        known = positive & (self.parts == MINED)
        return self.in_focus & (known | self.targets.undecided(target))


def find_candidates(
    X: pd.DataFrame,
    roles: dict[str | int, str],
    search: Search,
    random_state: np.random.RandomState,
) -> list[Candidate]:
    """Return conditions that are frequent in mined rows of a class, and precise there.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table.
    roles : dict of str or int to {"text", "number", "category"}
        What its columns give.
    search : Search
        What is looked for.
    random_state : RandomState
        For the trees.

    Returns
    -------
    candidates : list of Candidate
        Each condition once for a target.
    """
    found = [
        *_read_texts(X, roles, search),
        *_read_table(X, roles, search, random_state),
    ]
    return list({(each.target, each.when): each for each in found}.values())


def _read_texts(
    X: pd.DataFrame, roles: dict[str | int, str], search: Search
) -> Iterator[Candidate]:
    # Unlabeled rows in focus are read, too, for the rows that sequences would gain.
    rows = (search.parts == MINED) | (search.in_focus & (search.parts < 0))
    for kind in dict.fromkeys(target.kind for target in search.wanted):
        votes, against = search.targets.votes(kind)
        for name in (name for name, role in roles.items() if role == "text"):
            for bar in search.bars:
                found = mine_sequences(
                    X[name][rows],
                    votes[rows],
                    against=None if against is None else against[rows],
                    min_count=search.min_count,
                    min_precision=bar,
                    max_length=search.max_length,
                )
                yield from _pick_sequences(name, kind, found, rows, search)


def _pick_sequences(
    name: str | int, kind: str, found: Sequences, rows: np.ndarray, search: Search
) -> Iterator[Candidate]:
    """Yield those sequences of words that cover most rows in focus."""
    for target in (target for target in search.wanted if target.kind == kind):
        places = np.flatnonzero(found.labels == target.code)
        words = [found.words[place] for place in places]
        overlaps = _overlaps(words, search.targets, target)
        to_cover = search.rows_to_cover(target)[rows]
        matched = found.rows[places][:, to_cover]
        coverage = np.diff(matched.indptr) / max(to_cover.sum(), 1)
        worth = 1 + coverage + overlaps
        picked, _ = cover_greedily(matched, worth, _PER_RULE * search.max_rules)
        for i in picked:
            when = col(name).matches(write_pattern(words[i]), case=False)
            yield Candidate(when, target, overlaps[i])


def _overlaps(
    sequences: list[tuple[str, ...]], targets: Targets, target: Target
) -> np.ndarray:
    """Return shares of the words of a class's name that are in each sequence."""
    label = targets.classes[target.code]
    if target.kind != "assign" or not isinstance(label, str):
        return np.zeros(len(sequences))
    name = {_singular(word) for word in re.findall(r"[^\W_]+", label.lower())}
    return np.array(
        [len(name & set(map(_singular, s))) / max(len(name), 1) for s in sequences]
    )


def _singular(word: str) -> str:
    return word.removesuffix("?").removesuffix("s")


def _read_table(
    X: pd.DataFrame,
    roles: dict[str | int, str],
    search: Search,
    random_state: np.random.RandomState,
) -> Iterator[Candidate]:
    mined = search.parts == MINED
    miner = PathMiner(
        X[mined],
        roles,
        min_count=search.min_count,
        bars=search.bars,
        max_length=search.max_length,
        n_trees=int(np.clip(_MAX_TREES // max(len(search.wanted), 1), *_N_TREES)),
        random_state=random_state,
    )
    for target in search.wanted:
        positive, relevant = search.targets.masks(target)
        for when in miner.mine(positive[mined], relevant[mined]):
            yield Candidate(when, target)
