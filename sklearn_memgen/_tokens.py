"""Sentences as lists of tokens, and a label for each token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_non_negative

from sklearn_memgen._labels import LabeledExamples, rarest_classes, weigh_classes
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.tables.tensors import take_runs
from sklearn_memgen.tables.token_encoder import are_all, check_sentences
from sklearn_memgen.training import Origin

__all__ = [
    "TokenExamples",
    "read_tokens",
    "split_values",
    "token_index",
]


@dataclass(frozen=True, kw_only=True)
class TokenExamples(LabeledExamples):
    """Sentences with a label for each token.

    Parameters
    ----------
    data : list of list of str
        The sentences.
    y, sample_weight
        See `LabeledExamples`; of shape (n_tokens,), sentence by sentence.
    sizes : ndarray of shape (n_sentences,), int
        Tokens of each sentence, one at least.
    """

    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def strata(self) -> np.ndarray:
        """The rarest class of each sentence, so that each is held out somewhere."""
        return rarest_classes(self.learned(), self.sizes)

    def take(self, rows: np.ndarray) -> Self:
        """Take some sentences."""
        starts = torch.from_numpy(np.append(0, self.sizes.cumsum()))
        _, entries = take_runs(starts, torch.from_numpy(rows))
        tokens = np.asarray(entries)
        weight = None if self.sample_weight is None else self.sample_weight[tokens]
        if self.origin is None:
            origin = Origin(tokens, self.y)
        else:
            origin = replace(self.origin, rows=self.origin.rows[tokens])
        return replace(
            self,
            data=[self.data[k] for k in rows.tolist()],
            y=self.y[tokens],
            sample_weight=weight,
            sizes=self.sizes[rows],
            origin=origin,
        )

    def counted(self) -> Self:
        """Drop the sentences all of whose tokens are of weight zero."""
        if self.sample_weight is None:
            return self
        starts = self.sizes.cumsum() - self.sizes
        total = np.add.reduceat(self.sample_weight, starts)
        examples = self.take(np.flatnonzero(total))
        examples.check_weighted()
        return examples


def read_tokens(
    estimator: NetClassifier,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    classes: np.ndarray | None,
) -> TokenExamples:
    """Check sentences and their tags before they are learned.

    Parameters
    ----------
    estimator : NetClassifier
        Its `class_weight` is read.
    X : list of list of str
        The sentences; those without tokens are left out.
    y : list of list of str
        A tag for each token.
    sample_weight : array-like of shape (n_sentences,), list of array-like, or None
        A weight for each sentence, or one for each token.
    classes : ndarray of shape (n_classes,) or None
        All tags, sorted; by default those in `y`.

    Raises
    ------
    TypeError
        If a token or tag is no string.
    ValueError
        If numbers of sentences, tokens, tags or weights differ, or there is nothing to
        learn.
    """
    _, bounds = check_sentences(X)
    sentences, sizes = list(X), np.diff(bounds)
    labels = np.array(_check_tags(y, bounds), dtype=str)
    if not len(labels):
        raise ValueError("Found array with 0 sample(s): no sentence in X has a token")
    weights = _check_weights(sample_weight, sizes)
    classes, by_class = weigh_classes(estimator, labels, weights, classes)
    return TokenExamples(
        [sentence for sentence in sentences if len(sentence)],
        labels,
        weights,
        classes=classes,
        class_weight=by_class,
        sizes=sizes[sizes > 0],
    )


def _check_tags(y: Any, bounds: np.ndarray) -> list[str]:
    """Return all tags; `bounds` are the first token of each sentence, and the end."""
    if y is None or isinstance(y, str) or not hasattr(y, "__len__"):
        raise ValueError(
            "y must be a list of lists of tags, one for each token of X; this "
            f"classifier requires y to be passed, but got {y!r:.80}"
        )
    tags, sizes = list(y), np.diff(bounds)
    if len(tags) != len(sizes):
        raise ValueError(
            f"X has {len(sizes)} sentences, but y has {len(tags)} lists of tags"
        )
    for k, own in enumerate(tags):
        if isinstance(own, str) or not hasattr(own, "__len__"):
            raise ValueError(
                f"y must be a list of lists of tags; that of sentence {k} is "
                f"{own!r:.80}"
            )
        if len(own) != sizes[k]:
            raise ValueError(f"sentence {k} has {sizes[k]} tokens, but {len(own)} tags")
    flat = list(chain.from_iterable(tags))
    are_texts = are_all(flat, str)
    if not are_texts.all():
        place = int(are_texts.argmin())
        k = int(np.searchsorted(bounds, place, side="right")) - 1
        raise TypeError(
            f"tags must be strings; tag {place - bounds[k]} of sentence {k} is "
            f"{flat[place]!r:.80}"
        )
    return flat


def _check_weights(sample_weight: Any, sizes: np.ndarray) -> np.ndarray | None:
    """Return a weight for each token."""
    if sample_weight is None:
        return None
    given = list(sample_weight)
    if len(given) != len(sizes):
        raise ValueError(
            f"sample_weight has {len(given)} entries, but X has {len(sizes)} sentences"
        )
    if any(np.ndim(weight) for weight in given):
        for k, (weight, size) in enumerate(zip(given, sizes, strict=True)):
            if np.shape(weight) != (size,):
                raise ValueError(
                    f"sentence {k} has {size} tokens, but its weights are of shape "
                    f"{np.shape(weight)}"
                )
        weights = np.concatenate([np.asarray(weight, float) for weight in given])
    else:
        weights = np.repeat(np.asarray(given, float), sizes)
    if not np.isfinite(weights).all():
        raise ValueError("sample_weight has entries that are not finite")
    check_non_negative(weights, "`sample_weight`")
    if not weights.any():
        raise ValueError("sample_weight is zero everywhere")
    return weights


def split_values(X: Any, values: np.ndarray) -> list[np.ndarray]:
    """Divide values, one a token, by sentences.

    Parameters
    ----------
    X : list of list of str, of n_sentences
        The sentences.
    values : ndarray of shape (n_tokens, ...)
        The values.

    Returns
    -------
    parts : list of ndarray, of length n_sentences
        Those of each sentence.
    """
    ends = np.cumsum([len(sentence) for sentence in X])
    return np.split(values, ends[:-1])


def token_index(X: Any) -> pd.MultiIndex:
    """Return an index of all tokens: the numbers of `sentence` and `token`.

    Examples
    --------
    >>> from sklearn_memgen._tokens import token_index
    >>> token_index([["New", "York"], [], ["hi"]]).tolist()
    [(0, 0), (0, 1), (2, 0)]
    """
    sizes = np.array([len(sentence) for sentence in X])
    sentences = np.repeat(np.arange(len(sizes)), sizes)
    tokens = np.arange(len(sentences)) - np.repeat(sizes.cumsum() - sizes, sizes)
    return pd.MultiIndex.from_arrays([sentences, tokens], names=["sentence", "token"])
