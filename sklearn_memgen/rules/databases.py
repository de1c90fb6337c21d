r"""Patterns compiled for a multi-pattern engine."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from sklearn_memgen.rules import pattern_cache, pattern_tree
from sklearn_memgen.rules.alphabet import Alphabet
from sklearn_memgen.rules.engine import has_engine, import_engine
from sklearn_memgen.rules.literals import shorten
from sklearn_memgen.rules.pattern_parts import find_sets, has_boundaries
from sklearn_memgen.rules.pattern_tree import (
    Anchor,
    Choice,
    Node,
    Repeat,
    UnfitPatternError,
    count_parts,
    parse_pattern,
)
from sklearn_memgen.rules.translation import Translator

__all__ = [
    "Database",
    "Pattern",
    "PatternError",
    "compile_patterns",
    "try_pattern",
    "uses_ascii_words",
]

#: Texts are encoded, and hits are collected, in blocks of about so many.
_BLOCK_OF_CHARACTERS = 2_000_000
_BLOCK_OF_HITS = 2_000_000
#: A set that takes longer to compile, in seconds, is kept in the cache on disk.
_WORTH_KEEPING = 0.5
#: Patterns of more parts are compiled when they are made, to see whether they can be.
_USUAL_PARTS = 300


class Pattern(NamedTuple):
    """A pattern as it is looked for.

    Attributes
    ----------
    text : str
        A regular expression, or the text itself.
    case : bool
        Whether upper and lower case differ.
    literal : bool
        Whether all characters stand for themselves.
    """

    text: str
    case: bool = True
    literal: bool = False


class PatternError(UnfitPatternError):
    """Patterns that cannot be compiled; the message is about the first of them.

    Parameters
    ----------
    message : str
        Why.
    patterns : tuple of Pattern
        Those that cannot be compiled together with the others.
    """

    def __init__(self, message: str, patterns: tuple[Pattern, ...]) -> None:
        super().__init__(message)
        self.patterns = patterns

    def __reduce__(self) -> tuple[Any, ...]:
        return PatternError, (str(self), self.patterns)


class Database:
    """Patterns that have been compiled to be looked for together.

    Made by :func:`compile_patterns`. It does not change, and threads may share it.

    Parameters
    ----------
    patterns : tuple of Pattern
        The patterns.
    alphabet : Alphabet
        How texts are written for the engine.
    compiled : bytes
        The engine's database.

    Attributes
    ----------
    patterns : tuple of Pattern
        The patterns.
    """

    def __init__(
        self, patterns: tuple[Pattern, ...], alphabet: Alphabet, compiled: bytes
    ) -> None:
        self.patterns = patterns
        self.alphabet = alphabet
        self.compiled = compiled
        self._local = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, (self.patterns, self.alphabet.arrays, self.compiled)

    def find(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return which patterns are found in which texts.

        Parameters
        ----------
        texts : sequence of str
            The texts.

        Returns
        -------
        found : csr_matrix of shape (n_texts, n_patterns), bool
            True where a pattern is found.
        """
        blocks = [np.empty(0, dtype=np.int32)]
        counts = np.zeros(len(texts) + 1, dtype=np.int64)
        hits: list[int] = []
        n_before, row = 0, 0

        def take(id: int, start: int, end: int, flags: int, context: Any) -> None:
            hits.append(id)

        scan, scratch = self._open()
        for block in _split_texts(texts):
            for encoded in self.alphabet.encode(block):
                scan(encoded, match_event_handler=take, scratch=scratch)
                row += 1
                counts[row] = n_before + len(hits)
                if len(hits) > _BLOCK_OF_HITS:
                    blocks.append(np.array(hits, dtype=np.int32))
                    n_before += len(hits)
                    hits.clear()
        blocks.append(np.array(hits, dtype=np.int32))
        indices = np.concatenate(blocks)
        shape = (len(texts), len(self.patterns))
        data = np.ones(len(indices), dtype=bool)
        return sparse.csr_matrix((data, indices, counts), shape=shape)

    def _open(self) -> tuple[Any, Any]:
        """Return the engine's function and working memory, one for each thread."""
        local = self._local
        if not hasattr(local, "scan"):
            engine = import_engine()
            opened = engine.loadb(self.compiled, engine.HS_MODE_BLOCK)
            local.scratch = engine.Scratch(opened)
            local.scan = opened.scan
        return local.scan, local.scratch


def try_pattern(pattern: Pattern) -> None:
    """Raise if a pattern is none, or could not be compiled.

    Parameters
    ----------
    pattern : Pattern
        The pattern. Only if it is large, or has anchors in odd places, it is compiled
        to find out, as far as the engine is installed.

    Raises
    ------
    ValueError
        If it is no pattern.
    UnfitPatternError
        If it cannot be matched in linear time, or is too large.
    """
    tree = _parse(pattern)
    if not pattern.literal and _is_unusual(tree):
        if has_engine():
            compile_patterns((pattern,))
        else:
            alphabet = Alphabet(find_sets(tree), marked=True)
            _translate(pattern, tree, Translator(alphabet))


def _is_unusual(node: Node, repeated: bool = False) -> bool:
    """Return whether the engine may refuse a pattern."""
    if isinstance(node, Anchor):
        return repeated or node.ascii or node.kind == "line start"
    if isinstance(node, Repeat):
        return _is_unusual(node.part, True) or count_parts(node) > _USUAL_PARTS
    if isinstance(node, pattern_tree.Sequence | Choice):
        return any(_is_unusual(part, repeated) for part in node.parts) or (
            not repeated and count_parts(node) > _USUAL_PARTS
        )
    return False


