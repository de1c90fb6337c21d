"""Named entities in lists of tags, and how well they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen._sklearn import StrOptions, validate_params

__all__ = ["entity_f1_score", "entity_scores", "find_entities"]

_AVERAGES = ("micro", "macro", "weighted")


@dataclass(frozen=True)
class _Entities:
    """Entities of many sentences, by their places among all tokens.

    A place is left free after each sentence, so that no entity goes on into the next.

    Parameters
    ----------
    starts, ends : ndarray of shape (n_entities,), int
        The first place of each, and the one after its last.
    types : ndarray of shape (n_entities,), str
        Their types.
    """

    starts: np.ndarray
    ends: np.ndarray
    types: np.ndarray

    @classmethod
    def find(cls, tags: Sequence[Sequence[str]]) -> _Entities:
        """Find the entities of tag lists."""
        flat = np.array(list(chain.from_iterable([*own, "O"] for own in tags)), str)
        names, codes = np.unique(flat, return_inverse=True)
        # What is behind the first hyphen, as in B-creative-work.
        kinds = [name[1:].split("-", 1)[-1] or "_" for name in names.tolist()]
        prefix = np.array([name[:1] for name in names.tolist()], "U1")[codes]
        kind = np.array(kinds, str)[codes]
        before = np.concatenate([["O"], prefix[:-1]])
        changes = np.concatenate([["_"], kind[:-1]]) != kind

        def among(values: np.ndarray, signs: str) -> np.ndarray:
            return np.isin(values, list(signs))

        # The rules of conlleval.
        ends = among(before, "ES") | (among(before, "BI") & among(prefix, "BSO"))
        ends |= ~among(before, "O.") & changes
        starts = among(prefix, "BS") | (among(before, "ESO") & among(prefix, "EI"))
        starts |= ~among(prefix, "O.") & changes
        begin, end = np.flatnonzero(starts), np.flatnonzero(ends)
        last = np.searchsorted(begin, end) - 1  # the latest that began before
        end, last = end[last >= 0], last[last >= 0]
        return cls(begin[last], end, kind[end - 1])


def find_entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Find the entities in the tags of a sentence.

    Parameters
    ----------
    tags : sequence of str
        Tags such as "B-PER", "I-PER" and "O"; "E-" and "S-" may mark the end of an
        entity and one of a single token.

    Returns
    -------
    entities : list of (str, int, int)
        Type, first token, and the token after the last of each.

    Notes
    -----
    The rules are those of the script conlleval and, by default, of the library seqeval:
    "I-PER" begins an entity if none of its type goes on.

    Examples
    --------
    >>> from sklearn_memgen import find_entities
    >>> find_entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [('PER', 0, 2), ('LOC', 3, 4), ('LOC', 4, 5)]
    """
    _check_tags("tags", [tags])
    found = _Entities.find([tags])
    parts = (found.types.tolist(), found.starts.tolist(), found.ends.tolist())
    return list(zip(*parts, strict=True))


