r"""Sequences of words that are frequent in texts of a class, and rare elsewhere."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen._warnings import user_stacklevel

__all__ = ["MAX_WORDS", "Sequences", "mine_sequences", "write_pattern"]

#: No more words of a text are looked at.
MAX_WORDS = 200

#: Sequences are made longer, the promising ones first, until so many words have been
#: added to rows; that bounds time and memory for long texts.
_MAX_WORK = 5_000_000


@dataclass(frozen=True)
class Sequences:
    """Sequences of words, each for a class.

    Parameters
    ----------
    words : list of tuple of str
        Each a regular expression: a word, or one with an optional plural ``s?``.
    labels : ndarray of shape (n_sequences,), int
        Codes of the classes.
    rows : csr_array of shape (n_sequences, n_texts), bool
        Texts with the sequence.
    """

    words: list[tuple[str, ...]]
    labels: np.ndarray
    rows: sparse.csr_array


def write_pattern(words: tuple[str, ...]) -> str:
    r"""Return the regular expression that finds words in their order, with gaps.

    Parameters
    ----------
    words : tuple of str
        Regular expressions of words.

    Returns
    -------
    pattern : str
        To be used without regard to case.

    Examples
    --------
    >>> from sklearn_memgen.rules.sequences import write_pattern
    >>> print(write_pattern(("motor", "oils?")))
    \bmotor\b.*\boils?\b
    """
    return ".*".join(rf"\b{word}\b" for word in words)


def mine_sequences(
    texts: pd.Series,
    labels: np.ndarray,
    *,
    against: np.ndarray | None = None,
    min_count: int,
    min_precision: float,
    max_length: int,
) -> Sequences:
    r"""Find short sequences of words by which the class of a text is known.

    Parameters
    ----------
    texts : Series of shape (n_texts,)
        Strings, and missing values.
    labels : ndarray of shape (n_texts,), int
        The class for which each text speaks, -1 for none.
    against : ndarray of shape (n_texts,), int, default=None
        The class against which each text speaks, -1 for none. By default it speaks
        against all classes but its own.
    min_count : int
        In so many texts for the class a sequence occurs at least.
    min_precision : float
        Share of texts for the class, of those that speak for it or against it.
    max_length : int
        The largest number of words.

    Returns
    -------
    sequences : Sequences
        Short ones first. None of them goes on from another one of the same class, of
        which it could but match fewer texts.

    Warns
    -----
    UserWarning
        If texts have more than 200 words, of which no more are looked at.

    Notes
    -----
    As PrefixSpan [1]_ does it, a sequence is made longer by the words that follow its
    earliest place in each text; only those frequent in some class, and not yet precise
    enough, are made longer [2]_. All sequences grow by a word at a time together, as
    arrays. Where texts are so long that this becomes too much, the sequences with the
    most information on a class, :math:`n_c \log(p_c / p)`, go first.

    Words are runs of letters, digits and underscores in lower case, as ``\w+`` finds
    them; so a text without spaces, as of Chinese, is one word, and the vowel signs of
    Hindi part words. The plural of a word, by "s", is the same word
    if both are frequent, and most frequent in the same class.

    References
    ----------
    .. [1] Pei et al., "PrefixSpan: Mining Sequential Patterns Efficiently by
       Prefix-Projected Pattern Growth", ICDE 2001.
    .. [2] Suganthan et al., "Why Big Data Industrial Systems Need Rules and What We Can
       Do About It", SIGMOD 2015.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn_memgen.rules.sequences import mine_sequences
    >>> texts = pd.Series(["motor oil 5l", "oils, for a motor", "hair oil", "hair oils",
    ...                    "motor oils", "Motor bike"])
    >>> found = mine_sequences(texts, np.array([0, 1, 2, 2, 0, 3]), min_count=2,
    ...                        min_precision=1.0, max_length=2)
    >>> found.words, found.labels.tolist(), found.rows.toarray().sum(axis=1)
    ([('hair',), ('motor', 'oils?')], [2, 0], array([2, 2]))
    """
    words, word, row = _read_words(texts, labels, min_count)
    judge = _Judge(labels, against, min_count, min_precision)
    level = _find_words(len(words), word, row)
    settled = sparse.csr_array((len(words), judge.n_classes), dtype=bool)
    found: list[tuple[np.ndarray, np.ndarray, sparse.csr_array]] = []
    for length in range(1, max_length + 1):
        sequence, code, promise = judge.look_at(level, settled)
        found.append((level.words[sequence], code, level.rows(sequence, len(labels))))
        settled = settled + judge.mark(sequence, code, len(level.words))
        if length == 1:
            settled_by_word, useful = settled, promise[word] > 0
            word, row = word[useful], row[useful]
            level = _find_words(len(words), word, row)
        if length == max_length or not promise.any():
            break
        level = _grow(level, promise, word, row, min_count)
        # A sequence is no news for a class that a part of it settles.
        settled = settled[level.parent] + settled_by_word[level.words[:, -1]]
    return Sequences(
        words=[tuple(words[list(ids)]) for many, _, _ in found for ids in many],
        labels=np.concatenate([code for _, code, _ in found]),
        rows=sparse.csr_array(sparse.vstack([rows for _, _, rows in found])),
    )


def _read_words(
    texts: pd.Series, labels: np.ndarray, min_count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the words there are, and the word and the row of each place, in order."""
    present = texts.astype(object).reset_index(drop=True).dropna()
    words = present.str.findall(r"\w+")
    n_long = int((words.str.len() > MAX_WORDS).sum())
    if n_long:
        name = "" if texts.name is None else f" of column {texts.name!r}"
        warnings.warn(
            f"{n_long} texts{name} have more than {MAX_WORDS} words; rules are mined "
            f"from their first {MAX_WORDS}",
            UserWarning,
            stacklevel=user_stacklevel(),
        )
    places = words.str[:MAX_WORDS].explode().dropna().astype(str).str.lower()
    word, vocabulary = pd.factorize(places)
    row = places.index.to_numpy()
    if not len(word):
        return np.empty(0, dtype=object), word, row
    return *_merge_plurals(pd.Index(vocabulary), word, labels[row], min_count), row


