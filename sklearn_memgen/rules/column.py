"""col: the name of a column, of which conditions are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from sklearn_memgen.rules.atoms import Atom
from sklearn_memgen.rules.conditions import Condition, Not
from sklearn_memgen.rules.literals import (
    check_value,
    check_values,
    kind_of,
    shorten,
    write_column,
)
from sklearn_memgen.rules.patterns import check_pattern

__all__ = ["Column", "col"]

#: Nobody waits longer for a text.
_LONGEST = 60


def col(name: str | int) -> Column:
    r"""Name a column, to make conditions of it.

    Parameters
    ----------
    name : str or int
        Name of a column of the table.

    Returns
    -------
    column : Column
        Compare it by ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, or call `matches`,
        `contains`, `isin`, `between` or `isna`.

    Raises
    ------
    TypeError
        If `name` is neither a string nor an integer.

    Examples
    --------
    >>> from sklearn_memgen.rules import col
    >>> col("title").matches(r"\b(motor|engine) oils?\b") & (col("price") < 50)
    title.matches(r"\b(motor|engine) oils?\b") & (price < 50)
    >>> ~col("Unit price").between(10, 20) | (col("brand") != "Acme")
    ~col("Unit price").between(10, 20) | (brand != "Acme")
    """
    return Column(name)


class Column:
    """A column of a table by its name; see :func:`col`.

    Parameters
    ----------
    name : str or int
        Name of the column.
    """

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str | int) -> None:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise TypeError(
                f"the name of a column must be a string or an integer; got {name!r}"
            )
        self.name = name

    def __repr__(self) -> str:
        return write_column(self.name)

    # Text

    def matches(
        self, pattern: str, *, case: bool = True, timeout: float | None = None
    ) -> Condition:
        r"""Hold of text in which a regular expression is found, anywhere.

        Parameters
        ----------
        pattern : str
            In the syntax of :mod:`re`, best as a raw string: ``r"\brings?\b"``. What it
            matches is what :func:`re.search` finds, but in linear time, and together
            with all other patterns. So look-around, references to groups, atomic
            groups and possessive repeats are refused, unless there is a `timeout`.
        case : bool, default=True
            Whether upper and lower case differ.
        timeout : float, default=None
            Seconds that a pattern with any of these may take for a text, such as 0.1.
            It is run by itself, by the package :mod:`regex`; TimeoutError is raised if
            the time is over. Of other patterns it makes no difference.

        Returns
        -------
        condition : Condition
            For text only: a column of numbers raises TypeError when it is evaluated.

        Raises
        ------
        TypeError
            If `pattern` is no string.
        ValueError
            If it is empty or no regular expression, or cannot be matched in linear
            time.

        Notes
        -----
        Conditions are made without it, but to evaluate one, the extra ``rules`` must be
        installed.
        """
        limit = _check_timeout(timeout)
        text = str(_check_text(pattern, "matches"))
        check_pattern(text, case=_check_case(case), slow=limit is not None)
        return Atom(self.name, "matches", text, case, limit)

    def contains(self, text: str, *, case: bool = True) -> Condition:
        """Hold of text in which another is found, as it stands.

        Parameters
        ----------
        text : str
            The text, no pattern.
        case : bool, default=True
            Whether upper and lower case differ.

        Returns
        -------
        condition : Condition
            For text only: a column of numbers raises TypeError when it is evaluated.

        Raises
        ------
        TypeError
            If `text` is no string.
        ValueError
            If it is empty.
        """
        check_pattern(
            _check_text(text, "contains"), case=_check_case(case), literal=True
        )
        return Atom(self.name, "contains", str(text), case)

    # Values

    def isin(self, values: Iterable[Any]) -> Condition:
        """Hold of some values.

        Parameters
        ----------
        values : iterable of str, of numbers or of bool
            The values, all of one kind.

        Returns
        -------
        condition : Condition
            For columns of that kind.

        Raises
        ------
        TypeError
            If a value is of another type, or `values` is a string.
        ValueError
            If there is none, or they are of several kinds.
        """
        return Atom(self.name, "isin", check_values(values))

    def between(self, low: float, high: float) -> Condition:
        """Hold of numbers from `low` to `high`, both included.

        Parameters
        ----------
        low, high : float
            The ends.

        Returns
        -------
        condition : Condition
            For columns of numbers.

        Raises
        ------
        TypeError
            If an end is no number.
        ValueError
            If `low` is greater than `high`, or one is not finite.
        """
        ends = (_check_number(low, "between"), _check_number(high, "between"))
        if ends[0] > ends[1]:
            raise ValueError(f"between({low}, {high}) holds of nothing; swap the ends")
        return Atom(self.name, "between", ends)

    def isna(self) -> Condition:
        """Hold of missing values.

        Returns
        -------
        condition : Condition
            The only one that is true of a missing value.
        """
        return Atom(self.name, "isna")

    # Comparisons

    def __eq__(self, other: Any) -> Condition:  # type: ignore[override]
        _refuse_column(other)
        if other is None or other != other:
            raise ValueError("nothing equals a missing value; use isna()")
        return Atom(self.name, "==", check_value(other))

    def __ne__(self, other: Any) -> Condition:  # type: ignore[override]
        return Not(self == other)

    def __lt__(self, other: Any) -> Condition:
        return Atom(self.name, "<", _check_number(other, "<"))

    def __le__(self, other: Any) -> Condition:
        return Atom(self.name, "<=", _check_number(other, "<="))

    def __gt__(self, other: Any) -> Condition:
        return Atom(self.name, ">", _check_number(other, ">"))

    def __ge__(self, other: Any) -> Condition:
        return Atom(self.name, ">=", _check_number(other, ">="))

    # Wrong use

    def _refuse_joining(self, other: Any = None) -> NoReturn:
        raise TypeError(
            f"col({self.name!r}) is a column, not a condition yet. Put comparisons in "
            'parentheses: (col("a") == 1) & (col("b") == 2), and write '
            'col("a") == True for a column of booleans'
        )

    __and__ = __rand__ = __or__ = __ror__ = __invert__ = _refuse_joining
    __bool__ = _refuse_joining

    def __contains__(self, other: Any) -> NoReturn:
        raise TypeError(
            f"write col({self.name!r}).contains({other!r}), or isin for whole values"
        )


def _refuse_column(other: Any) -> None:
    if isinstance(other, Column | Condition):
        raise TypeError(
            f"a column is compared with a value; got {other!r}. For two columns use a "
            "function of the table"
        )


def _check_number(value: Any, action: str) -> int | float:
    _refuse_column(value)
    if value is None:
        raise TypeError(f"{action} is for numbers; got None. Use isna()")
    checked = check_value(value)
    if kind_of(checked) != "numbers":
        raise TypeError(f"{action} is for numbers; got {shorten(repr(value))}")
    return checked  # type: ignore[return-value]


def _check_text(text: Any, action: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{action} needs text; got {shorten(repr(text))}")
    return text


def _check_case(case: Any) -> bool:
    if not isinstance(case, bool):
        raise TypeError(f"case must be True or False; got {case!r}")
    return case


def _check_timeout(timeout: Any) -> float | None:
    if timeout is None:
        return None
    seconds = _check_number(timeout, "timeout")
    if not 0 < seconds <= _LONGEST:
        raise ValueError(
            f"timeout must be positive and at most {_LONGEST} seconds; got {timeout!r}"
        )
    return float(seconds)