def entity_scores(
    y_true: Sequence[Sequence[str]], y_pred: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Score found entities, type by type.

    An entity is found if one of its type has the same first and the same last token.

    Parameters
    ----------
    y_true, y_pred : list of list of str
        Tags of the same sentences.

    Returns
    -------
    scores : DataFrame of shape (n_types + 3, 4)
        `precision`, `recall`, `f1` and `support`, the number of true entities, of each
        type; then of all together ("micro avg"), and the means over types ("macro
        avg") and over true entities ("weighted avg"). What would be divided by zero is
        zero.

    Raises
    ------
    TypeError
        If a tag is no string.
    ValueError
        If there are not as many tags in both.

    Examples
    --------
    >>> from sklearn_memgen import entity_scores
    >>> y_true = [["B-PER", "I-PER", "O"], ["B-LOC", "O"]]
    >>> y_pred = [["B-PER", "O", "O"], ["B-LOC", "O"]]
    >>> entity_scores(y_true, y_pred).loc[["PER", "micro avg"]]
               precision  recall   f1  support
    PER              0.0     0.0  0.0        1
    micro avg        0.5     0.5  0.5        2
    """
    _check_tags("y_true", y_true)
    _check_tags("y_pred", y_pred)
    if len(y_true) != len(y_pred):
        raise ValueError(
            f"y_true has {len(y_true)} sentences, but y_pred has {len(y_pred)}"
        )
    for k, (own, found) in enumerate(zip(y_true, y_pred, strict=True)):
        if len(own) != len(found):
            raise ValueError(
                f"sentence {k} has {len(own)} tags in y_true, but {len(found)} in "
                "y_pred"
            )
    true, predicted = _Entities.find(y_true), _Entities.find(y_pred)
    _, at_true, at_predicted = np.intersect1d(
        true.starts, predicted.starts, assume_unique=True, return_indices=True
    )
    right = true.ends[at_true] == predicted.ends[at_predicted]
    right &= true.types[at_true] == predicted.types[at_predicted]
    types = np.union1d(true.types, predicted.types)

    def count(of_entities: np.ndarray) -> np.ndarray:
        places = np.searchsorted(types, of_entities)
        return np.bincount(places, minlength=len(types))

    counts = np.stack(
        [count(true.types[at_true][right]), count(predicted.types), count(true.types)]
    )
    by_type = _ratios(*counts)
    support = counts[2]
    micro = _ratios(*counts.sum(axis=1, keepdims=True))[0]
    n_true = support.sum()
    macro = by_type.mean(axis=0) if len(types) else np.zeros(3)
    weighted = support @ by_type / n_true if n_true else np.zeros(3)
    scores = pd.DataFrame(
        np.vstack([by_type, micro, macro, weighted]),
        index=[*types.tolist(), *(f"{name} avg" for name in _AVERAGES)],
        columns=["precision", "recall", "f1"],
    )
    return scores.assign(support=[*support.tolist(), *[int(n_true)] * 3])


@validate_params(
    {"average": [StrOptions(set(_AVERAGES))]}, prefer_skip_nested_validation=True
)
def entity_f1_score(
    y_true: Sequence[Sequence[str]],
    y_pred: Sequence[Sequence[str]],
    *,
    average: str = "micro",
) -> float:
    """Return the F1 score of found entities.

    Parameters
    ----------
    y_true, y_pred : list of list of str
        Tags of the same sentences.
    average : {"micro", "macro", "weighted"}, default="micro"
        Of all entities together, or the mean over types or over true entities.

    Returns
    -------
    score : float
        From 0 to 1; 0 if there is no entity at all.

    Raises
    ------
    TypeError, ValueError
        See `entity_scores`.

    Examples
    --------
    >>> from sklearn.metrics import make_scorer
    >>> from sklearn_memgen import entity_f1_score
    >>> entity_f1_score([["B-PER", "O", "B-LOC"]], [["B-PER", "O", "O"]])
    0.6666666666666666
    >>> scoring = make_scorer(entity_f1_score)  # for GridSearchCV
    """
    return float(entity_scores(y_true, y_pred).loc[f"{average} avg", "f1"])


def _ratios(right: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return precision, recall and F1 of counts, shape (n, 3)."""
    return np.stack(
        [
            right / np.maximum(predicted, 1),
            right / np.maximum(true, 1),
            2 * right / np.maximum(predicted + true, 1),
        ],
        axis=1,
    )


def _check_tags(name: str, lists: Any) -> None:
    for k, own in enumerate(lists):
        if isinstance(own, str):
            raise TypeError(
                f"{name} must be a list of lists of tags; sentence {k} is {own!r:.80}"
            )
        for position, tag in enumerate(own):
            if not isinstance(tag, str):
                raise TypeError(
                    f"tags must be strings; tag {position} of sentence {k} of {name} "
                    f"is {tag!r:.80}"
                )
