"""Named entities in lists of tags, and how well they are found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["entity_f1_score", "entity_scores", "find_entities"]

#: A tag is "O", or a place in an entity and perhaps a type. "L" and "U" are what BILOU
#: calls "E" and "S".
_TAG = re.compile(r"([BIESLUO])(?:-(.*))?", re.DOTALL)
_ALIASES = {"L": "E", "U": "S"}
#: The type of an entity whose tags name none.
_NO_TYPE = "_"
_AVERAGES = ("micro", "macro", "weighted")


class _Entities(NamedTuple):
    """Entities in lists of tags that follow one another.

    `starts` and `ends`, which are exclusive, count from the first tag of the first
    list. `kinds` are numbers of types.
    """

    kinds: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def find_entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Find the entities that the tags of a sentence tell of.

    Parameters
    ----------
    tags : sequence of str
        A tag for each token: "O" outside of entities, else "B", "I", "E" or "S" for the
        begin, inside and end of an entity and for a single token, with the type after a
        hyphen, as in "B-PER". "L" and "U" are read as "E" and "S". Any other tag is a
        type itself, of an entity that goes on for as long as the tag does.

    Returns
    -------
    entities : list of (str, int, int)
        Type, first token, and the token after the last. The type is "_" where tags have
        none.

    Raises
    ------
    TypeError
        If a tag is no string.
    ValueError
        If `tags` is a string, or a tag is empty.

    See Also
    --------
    entity_scores : Compare the entities of two lists of tags.

    Notes
    -----
    Tags need not make sense, as those of a net often do not. As in the script of the
    CoNLL shared tasks [1]_, and in seqeval by default, an entity begins with "B" or
    "S", with any tag after "O", "E" or "S", and where the type changes. It ends before
    "O" or the next entity. All of IOB1, IOB2, IOE and IOBES are read this way.

    References
    ----------
    .. [1] Tjong Kim Sang and De Meulder, "Introduction to the CoNLL-2003 Shared Task:
       Language-Independent Named Entity Recognition", 2003,
       https://aclanthology.org/W03-0419

    Examples
    --------
    >>> from sklearn_memgen.entities import find_entities
    >>> find_entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [('PER', 0, 2), ('LOC', 3, 4), ('LOC', 4, 5)]
    >>> find_entities(["B-PER", "I-LOC", "S-LOC"])
    [('PER', 0, 1), ('LOC', 1, 2), ('LOC', 2, 3)]
    """
    flat, sizes = _flatten("tags", [tags])
    types, found = _parse(flat, sizes)
    names = [types[kind] for kind in found.kinds]
    return list(zip(names, found.starts.tolist(), found.ends.tolist(), strict=True))


def entity_scores(
    y_true: Sequence[Sequence[str]],
    y_pred: Sequence[Sequence[str]],
    *,
    zero_division: float = 0.0,
) -> pd.DataFrame:
    """Compute how well entities are found, type by type.

    An entity is found if one of the same type begins and ends where it does.

    Parameters
    ----------
    y_true : sequence of sequence of str
        The tags of each sentence; see `find_entities`.
    y_pred : sequence of sequence of str
        The tags that were predicted, as many for each sentence.
    zero_division : float, default=0.0
        What a ratio is that has nothing to divide by.

    Returns
    -------
    scores : DataFrame of shape (n_types + 3, 4)
        `precision`, `recall` and `f1`, and `support`, the number of entities in
        `y_true`, of each type in either. The rows "micro avg", of all entities
        together, "macro avg", the mean of types, and "weighted avg", their mean by
        support, come last.

    Raises
    ------
    TypeError
        If a tag is no string.
    ValueError
        If there are not as many sentences in both, or not as many tags of one.

    Notes
    -----
    The numbers are those of seqeval with its default settings.

    Examples
    --------
    >>> from sklearn_memgen.entities import entity_scores
    >>> y_true = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    >>> y_pred = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O"]]
    >>> entity_scores(y_true, y_pred).round(2)
                  precision  recall    f1  support
    LOC                1.00    1.00  1.00        2
    PER                0.00    0.00  0.00        1
    micro avg          0.67    0.67  0.67        3
    macro avg          0.50    0.50  0.50        3
    weighted avg       0.67    0.67  0.67        3
    """
    flat_true, sizes = _flatten("y_true", y_true)
    flat_pred, sizes_pred = _flatten("y_pred", y_pred)
    _check_sizes(sizes, sizes_pred)
    # Read together, so that types have the same numbers.
    types, both = _parse(flat_true + flat_pred, np.concatenate([sizes, sizes]))
    n_tags = len(flat_true)
    is_true = both.starts < n_tags
    true, pred = (_Entities(*(p[own] for p in both)) for own in (is_true, ~is_true))
    _, a, b = np.intersect1d(
        true.starts, pred.starts - n_tags, assume_unique=True, return_indices=True
    )
    same = (true.kinds[a] == pred.kinds[b]) & (true.ends[a] == pred.ends[b] - n_tags)
    counts = pd.DataFrame(
        {
            name: np.bincount(kinds, minlength=len(types))
            for name, kinds in [
                ("found", true.kinds[a[same]]),
                ("pred", pred.kinds),
                ("true", true.kinds),
            ]
        },
        index=types,
    )
    counts = counts[counts.any(axis=1)].sort_index()
    support = counts["true"].to_numpy()
    by_type = _ratios(counts.to_numpy(), zero_division)
    together = _ratios(counts.to_numpy().sum(0, keepdims=True), zero_division)
    scores = np.vstack([by_type, together])
    for weights in (np.ones(len(by_type)), support):
        mean = np.average(by_type, 0, weights) if weights.sum() else together
        scores = np.vstack([scores, mean])
    rows = [*counts.index, *(f"{average} avg" for average in _AVERAGES)]
    frame = pd.DataFrame(scores, index=rows, columns=["precision", "recall", "f1"])
    frame["support"] = [*support.tolist(), *[int(support.sum())] * len(_AVERAGES)]
    return frame


