r"""Patterns with a slot, ``\syn``, for words that are still to be found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from sklearn_memgen.rules.literals import shorten
from sklearn_memgen.rules.patterns import compile_pattern

__all__ = ["SLOT", "SlotPattern", "find_in", "find_matches", "parse_slot"]

SLOT = r"\syn"

#: A word: letters, digits and _, with single marks inside, as in "5.5" or "in-ear".
_WORD = r"\w+(?:[-'’.]\w+)*"
_START, _END = r"(?<!\w)(?<!\w[-'’.])", r"(?!\w)(?![-'’.]\w)"
#: What a pattern is made of: the slot, an escape, a class of characters, or one.
_PIECE = re.compile(r"\\syn|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
#: Contexts have no more characters a word, so that long texts take linear time.
_WORD_LENGTH = 50
_OPENING = re.compile(r"\((?:\?(?::|P<\w+>))?")


@dataclass(frozen=True)
class SlotPattern:
    r"""A pattern, cut at the group of alternatives that the slot is in.

    Parameters
    ----------
    before, after : str
        What stands before and after the group.
    opening : str
        How the group begins, such as ``(`` or ``(?:``.
    alternatives : tuple of str
        Those beside the slot, in their order.
    place : int
        How many of them stand before the slot.
    """

    before: str
    opening: str
    alternatives: tuple[str, ...]
    place: int
    after: str

    def fill(self, phrases: Iterable[str] = ()) -> str:
        r"""Return the pattern with phrases in place of the slot.

        Parameters
        ----------
        phrases : iterable of str
            Words, as they stand in texts. A space stands for any number of them.

        Returns
        -------
        pattern : str
            For :mod:`re`.
        """
        written = [r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases]
        return self._write(self.opening, self._insert(written))

    def capture_known(self) -> str:
        """Return the pattern without the slot, its group named "synonym"."""
        return self._write("(?P<synonym>", self.alternatives)

    def capture_words(self, least: int, most: int) -> str:
        """Return the pattern with only words in the group, named "synonym".

        Parameters
        ----------
        least, most : int
            Number of words.

        Returns
        -------
        pattern : str
            For :mod:`re`.
        """
        more = rf"(?:\s+{_WORD}){{{least - 1},{most - 1}}}?"
        return self._write("(?P<synonym>", [_START + _WORD + more + _END])

    def _insert(self, written: list[str]) -> list[str]:
        known = list(self.alternatives)
        return known[: self.place] + written + known[self.place :]

    def _write(self, opening: str, alternatives: Iterable[str]) -> str:
        return f"{self.before}{opening}{'|'.join(alternatives)}){self.after}"


def parse_slot(pattern: str, *, case: bool = True) -> SlotPattern:
    r"""Find the slot of a pattern, and the group it is in.

    Parameters
    ----------
    pattern : str
        With one slot.
    case : bool, default=True
        Whether upper and lower case differ.

    Returns
    -------
    parsed : SlotPattern
        Its parts.

    Raises
    ------
    TypeError
        If `pattern` is no string.
    ValueError
        If there is no slot or several, if it is no alternative of a group beside
        others, or if the pattern is none.

    Examples
    --------
    >>> from sklearn_memgen.rules.slots import parse_slot
    >>> parsed = parse_slot(r"(motor|engine|\syn) oils?")
    >>> parsed.alternatives, parsed.fill(["two stroke"])
    (('motor', 'engine'), '(motor|engine|two\\s+stroke) oils?')
    """
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be text; got {shorten(repr(pattern))}")
    shown = shorten(repr(pattern))
    pieces = list(_PIECE.finditer(pattern))
    slots = [i for i, piece in enumerate(pieces) if piece.group() == SLOT]
    if len(slots) != 1:
        raise ValueError(
            rf"a pattern needs one slot, \syn; got {len(slots)} in {shown}. An example "
            r'is r"(motor|engine|\syn) oils?"'
        )
    group = _find_group([piece.group() for piece in pieces], slots[0])
    if group is None:
        raise ValueError(
            rf"\syn must be an alternative of a group, as in (motor|\syn) oils?; got "
            f"{shown}"
        )
    first, bars, last = group
    start, end = pieces[first].start(), pieces[last].start()
    opening = _OPENING.match(pattern, start)
    if opening is None or pattern[opening.end()] == "?":
        raise ValueError(
            rf"the group of \syn must begin by (, (?: or (?P<name>; got {shown}"
        )
    cuts = [opening.end() - 1, *(pieces[i].start() for i in bars), end]
    texts = [pattern[i + 1 : j] for i, j in pairwise(cuts)]
    if SLOT not in texts:
        raise ValueError(
            rf"\syn must be an alternative by itself, as in (motor|\syn) oils?; got "
            f"{shown}"
        )
    place = texts.index(SLOT)
    del texts[place]
    parsed = SlotPattern(
        pattern[:start], opening.group(), tuple(texts), place, pattern[end + 1 :]
    )
    if not texts:
        raise ValueError(
            r"\syn needs at least one known synonym beside it, as in (motor|\syn); "
            f"got {shown}"
        )
    compile_pattern(parsed.fill(), case=case)
    for text in texts:
        if compile_pattern(f"(?:{text})", case=case).fullmatch(""):
            raise ValueError(rf"an alternative beside \syn is empty in {shown}")
    for written in (parsed.capture_known(), parsed.capture_words(1, 1)):
        compile_pattern(written, case=case)
    return parsed


def _find_group(pieces: list[str], slot: int) -> tuple[int, list[int], int] | None:
    """Return the places of the ends of the group of a piece, and of its bars."""
    open_: list[int] = []
    bars: dict[int, list[int]] = {}
    for i, piece in enumerate(pieces):
        if piece == "(":
            open_.append(i)
            bars[i] = []
        elif piece == "|" and open_:
            bars[open_[-1]].append(i)
        elif piece == ")" and open_:
            first = open_.pop()
            if first < slot < i:
                return first, bars[first], i
    return None


def find_matches(
    pattern: re.Pattern[str], texts: list[str], context: int
) -> pd.DataFrame:
    """Find what stands in the slot, and the words around each match.

    Parameters
    ----------
    pattern : re.Pattern
        With a group "synonym".
    texts : list of str
        Where to look.
    context : int
        Number of words before and after the match.

    Returns
    -------
    matches : DataFrame of shape (n_matches, 5)
        Columns "text", the place in `texts`, "candidate", "matched", "prefix" and
        "suffix".
    """
    window = context * _WORD_LENGTH
    rows = []
    for i, text in enumerate(texts):
        for match in pattern.finditer(text):
            if match["synonym"]:
                start, end = match.span()
                before = text[max(start - window, 0) : start].split()
                after = text[end : end + window].split()
                prefix, suffix = " ".join(before[-context:]), " ".join(after[:context])
                rows.append((i, match["synonym"], match.group(), prefix, suffix))
    columns = ["text", "candidate", "matched", "prefix", "suffix"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype(dict.fromkeys(columns[1:], object) | {"text": int})


def find_in(texts: pd.Series, pattern: str, *, case: bool) -> np.ndarray:
    """Return in which texts, of which many are equal, a pattern is found.

    Parameters
    ----------
    texts : Series of shape (n_texts,)
        Where to look, in each distinct text once.
    pattern : str
        In the syntax of :mod:`re`.
    case : bool
        Whether upper and lower case differ.

    Returns
    -------
    found : ndarray of shape (n_texts,), bool
        Where it is.
    """
    codes, distinct = pd.factorize(texts)
    search = compile_pattern(pattern, case=case).search
    return np.array([search(text) is not None for text in distinct], dtype=bool)[codes]
