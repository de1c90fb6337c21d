r"""What a regular expression means, read by Python's own parser.

This is the only file that knows :mod:`re` from within. All that decides what a pattern
matches, such as which characters ``\w`` or a letter without regard to its case stand
for, is asked of :mod:`re` itself, so that a tree means what the pattern means there.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from re import _compiler, _parser  # type: ignore[attr-defined]
from re import _constants as sre  # type: ignore[attr-defined]
from typing import Any, NoReturn

import numpy as np

from sklearn_memgen.rules.literals import MAX_TEXT, shorten

__all__ = [
    "NEWLINE",
    "N_CHARACTERS",
    "Anchor",
    "CharSet",
    "Chars",
    "Choice",
    "Node",
    "Repeat",
    "Sequence",
    "UnfitPatternError",
    "count_parts",
    "parse_pattern",
    "word_characters",
]

#: A set of characters: where it begins and ends, by turns, in ascending code points.
#: (48, 58) are the digits from 0 to 9.
CharSet = tuple[int, ...]

N_CHARACTERS = 0x110000
NEWLINE: CharSet = (10, 11)

_MAX_DEPTH = 100
_MAX_PARTS = 10_000
_MAX_NESTED_REPEATS = 10
# As integers, with which it is faster to reckon.
_ASCII, _DOTALL = int(re.ASCII), int(re.DOTALL)
_IGNORECASE, _MULTILINE = int(re.IGNORECASE), int(re.MULTILINE)
#: No character above this one has two cases.
_LAST_CASED = 0x20000
_REFUSED = {
    sre.ASSERT: "look-ahead and look-behind",
    sre.ASSERT_NOT: "look-ahead and look-behind",
    sre.GROUPREF: "a reference to a group",
    sre.GROUPREF_EXISTS: "a reference to a group",
    sre.ATOMIC_GROUP: "an atomic group",
    sre.POSSESSIVE_REPEAT: "a possessive repeat",
}
_ANCHORS = {
    sre.AT_BEGINNING: "start",
    sre.AT_BEGINNING_STRING: "start",
    sre.AT_BEGINNING_LINE: "line start",
    sre.AT_END: "end or last newline",
    sre.AT_END_STRING: "end",
    sre.AT_END_LINE: "line end",
    sre.AT_BOUNDARY: "boundary",
    sre.AT_NON_BOUNDARY: "no boundary",
}
_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_WORD: r"\w",
}
_CONTRARIES = {
    sre.CATEGORY_NOT_DIGIT: sre.CATEGORY_DIGIT,
    sre.CATEGORY_NOT_SPACE: sre.CATEGORY_SPACE,
    sre.CATEGORY_NOT_WORD: sre.CATEGORY_WORD,
}


class UnfitPatternError(ValueError):
    """A regular expression that cannot be matched in linear time, or is too large."""


@dataclass(frozen=True)
class Chars:
    """One character out of a set."""

    characters: CharSet


@dataclass(frozen=True)
class Sequence:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """A part, `low` to `high` times; any number of times if `high` is None."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True)
class Anchor:
    """A place between characters.

    `kind` is "start", "line start", "end", "end or last newline", "line end",
    "boundary" or "no boundary", the latter two of words of ASCII only, if `ascii`.
    """

    kind: str
    ascii: bool = False


Node = Chars | Sequence | Choice | Repeat | Anchor


