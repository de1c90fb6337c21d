"""Expressions in the syntax of the engine, and how they are joined."""

from __future__ import annotations

import re

from sklearn_memgen.rules.alphabet import MARK

__all__ = [
    "EMPTY",
    "MARK_FORM",
    "MAX_LENGTH",
    "MAX_TOTAL",
    "Forms",
    "any_of",
    "join",
    "write_symbol",
    "write_times",
]

#: Expressions of which one is to be found.
Forms = tuple[str, ...]

EMPTY: Forms = ("",)
#: The mark, as an expression.
MARK_FORM = f"\\x{MARK:x}"

#: The engine takes expressions of 16,000 characters; more is written as several.
MAX_LENGTH = 4_000
#: Larger ones, such as those of thousands of words, would take minutes to compile.
MAX_TOTAL = 40_000

#: An expression that can be repeated as it stands.
_SINGLE = re.compile(
    r"\\x(?:[0-9a-f]{2}|\{[0-9a-f]+\})|\[[^\]]*\]|[\w .]|\(\?:[^()]*\)"
)


def join(one: Forms, two: Forms) -> Forms:
    """Return the forms that begin with one of some and end with one of others."""
    if one == EMPTY:
        return two
    if two == EMPTY:
        return one
    if not one or not two:
        return ()
    left, right = any_of(one), any_of(two)
    if max(len(left), len(right)) <= MAX_LENGTH:
        return (left + right,)
    # Long ones are written out, to be parted later.
    total = sum(map(len, one)) * len(two) + sum(map(len, two)) * len(one)
    if total > MAX_TOTAL:
        raise ValueError("it is too long; split it into several conditions")
    return tuple(a + b for a in one for b in two)


def any_of(forms: Forms) -> str:
    """Return an expression for any of some forms."""
    if len(forms) == 1:
        return forms[0]
    if "" not in forms and all(map(_begins_with_mark, forms)):
        # What all have in common is easier to find.
        return MARK_FORM + any_of(tuple(form[len(MARK_FORM) :] for form in forms))
    some = "|".join(form for form in forms if form)
    if "" not in forms:
        return f"(?:{some})"
    if _SINGLE.fullmatch(some):
        return f"{some}?"
    if some[-1] == "+" and _SINGLE.fullmatch(some[:-1]):
        return f"{some[:-1]}*"
    return f"(?:{some})?"


def _begins_with_mark(form: str) -> bool:
    return (
        form.startswith(MARK_FORM)
        and form[len(MARK_FORM) : len(MARK_FORM) + 1] not in "?*+{"
    )


def write_times(forms: Forms, low: int, high: int | None) -> str:
    """Return an expression for so many of some forms."""
    group = any_of(forms)
    if high == 0:
        return ""
    if (low, high) == (1, 1):
        return group
    if not _SINGLE.fullmatch(group):
        group = f"(?:{group})"
    times = {(0, 1): "?", (0, None): "*", (1, None): "+"}.get((low, high))
    if times is None:
        last = "" if high is None else high
        times = f"{{{low}}}" if low == high else f"{{{low},{last}}}"
    return group + times


def write_symbol(symbol: int) -> str:
    character = chr(symbol)
    if character.isascii() and (character.isalnum() or character == " "):
        return character
    return f"\\x{symbol:02x}" if symbol < 256 else f"\\x{{{symbol:x}}}"
