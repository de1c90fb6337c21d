"""Many patterns in many texts in one pass, by a multi-pattern engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy import sparse

from sklearn_memgen.rules.databases import (
    Database,
    Pattern,
    PatternError,
    compile_patterns,
    uses_ascii_words,
)

__all__ = ["Matcher", "PatternGroup"]

#: New patterns are compiled together with those of groups of at most this size.
_SMALL = 300
#: Groups have at most so many patterns, and are put together if there are more of them.
_LARGE = 25_000
_MAX_GROUPS = 6


class PatternGroup:
    """Patterns that are looked for together.

    They are compiled when the first text comes; for texts with newlines, which are
    rare, a second time.

    Parameters
    ----------
    patterns : tuple of Pattern
        The patterns.
    """

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self.patterns = patterns
        self._databases: dict[bool, Database] = {}

    def prepare(self, texts: Sequence[str]) -> np.ndarray:
        """Compile what is needed for some texts.

        Parameters
        ----------
        texts : sequence of str
            The texts.

        Returns
        -------
        broken : ndarray of shape (n_texts,), bool
            Whether there are newlines in a text.
        """
        broken = np.fromiter(("\n" in text for text in texts), bool, len(texts))
        for newlines in np.unique(broken).tolist():
            if newlines not in self._databases:
                database = compile_patterns(self.patterns, newlines=newlines)
                self._databases[newlines] = database
        return broken

    def find(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return which patterns are found in which texts.

        Parameters
        ----------
        texts : sequence of str
            The texts.

        Returns
        -------
        found : csr_matrix of shape (n_texts, n_patterns), bool
            True where a pattern is found.
        """
        broken = self.prepare(texts)
        if not broken.any() or broken.all():
            return self._databases[bool(broken.any())].find(texts)
        rows = [np.flatnonzero(broken == newlines) for newlines in (False, True)]
        found = [
            self._databases[newlines].find([texts[i] for i in rows[newlines].tolist()])
            for newlines in (False, True)
        ]
        order = np.argsort(np.concatenate(rows))
        return sparse.vstack(found, format="csr")[order]


class Matcher:
    """Looks for patterns, and keeps what has been compiled for the next time.

    New patterns are compiled by themselves, so that a rule more does not need a
    compilation of all of them; those that are no longer asked for are ignored.

    Attributes
    ----------
    groups : tuple of PatternGroup
        What has been compiled together, the oldest first.

    Examples
    --------
    >>> from sklearn_memgen.rules.databases import Pattern
    >>> from sklearn_memgen.rules.matching import Matcher
    >>> matcher = Matcher()
    >>> patterns = [Pattern("rings?"), Pattern("gold")]
    >>> matcher.find(patterns, ["gold ring", "bangle"]).toarray().astype(int)
    array([[1, 1],
           [0, 0]])
    >>> _ = matcher.find([*patterns, Pattern("bangles?")], ["bangle"])
    >>> [len(group.patterns) for group in matcher.groups]
    [3]
    """

    def __init__(self, groups: Iterable[PatternGroup] = ()) -> None:
        self.groups = tuple(groups)

    def copy(self) -> Matcher:
        """Return a matcher that shares what has been compiled."""
        return Matcher(self.groups)

    def find(
        self,
        patterns: Sequence[Pattern],
        texts: Sequence[str],
        *,
        n_jobs: int | None = None,
    ) -> sparse.csc_matrix:
        """Return which patterns are found in which texts.

        Parameters
        ----------
        patterns : sequence of Pattern
            The patterns.
        texts : sequence of str
            The texts.
        n_jobs : int, default=None
            Number of processes, as of joblib.

        Returns
        -------
        found : csc_matrix of shape (n_texts, n_patterns), bool
            True where a pattern is found.

        Raises
        ------
        ImportError
            If the engine is not installed.
        PatternError
            If a pattern cannot be compiled.
        """
        wanted = dict.fromkeys(patterns)
        self.groups = _bring_up_to_date(self.groups, wanted)
        if not len(texts):
            return sparse.csc_matrix((0, len(patterns)), dtype=bool)
        self.groups = _prepare(self.groups, texts)
        used = [g for g in self.groups if not wanted.keys().isdisjoint(g.patterns)]
        if not used:
            return sparse.csc_matrix((len(texts), 0), dtype=bool)
        found = sparse.hstack(_find_all(used, texts, n_jobs), format="csc")
        columns: dict[Pattern, int] = {}
        for group in used:
            for pattern in group.patterns:
                columns.setdefault(pattern, len(columns))
        return found[:, [columns[pattern] for pattern in patterns]]


def _prepare(
    groups: Iterable[PatternGroup], texts: Sequence[str]
) -> tuple[PatternGroup, ...]:
    """Return groups that are compiled for some texts.

    The more characters patterns tell apart, the longer they are for the engine. One
    that is too long only in company, which is rare, is compiled alone.
    """
    prepared: list[PatternGroup] = []
    for group in groups:
        try:
            group.prepare(texts)
            prepared.append(group)
        except PatternError as error:
            if len(group.patterns) == 1:
                raise
            alone = set(error.patterns)
            others = tuple(p for p in group.patterns if p not in alone)
            parts = [others, *((pattern,) for pattern in error.patterns)]
            split = [PatternGroup(part) for part in parts if part]
            prepared.extend(_prepare(split, texts))
    return tuple(prepared)


def _find_all(
    groups: Sequence[PatternGroup], texts: Sequence[str], n_jobs: int | None
) -> list[sparse.csr_matrix]:
    """Return what is found by each group."""
    n_workers = min(effective_n_jobs(n_jobs), len(texts))
    if n_workers == 1:
        return [group.find(texts) for group in groups]
    ends = np.linspace(0, len(texts), n_workers + 1).astype(int).tolist()
    parts = [texts[a:b] for a, b in itertools.pairwise(ends)]
    found = Parallel(n_jobs=n_jobs)(
        delayed(group.find)(part) for group in groups for part in parts
    )
    return [
        sparse.vstack(found[i : i + n_workers], format="csr")
        for i in range(0, len(found), n_workers)
    ]


def _bring_up_to_date(
    groups: tuple[PatternGroup, ...], wanted: dict[Pattern, None]
) -> tuple[PatternGroup, ...]:
    """Return groups in which all patterns are, with as little to compile as pays."""
    known = {pattern for group in groups for pattern in group.patterns}
    new = [pattern for pattern in wanted if pattern not in known]
    if not new:
        return groups
    kept = list(groups)
    if sum(pattern not in wanted for pattern in known) > len(known) / 2:
        kept, new = [], list(wanted)
    together = len(kept) >= _MAX_GROUPS
    while kept and (len(kept[-1].patterns) <= _SMALL or (together and len(kept) > 1)):
        new += [pattern for pattern in kept.pop().patterns if pattern in wanted]
    for ascii_words in (False, True):
        alike = sorted(p for p in new if uses_ascii_words(p) == ascii_words)
        for first in range(0, len(alike), _LARGE):
            kept.append(PatternGroup(tuple(alike[first : first + _LARGE])))
    return tuple(kept)