def parse_pattern(pattern: str, *, case: bool = True, literal: bool = False) -> Node:
    r"""Return what a regular expression means, as a tree.

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
    tree : Chars, Sequence, Choice, Repeat or Anchor
        Its meaning. Groups, and whether a repeat is lazy, are left out: they make no
        difference to whether a pattern is found.

    Raises
    ------
    UnfitPatternError
        If it cannot be found in time that is linear in the length of the text: with
        look-around, references to groups, atomic groups or possessive repeats, or if it
        is too large.
    ValueError
        If it is no pattern.

    Examples
    --------
    >>> from sklearn_memgen.rules.pattern_tree import parse_pattern
    >>> parse_pattern("a[0-9]?$")
    Sequence(parts=(Chars(characters=(97, 98)),
                    Repeat(part=Chars(characters=(48, 58)), low=0, high=1),
                    Anchor(kind='end or last newline', ascii=False)))
    """
    name = shorten(repr(pattern))
    source = re.escape(pattern) if literal else pattern
    if len(source) > MAX_TEXT:
        raise ValueError(
            f"bad pattern {name}: it has {len(source):,} characters, more than the "
            f"{MAX_TEXT:,} allowed; split it into several conditions"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of syntax that may change its meaning
            parsed = _parser.parse(source, 0 if case else re.IGNORECASE)
        node = _Reader(name).read(parsed, int(parsed.state.flags), 0, 0)
    except re.error as error:
        raise ValueError(f"bad pattern {name}: {error}") from None
    except (RecursionError, OverflowError, MemoryError):
        raise ValueError(
            f"bad pattern {name}: it is too large or nests too deep"
        ) from None
    written_out = count_parts(node)
    if written_out > _MAX_PARTS and written_out > len(source):
        raise UnfitPatternError(
            f"bad pattern {name}: with its repeats written out it has more than "
            f"{_MAX_PARTS:,} parts"
        )
    return node


class _Reader:
    """Turns the tree of the parser into ours."""

    def __init__(self, name: str) -> None:
        self.name = name

    def refuse(self, what: str) -> NoReturn:
        raise UnfitPatternError(
            f"bad pattern {self.name}: {what} cannot be matched in linear time. Write "
            "it as two conditions joined by & or ~, or allow a slow search by "
            "timeout=0.1, in seconds a text"
        )

    def read(self, items: Iterable[Any], flags: int, depth: int, repeats: int) -> Node:
        if depth > _MAX_DEPTH or repeats > _MAX_NESTED_REPEATS:
            raise RecursionError
        parts: list[Node] = []
        for op, value in items:
            part = self.read_item(op, value, flags, depth + 1, repeats)
            parts.extend(part.parts if isinstance(part, Sequence) else [part])
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def read_item(
        self, op: Any, value: Any, flags: int, depth: int, repeats: int
    ) -> Node:
        if op in _REFUSED:
            self.refuse(_REFUSED[op])
        if op is sre.SUBPATTERN:
            _, added, removed, items = value
            inner = _compiler._combine_flags(flags, added, removed)
            return self.read(items, inner, depth, repeats)
        if op is sre.BRANCH:
            parts = [self.read(items, flags, depth, repeats) for items in value[1]]
            return Choice(tuple(parts))
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, items = value
            part = self.read(items, flags, depth, repeats + 1)
            return _repeat(part, int(low), None if high is sre.MAXREPEAT else int(high))
        if op is sre.AT:
            if flags & _MULTILINE:
                value = sre.AT_MULTILINE.get(value, value)
            ascii_words = "boundary" in _ANCHORS[value] and bool(flags & _ASCII)
            return Anchor(_ANCHORS[value], ascii_words)
        if op is sre.FAILURE:
            return Chars(())
        return Chars(_read_set(op, value, flags))


def _repeat(part: Node, low: int, high: int | None) -> Node:
    if (low, high) == (1, 1):
        return part
    # (x*)* is x*: nested any deeper, it would be slow to compile.
    if (
        isinstance(part, Repeat)
        and part.high is high is None
        and max(part.low, low) <= 1
    ):
        return Repeat(part.part, min(part.low, low), None)
    return Repeat(part, low, high)


def count_parts(node: Node) -> int:
    """Return the number of characters of a pattern with its repeats written out.

    Parameters
    ----------
    node : Chars, Sequence, Choice, Repeat or Anchor
        The pattern.

    Returns
    -------
    n_parts : int
        Places between characters are counted, too.
    """
    if isinstance(node, Sequence | Choice):
        return sum(map(count_parts, node.parts))
    if isinstance(node, Repeat):
        return count_parts(node.part) * max(node.low, node.high or 0, 1)
    return 1


# Sets of characters


def _read_set(op: Any, value: Any, flags: int) -> CharSet:
    """Return the characters that an element of a pattern stands for."""
    if op is sre.ANY:
        return (0, N_CHARACTERS) if flags & _DOTALL else _complement(NEWLINE)
    if op is sre.LITERAL and not flags & _IGNORECASE:
        return (value, value + 1)
    items = tuple(value) if op is sre.IN else ((op, value),)
    if flags & _IGNORECASE:
        words = flags & _ASCII or int(re.UNICODE)
        return _read_without_case(op, items, _IGNORECASE | words)
    return _read_items(items, bool(flags & _ASCII))


def _read_items(items: tuple[Any, ...], ascii_only: bool) -> CharSet:
    sets: list[CharSet] = []
    negated = False
    for op, value in items:
        if op is sre.NEGATE:
            negated = True
        elif op is sre.LITERAL:
            sets.append((value, value + 1))
        elif op is sre.NOT_LITERAL:
            sets.append(_complement((value, value + 1)))
        elif op is sre.RANGE:
            sets.append((value[0], value[1] + 1))
        elif value in _CONTRARIES:
            sets.append(_complement(_category(_CONTRARIES[value], ascii_only)))
        else:
            sets.append(_category(value, ascii_only))
    united = _union(sets)
    return _complement(united) if negated else united


@lru_cache(maxsize=4096)
def _read_without_case(op: Any, items: tuple[Any, ...], flags: int) -> CharSet:
    """Return the characters of a set whose members may be in another case."""
    plain = _read_items(items, bool(flags & _ASCII))
    cased, cased_set = _cased_characters()
    if (
        len(items) == 1
        and items[0][0] is sre.LITERAL
        and not _overlap(plain, cased_set)
    ):
        return plain
    # Of characters with two cases Python itself says which are found.
    state = _parser.State()
    state.flags = flags
    element = items[0] if op is not sre.IN else (sre.IN, list(items))
    compiled = _compiler.compile(_parser.SubPattern(state, [element]), flags)
    found = _union([(ord(c), ord(c) + 1) for c in compiled.findall(cased)])
    uncased = _complement(_union([_complement(plain), cased_set]))
    return _union([uncased, found])


def _overlap(one: CharSet, two: CharSet) -> bool:
    """Return whether two sets have a character in common."""
    return _complement(_union([_complement(one), _complement(two)])) != ()


@cache
def _cased_characters() -> tuple[str, CharSet]:
    """Return all characters that have another case, or are one, and their set."""
    found: set[str] = set()
    for character in map(chr, range(_LAST_CASED)):
        lower, upper = character.lower(), character.upper()
        if lower != character or upper != character:
            found.update({character}, lower, upper)
    cased = "".join(sorted(set("".join(found))))
    return cased, _union([(ord(c), ord(c) + 1) for c in cased])


@cache
def _category(category: Any, ascii_only: bool) -> CharSet:
    r"""Return the characters of \d, \s or \w."""
    size = 128 if ascii_only else N_CHARACTERS
    characters = "".join(map(chr, range(size)))
    flags = re.ASCII if ascii_only else re.NOFLAG
    spans = re.finditer(f"{_CATEGORIES[category]}+", characters, flags)
    return tuple(end for match in spans for end in match.span())


def _complement(characters: CharSet) -> CharSet:
    """Return all other characters."""
    inner = characters[1:] if characters[:1] == (0,) else (0, *characters)
    return inner[:-1] if inner[-1:] == (N_CHARACTERS,) else (*inner, N_CHARACTERS)


def _union(sets: Iterable[CharSet]) -> CharSet:
    """Return the characters of any of several sets."""
    sets = list(sets)
    if len(sets) == 1:
        return sets[0]
    ends = np.array([end for each in sets for end in each], dtype=np.int64)
    steps = np.tile([1, -1], len(ends) // 2)
    places, where = np.unique(ends, return_inverse=True)
    depth = np.cumsum(np.bincount(where, weights=steps, minlength=len(places)))
    inside = depth > 0
    changes = np.diff(inside, prepend=False)
    return tuple(places[changes].tolist())


def word_characters(ascii_only: bool) -> CharSet:
    r"""Return the characters of which words are made, ``\w``."""
    return _category(sre.CATEGORY_WORD, ascii_only)