def entity_f1_score(
    y_true: Sequence[Sequence[str]],
    y_pred: Sequence[Sequence[str]],
    *,
    average: str = "micro",
    zero_division: float = 0.0,
) -> float:
    """Compute the F1 score of entities: the harmonic mean of precision and recall.

    Parameters
    ----------
    y_true, y_pred, zero_division
        See `entity_scores`.
    average : {"micro", "macro", "weighted"}, default="micro"
        "micro" counts all entities together, "macro" is the mean of the scores of
        types, and "weighted" their mean by the number of entities in `y_true`.

    Returns
    -------
    score : float
        Between 0 and 1.

    Raises
    ------
    TypeError
        If a tag is no string.
    ValueError
        If there are not as many sentences or tags in both, or `average` is unknown.

    Examples
    --------
    >>> from sklearn_memgen.entities import entity_f1_score
    >>> entity_f1_score([["B-PER", "I-PER", "O", "B-LOC"]],
    ...                 [["B-PER", "O", "O", "B-LOC"]])
    0.5
    """
    if average not in _AVERAGES:
        raise ValueError(f"average must be one of {list(_AVERAGES)}; got {average!r}")
    scores = entity_scores(y_true, y_pred, zero_division=zero_division)
    return float(scores["f1"].iloc[_AVERAGES.index(average) - len(_AVERAGES)])


def _flatten(name: str, y: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Return all tags in one list, and the number of each sentence."""
    rows = list(y)
    for k, row in enumerate(rows):
        if isinstance(row, str) or not hasattr(row, "__len__"):
            raise ValueError(
                f"{name} must have a list of tags for each sentence; that of sentence "
                f"{k} is {row!r:.80}"
            )
    sizes = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = list(chain.from_iterable(rows))
    if not all(issubclass(kind, str) for kind in set(map(type, flat))):
        wrong = next(k for k, tag in enumerate(flat) if not isinstance(tag, str))
        raise TypeError(
            f"tags must be strings; {_place(name, wrong, sizes)} is {flat[wrong]!r:.80}"
        )
    if "" in flat:
        wrong = flat.index("")
        raise ValueError(f"{_place(name, wrong, sizes)} is empty; expected a tag")
    return flat, sizes


def _place(name: str, k: int, sizes: np.ndarray) -> str:
    """Say which tag one is by its number in all sentences together."""
    row = int(np.searchsorted(sizes.cumsum(), k, side="right"))
    return f"tag {k - sizes[:row].sum()} of sentence {row} in {name}"


def _check_sizes(true: np.ndarray, pred: np.ndarray) -> None:
    if len(true) != len(pred):
        raise ValueError(
            f"y_true has {len(true)} sentences, but y_pred has {len(pred)}"
        )
    if (true != pred).any():
        k = int((true != pred).argmax())
        raise ValueError(
            f"sentence {k} has {true[k]} tags in y_true, but {pred[k]} in y_pred"
        )


def _parse(flat: list[str], sizes: np.ndarray) -> tuple[list[str], _Entities]:
    """Return the types in tags, and the entities."""
    codes, names = pd.factorize(np.array(flat, dtype=object))
    read = [_read_tag(name) for name in names]
    type_of_name, types = pd.factorize(np.array([t for _, t in read], dtype=object))
    places = np.array([place for place, _ in read], dtype="U1")[codes]
    kinds = type_of_name[codes]
    inside = places != "O"
    first = np.zeros(len(flat) + 1, bool)  # of a sentence, or after the last
    first[np.concatenate([[0], sizes.cumsum()])] = True
    # What a tag comes after: at the beginning of a sentence "O".
    before = np.where(first[:-1], "O", np.roll(places, 1))
    begins = inside & (
        np.isin(places, ["B", "S"])
        | np.isin(before, ["E", "S", "O"])
        | (kinds != np.roll(kinds, 1))
    )
    breaks = first | np.append(begins | ~inside, True)
    starts = np.flatnonzero(begins)
    ends = np.flatnonzero(inside & breaks[1:]) + 1
    return list(map(str, types)), _Entities(kinds[starts], starts, ends)


def _read_tag(tag: str) -> tuple[str, str]:
    """Return the place in an entity, and the type."""
    match = _TAG.fullmatch(tag)
    if match is None:
        return "I", tag
    place, kind = match.groups()
    return _ALIASES.get(place, place), kind or _NO_TYPE


def _ratios(counts: np.ndarray, zero_division: float) -> np.ndarray:
    """Return precision, recall and F1, (n, 3), of what was found, predicted, true."""
    found, pred, true = counts.T
    above = np.stack([found, found, 2 * found], axis=1)
    below = np.stack([pred, true, pred + true], axis=1)
    return np.where(below > 0, above / np.maximum(below, 1), zero_division)
