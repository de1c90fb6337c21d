"""What follows from a condition, as far as its form alone proves it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from sklearn_memgen.rules.atoms import Atom
from sklearn_memgen.rules.conditions import And, Condition, Not, Or
from sklearn_memgen.rules.literals import kind_of

__all__ = ["Case", "implies", "split_into_cases"]

#: Conditions of more cases than this are not looked into.
_MAX_CASES = 64
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

_Column = str | int
_Value = tuple[str, Any]
#: A simple condition, and whether it is to hold or its contrary.
_Literal = tuple[Condition, bool]


@dataclass(frozen=True, order=True)
class _End:
    """An end of an interval; of two at the same number the open one lies farther in."""

    number: float
    open: bool


@dataclass
class Case:
    """Simple conditions that hold at once, column by column.

    Attributes
    ----------
    low, high : dict of str or int to _End
        Numbers of a column lie between these; the signs of `high` are swapped.
    allowed, excluded : dict of str or int to frozenset
        What a column may be, and what it may not be, with their kinds.
    missing, present : set of str or int
        Columns that are missing, and that are not.
    texts : set of (Condition, bool)
        All else: patterns, and functions.
    """

    low: dict[_Column, _End] = field(default_factory=dict)
    high: dict[_Column, _End] = field(default_factory=dict)
    allowed: dict[_Column, frozenset[_Value]] = field(default_factory=dict)
    excluded: dict[_Column, frozenset[_Value]] = field(default_factory=dict)
    missing: set[_Column] = field(default_factory=set)
    present: set[_Column] = field(default_factory=set)
    texts: set[_Literal] = field(default_factory=set)

    @classmethod
    def of(cls, literals: Iterable[_Literal]) -> Case:
        """Make a case of simple conditions and contraries of them."""
        case = cls()
        for condition, holds in literals:
            case._include(condition, holds)
        for column, values in case.allowed.items():
            kept = (v for v in values if case._leaves(column, v))
            case.allowed[column] = frozenset(kept)
        return case

    def _include(self, condition: Condition, holds: bool) -> None:
        if not isinstance(condition, Atom):
            self.texts.add((condition, holds))
            return
        column, action, value = condition.column, condition.action, condition.value
        if action == "isna":
            (self.missing if holds else self.present).add(column)
            return
        self.present.add(column)
        if action in ("==", "isin"):
            each = value if isinstance(value, tuple) else (value,)
            values = frozenset((kind_of(v), v) for v in each)
            if not holds:
                self.excluded[column] = self.excluded.get(column, frozenset()) | values
            else:
                self.allowed[column] = self.allowed.get(column, values) & values
        elif action == "between":
            self._bound(column, ">=", value[0])
            self._bound(column, "<=", value[1])
        elif action in _NEGATED:
            self._bound(column, action if holds else _NEGATED[action], value)
        else:
            self.texts.add((condition, holds))

    def _bound(self, column: _Column, sign: str, number: float) -> None:
        below = sign in ("<", "<=")
        ends = self.high if below else self.low
        end = _End(-number if below else number, sign in ("<", ">"))
        ends[column] = max(ends.get(column, end), end)

    def _leaves(self, column: _Column, value: _Value) -> bool:
        """Return whether ends and exclusions leave a value."""
        if value in self.excluded.get(column, ()):
            return False
        kind, plain = value
        for ends, sign in ((self.low, 1), (self.high, -1)):
            end = ends.get(column)
            if end is not None:
                if kind != "numbers":
                    return False
                if _End(sign * plain, False) < end:
                    return False
        return True

    @property
    def is_dead(self) -> bool:
        """Whether it cannot hold."""
        if self.missing & self.present:
            return True
        if any(not values for values in self.allowed.values()):
            return True
        for column, low in self.low.items():
            high = self.high.get(column, _End(-math.inf, False))
            if low.number > -high.number:
                return True
            if low.number == -high.number and (low.open or high.open):
                return True
        return any(
            (condition, not holds) in self.texts for condition, holds in self.texts
        )

    @property
    def keys(self) -> set[Hashable]:
        """What a case must have, too, if this one is to follow from it."""
        keys: set[Hashable] = {("column", c) for c in self.missing | self.present}
        for condition, holds in self.texts:
            if isinstance(condition, Atom) and condition.action == "contains" and holds:
                keys.add(("contains", condition.column, condition.case))
            else:
                keys.add((condition, holds))
        return keys

    def implies(self, other: Case) -> bool:
        """Return whether the other case holds wherever this one does.

        Parameters
        ----------
        other : Case
            Another case.

        Returns
        -------
        implies : bool
            True only if that is certain, whatever the table.
        """
        if not (other.missing <= self.missing and other.present <= self.present):
            return False
        if not all(self._has(literal) for literal in other.texts):
            return False
        for column, values in other.allowed.items():
            if column not in self.allowed or not self.allowed[column] <= values:
                return False
        for column, values in other.excluded.items():
            for value in values:
                if column in self.allowed:
                    left = value in self.allowed[column]
                else:
                    left = self._leaves(column, value)
                if left:
                    return False
        return self._lies_within(other, "low") and self._lies_within(other, "high")

    def _has(self, literal: _Literal) -> bool:
        if literal in self.texts:
            return True
        wanted, holds = literal
        if not (holds and isinstance(wanted, Atom) and wanted.action == "contains"):
            return False
        return any(
            isinstance(atom, Atom)
            and held
            and (atom.action, atom.column, atom.case)
            == (wanted.action, wanted.column, wanted.case)
            and wanted.value in atom.value
            for atom, held in self.texts
        )

    def _lies_within(self, other: Case, side: str) -> bool:
        own, sign = getattr(self, side), 1 if side == "low" else -1
        for column, end in getattr(other, side).items():
            if column in own and own[column] >= end:
                continue
            values = self.allowed.get(column)
            if values is None:
                return False
            if not all(
                kind == "numbers" and _End(sign * value, False) >= end
                for kind, value in values
            ):
                return False
        return True


def split_into_cases(condition: Condition) -> list[Case] | None:
    """Return the cases of which one holds wherever a condition does.

    Parameters
    ----------
    condition : Condition
        A condition.

    Returns
    -------
    cases : list of Case or None
        Those that can hold; none, if the condition cannot. None if they are too many.
    """
    literals = _split(condition, True)
    if literals is None:
        return None
    cases = [Case.of(each) for each in literals]
    return [case for case in cases if not case.is_dead]


def _split(condition: Condition, holds: bool) -> list[tuple[_Literal, ...]] | None:
    """Return the disjunctive normal form of a condition, or of its contrary."""
    if isinstance(condition, Not):
        return _split(condition.term, not holds)
    if isinstance(condition, And | Or):
        parts = [_split(term, holds) for term in condition.terms]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        if isinstance(condition, And) == holds:
            if math.prod(map(len, known)) > _MAX_CASES:
                return None
            return [sum(combined, ()) for combined in product(*known)]
        if sum(map(len, known)) > _MAX_CASES:
            return None
        return [case for part in known for case in part]
    if isinstance(condition, Atom) and condition.action == "between" and not holds:
        low, high = condition.value
        below, above = (
            Atom(condition.column, "<", low),
            Atom(condition.column, ">", high),
        )
        return [((below, True),), ((above, True),)]
    return [((condition, holds),)]


def implies(cases: list[Case], others: list[Case]) -> bool:
    """Return whether one condition certainly holds wherever another does.

    Parameters
    ----------
    cases, others : list of Case
        Of the condition that holds, and of the one that is to follow.

    Returns
    -------
    implies : bool
        True only if it is certain, whatever the table.
    """
    return all(any(case.implies(other) for other in others) for case in cases)
