"""Atom: a simple condition on one column."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sklearn_memgen.rules.column_values import ColumnValues, Table
from sklearn_memgen.rules.conditions import Condition, Truth
from sklearn_memgen.rules.databases import Pattern
from sklearn_memgen.rules.literals import kind_of, write_column, write_value
from sklearn_memgen.rules.patterns import is_linear
from sklearn_memgen.rules.searching import find_rows, search_slowly

__all__ = ["Atom"]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_ON_TEXT = ("matches", "contains")


class Atom(Condition):
    """A simple condition on one column; see :class:`Column` for how to make one.

    Parameters
    ----------
    column : str or int
        Name of the column.
    action : str
        "matches", "contains", "isin", "between", "isna", "<", "<=", ">", ">=", "==".
    value : str, number, bool, tuple or None
        What the values of the column are compared with.
    case : bool, default=True
        Whether upper and lower case differ, for text.
    timeout : float, default=None
        Seconds a text may take, for patterns that take more than linear time.
    """

    __slots__ = ("action", "case", "column", "timeout", "value")

    column: str | int
    action: str
    value: Any
    case: bool
    timeout: float | None

    def __init__(
        self,
        column: str | int,
        action: str,
        value: Any = None,
        case: bool = True,
        timeout: float | None = None,
    ) -> None:
        # 1 == True in Python, but not in a column.
        first = value[0] if isinstance(value, tuple) else value
        key = (column, action, kind_of(first), value, case, timeout)
        self._set(column=column, action=action, value=value, case=case)
        self._set(timeout=timeout)
        self._set(columns=frozenset([column]), depth=0, _key=key, _hash=hash(key))

    def __reduce__(self) -> tuple[Any, ...]:
        return Atom, (self.column, self.action, self.value, self.case, self.timeout)

    @property
    def pattern(self) -> Pattern | None:
        """What the engine is to look for; None if it is no condition for it."""
        if self.action not in _ON_TEXT:
            return None
        if self.timeout is not None and not is_linear(self.value, case=self.case):
            return None
        return Pattern(self.value, self.case, self.action == "contains")

    def truth(self, table: Table) -> Truth:
        values = table.column(self.column)
        if self.action == "isna":
            return ~values.present, values.present
        first = self.value[0] if isinstance(self.value, tuple) else self.value
        values.require(kind_of(first), self.column, self._write())
        if self.pattern is not None and values.kind == "text":
            # What is found in texts is kept as numbers of rows, which are few.
            holds = np.zeros(len(values.present), dtype=bool)
            holds[find_rows(table, self)] = True
        else:
            holds = table.find(self, lambda: self._find(table))
        return holds, values.present & ~holds

    def _find(self, table: Table) -> np.ndarray:
        column = table.column(self.column)
        if column.kind == "nothing":
            return np.zeros(len(column.present), dtype=bool)
        # A number of the condition may be too large for the type of the column.
        with np.errstate(over="ignore"):
            return column.spread(self._compare(column))

    def _compare(self, column: ColumnValues) -> np.ndarray:
        """Return of which values, all present and of the right kind, it holds."""
        values = column.values
        if self.action in _COMPARISONS:
            return np.asarray(_COMPARISONS[self.action](values, self.value), dtype=bool)
        if self.action == "between":
            low, high = self.value
            return np.asarray((values >= low) & (values <= high), dtype=bool)
        if self.action == "isin":
            return _find_in(values, self.value)
        return search_slowly(self.value, column, case=self.case, timeout=self.timeout)

    def simple_conditions(self) -> Iterator[Condition]:
        yield self

    @property
    def is_comparison(self) -> bool:
        """Whether it is written with a sign, and needs parentheses."""
        return self.action in _COMPARISONS

    def _write_contrary(self) -> str:
        if self.action == "==":
            return f"{write_column(self.column)} != {write_value(self.value)}"
        return super()._write_contrary()

    def _write(self) -> str:
        name = write_column(self.column)
        if self.is_comparison:
            return f"{name} {self.action} {write_value(self.value)}"
        if self.action == "isna":
            arguments = []
        elif self.action == "between":
            arguments = [write_value(v) for v in self.value]
        else:
            arguments = [write_value(self.value)]
        if not self.case:
            arguments.append("case=False")
        if self.timeout is not None:
            arguments.append(f"timeout={self.timeout!r}")
        return f"{name}.{self.action}({', '.join(arguments)})"


def _find_in(values: np.ndarray, wanted: tuple[Any, ...]) -> np.ndarray:
    """Return which values are among those wanted."""
    kind = values.dtype.kind
    if kind == "f":
        return np.isin(values, np.array(wanted, dtype=values.dtype))
    if kind in "iu":
        ends = np.iinfo(values.dtype)
        whole = [v for v in wanted if isinstance(v, int) and ends.min <= v <= ends.max]
        return np.isin(values, np.array(whole, dtype=values.dtype))
    among = frozenset(wanted)
    return np.fromiter((v in among for v in values), dtype=bool, count=len(values))
