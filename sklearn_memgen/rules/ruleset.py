"""RuleSet: many rules, edited, matched, checked and kept in files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen.rules import files
from sklearn_memgen.rules.column_values import Table
from sklearn_memgen.rules.conditions import Condition
from sklearn_memgen.rules.databases import PatternError
from sklearn_memgen.rules.linting import lint_rules
from sklearn_memgen.rules.literals import write_column
from sklearn_memgen.rules.matching import Matcher
from sklearn_memgen.rules.rule import Rule
from sklearn_memgen.rules.rule_files import RuleFiles
from sklearn_memgen.rules.rule_parameters import RuleParameters
from sklearn_memgen.rules.searching import search_texts

__all__ = ["RuleSet"]


class RuleSet(RuleFiles, RuleParameters):
    r"""A set of rules, whose order never changes a result.

    Parameters
    ----------
    rules : iterable of Rule, default=()
        Each with an id of its own.

    Attributes
    ----------
    version : int
        0 for a new set, and one more after each edit.

    Raises
    ------
    TypeError
        If something is no rule.
    ValueError
        If two rules have the same id.

    Notes
    -----
    Rules are gone through, and columns of `match` are, in the order of their ids. Files
    have them in the order in which they were added, as an analyst left them.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen.rules import Rule, RuleSet, col
    >>> title = col("title")
    >>> rules = RuleSet([
    ...     Rule(title.matches(r"\brings?\b"), "rings", id="a"),
    ...     Rule(title.contains("binder"), "rings", "forbid", id="b"),
    ... ])
    >>> X = pd.DataFrame({"title": ["gold ring", "ring binder", "bangle"]})
    >>> rules.match(X).toarray().astype(int)
    array([[1, 0],
           [1, 1],
           [0, 0]])
    >>> rules.disable("b")
    >>> rules, rules.version
    (RuleSet of 2 rules, 1 disabled, 1)
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules: dict[str, Rule] = {}
        self._disabled: set[str] = set()
        self._places: dict[str, str] = {}
        self.version = 0
        self._matchers: dict[Hashable, Matcher] = {}
        self._include(rules)

    def __copy__(self) -> Self:
        return self._copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Rules do not change, nor does what has been compiled.
        return self._copy()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_matchers": {}}

    def __repr__(self) -> str:
        off = f", {len(self._disabled)} disabled" if self._disabled else ""
        return f"RuleSet of {len(self)} rules{off}"

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return (self._rules[id] for id in self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._rules

    def __getitem__(self, id: str) -> Rule:
        self._require(id)
        return self._rules[id]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RuleSet):
            return NotImplemented
        return self._rules == other._rules and self._disabled == other._disabled

    __hash__ = None  # type: ignore[assignment]

    @property
    def ids(self) -> list[str]:
        """Ids of the rules, disabled ones too, in order."""
        return sorted(self._rules)

    @property
    def columns(self) -> frozenset[str | int]:
        """Names of the columns that enabled rules read."""
        return frozenset(name for rule in self._enabled() for name in rule.columns)

    @property
    def content_hash(self) -> str:
        """A digest of the rules and of which are enabled; functions by their names."""
        records = [
            files.to_record(rule, id not in self._disabled, functions=True)
            for id, rule in sorted(self._rules.items())
        ]
        return hashlib.sha256(json.dumps(records).encode()).hexdigest()[:16]

    def is_enabled(self, id: str) -> bool:
        """Return whether a rule is enabled.

        Parameters
        ----------
        id : str
            Its id.

        Returns
        -------
        enabled : bool
            True unless it was disabled.
        """
        self._require(id)
        return id not in self._disabled

    # Edits

    def add(self, rules: Rule | Iterable[Rule]) -> None:
        """Add rules, all of them or, if one cannot be added, none.

        Parameters
        ----------
        rules : Rule or iterable of Rule
            Each with an id that the set does not have.

        Raises
        ------
        TypeError
            If something is no rule.
        ValueError
            If there is a rule of the same id.
        """
        self._include([rules] if isinstance(rules, Rule) else rules)
        self.version += 1

    def remove(self, id: str) -> None:
        """Remove a rule.

        Parameters
        ----------
        id : str
            Its id.

        Raises
        ------
        KeyError
            If there is none.
        """
        self._require(id)
        del self._rules[id]
        self._disabled.discard(id)
        self._places.pop(id, None)
        self.version += 1

    def enable(self, id: str) -> None:
        """Let a rule that was disabled match again.

        Parameters
        ----------
        id : str
            Its id.

        Raises
        ------
        KeyError
            If there is none.
        """
        self._require(id)
        self._disabled.discard(id)
        self.version += 1

    def disable(self, id: str) -> None:
        """Keep a rule, but let it match nothing.

        Parameters
        ----------
        id : str
            Its id.

        Raises
        ------
        KeyError
            If there is none.
        """
        self._require(id)
        self._disabled.add(id)
        self.version += 1

    # Use

    def match(self, X: pd.DataFrame, *, n_jobs: int | None = None) -> sparse.csr_matrix:
        """Return which rules hold of which rows.

        Each distinct condition, and each simple condition in several of them, is
        evaluated once; all patterns on a column are looked for in one pass.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            The table.
        n_jobs : int, default=None
            Number of processes that look for patterns, as of joblib. One process
            looks for 20,000 patterns in 40,000 titles a second, and what is compiled is
            sent to each of them, so that it pays for millions of titles, if at all.

        Returns
        -------
        matched : csr_matrix of shape (n_rows, n_rules), bool
            A column for each of `ids`; that of a disabled rule is empty.

        Raises
        ------
        ImportError
            If there are patterns, and the extra ``rules`` is not installed.
        TypeError
            If `X` is no DataFrame, or a column holds other values than a rule is for.
        ValueError
            If a column is missing. Both name the rule and the line of its file.

        Notes
        -----
        Patterns are compiled at the first call, 20,000 in half a minute, and kept in
        the folder named by the environment variable SKLEARN_MEMGEN_CACHE, or else in
        the user's folder of caches; nowhere if it is empty. Later rules are compiled
        alone.
        """
        table = Table(X)
        self.check(X)
        by_condition: dict[Condition, list[int]] = {}
        for column, rule in enumerate(self):
            if rule.id not in self._disabled:
                by_condition.setdefault(rule.when, []).append(column)
        uses = Counter(s for c in by_condition for s in c.simple_conditions())
        table.expect(uses)
        try:
            search_texts(table, uses, self._matchers, n_jobs=n_jobs)
        except PatternError as error:
            raise ValueError(
                f"{self._where(self._find_user(error))}: {error}"
            ) from None
        ids = self.ids
        rows_of: list[np.ndarray] = [np.empty(0, dtype=np.int32)] * len(ids)
        for condition, columns in by_condition.items():
            rows = table.rows.get(condition)
            if rows is None:
                rows = np.flatnonzero(self._holds(condition, table, ids[columns[0]]))
            for column in columns:
                rows_of[column] = rows.astype(np.int32, copy=False)
        ends = np.cumsum([0, *(len(rows) for rows in rows_of)])
        indices = np.concatenate([np.empty(0, dtype=np.int32), *rows_of])
        data = np.ones(len(indices), dtype=bool)
        shape = (len(X), len(ids))
        return sparse.csc_matrix((data, indices, ends), shape=shape).tocsr()

    def check(
        self, X: pd.DataFrame | None = None, *, classes: Iterable[Any] | None = None
    ) -> None:
        """Raise if enabled rules need columns, or name classes, that are not there.

        Parameters
        ----------
        X : DataFrame, default=None
            The table whose columns are looked at.
        classes : iterable of str, int or bool, default=None
            All classes there are.

        Raises
        ------
        ValueError
            If there is such a rule; each is named with the line of its file.
        """
        problems = []
        columns = None if X is None else set(X.columns)
        known = None if classes is None else set(pd.Index(classes).tolist())
        for rule in self._enabled():
            if columns is not None and not rule.columns <= columns:
                names = ", ".join(
                    sorted(write_column(c) for c in rule.columns - columns)
                )
                problems.append(f"{self._where(rule.id)}: X has no column {names}")
            unknown = [c for c in rule.classes if known is not None and c not in known]
            if unknown:
                names = ", ".join(map(repr, unknown))
                problems.append(f"{self._where(rule.id)}: unknown class {names}")
        files.raise_problems(problems, "could not be used")

    def lint(self, X: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return what is wrong, or may be, with the enabled rules.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns), default=None
            Rows on which the rules are compared. Without them only what the conditions
            themselves prove is found.

        Returns
        -------
        problems : DataFrame
            One row each, with the columns "rule" and "other", ids, the latter empty
            where one rule is wrong by itself; "problem": "duplicate" (the same
            condition, kind and class), "subsumed" (the other says the same of all of
            its rows), "dead" (it matches nothing) or "conflicting" (both match some
            rows, and say what cannot be reconciled); and "why", in words.

        Raises
        ------
        TypeError, ValueError
            As of `match`.
        """
        matched = None if X is None else self.match(X).tocsc()
        columns = {id: j for j, id in enumerate(self.ids)}
        return lint_rules(list(self._enabled()), matched, columns)

    # Helpers

    def _copy(self) -> Self:
        other = self.__class__.__new__(self.__class__)
        other.__dict__.update(self.__dict__)
        other._rules, other._places = dict(self._rules), dict(self._places)
        other._disabled = set(self._disabled)
        other._matchers = {name: m.copy() for name, m in self._matchers.items()}
        return other

    def _find_user(self, error: PatternError) -> str:
        """Return the id of a rule that uses a pattern that could not be compiled."""
        return next(
            rule.id
            for rule in self._enabled()
            for condition in rule.when.simple_conditions()
            if getattr(condition, "pattern", None) == error.patterns[0]
        )

    def _enabled(self) -> Iterator[Rule]:
        return (rule for rule in self if rule.id not in self._disabled)

    def _include(self, rules: Iterable[Rule]) -> None:
        more: dict[str, Rule] = {}
        for rule in rules:
            if not isinstance(rule, Rule):
                raise TypeError(f"a RuleSet holds rules; got {rule!r}")
            if rule.id in self._rules or rule.id in more:
                place = self._places.get(rule.id)
                where = f" ({place})" if place else ""
                raise ValueError(f"there is a rule of id {rule.id!r} already{where}")
            more[rule.id] = rule
        self._rules.update(more)

    def _require(self, id: str) -> None:
        if id not in self._rules:
            raise KeyError(f"there is no rule of id {id!r}")

    def _where(self, id: str) -> str:
        place = self._places.get(id)
        return f"{place}, rule {id!r}" if place else f"rule {id!r}"

    def _holds(self, condition: Condition, table: Table, id: str) -> np.ndarray:
        try:
            return condition.truth(table)[0]
        except Exception as error:
            message = f"{self._where(id)}: {error}"
            if type(error) in (TypeError, ValueError, ImportError, TimeoutError):
                raise type(error)(message) from error
            error.add_note(f"in {self._where(id)}")
            raise