def _merge_plurals(
    vocabulary: pd.Index, word: np.ndarray, labels: np.ndarray, min_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Make a word and its plural one, if they are frequent, most in the same class."""
    shape = (len(vocabulary), max(labels.max(initial=0) + 1, 1))
    known = labels >= 0
    where = word[known], labels[known]
    counts = sparse.csr_array((np.ones(known.sum()), where), shape=shape)
    main_class = np.asarray(counts.argmax(axis=1)).ravel()
    text = vocabulary.to_series(index=range(len(vocabulary)))
    singular = vocabulary.get_indexer(text.str.slice(0, -1))
    is_plural = text.str.endswith("s") & text.str.isalpha() & (text.str.len() > 3)
    merged = is_plural.to_numpy() & (singular >= 0)
    merged &= main_class == main_class[singular]
    often = np.bincount(word, minlength=len(vocabulary)) >= min_count
    merged &= often & often[singular]
    merged &= ~merged[singular]  # not "s?" of what has one already
    into = np.where(merged, singular, np.arange(len(vocabulary)))
    words = text.map(re.escape).to_numpy(dtype=object)
    words[singular[merged]] += "s?"
    return words, into[word]


@dataclass(frozen=True)
class _Level:
    """Sequences of one length, and the earliest place at which each ends in texts."""

    words: np.ndarray  # (n_sequences, length), ids of words
    parent: np.ndarray  # (n_sequences,), the sequence without its last word
    sequence: np.ndarray  # (n_ends,)
    row: np.ndarray  # (n_ends,)
    place: np.ndarray  # (n_ends,), among the places of all words

    def rows(self, sequences: np.ndarray, n_rows: int) -> sparse.csr_array:
        """Return the texts of some sequences, of shape (n_chosen, n_rows), bool."""
        where = self.sequence, self.row
        shape = (len(self.words), n_rows)
        ones = np.ones(len(self.row), dtype=bool)
        return sparse.csr_array((ones, where), shape=shape)[sequences]


def _find_words(n_words: int, word: np.ndarray, row: np.ndarray) -> _Level:
    """Return the sequences of one word, numbered as the words."""
    _, place = np.unique(row * n_words + word, return_index=True)
    ids = np.arange(n_words)
    return _Level(ids[:, None], ids, word[place], row[place], place)


def _grow(
    level: _Level,
    promise: np.ndarray,
    word: np.ndarray,
    row: np.ndarray,
    min_count: int,
) -> _Level:
    """Return the sequences with one word more, those of promise first."""
    n_next = np.searchsorted(row, level.row, side="right") - level.place - 1
    work = np.bincount(level.sequence, weights=n_next, minlength=len(level.words))
    order = np.argsort(-promise, kind="stable")
    chosen = promise > 0
    chosen[order[np.cumsum(work[order]) > _MAX_WORK]] = False
    ends = np.flatnonzero(chosen[level.sequence])
    source = np.repeat(ends, n_next[ends])
    starts = np.cumsum(n_next[ends]) - n_next[ends]
    place = np.arange(len(source)) - np.repeat(starts, n_next[ends])
    place += level.place[source] + 1

    pair = level.sequence[source] * (word.max(initial=0) + 1) + word[place]
    pairs, pair, counts = np.unique(pair, return_inverse=True, return_counts=True)
    often = counts[pair] >= min_count
    pair, place = pair[often], place[often]
    # Of a sequence that ends several times in a text the earliest end comes first.
    n_rows = row.max(initial=0) + 1
    _, first = np.unique(pair * n_rows + row[place], return_index=True)
    pair, place = pair[first], place[first]
    kept, sequence = np.unique(pair, return_inverse=True)
    parent, last = np.divmod(pairs[kept], word.max(initial=0) + 1)
    words = np.column_stack([level.words[parent], last])
    return _Level(words, parent, sequence, row[place], place)


class _Judge:
    """Tells which sequences settle a class, and which may do so with more words."""

    def __init__(
        self,
        labels: np.ndarray,
        against: np.ndarray | None,
        min_count: int,
        min_precision: float,
    ) -> None:
        self.labels, self.against = labels, against
        self.min_count, self.min_precision = min_count, min_precision
        others = labels if against is None else against
        self.n_classes = 1 + int(max(labels.max(initial=0), others.max(initial=0)))
        n_for = np.bincount(labels[labels >= 0], minlength=self.n_classes)
        n_against = np.bincount(others[others >= 0], minlength=self.n_classes)
        n_all = n_for.sum() if against is None else n_for + n_against
        self.shares = n_for / np.maximum(n_all, 1)

    def look_at(
        self, level: _Level, settled: sparse.csr_array
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sequences that settle a class, and the promise of all of them.

        Parameters
        ----------
        level : _Level
            The sequences.
        settled : csr_array of shape (n_sequences, n_classes), bool
            The classes that parts of them settle.

        Returns
        -------
        sequence, code : ndarray of shape (n_precise,), int
            Those that settle a class.
        promise : ndarray of shape (n_sequences,)
            The information of those that are frequent in a class but do not settle it.
        """
        n_for = self._count(level, self.labels)
        n_for = sparse.csr_array(n_for - n_for.multiply(settled))
        n_for.eliminate_zeros()
        n_for.sort_indices()
        sequence, code = n_for.nonzero()
        count = n_for.data
        if self.against is None:
            speaking = self.labels[level.row] >= 0
            n_all = np.bincount(level.sequence[speaking], minlength=len(level.words))
            total = n_all[sequence]
        else:
            against = self._count(level, self.against).multiply(n_for > 0)
            both = sparse.csr_array(n_for + against)
            both.sort_indices()
            total = both.data
        precision = count / total
        precise = (precision >= self.min_precision) & (count >= self.min_count)
        promise = np.zeros(len(level.words))
        rest = ~precise & (count >= self.min_count)
        gain = count * np.log(np.maximum(precision / self.shares[code], 1e-9))
        np.maximum.at(promise, sequence[rest], gain[rest])
        return sequence[precise], code[precise], promise

    def mark(self, sequence: np.ndarray, code: np.ndarray, n: int) -> sparse.csr_array:
        """Return pairs of a sequence and a class as a matrix of booleans."""
        ones = np.ones(len(sequence), dtype=bool)
        return sparse.csr_array((ones, (sequence, code)), shape=(n, self.n_classes))

    def _count(self, level: _Level, labels: np.ndarray) -> sparse.csr_array:
        """Return in how many texts of each class each sequence is."""
        known = labels[level.row] >= 0
        where = level.sequence[known], labels[level.row[known]]
        ones = np.ones(len(where[0]), dtype=np.int64)
        return sparse.csr_array((ones, where), shape=(len(level.words), self.n_classes))
