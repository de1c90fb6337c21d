"""suggest_rules: rules mined from labeled rows, for an analyst to accept."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_random_state

from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen.rules.candidates import Candidate, Search, find_candidates
from sklearn_memgen.rules.coverage import cover_greedily
from sklearn_memgen.rules.intervals import wilson_interval
from sklearn_memgen.rules.judging import judge, match_conditions, part_rows
from sklearn_memgen.rules.roles import find_roles
from sklearn_memgen.rules.rule import Label, Rule
from sklearn_memgen.rules.suggestions import FIGURES, RuleSuggestions
from sklearn_memgen.rules.targets import MINED, Target, Targets

__all__ = ["suggest_rules"]

_KINDS = ("assign", "forbid")
#: The name of a class is no longer than this in the id of a rule.
_MAX_NAME = 40


@validate_params(
    {
        "min_support": [Interval(Integral, 1, None, closed="left")],
        "min_precision": [Interval(Real, 0, 1, closed="right")],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "max_rules": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def suggest_rules(
    X: pd.DataFrame,
    y: Any,
    *,
    focus: Any = None,
    classes: Iterable[Label] | None = None,
    columns: Iterable[Hashable] | Mapping[Hashable, str] | None = None,
    predicted: Any = None,
    groups: Any = None,
    kinds: Sequence[str] = ("assign",),
    min_support: int = 5,
    min_precision: float = 0.92,
    max_length: int = 4,
    max_rules: int = 20,
    random_state: int | np.random.RandomState | None = None,
) -> RuleSuggestions:
    r"""Mine rules from labeled rows, for an analyst to accept.

    From texts come sequences of words, from numbers and categories thresholds and
    values, each with how many rows it matches and how often it is right.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table. Columns of dates, and others of which no condition can be made, are
        left out.
    y : array-like of shape (n_rows,)
        The classes: strings, integers or booleans, missing for unlabeled rows.
    focus : array-like of shape (n_rows,), bool, default=None
        Rows that rules are wanted for, such as those that a classifier gets wrong or
        declines; they may be unlabeled. By default all labeled rows. Rules are judged
        on all labeled rows all the same.
    classes : iterable of str, int or bool, default=None
        Only rules of these classes. By default of all.
    columns : list of str or int, or dict of them to a role, default=None
        Only these columns; a dict says what each is, "text", "number" or "category", or
        None for what it looks like. By default strings of several words, most of them
        distinct, are texts, other strings and booleans categories.
    predicted : array-like of shape (n_rows,), default=None
        Classes that a model predicts for the rows, missing where it declines; needed
        for rules that forbid. They should be out of sample, as of `cross_val_predict`.
    groups : array-like of shape (n_rows,), default=None
        Rows of a group, such as offers of one product, are never both mined and held
        out.
    kinds : sequence of {"assign", "forbid"}, default=("assign",)
        "assign" rules hold where rows are of a class, "forbid" rules where a model that
        predicts the class is wrong.
    min_support : int, default=5
        A rule matches so many labeled rows at least.
    min_precision : float, default=0.92
        The share of them for which it must be right; see Notes.
    max_length : int, default=4
        The largest number of words, or of simple conditions, in a rule.
    max_rules : int, default=20
        The largest number of rules of a kind for each class.
    random_state : int, RandomState instance or None, default=None
        Draws the rows that are held out, and the trees.

    Returns
    -------
    suggestions : RuleSuggestions
        The rules, and what is known of them.

    Raises
    ------
    TypeError
        If `X` is no DataFrame, or a label or a column is of another type.
    ValueError
        If there are no rows, no labels, or a parameter is out of its range.

    Warns
    -----
    UserWarning
        If texts have more than 200 words, of which no more are looked at.

    Notes
    -----
    **Texts.** As in [1]_, words that are frequent in texts of a class are joined to
    sequences, ``\bmotor\b.*\boils?\b``, until they are precise; see
    :func:`~sklearn_memgen.rules.sequences.mine_sequences`. **Tables.** Conditions come
    from paths of trees; see :class:`~sklearn_memgen.rules.paths.PathMiner`. Of a
    missing value only ``isna()`` holds, as of all conditions.

    **Honest figures.** Rules look best on the rows on which they were found. So half of
    the labeled rows, drawn at random within each class, are mined. The rest is parted
    in two: a rule that clears the bar `min_precision` in one of these quarters, and is
    better than chance there, is judged by the other, and one that clears it in both, by
    both. The precision of the result is therefore that of rows without a say, and may
    lie below the bar; so it would in new data. To accept only the rules above it,
    ``found.accept(*frame.query("precision >= 0.92")["rule"])``, is another choice,
    after which the figures of those that are left are a little too good.

    A rule that forbids a class speaks of the rows for which the class is predicted, or
    right. It is right where the class is predicted and wrong, and wrong where it is
    right, predicted or not.

    **Few rules.** For each class rules are picked one by one, that of the greatest gain
    times confidence first, as long as each adds rows in focus. The confidence, after
    [1]_, is the mean of three numbers, counted on mined rows: the lower end of Wilson's
    95 percent interval of the precision; the coverage, which is the share of rows of
    the class that the rule matches; and the share of the words of the class's name that
    are among those of the rule, 0 for rules on numbers and categories.

    References
    ----------
    .. [1] Suganthan et al., "Why Big Data Industrial Systems Need Rules and What We Can
       Do About It", SIGMOD 2015.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen.rules.mining import suggest_rules
    >>> oils = [f"{brand} motor oil {i}" for i in range(30) for brand in ["A", "B"]]
    >>> rings = [f"{metal} ring {i}" for i in range(30) for metal in ["gold", "motor"]]
    >>> X = pd.DataFrame({"title": oils + rings})
    >>> found = suggest_rules(X, ["oils"] * 60 + ["rings"] * 60, random_state=0)
    >>> found.to_frame()[["when", "then", "support", "precision"]]
                                    when   then  support  precision
    0   title.matches(r"\boil\b", case=False)   oils       60        1.0
    1  title.matches(r"\bring\b", case=False)  rings       60        1.0
    >>> found.accept(*found.rules.ids[:1])
    RuleSet of 1 rules
    """
    roles = find_roles(X, columns)
    if not len(X):
        raise ValueError("X has no rows; rules are mined from labeled rows")
    kinds = [kinds] if isinstance(kinds, str) else list(dict.fromkeys(kinds))
    for kind in kinds:
        if kind not in _KINDS:
            raise ValueError(f"kinds must be among {_KINDS}; got {kind!r}")
    if "forbid" in kinds and predicted is None:
        raise ValueError('kinds: "forbid" needs the classes that a model predicted')
    targets = Targets(y, predicted, len(X))
    wanted = targets.select(classes)
    rng = check_random_state(random_state)
    group_codes = None if groups is None else _check_groups(groups, len(X))
    parts = part_rows(targets.codes, group_codes, rng)
    in_focus = targets.codes >= 0 if focus is None else _check_focus(focus, len(X))

    share = (parts == MINED).sum() / (parts >= 0).sum()
    search = Search(
        targets=targets,
        wanted=[Target(kind, code) for kind in kinds for code in wanted],
        parts=parts,
        in_focus=in_focus,
        min_count=max(2, math.ceil(min_support * share)),
        min_precision=min_precision,
        max_length=max_length,
        max_rules=max_rules,
    )
    candidates = find_candidates(X, roles, search, rng)
    return _choose(X, candidates, search, min_support)


def _choose(
    X: pd.DataFrame, candidates: list[Candidate], search: Search, min_support: int
) -> RuleSuggestions:
    """Judge candidates, and choose few that cover many rows in focus."""
    matched = match_conditions([candidate.when for candidate in candidates], X)
    targets = [candidate.target for candidate in candidates]
    counts, right, shares = search.targets.count(matched, targets, search.parts)
    places = {target: place for place, target in enumerate(search.wanted)}
    families = np.array([places[target] for target in targets], dtype=int)
    judgment = judge(
        counts,
        right,
        shares,
        families,
        min_support=min_support,
        min_precision=search.min_precision,
    )
    overlaps = np.array([candidate.overlap for candidate in candidates])
    surely_right, _ = wilson_interval(right[MINED], counts[MINED])
    rules: list[Rule] = []
    figures: list[dict[str, Any]] = []
    for place, target in enumerate(search.wanted):
        own = np.flatnonzero((families == place) & judgment.kept)
        positive, _ = search.targets.masks(target)
        n_mined = max((positive & (search.parts == MINED)).sum(), 1)
        coverage = right[MINED, own] / n_mined
        confidence = (surely_right[own] + coverage + overlaps[own]) / 3
        rows = search.rows_to_cover(target)
        picked, _ = cover_greedily(
            matched[rows][:, own].T, confidence, search.max_rules
        )
        chosen = own[picked]
        to_gain = search.in_focus & (positive | search.targets.undecided(target))
        gains = _count_gains(matched[to_gain][:, chosen])
        for i, j, gain in zip(picked, chosen, gains, strict=True):
            figures.append(
                {
                    "support": judgment.support[j],
                    "precision": judgment.precision[j],
                    "precision_low": judgment.precision_low[j],
                    "held_out": judgment.held_out[j],
                    "gain": gain,
                    "confidence": confidence[i],
                }
            )
            rules.append(_make_rule(candidates[j], search.targets.classes, figures[-1]))
    frame = pd.DataFrame(figures, columns=list(FIGURES)).astype(FIGURES)
    return RuleSuggestions(rules, frame)


def _count_gains(matched: sparse.csc_array) -> list[int]:
    """Return how many rows each rule adds to those before it."""
    covered = np.zeros(matched.shape[0], dtype=bool)
    gains = []
    for start, end in pairwise(matched.indptr):
        rows = matched.indices[start:end]
        gains.append(int((~covered[rows]).sum()))
        covered[rows] = True
    return gains


def _make_rule(
    candidate: Candidate, classes: list[Label], figures: dict[str, Any]
) -> Rule:
    """Return a rule whose id says what it is for, and is the same in each run."""
    label, kind = classes[candidate.target.code], candidate.target.kind
    name = re.sub(r"\W+", "-", str(label).lower())[:_MAX_NAME].strip("-")
    digest = Rule(candidate.when, label, kind).id
    prefix = "not-" if kind == "forbid" else ""
    note = f"{figures['support']} rows"
    if figures["held_out"]:
        note += (
            f"; of {figures['held_out']} held out {figures['precision']:.1%} right, "
            f"at least {figures['precision_low']:.1%}"
        )
    id = f"{prefix}{name}-{digest}" if name else f"{prefix}{digest}"
    return Rule(candidate.when, label, kind, id=id, note=note)


def _check_focus(focus: Any, n_rows: int) -> np.ndarray:
    mask = pd.Series(focus)
    if mask.shape != (n_rows,) or not pd.api.types.is_bool_dtype(mask.dtype):
        raise ValueError(
            f"focus must be one boolean a row of X, {n_rows}; got {len(mask)} values "
            f"of type {mask.dtype}"
        )
    return mask.fillna(False).to_numpy(dtype=bool)


def _check_groups(groups: Any, n_rows: int) -> np.ndarray:
    series = pd.Series(groups)
    if series.shape != (n_rows,) or series.isna().any():
        raise ValueError(
            f"groups must be one value a row of X, {n_rows}, none missing; got "
            f"{len(series)} values, {series.isna().sum()} missing"
        )
    return pd.factorize(series)[0]
