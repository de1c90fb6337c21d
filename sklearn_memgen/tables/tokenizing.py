"""Tokenizers of the Hugging Face library: loaded, asked for ids, and told apart."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_memgen.tables.tokens import TokenTensors

__all__ = [
    "check_max_length",
    "is_byte_level",
    "load_tokenizer",
    "padding_id_of",
    "tokenize",
]

#: Characters that are tokenized at once, where a text counts as so many at least. What
#: is cut off of long texts stays in memory until their batch is done.
_BATCH_CHARACTERS = 2**22
_TEXT_CHARACTERS = 2**10
#: `model_max_length` of tokenizers whose model reads any length is above this.
_ANY_LENGTH = 10**9
_FILES = ("tokenizer*", "vocab*", "merges*", "*.model", "*.tiktoken")


def load_tokenizer(tokenizer: Any) -> Any:
    """Load a tokenizer, or copy one.

    Parameters
    ----------
    tokenizer : str, Path or transformers tokenizer
        A local folder, a name on the Hugging Face hub, or the tokenizer itself.

    Returns
    -------
    tokenizer : transformers.PreTrainedTokenizerBase
        The tokenizer, which may be changed.

    Raises
    ------
    ImportError
        If transformers is not installed.
    ValueError
        If the folder has no tokenizer.
    OSError
        If there is no such folder, and the hub cannot be reached or has no such model.
    """
    if not isinstance(tokenizer, str | Path):
        return copy.deepcopy(tokenizer)
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ImportError(
            "tokenizers need the package transformers: "
            'pip install "sklearn-memgen[text]"'
        ) from error
    name, folder = str(tokenizer), Path(tokenizer)
    try:
        loaded = AutoTokenizer.from_pretrained(name)
    # Broken files raise what their parsers do.
    except Exception as error:
        if folder.is_dir():
            raise _no_tokenizer(folder) from error
        if isinstance(error, OSError):
            raise OSError(
                f"tokenizer={name!r} is no local folder, and the Hugging Face hub "
                "could not be reached or has no model of this name; give a local "
                "folder that holds the tokenizer's files"
            ) from error
        raise
    # Without its files, transformers makes some tokenizers that know no word.
    needed = set(loaded.vocab_files_names.values())
    if folder.is_dir() and needed and not any((folder / f).exists() for f in needed):
        raise _no_tokenizer(folder, needed)
    return loaded


def _no_tokenizer(folder: Path, needed: set[str] | None = None) -> ValueError:
    found = {path.name for pattern in _FILES for path in folder.glob(pattern)}
    names = " or ".join(sorted(needed or {"tokenizer.json"}))
    return ValueError(
        f"tokenizer={str(folder)!r} is a folder without a tokenizer that can be read: "
        f"expected {names}, found {sorted(found) or 'no file of a tokenizer'}"
    )


def check_max_length(tokenizer: Any, max_length: int, n_special: int) -> None:
    """Check how many tokens a row may have.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        Says how many its model reads.
    max_length : int
        Most tokens of a row.
    n_special : int
        Special tokens that each row has.

    Raises
    ------
    ValueError
        If there are more than the model reads, or no place beside special tokens.
    """
    most = tokenizer.model_max_length
    if max_length > most and most < _ANY_LENGTH:
        raise ValueError(
            f"max_length={max_length} is more than the {most} tokens that the model of "
            "the tokenizer reads"
        )
    if max_length <= n_special:
        raise ValueError(
            f"max_length={max_length} leaves no place for words: each row has "
            f"{n_special} special tokens"
        )


def padding_id_of(tokenizer: Any) -> int:
    """Return the id that fills rows: any will do where a model has none for it."""
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(number for number in ids if number is not None)


def is_byte_level(tokenizer: Any) -> bool:
    """Tell whether the space before a word is part of it, as GPT-2 and RoBERTa have it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        A fast one.
    """
    before = json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"] or {}
    parts = before.get("pretokenizers", [before])
    return any(part.get("type") == "ByteLevel" for part in parts)


def tokenize(
    tokenizer: Any,
    texts: Sequence[str] | np.ndarray,
    pairs: Sequence[str] | np.ndarray | None = None,
    *,
    max_length: int,
    special: bool = True,
) -> TokenTensors:
    """Make tokens of texts, or of pairs of texts.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        Fast or slow.
    texts : sequence of str, of length n_texts
        The texts, without halves of surrogate pairs, which no tokenizer takes.
    pairs : sequence of str, of length n_texts, default=None
        The second texts.
    max_length : int
        Most tokens of a row; of a pair the longer text is cut first.
    special : bool, default=True
        Whether to add special tokens.

    Returns
    -------
    tokens : TokenTensors of n_texts rows
        With token types, unless they are all zero.
    """
    parts = [texts] if pairs is None else [texts, pairs]
    sizes = sum(np.fromiter(map(len, part), np.int64, len(texts)) for part in parts)
    order = np.cumsum(np.maximum(sizes, _TEXT_CHARACTERS)) // _BATCH_CHARACTERS
    cuts = np.unique([0, *(np.flatnonzero(np.diff(order)) + 1), len(texts)]).tolist()
    ids, types, lengths = [], [], [np.zeros(1, np.int64)]
    for start, stop in pairwise(cuts):
        batch = tokenizer(
            *(list(part[start:stop]) for part in parts),
            add_special_tokens=special,
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            verbose=False,
        )
        rows = batch["input_ids"]
        lengths.append(np.fromiter(map(len, rows), np.int64, len(rows)))
        ids.append(_chained(rows, np.int32))
        types.append(_chained(batch.get("token_type_ids", ()), np.uint8))
    all_types = np.concatenate([np.zeros(0, np.uint8), *types])
    return TokenTensors(
        torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *ids])),
        torch.from_numpy(np.concatenate(lengths).cumsum()),
        padding_id_of(tokenizer),
        types=torch.from_numpy(all_types) if all_types.any() else None,
    )


def _chained(rows: Sequence[Sequence[int]], dtype: Any) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), dtype)
