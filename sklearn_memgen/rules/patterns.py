"""Regular expressions: compiled once, and refused in words."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from sklearn_memgen.rules.databases import Pattern, try_pattern
from sklearn_memgen.rules.literals import shorten
from sklearn_memgen.rules.pattern_tree import UnfitPatternError

__all__ = ["check_pattern", "compile_pattern", "is_linear"]


@lru_cache(maxsize=65_536)
def compile_pattern(
    pattern: str, *, case: bool = True, literal: bool = False
) -> re.Pattern[str]:
    r"""Return a compiled regular expression.

    Parameters
    ----------
    pattern : str
        In the syntax of :mod:`re`.
    case : bool, default=True
        Whether upper and lower case differ.
    literal : bool, default=False
        Whether all characters stand for themselves.

    Returns
    -------
    compiled : re.Pattern
        The same object at the next call.

    Raises
    ------
    ValueError
        If the pattern is none, or is empty and would match everything.

    Examples
    --------
    >>> from sklearn_memgen.rules.patterns import compile_pattern
    >>> compile_pattern("rings?(")
    Traceback (most recent call last):
    ...
    ValueError: bad pattern 'rings?(': missing ), unterminated subpattern at position 6
    """
    _refuse_slips(pattern)
    flags = re.NOFLAG if case else re.IGNORECASE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of syntax that may change its meaning
            return re.compile(re.escape(pattern) if literal else pattern, flags)
    except re.error as error:
        raise ValueError(f"bad pattern {shorten(repr(pattern))}: {error}") from None
    except (RecursionError, OverflowError, MemoryError):
        raise ValueError(
            f"bad pattern {shorten(repr(pattern))}: it is too large or nests too deep"
        ) from None


@lru_cache(maxsize=65_536)
def check_pattern(
    pattern: str, *, case: bool = True, literal: bool = False, slow: bool = False
) -> None:
    r"""Raise unless a pattern can be matched.

    Parameters
    ----------
    pattern : str
        In the syntax of :mod:`re`.
    case : bool, default=True
        Whether upper and lower case differ.
    literal : bool, default=False
        Whether all characters stand for themselves.
    slow : bool, default=False
        Whether it may take more than linear time.

    Raises
    ------
    ValueError
        If it is none, or is empty and would match everything, or cannot be matched in
        linear time.

    Examples
    --------
    >>> from sklearn_memgen.rules.patterns import check_pattern
    >>> check_pattern("(?<=gold )rings?")
    Traceback (most recent call last):
    ...
    ValueError: bad pattern '(?<=gold )rings?': look-ahead and look-behind cannot be
    matched in linear time. Write it as two conditions joined by & or ~, or allow a slow
    search by timeout=0.1, in seconds a text
    """
    _refuse_slips(pattern)
    try:
        try_pattern(Pattern(pattern, case, literal))
    except UnfitPatternError as error:
        if not slow:
            raise ValueError(str(error)) from None
        compile_pattern(pattern, case=case)


@lru_cache(maxsize=4096)
def is_linear(pattern: str, *, case: bool = True) -> bool:
    """Return whether a regular expression can be matched in linear time.

    Parameters
    ----------
    pattern : str
        One that `check_pattern` lets through.
    case : bool, default=True
        Whether upper and lower case differ.

    Returns
    -------
    linear : bool
        False if it has, say, look-around in it.
    """
    try:
        try_pattern(Pattern(pattern, case))
    except UnfitPatternError:
        return False
    return True


def _refuse_slips(pattern: str) -> None:
    if not pattern:
        raise ValueError("an empty text is found in every text; use ~isna()")
    if "\b" in pattern:
        raise ValueError(
            f"{shorten(repr(pattern))} has a backspace character in it; for a word "
            r'boundary write a raw string: r"\b..."'
        )
