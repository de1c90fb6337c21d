r"""Texts in as few symbols as some patterns tell characters apart by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sklearn_memgen.rules.pattern_tree import (
    N_CHARACTERS,
    NEWLINE,
    CharSet,
    word_characters,
)

__all__ = ["MARK", "Alphabet"]

#: The symbol that stands in a text wherever a word begins or ends.
MARK = 128

_SURROGATES, _N_SURROGATES = 0xD800, 0x800
#: Sets that are looked at together when characters are told apart.
_BLOCK = 64


class Alphabet:
    r"""What characters are to some patterns: those that all sets have alike are one.

    The sets of characters in all patterns, such as ``a``, ``[0-9]`` and ``\w``, split
    the 1,114,112 characters of Unicode into a few groups. A text is written with one
    symbol for each group, so that a set of any number of characters is one of a few
    symbols, mostly of one byte, and means the same in any engine. A mark before and
    after each word turns ``\b``, too, into a symbol.

    Parameters
    ----------
    sets : iterable of tuple of int
        Sets of characters as of `pattern_tree`.
    marked : bool, default=False
        Whether texts have marks.
    ascii_words : bool, default=False
        Whether words are made of ASCII characters only.

    Attributes
    ----------
    n_symbols : int
        Symbols are below this number.
    word_symbols : int
        The symbols of characters of words, as bits; 0 without marks.
    is_bytes : bool
        Whether each symbol is a byte; if not, texts are in UTF-8.

    Examples
    --------
    >>> from sklearn_memgen.rules.alphabet import Alphabet
    >>> alphabet = Alphabet([(97, 98), (48, 58)], marked=True)
    >>> alphabet.encode(["a 7", "ü", ""])
    [b'\x80a\x80\x00\x800\x80', b'\x80A\x80', b'']
    """

    def __init__(
        self,
        sets: Iterable[CharSet],
        *,
        marked: bool = False,
        ascii_words: bool = False,
    ) -> None:
        words = word_characters(ascii_words) if marked else ()
        starts, groups = _tell_apart([*sets, words, NEWLINE])
        # A group has the symbol of its first character, if that is an ASCII one.
        _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
        symbols = starts[first]
        others = np.flatnonzero(symbols >= MARK)
        symbols[others] = MARK + 1 + np.arange(len(others))
        symbols[symbols >= _SURROGATES] += _N_SURROGATES
        self._set(starts, symbols[groups], words)

    def _set(self, starts: np.ndarray, symbols: np.ndarray, words: CharSet) -> None:
        self._starts, self._symbols = starts, symbols
        self._words = words
        self._bits: dict[CharSet, int] = {}
        self.marked = bool(words)
        self.n_symbols = max(int(symbols.max()), MARK) + 1
        self.is_bytes = self.n_symbols <= 256
        self.word_symbols = self.find_symbols(words)
        self._table: np.ndarray | None = None
        self._is_word = np.zeros(self.n_symbols, dtype=bool)
        self._is_word[symbols[self._find_stretches(words)]] = True

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays of which `from_arrays` makes the alphabet again."""
        return {
            "starts": self._starts,
            "symbols": self._symbols,
            "words": np.array(self._words, dtype=np.int64),
        }

    @classmethod
    def from_arrays(
        cls, starts: np.ndarray, symbols: np.ndarray, words: np.ndarray
    ) -> Alphabet:
        """Make the alphabet that `arrays` describes.

        Parameters
        ----------
        starts, symbols, words : ndarray, int
            The arrays.

        Returns
        -------
        alphabet : Alphabet
            The same.
        """
        alphabet = cls.__new__(cls)
        alphabet._set(starts, symbols, tuple(words.tolist()))
        return alphabet

    def _find_stretches(self, characters: CharSet) -> np.ndarray:
        """Return which stretches of equal characters lie in a set."""
        ends = np.searchsorted(self._starts, np.array(characters, dtype=np.int64))
        return _cover(ends, len(self._starts))

    def find_symbols(self, characters: CharSet) -> int:
        """Return the symbols of the characters of a set, as bits of an integer.

        Parameters
        ----------
        characters : tuple of int
            One of `sets`, or a union of some.

        Returns
        -------
        symbols : int
            Bit s is set if the symbol s is among them.
        """
        bits = self._bits.get(characters)
        if bits is None:
            found = self._symbols[self._find_stretches(characters)]
            bits = sum(1 << symbol for symbol in np.unique(found).tolist())
            self._bits[characters] = bits
        return bits

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Return texts written in symbols.

        Parameters
        ----------
        texts : sequence of str
            Any texts, with lone surrogates, too.

        Returns
        -------
        encoded : list of bytes
            One byte a symbol, or UTF-8.
        """
        if not len(texts):
            return []
        # A newline, of no word, stands between texts, and goes away again.
        joined = "\n".join([*texts, ""])
        characters = np.frombuffer(
            joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32
        )
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        ends = np.cumsum(lengths + 1) - 1
        symbols = self._table_of_symbols()[characters]
        written, places = symbols, np.arange(len(symbols))
        if self.marked:
            is_word = self._is_word[symbols]
            marks = np.diff(is_word, prepend=False)
            places = places + np.cumsum(marks)
            written = np.full(len(symbols) + marks.sum(), MARK, dtype=symbols.dtype)
            written[places] = symbols
        ends = places[ends]
        if self.is_bytes:
            data = written.tobytes()
        else:
            data = written.tobytes().decode("utf-32-le").encode()
            sizes = 1 + sum((written >= least).astype(np.int64) for least in _LEAST)
            ends = np.cumsum(sizes)[ends] - 1
        begins = [0, *(ends + 1).tolist()]
        return [data[a:b] for a, b in zip(begins[:-1], ends.tolist(), strict=True)]

    def _table_of_symbols(self) -> np.ndarray:
        """Return the symbol of each character."""
        if self._table is None:
            sizes = np.diff(self._starts, append=N_CHARACTERS)
            dtype = "u1" if self.is_bytes else "<u4"
            self._table = np.repeat(self._symbols.astype(dtype), sizes)
        return self._table


#: The least numbers of which UTF-8 is 2, 3 and 4 bytes long.
_LEAST = (0x80, 0x800, 0x10000)


def _cover(ends: np.ndarray, size: int) -> np.ndarray:
    """Return booleans that are true from each first to each second end."""
    steps = np.zeros(size + 1, dtype=np.int64)
    np.add.at(steps, ends[::2], 1)
    np.add.at(steps, ends[1::2], -1)
    return np.cumsum(steps[:-1]) > 0


def _tell_apart(sets: Iterable[CharSet]) -> tuple[np.ndarray, np.ndarray]:
    """Return where stretches of characters begin, and which of them are alike.

    Two characters are alike if they are in the same sets.
    """
    distinct = sorted(set(sets))
    cuts = np.unique(np.array([0, *(c for each in distinct for c in each)]))
    starts = cuts[cuts < N_CHARACTERS].astype(np.int64)
    groups = np.zeros(len(starts), dtype=np.int64)
    # A character that is a set by itself is alike to no other, and needs no look.
    single = [each[0] for each in distinct if len(each) == 2 and each[1] - each[0] == 1]
    groups[np.searchsorted(starts, single)] = 1 + np.arange(len(single))
    larger = [each for each in distinct if len(each) != 2 or each[1] - each[0] > 1]
    for first in range(0, len(larger), _BLOCK):
        block = [
            _cover(np.searchsorted(starts, np.array(each, dtype=np.int64)), len(starts))
            for each in larger[first : first + _BLOCK]
        ]
        keys = np.column_stack([groups, np.packbits(block, axis=0).T])
        groups = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return starts, groups