def _load(
    patterns: tuple[Pattern, ...], arrays: dict[str, np.ndarray], compiled: bytes
) -> Database:
    return Database(patterns, Alphabet.from_arrays(**arrays), compiled)


def _split_texts(texts: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return texts in blocks of some million characters."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    numbers = np.cumsum(lengths + 1) // _BLOCK_OF_CHARACTERS
    cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(texts)]
    return [texts[a:b] for a, b in itertools.pairwise(cuts)]


@lru_cache(maxsize=32)
def compile_patterns(
    patterns: tuple[Pattern, ...], *, newlines: bool = True
) -> Database:
    r"""Compile patterns to be looked for together.

    Parameters
    ----------
    patterns : tuple of Pattern
        The patterns.
    newlines : bool, default=True
        Whether there may be newlines in the texts. Without them ``.*`` takes anything,
        which is faster.

    Returns
    -------
    database : Database
        From the memory or from the cache on disk, if it is there.

    Raises
    ------
    ImportError
        If the engine is not installed.
    PatternError
        If one of them cannot be compiled.

    Notes
    -----
    The engine is Hyperscan [1]_: it splits patterns into literals and automata, looks
    for all literals at once by bit-parallel instructions, and runs an automaton only
    where its literal is found. No pattern takes more than linear time.

    References
    ----------
    .. [1] Wang et al., "Hyperscan: A Fast Multi-pattern Regex Matcher for Modern CPUs",
       NSDI 2019.

    Examples
    --------
    >>> from sklearn_memgen.rules.databases import Pattern, compile_patterns
    >>> database = compile_patterns((Pattern(r"\brings?\b"), Pattern("GOLD", False)))
    >>> database.find(["gold ring", "string", "Rings"]).toarray().astype(int)
    array([[1, 1],
           [0, 0],
           [0, 0]])
    """
    engine = import_engine()
    key = pattern_cache.make_key(engine, (*patterns, newlines))
    kept = pattern_cache.read(key)
    if kept is not None:
        return _load(patterns, *kept)
    started = time.perf_counter()
    trees = [_parse(pattern) for pattern in patterns]
    ascii_words = any(has_boundaries(tree, ascii=True) for tree in trees)
    marked = ascii_words or any(has_boundaries(tree, ascii=False) for tree in trees)
    sets = {each for tree in trees for each in find_sets(tree)}
    alphabet = Alphabet(sets, marked=marked, ascii_words=ascii_words)
    translator = Translator(alphabet, newlines=newlines)
    expressions: list[bytes] = []
    ids: list[int] = []
    errors: dict[Pattern, PatternError] = {}
    for i, (pattern, tree) in enumerate(zip(patterns, trees, strict=True)):
        try:
            found = _translate(pattern, tree, translator)
        except PatternError as error:
            errors[pattern] = error
            continue
        expressions.extend(expression.encode() for expression in found)
        ids.extend([i] * len(found))
    if errors:
        raise PatternError(str(next(iter(errors.values()))), tuple(errors))
    compiled = _compile(engine, alphabet, patterns, expressions, ids)
    if time.perf_counter() - started > _WORTH_KEEPING:
        pattern_cache.write(key, alphabet.arrays, compiled)
    return Database(patterns, alphabet, compiled)


def uses_ascii_words(pattern: Pattern) -> bool:
    r"""Return whether a ``\b`` in a pattern is one of words of ASCII only.

    Parameters
    ----------
    pattern : Pattern
        The pattern.

    Returns
    -------
    ascii_words : bool
        Patterns of which it is True are not compiled together with others.
    """
    has_flags = "(?" in pattern.text and not pattern.literal
    return has_flags and has_boundaries(_parse(pattern), ascii=True)


def _parse(pattern: Pattern) -> Node:
    return parse_pattern(pattern.text, case=pattern.case, literal=pattern.literal)


def _translate(pattern: Pattern, tree: Node, translator: Translator) -> list[str]:
    try:
        return translator.translate(tree)
    except ValueError as error:
        message = f"bad pattern {shorten(repr(pattern.text))}: {error}"
        raise PatternError(message, (pattern,)) from None


def _compile(
    engine: Any,
    alphabet: Alphabet,
    patterns: tuple[Pattern, ...],
    expressions: list[bytes],
    ids: list[int],
) -> bytes:
    """Return the engine's database of expressions, some of which may share an id."""
    flags = engine.HS_FLAG_SINGLEMATCH | engine.HS_FLAG_ALLOWEMPTY
    flags |= engine.HS_FLAG_DOTALL
    if not alphabet.is_bytes:
        flags |= engine.HS_FLAG_UTF8
    if not expressions:
        # None of the patterns can be found, as two marks in a row cannot.
        expressions, ids = [rb"\x{80}\x{80}"], [0]
    database = engine.Database(mode=engine.HS_MODE_BLOCK)
    try:
        database.compile(expressions=expressions, ids=ids, flags=flags)
    except engine.error as error:
        if ids[0] == ids[-1]:
            pattern = patterns[ids[0]]
            raise PatternError(
                f"bad pattern {shorten(repr(pattern.text))}: the engine says: {error}",
                (pattern,),
            ) from None
        # The engine does not say which it is.
        middle = ids.index(ids[len(ids) // 2])
        middle = middle or next(i for i, id in enumerate(ids) if id != ids[0])
        for half in (slice(middle), slice(middle, None)):
            _compile(engine, alphabet, patterns, expressions[half], ids[half])
        raise
    return engine.dumpb(database)
