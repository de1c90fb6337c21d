"""Conditions on texts, evaluated together."""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_memgen.rules.column_values import ColumnValues, Table
from sklearn_memgen.rules.databases import Pattern
from sklearn_memgen.rules.engine import has_engine
from sklearn_memgen.rules.literals import shorten
from sklearn_memgen.rules.matching import Matcher

__all__ = ["find_rows", "search_slowly", "search_texts"]

#: As many plain texts are looked for by Python itself, which is as fast then.
_FEW = 30


def search_texts(
    table: Table,
    conditions: Iterable[Any],
    matchers: dict[Hashable, Matcher] | None = None,
    *,
    n_jobs: int | None = None,
) -> None:
    """Find the rows of all conditions on texts in one pass over each column.

    Conditions that cannot be evaluated are left out; they say why in their turn.

    Parameters
    ----------
    table : Table
        The table, which keeps what is found in `rows`.
    conditions : iterable of Condition
        Simple conditions, of any kind.
    matchers : dict of str or int to Matcher, default=None
        What has been compiled for each column, and is kept for the next time.
    n_jobs : int, default=None
        Number of processes, as of joblib.

    Raises
    ------
    PatternError
        If a pattern cannot be compiled.
    """
    if matchers is None:
        matchers = {}
    by_column: dict[Hashable, dict[Any, Pattern]] = {}
    for condition in conditions:
        pattern = getattr(condition, "pattern", None)
        if pattern is not None and condition not in table.rows:
            by_column.setdefault(condition.column, {})[condition] = pattern
    for name, patterns in by_column.items():
        column = table.find_column(name)
        if column is None or column.kind != "text":
            continue
        matcher = matchers.setdefault(name, Matcher())
        _search_column(table, column, patterns, matcher, n_jobs)


def _search_column(
    table: Table,
    column: ColumnValues,
    patterns: dict[Any, Pattern],
    matcher: Matcher,
    n_jobs: int | None,
) -> None:
    plain = {c: p for c, p in patterns.items() if p.literal and p.case}
    by_python = len(plain) == len(patterns) <= _FEW or not has_engine()
    if by_python:
        columns = [
            np.flatnonzero([pattern.text in text for text in column.values])
            for pattern in plain.values()
        ]
        found = _stack(columns, len(column.values))
        conditions = list(plain)
    else:
        distinct = list(dict.fromkeys(patterns.values()))
        found = matcher.find(distinct, column.values.tolist(), n_jobs=n_jobs)
        places = {pattern: j for j, pattern in enumerate(distinct)}
        found = found[:, [places[pattern] for pattern in patterns.values()]]
        conditions = list(patterns)
    spread = column.spread_sparse(found)
    table.n_evaluated += len(conditions)
    ends = spread.indptr
    for j, condition in enumerate(conditions):
        table.rows[condition] = spread.indices[ends[j] : ends[j + 1]]


def _stack(columns: list[np.ndarray], n_rows: int) -> sparse.csc_matrix:
    """Return a matrix of the numbers of the rows that are true in each column."""
    ends = np.cumsum([0, *map(len, columns)])
    indices = np.concatenate([np.empty(0, dtype=np.intp), *columns])
    data = np.ones(len(indices), dtype=bool)
    return sparse.csc_matrix((data, indices, ends), shape=(n_rows, len(columns)))


def find_rows(table: Table, condition: Any) -> np.ndarray:
    """Return the rows of which a condition on a column of texts holds.

    Parameters
    ----------
    table : Table
        The table.
    condition : Atom
        With a pattern.

    Returns
    -------
    rows : ndarray of shape (n_found,), int
        Their numbers, ascending.

    Raises
    ------
    ImportError
        If the engine is needed and not installed.
    """
    if condition not in table.rows:
        search_texts(table, [condition])
    if condition not in table.rows:
        has_engine(required=True)
    return table.rows[condition]


def search_slowly(
    pattern: str, column: ColumnValues, *, case: bool, timeout: float | None
) -> np.ndarray:
    """Return in which values of a column a pattern is found, by backtracking.

    Parameters
    ----------
    pattern : str
        A regular expression.
    column : ColumnValues
        Of texts.
    case : bool
        Whether upper and lower case differ.
    timeout : float
        Seconds a text may take.

    Returns
    -------
    found : ndarray of shape (n_values,), bool
        True where it is found.

    Raises
    ------
    ImportError
        If :mod:`regex` is not installed.
    TimeoutError
        If a text takes longer.
    """
    try:
        regex = importlib.import_module("regex")
    except ImportError as error:
        raise ImportError(
            "patterns with a timeout are matched by regex, which is not installed; "
            "install it by pip install 'sklearn-memgen[rules]'"
        ) from error
    compiled = regex.compile(pattern, 0 if case else regex.IGNORECASE)
    found = np.zeros(len(column.values), dtype=bool)
    for i, text in enumerate(column.values):
        try:
            found[i] = compiled.search(text, timeout=timeout) is not None
        except TimeoutError:
            row = column.spread(np.arange(len(found)) == i).argmax()
            raise TimeoutError(
                f"the pattern {shorten(repr(pattern))} takes longer than {timeout} s "
                f"in row {row}, {shorten(repr(text))}"
            ) from None
    return found
