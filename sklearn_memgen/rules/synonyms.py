r"""More synonyms for a pattern, from texts in which they stand in its place."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize

from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen._warnings import user_stacklevel
from sklearn_memgen.rules.column_values import ColumnValues
from sklearn_memgen.rules.literals import shorten
from sklearn_memgen.rules.patterns import compile_pattern
from sklearn_memgen.rules.slots import (
    SlotPattern,
    find_in,
    find_matches,
    parse_slot,
)

__all__ = ["PatternExpansion", "expand_pattern"]


@validate_params(
    {
        "max_words": [Interval(Integral, 1, None, closed="left")],
        "context": [Interval(Integral, 1, None, closed="left")],
        "min_texts": [Interval(Integral, 1, None, closed="left")],
        "case": ["boolean"],
        "prefix_weight": [Interval(Real, 0, 1, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def expand_pattern(
    pattern: str,
    texts: Iterable[str | None],
    *,
    max_words: int = 3,
    context: int = 5,
    min_texts: int = 2,
    case: bool = True,
    prefix_weight: float = 0.5,
    alpha: float = 1.0,
    beta: float = 0.75,
    gamma: float = 0.15,
) -> PatternExpansion:
    r"""Find words that stand in texts where the synonyms of a pattern could.

    Parameters
    ----------
    pattern : str
        A regular expression in which ``\syn`` marks one alternative of a group that is
        to be found, beside others that are known: ``r"(motor|engine|\syn) oils?"``.
    texts : iterable of str, shape (n_texts,)
        Series, array or list. Missing ones are left out.
    max_words : int, default=3
        Most words of a synonym.
    context : int, default=5
        Number of words before the match, and after it, that are compared.
    min_texts : int, default=2
        Candidates are in so many texts. In one alone they often are like the known
        synonyms by chance.
    case : bool, default=True
        Whether upper and lower case differ in the pattern and its synonyms. In
        contexts they never do.
    prefix_weight : float, default=0.5
        How much the words before a match count; those after it count the rest.
    alpha, beta, gamma : float, default=1.0, 0.75 and 0.15
        Weights of the known synonyms, the accepted candidates and the rejected ones.

    Returns
    -------
    expansion : PatternExpansion
        Look at `next`, then `accept` and `reject`; in the end take `pattern`.

    Raises
    ------
    TypeError
        If `pattern` or one of `texts` is no string.
    ValueError
        If the pattern is none, or has not one slot in a group with others.

    Warns
    -----
    UserWarning
        If no known synonym is found in the texts. Candidates are then in the order of
        how many texts have them, until one is accepted.

    Notes
    -----
    The slot is opened to one, two, ... words [1]_. What it then matches is a candidate
    unless the pattern matches there anyway. The contexts of a match are vectors of
    TF-IDF, :math:`p` of the words before and :math:`s` of those after it; a candidate
    has the means over its matches. Its score is
    :math:`w \cos(p, \hat p) + (1 - w) \cos(s, \hat s)`. The vectors it is compared
    with are Rocchio's,

    .. math:: \hat p = \alpha \bar p_\text{known} + \beta \bar p_\text{accepted} -
        \gamma \bar p_\text{rejected},

    of all that has been accepted and rejected, so that the order of the decisions does
    not matter.

    Synonyms are put into the pattern as they are: where they must be whole words, write
    ``\b`` around the group.

    References
    ----------
    .. [1] Suganthan G. C. et al., "Why Big Data Industrial Systems Need Rules and What
       We Can Do About It", SIGMOD 2015.

    Examples
    --------
    >>> from sklearn_memgen.rules.synonyms import expand_pattern
    >>> titles = ["castrol motor oil 5 litre", "shell engine oil 1 litre",
    ...     "castrol car oil 5 litre", "shell gearbox oil 1 litre",
    ...     "extra virgin olive oil for salads"]
    >>> expansion = expand_pattern(r"(motor|engine|\syn) oils?", titles, min_texts=1)
    >>> expansion.next(3)[["candidate", "n_texts", "example"]]
             candidate  n_texts                            example
    0              car        1            castrol car oil 5 litre
    1          gearbox        1          shell gearbox oil 1 litre
    2      castrol car        1            castrol car oil 5 litre
    >>> expansion.accept("car", "gearbox").reject("olive").pattern
    '(motor|engine|car|gearbox) oils?'
    """
    parsed = parse_slot(pattern, case=case)
    present = _check_texts(texts)
    screen = compile_pattern(parsed.capture_words(1, max_words), case=case).search
    open_to = [text for text in present if screen(text)]
    known = compile_pattern(parsed.capture_known(), case=case)
    golden = find_matches(known, present, context)
    opened = [parsed.capture_words(n, n) for n in range(1, max_words + 1)]
    found = pd.concat(
        [
            find_matches(compile_pattern(one, case=case), open_to, context)
            for one in opened
        ]
    )
    found["candidate"] = found["candidate"].str.split().str.join(" ")
    if not case:
        found["candidate"] = found["candidate"].str.lower()
    found = found[~find_in(found["matched"], parsed.fill(), case=case)]
    n_texts = found.groupby("candidate")["text"].transform("nunique")
    found = found[n_texts >= min_texts]
    if golden.empty and not found.empty:
        warnings.warn(
            f"none of {len(present)} texts has a known synonym of {pattern!r} in "
            "place: candidates are ranked by their number of texts until one is "
            "accepted",
            stacklevel=user_stacklevel(),
        )
    return PatternExpansion(
        parsed,
        golden,
        found.reset_index(drop=True),
        open_to,
        case=case,
        prefix_weight=prefix_weight,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
    )


class PatternExpansion:
    """Candidates for a slot of a pattern, ranked anew after each decision.

    Made by :func:`expand_pattern`, which says what the parameters are.

    Attributes
    ----------
    accepted, rejected : list of str
        The candidates that were decided, in the order of the decisions.
    """

    def __init__(
        self,
        parsed: SlotPattern,
        golden: pd.DataFrame,
        found: pd.DataFrame,
        texts: list[str],
        *,
        case: bool,
        prefix_weight: float,
        alpha: float,
        beta: float,
        gamma: float,
    ) -> None:
        self._parsed = parsed
        self._case = case
        self._weights = {"prefix": prefix_weight, "suffix": 1 - prefix_weight}
        self._rocchio = (alpha, beta, gamma)
        codes, self._names = pd.factorize(found["candidate"], sort=True)
        self._codes, self._matched = codes, found["matched"]
        pairs = pd.DataFrame({"code": codes, "text": found["text"]}).drop_duplicates()
        self._n_texts = np.bincount(pairs["code"], minlength=len(self._names))
        first = pairs.drop_duplicates("code").set_index("code").sort_index()["text"]
        self._examples = [texts[i] for i in first]
        self._embed(golden, found)
        self._decisions: dict[int, bool] = {}
        self._rank()

    def __repr__(self) -> str:
        return (
            f"PatternExpansion to {shorten(repr(self.pattern))}: {len(self._names)} "
            f"candidates, {len(self.accepted)} accepted, {len(self.rejected)} rejected"
        )

    @property
    def accepted(self) -> list[str]:
        """The candidates that were accepted."""
        return [self._names[code] for code, yes in self._decisions.items() if yes]

    @property
    def rejected(self) -> list[str]:
        """The candidates that were rejected."""
        return [self._names[code] for code, yes in self._decisions.items() if not yes]

    @property
    def pattern(self) -> str:
        """The pattern with the accepted candidates in place of the slot."""
        return self._parsed.fill(self.accepted)

    def next(self, n: int = 10) -> pd.DataFrame:
        """Return the best candidates that are to be decided.

        Parameters
        ----------
        n : int, default=10
            Number of candidates.

        Returns
        -------
        table : DataFrame of shape (at most n, 4)
            Columns "candidate", "score", "n_texts", the number of texts in which it
            stands in place, and "example", one of them. The same until something is
            decided.
        """
        table = self.to_frame()
        table = table[table["decision"] == "open"].drop(columns="decision")
        return table.head(n).reset_index(drop=True)

    def accept(self, *candidates: str) -> PatternExpansion:
        """Take candidates into the pattern, and rank the others anew.

        Parameters
        ----------
        *candidates : str
            As `next` has them. An earlier decision is changed.

        Returns
        -------
        self : PatternExpansion
            The same, changed.

        Raises
        ------
        TypeError, ValueError
            If one is no string, or no candidate. Nothing is changed then.
        """
        return self._decide(candidates, True)

    def reject(self, *candidates: str) -> PatternExpansion:
        """Put candidates aside, and rank the others anew.

        Parameters
        ----------
        *candidates : str
            As `next` has them. An earlier decision is changed.

        Returns
        -------
        self : PatternExpansion
            The same, changed.

        Raises
        ------
        TypeError, ValueError
            If one is no string, or no candidate. Nothing is changed then.
        """
        return self._decide(candidates, False)

    def to_frame(self) -> pd.DataFrame:
        """Return all candidates, the best first.

        Returns
        -------
        table : DataFrame of shape (n_candidates, 5)
            The columns of `next`, and "decision": "accepted", "rejected", "covered" if
            the pattern now matches wherever the candidate stands, or "open".
        """
        decision = np.where(self._covered, "covered", "open").astype(object)
        for code, yes in self._decisions.items():
            decision[code] = "accepted" if yes else "rejected"
        table = pd.DataFrame(
            {
                "candidate": self._names,
                "score": self._scores,
                "n_texts": self._n_texts,
                "example": self._examples,
                "decision": decision,
            }
        )
        # Scores that differ by rounding errors only are ties, of which the candidate
        # in more texts comes first, and then that of fewer words.
        n_words = np.array([name.count(" ") for name in self._names], dtype=int)
        order = np.lexsort((n_words, -self._n_texts, -self._scores.round(9)))
        return table.iloc[order].reset_index(drop=True)

    # Helpers

    def _embed(self, golden: pd.DataFrame, found: pd.DataFrame) -> None:
        """Store the mean contexts of each candidate and of the known synonyms."""
        if found.empty:  # scikit-learn has no vectors of no texts
            self._known = {side: np.zeros(1) for side in self._weights}
            self._means = {side: sparse.csr_matrix((0, 1)) for side in self._weights}
            self._units = self._means
            return
        counter = HashingVectorizer(
            token_pattern=r"\w+", norm=None, alternate_sign=False, n_features=2**18
        )
        both = pd.concat([golden, found])
        counts = {side: counter.transform(both[side]) for side in self._weights}
        weigher = TfidfTransformer().fit(sparse.vstack(list(counts.values())))
        each = np.arange(len(found))
        members = sparse.csr_matrix(
            (np.ones(len(found)), (self._codes, each)), (len(self._names), len(found))
        )
        members = normalize(members, norm="l1")
        self._known, self._means, self._units = {}, {}, {}
        for side, matrix in counts.items():
            weighed = weigher.transform(matrix)
            known = weighed[: len(golden)].sum(axis=0) / max(len(golden), 1)
            self._known[side] = np.asarray(known).ravel()
            self._means[side] = (members @ weighed[len(golden) :]).tocsr()
            self._units[side] = normalize(self._means[side])

    def _decide(self, candidates: tuple[str, ...], yes: bool) -> PatternExpansion:
        codes = [self._find(candidate) for candidate in candidates]
        for code in codes:
            self._decisions.pop(code, None)
            self._decisions[code] = yes
        self._rank()
        return self

    def _find(self, candidate: Any) -> int:
        if not isinstance(candidate, str):
            raise TypeError(
                f"a candidate is text; got {shorten(repr(candidate))}. For several "
                "write accept(*candidates)"
            )
        name = " ".join(candidate.split())
        code = self._names.get_indexer([name if self._case else name.lower()])[0]
        if code < 0:
            raise ValueError(f"there is no candidate {shorten(repr(candidate))}")
        return int(code)

    def _rank(self) -> None:
        alpha, beta, gamma = self._rocchio
        accepted = [code for code, yes in self._decisions.items() if yes]
        rejected = [code for code, yes in self._decisions.items() if not yes]
        self._scores = np.zeros(len(self._names))
        for side, weight in self._weights.items():
            target = alpha * self._known[side]
            for codes, factor in ((accepted, beta), (rejected, -gamma)):
                if codes:
                    mean = self._means[side][codes].mean(axis=0)
                    target = target + factor * np.asarray(mean).ravel()
            length = np.linalg.norm(target)
            if length:
                self._scores += weight * (self._units[side] @ (target / length))
        # A longer phrase may hold one that was accepted.
        covered = find_in(self._matched, self.pattern, case=self._case)
        n_open = np.bincount(self._codes, ~covered, minlength=len(self._names))
        self._covered = n_open == 0


def _check_texts(texts: Any) -> list[str]:
    if isinstance(texts, str | bytes | pd.DataFrame) or not isinstance(texts, Iterable):
        raise TypeError(
            f"texts must be a Series or a list of strings; got {type(texts).__name__}"
        )
    column = pd.Series(texts if hasattr(texts, "dtype") else list(texts))
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    values = ColumnValues(column)
    if values.kind not in ("text", "nothing"):
        raise TypeError(f"texts must be strings; got {values.kind}")
    return list(values.values)
