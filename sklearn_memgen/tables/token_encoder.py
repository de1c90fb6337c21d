"""TokenEncoder: sentences of words in, sub-word tokens for a transformer out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._sklearn import HasMethods, Interval, _fit_context
from sklearn_memgen.tables.tokenizing import (
    check_max_length,
    is_byte_level,
    load_tokenizer,
    padding_id_of,
    tokenize,
)
from sklearn_memgen.tables.tokens import TokenTensors
from sklearn_memgen.tables.values import to_strings

__all__ = ["TokenEncoder", "are_all", "check_sentences"]


# `set_output` and its global setting are switched off: there is no array to wrap.
class TokenEncoder(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Encode sentences of words as the sub-word tokens that a transformer reads.

    The first sub-word token of each word is marked: it is the one that carries the
    label of the word [1]_. Needs the extra ``text``:
    ``pip install "sklearn-memgen[text]"``.

    Parameters
    ----------
    tokenizer : str, Path or transformers tokenizer
        A local folder with a tokenizer, the name of a model on the Hugging Face hub,
        or the tokenizer itself, which is copied. A fast one is needed.
    max_length : int, default=128
        Most sub-word tokens of a row, special tokens included. Longer sentences are
        divided into several rows between words; longer words are cut off.

    Attributes
    ----------
    tokenizer_ : transformers.PreTrainedTokenizerFast
        The tokenizer, which is kept in the pickle.

    See Also
    --------
    TextEncoder : Encodes whole texts.
    TokenClassifier : Tags words.

    Notes
    -----
    Every word has exactly one mark: those of which a tokenizer leaves nothing, such as
    white space and control characters, are the unknown token. Each distinct word is
    tokenized once, since the words beside it do not matter.

    References
    ----------
    .. [1] Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
       Language Understanding", 2019, https://arxiv.org/abs/1810.04805

    Examples
    --------
    >>> from tokenizers import Tokenizer, models
    >>> from transformers import PreTrainedTokenizerFast
    >>> from sklearn_memgen.tables import TokenEncoder
    >>> pieces = ["[PAD]", "[UNK]", "in", "new", "##er", "##ly", "york"]
    >>> ids = {piece: k for k, piece in enumerate(pieces)}
    >>> tokenizer = PreTrainedTokenizerFast(
    ...     tokenizer_object=Tokenizer(models.WordPiece(ids, unk_token="[UNK]")),
    ...     pad_token="[PAD]", unk_token="[UNK]",
    ... )
    >>> encoder = TokenEncoder(tokenizer, max_length=4)
    >>> tokens = encoder.fit_transform([["new", "york"], ["newly", "in", "newer"]])
    >>> tokens.inputs()["input_ids"]
    tensor([[3, 6, 0],
            [3, 5, 2],
            [3, 4, 0]])
    >>> tokens.inputs()["marked"].int()
    tensor([[1, 1, 0],
            [1, 0, 1],
            [1, 0, 0]], dtype=torch.int32)
    """

    _parameter_constraints: dict = {
        "tokenizer": [str, Path, HasMethods("convert_tokens_to_ids")],
        "max_length": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, tokenizer: Any, *, max_length: int = 128) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> TokenEncoder:
        """Load the tokenizer.

        Parameters
        ----------
        X : list of list of str
            The sentences.
        y, sample_weight : ignored
            They are here for pipelines.

        Returns
        -------
        self : TokenEncoder
            The fitted encoder.

        Raises
        ------
        ImportError
            If transformers is not installed.
        OSError
            If the tokenizer is no local folder and cannot be had from the hub.
        TypeError
            If a word is no string.
        ValueError
            If `X` is no list of lists of words, or empty, the tokenizer is a slow one,
            a folder has none, or its model cannot read `max_length` tokens.
        """
        check_sentences(X)
        tokenizer = load_tokenizer(self.tokenizer)
        if not tokenizer.is_fast:
            raise ValueError(
                f"tokenizer={type(tokenizer).__name__} is a slow tokenizer, which does "
                "not tell words from special tokens; expected a fast one"
            )
        n_special = tokenizer.num_special_tokens_to_add()
        check_max_length(tokenizer, self.max_length, n_special)
        self.tokenizer_ = tokenizer
        return self

    def transform(self, X: Any) -> TokenTensors:
        """Encode sentences.

        Parameters
        ----------
        X : list of list of str
            The sentences.

        Returns
        -------
        tokens : TokenTensors of n_windows rows
            The sentences, or their parts, in order. The marked tokens are the words of
            all sentences, in order.

        Raises
        ------
        TypeError, ValueError
            See `transform_windows`.
        """
        return self.transform_windows(X)[0]

    def transform_windows(self, X: Any) -> tuple[TokenTensors, np.ndarray]:
        """Encode sentences, and tell which sentence each row is of.

        Parameters
        ----------
        X : list of list of str
            The sentences.

        Returns
        -------
        tokens : TokenTensors of n_windows rows
            See `transform`.
        sentences : ndarray of shape (n_windows,), int64
            The number of the sentence of each row. One without words has no row.

        Raises
        ------
        TypeError
            If a word is no string.
        ValueError
            If `X` is no list of lists of words, or empty.
        """
        check_is_fitted(self)
        words, bounds = check_sentences(X)
        before, after = self._special_ids()
        n_special = len(before) + len(after)
        pieces = self._pieces_of(words, self.max_length - n_special)
        ends = pieces.starts.numpy()  # where words begin, and the last one ends
        first = _cut_windows(ends, bounds, self.max_length - n_special)
        sizes = np.diff(ends[np.append(first, len(words))])
        starts = np.append(0, np.cumsum(sizes + n_special))
        shift = np.arange(len(first)) * n_special + len(before)
        places = np.arange(ends[-1]) + np.repeat(shift, sizes)
        ids = np.empty(starts[-1], np.int32)
        ids[places] = pieces.ids.numpy()
        ids[starts[:-1, None] + np.arange(len(before))] = before
        ids[starts[1:, None] + np.arange(-len(after), 0)] = after
        marked = np.zeros(len(ids), bool)
        marked[places[ends[:-1]]] = True
        tokens = TokenTensors(
            torch.from_numpy(ids),
            torch.from_numpy(starts),
            pieces.padding_id,
            torch.from_numpy(marked),
        )
        return tokens, np.searchsorted(bounds, first, side="right") - 1

    def _special_ids(self) -> tuple[list[int], list[int]]:
        """Return the special tokens before and after a sentence."""
        encoding = self.tokenizer_([self.tokenizer_.unk_token or "."])
        of_text = [k for k, n in enumerate(encoding.sequence_ids(0)) if n is not None]
        ids = encoding["input_ids"][0]
        return ids[: of_text[0]], ids[of_text[-1] + 1 :]

    def _pieces_of(self, words: list[str], room: int) -> TokenTensors:
        """Return a row for each word, of one to `room` sub-word tokens."""
        tokenizer = self.tokenizer_
        codes, distinct = pd.factorize(np.array(words, dtype=object))
        texts = to_strings(pd.Series(distinct, dtype=object))
        if is_byte_level(tokenizer):
            texts = " " + texts
        pieces = tokenize(tokenizer, texts, max_length=room, special=False)
        lengths, unknown = pieces.lengths.numpy(), tokenizer.unk_token_id
        if unknown is None:
            unknown = padding_id_of(tokenizer)
        gaps = pieces.starts[:-1].numpy()[lengths == 0]
        ids = np.insert(pieces.ids.numpy(), gaps, np.int32(unknown))
        starts = np.append(0, np.maximum(lengths, 1).cumsum())
        whole = TokenTensors(
            torch.from_numpy(ids), torch.from_numpy(starts), pieces.padding_id
        )
        return whole[torch.from_numpy(codes)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags


def _cut_windows(ends: np.ndarray, bounds: np.ndarray, room: int) -> np.ndarray:
    """Divide sentences into windows that are as full as can be.

    Parameters
    ----------
    ends : ndarray of shape (n_words + 1,)
        Sub-word tokens before each word, and all.
    bounds : ndarray of shape (n_sentences + 1,)
        The first word of each sentence, and the number of words.
    room : int
        Most sub-word tokens of a window; no word has more.

    Returns
    -------
    first : ndarray of shape (n_windows,), int64
        The first word of each window. A window ends where the next one begins.
    """
    begin, stop = bounds[:-1], bounds[1:]
    found = [np.zeros(0, np.int64)]
    # A pass finds one window of each sentence that has words left.
    while len(begin := begin[going := begin < stop]):
        stop = stop[going]
        found.append(begin)
        full = np.searchsorted(ends, ends[begin] + room, side="right") - 1
        begin = np.minimum(full, stop)
    return np.sort(np.concatenate(found))


def check_sentences(X: Any) -> tuple[list[str], np.ndarray]:
    """Return all words, and the first word of each sentence, shape (n_sentences + 1,).

    Raises
    ------
    TypeError
        If a word is no string.
    ValueError
        If there are no sentences, or they are not lists of words.
    """
    expected = "expected a list of sentences, each a list of words"
    if isinstance(X, str | bytes | dict | pd.DataFrame) or not hasattr(X, "__len__"):
        raise ValueError(f"X is {type(X).__name__}; {expected}")
    sentences = list(X)
    if not sentences:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is "
            "required."
        )
    are_lists = are_all(sentences, (list, tuple, np.ndarray, pd.Series))
    if not are_lists.all():
        k = int(are_lists.argmin())
        raise ValueError(f"sentence {k} of X is {sentences[k]!r:.80}; {expected}")
    bounds = np.append(0, np.cumsum(np.fromiter(map(len, sentences), np.int64)))
    words = list(chain.from_iterable(sentences))
    are_texts = are_all(words, str)
    if not are_texts.all():
        place = int(are_texts.argmin())
        k = int(np.searchsorted(bounds, place, side="right")) - 1
        raise TypeError(
            f"words must be strings; word {place - bounds[k]} of sentence {k} is "
            f"{words[place]!r:.80}"
        )
    return words, bounds


def are_all(values: Sequence[Any], kind: Any) -> np.ndarray:
    """Tell of each value whether it is an instance, shape (n_values,), bool."""
    return np.fromiter(map(isinstance, values, repeat(kind)), bool, len(values))
