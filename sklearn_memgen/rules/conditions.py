"""Conditions on the rows of a table: what an analyst writes before "then"."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from sklearn_memgen.rules.column_values import Table
from sklearn_memgen.rules.literals import MAX_DEPTH
from sklearn_memgen.rules.searching import search_texts

__all__ = ["And", "Condition", "FunctionCondition", "Not", "Or", "Truth"]

#: Where a condition holds and where its contrary holds; neither where it is unknown.
Truth = tuple[np.ndarray, np.ndarray]


class Condition:
    r"""What holds of some rows of a table, and not of others.

    Made by :func:`col` or :func:`parse_condition`, and combined by ``&``, ``|`` and
    ``~``. A condition does not change, and can be a key of a dictionary: two that say
    the same of the same columns are equal, whatever the order of their terms.

    Attributes
    ----------
    columns : frozenset of str or int
        Names of the columns it reads.
    depth : int
        How deep it nests, 0 for a simple one; at most 50.

    Notes
    -----
    Of a missing value only ``isna()`` is true or false; all else is unknown, as in SQL,
    and a row is matched only where its condition is known to hold. So
    ``~(price < 50)`` is the same as ``price >= 50``, and neither matches a row without
    a price: no rule acts on what is not there unless it asks for it, as in
    ``brand.isna() | ~brand.isin(["Acme"])``. Unknown and false is false, unknown or
    true is true. An empty string is a value, and not missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen.rules import col
    >>> X = pd.DataFrame({"title": ["gold rings", "ring binder", None],
    ...                   "price": [80.0, 4.5, 20.0]})
    >>> condition = col("title").matches(r"\brings?\b") & ~(col("price") < 10)
    >>> condition
    title.matches(r"\brings?\b") & ~(price < 10)
    >>> condition.evaluate(X)
    array([ True, False, False])
    >>> (~col("title").contains("gold")).evaluate(X)  # what has no title is unknown
    array([False,  True, False])
    """

    __slots__ = ("_hash", "_key", "columns", "depth")

    _key: Hashable
    _hash: int
    columns: frozenset[str | int]
    depth: int

    def _set(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("a condition cannot be changed; make another one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a condition cannot be changed; make another one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Condition):
            return NotImplemented
        if self is other:
            return True
        same = type(self) is type(other) and self._hash == other._hash
        return same and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __and__(self, other: Any) -> Condition:
        return And.of(self, _check_condition(other, "&"))

    def __or__(self, other: Any) -> Condition:
        return Or.of(self, _check_condition(other, "|"))

    def __rand__(self, other: Any) -> Condition:
        return And.of(_check_condition(other, "&"), self)

    def __ror__(self, other: Any) -> Condition:
        return Or.of(_check_condition(other, "|"), self)

    def __invert__(self) -> Condition:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a condition has no truth value before it meets a table. Instead of and, "
            "or and not write &, | and ~, with comparisons in parentheses: "
            '(col("a") < 5) & (col("b") > 1); instead of 1 <= col("a") <= 5 write '
            'col("a").between(1, 5)'
        )

    def __str__(self) -> str:
        return self._write()

    def __repr__(self) -> str:
        return self._write()

    # What subclasses do

    def truth(self, table: Table) -> Truth:
        """Return the rows of which it is known to hold, and known not to hold."""
        raise NotImplementedError

    def simple_conditions(self) -> Iterator[Condition]:
        """Return an iterator over the simple conditions in it, repeated ones too."""
        raise NotImplementedError

    def _write(self) -> str:
        raise NotImplementedError

    def _write_contrary(self) -> str:
        return f"~{_in_parentheses(self)}"

    @property
    def is_comparison(self) -> bool:
        """Whether it is written with a sign such as ``<``, and needs parentheses."""
        return False

    # Use

    def to_text(self) -> str:
        """Return the text form, from which `parse_condition` makes the same condition.

        Returns
        -------
        text : str
            Such as ``title.matches("rings?") & (price < 50)``.

        Raises
        ------
        ValueError
            If there is a function in it, which has no text form.
        """
        for part in self.simple_conditions():
            if isinstance(part, FunctionCondition):
                raise ValueError(
                    f"{part} is a function, which has no text form; write it by "
                    "col(...), or keep the rule in Python"
                )
        return self._write()

    def evaluate(self, X: pd.DataFrame) -> np.ndarray:
        """Return the rows of a table of which it holds.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            The table.

        Returns
        -------
        rows : ndarray of shape (n_rows,), bool
            True where it is known to hold.

        Raises
        ------
        TypeError
            If `X` is no DataFrame, or a column holds other values than the condition
            is for, such as a number that is to match a pattern.
        ValueError
            If a column is missing.
        """
        table = Table(X)
        search_texts(table, self.simple_conditions())
        return self.truth(table)[0].copy()


class FunctionCondition(Condition):
    """A function of the table as a condition: a labelling function.

    Functions are for what no other condition says. They have no text form, so that
    rules with one stay in Python, and are equal if the functions are the same.

    Parameters
    ----------
    function : callable
        Takes the whole DataFrame and returns booleans of shape (n_rows,); missing ones
        are unknown, as they are of missing values.
    columns : iterable of str or int, default=()
        Names of the columns it reads, as far as they are to be checked beforehand.

    Raises
    ------
    TypeError
        If `function` cannot be called.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen.rules import FunctionCondition, col
    >>> def is_long(X):
    ...     return X["title"].str.len() > 8
    >>> condition = FunctionCondition(is_long, ["title"]) & ~col("title").contains("x")
    >>> condition
    <function is_long> & ~title.contains("x")
    >>> condition.evaluate(pd.DataFrame({"title": ["a long title", "short"]}))
    array([ True, False])
    """

    __slots__ = ("function",)

    function: Callable[[pd.DataFrame], Any]

    def __init__(
        self,
        function: Callable[[pd.DataFrame], Any],
        columns: Any = (),
    ) -> None:
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"a function of the table is needed; got {function!r}")
        names = frozenset([columns] if isinstance(columns, str) else columns)
        self._set(function=function, columns=names, depth=0)
        self._set(_key=function, _hash=hash(("function", function)))

    def __reduce__(self) -> tuple[Any, ...]:
        return FunctionCondition, (self.function, tuple(self.columns))

    def truth(self, table: Table) -> Truth:
        holds, fails = table.find(self, lambda: self._find(table.frame))
        return holds, fails

    def _find(self, X: pd.DataFrame) -> np.ndarray:
        answer = pd.Series(np.asarray(self.function(X), dtype=object))
        known = answer.notna().to_numpy()
        if len(answer) != len(X):
            raise ValueError(
                f"{self} must return one boolean a row, {len(X)}; got {len(answer)}"
            )
        for value in answer[known]:
            if not isinstance(value, bool | np.bool_):
                raise TypeError(f"{self} must return booleans; got {value!r}")
        holds = answer.where(known, False).to_numpy(dtype=bool)
        return np.stack([holds, known & ~holds])

    def simple_conditions(self) -> Iterator[Condition]:
        yield self

    def _write(self) -> str:
        return f"<function {self.name}>"

    @property
    def name(self) -> str:
        """Its name in Python."""
        return getattr(self.function, "__qualname__", type(self.function).__name__)


class Not(Condition):
    """The contrary of a condition: ``~condition``.

    Parameters
    ----------
    term : Condition
        The condition.
    """

    __slots__ = ("term",)

    term: Condition

    def __init__(self, term: Condition) -> None:
        self._set(term=term, columns=term.columns, depth=_deeper(term))
        self._set(_key=term, _hash=hash(("not", term)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Not, (self.term,)

    def __invert__(self) -> Condition:
        return self.term

    def truth(self, table: Table) -> Truth:
        holds, fails = self.term.truth(table)
        return fails, holds

    def simple_conditions(self) -> Iterator[Condition]:
        return self.term.simple_conditions()

    @property
    def is_comparison(self) -> bool:
        """Whether it is written with the sign ``!=``."""
        return not self._write().startswith("~")

    def _write(self) -> str:
        return self.term._write_contrary()


class _Terms(Condition):
    """Several conditions, joined."""

    __slots__ = ("terms",)

    terms: tuple[Condition, ...]
    _sign: str

    def __init__(self, terms: tuple[Condition, ...]) -> None:
        key = frozenset(terms)
        columns = frozenset[str | int]().union(*(term.columns for term in terms))
        self._set(terms=terms, columns=columns, depth=_deeper(*terms))
        self._set(_key=key, _hash=hash((self._sign, key)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.terms,)

    @classmethod
    def of(cls, *conditions: Condition) -> Condition:
        """Join conditions; those of the same kind are taken apart, repeated ones left.

        Parameters
        ----------
        *conditions : Condition
            At least one.

        Returns
        -------
        condition : Condition
            The only one that is left, if it is one.
        """
        terms: dict[Condition, None] = {}
        for condition in conditions:
            inner = condition.terms if isinstance(condition, cls) else (condition,)
            terms.update(dict.fromkeys(inner))
        return next(iter(terms)) if len(terms) == 1 else cls(tuple(terms))

    def simple_conditions(self) -> Iterator[Condition]:
        for term in self.terms:
            yield from term.simple_conditions()

    def _write(self) -> str:
        return f" {self._sign} ".join(_in_parentheses(term) for term in self.terms)


class And(_Terms):
    """Conditions that hold at once: ``a & b``.

    Parameters
    ----------
    terms : tuple of Condition
        At least two, that are no `And`.
    """

    __slots__ = ()

    _sign = "&"

    def truth(self, table: Table) -> Truth:
        holds, fails = self.terms[0].truth(table)
        for term in self.terms[1:]:
            more_holds, more_fails = term.truth(table)
            holds, fails = holds & more_holds, fails | more_fails
        return holds, fails


class Or(_Terms):
    """Conditions of which one holds: ``a | b``.

    Parameters
    ----------
    terms : tuple of Condition
        At least two, that are no `Or`.
    """

    __slots__ = ()

    _sign = "|"

    def truth(self, table: Table) -> Truth:
        holds, fails = self.terms[0].truth(table)
        for term in self.terms[1:]:
            more_holds, more_fails = term.truth(table)
            holds, fails = holds | more_holds, fails & more_fails
        return holds, fails


def _check_condition(other: Any, sign: str) -> Condition:
    if isinstance(other, Condition):
        return other
    if callable(other) and not isinstance(other, type):
        return FunctionCondition(other)
    raise TypeError(
        f"{sign} joins two conditions; got {other!r}. Put comparisons in parentheses: "
        f'(col("a") == 1) {sign} (col("b") == 2)'
    )


def _deeper(*terms: Condition) -> int:
    depth = 1 + max(term.depth for term in terms)
    if depth > MAX_DEPTH:
        raise ValueError(f"a condition nests at most {MAX_DEPTH} deep")
    return depth


def _in_parentheses(term: Condition) -> str:
    """Return the text of a term, in parentheses where it needs them."""
    joined = isinstance(term, And | Or)
    return f"({term})" if joined or term.is_comparison else str(term)
