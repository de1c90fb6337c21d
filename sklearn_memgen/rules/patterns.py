"""Regular expressions: compiled once, and refused in words."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from sklearn_memgen.rules.literals import shorten

__all__ = ["compile_pattern"]


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
    if not pattern:
        raise ValueError("an empty text is found in every text; use ~isna()")
    if "\b" in pattern:
        raise ValueError(
            f"{shorten(repr(pattern))} has a backspace character in it; for a word "
            r'boundary write a raw string: r"\b..."'
        )
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
