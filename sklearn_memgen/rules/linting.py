"""What is wrong, or may be, with rules: duplicate, subsumed, dead, conflicting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Any

import pandas as pd
from scipy import sparse

from sklearn_memgen.rules.implication import Case, implies, split_into_cases
from sklearn_memgen.rules.rule import Rule

__all__ = ["lint_rules"]

_HEADER = ["rule", "other", "problem", "why"]
_SAME_CONDITION = "the same condition, kind and class"
_EQUIVALENT = "equivalent conditions, of the same kind and class"
_IMPLIED = "the other holds wherever this one does"


def lint_rules(
    rules: list[Rule],
    matched: sparse.csc_matrix | None,
    columns: dict[str, int],
) -> pd.DataFrame:
    """Return what is wrong, or may be, with rules.

    Parameters
    ----------
    rules : list of Rule
        In the order of their ids.
    matched : csc_matrix of shape (n_rows, n_columns) or None
        Rows that they match.
    columns : dict of str to int
        The column of `matched` of each id.

    Returns
    -------
    problems : DataFrame
        As of `RuleSet.lint`.
    """
    problems: dict[tuple[str, str, str], str] = {}
    cases: dict[str, list[Case] | None] = {
        r.id: split_into_cases(r.when) for r in rules
    }
    for rule in rules:
        if cases[rule.id] == []:
            problems[rule.id, "", "dead"] = "its conditions contradict each other"
    _compare_forms(rules, cases, problems)
    if matched is not None:
        _compare_rows(rules, matched[:, [columns[r.id] for r in rules]], problems)
    rows = [(*key, why) for key, why in sorted(problems.items())]
    return pd.DataFrame(rows, columns=_HEADER, dtype=object)


def _compare_forms(
    rules: list[Rule],
    cases: dict[str, list[Case] | None],
    problems: dict[tuple[str, str, str], str],
) -> None:
    """Add the problems that the forms of the conditions prove."""
    proven = set(_find_implied(rules, cases))
    for one, two in sorted(proven, key=lambda pair: (pair[0].id, pair[1].id)):
        mutual = (two, one) in proven
        if mutual and one.id < two.id and _effect(one) == _effect(two):
            continue
        if mutual and _effect(one) == _effect(two):
            same = one.when == two.when
            why = _SAME_CONDITION if same else _EQUIVALENT
            problems[one.id, two.id, "duplicate"] = why
        elif _covers(two, one):
            problems[one.id, two.id, "subsumed"] = _IMPLIED
        clash = _clash(one, two)
        if clash:
            first, second = sorted((one.id, two.id))
            narrow = "both hold at once" if mutual else f"{one.id!r} implies {two.id!r}"
            problems[first, second, "conflicting"] = f"{clash}; {narrow}"


def _find_implied(
    rules: list[Rule], cases: dict[str, list[Case] | None]
) -> Iterator[tuple[Rule, Rule]]:
    """Return pairs of rules of which the second holds wherever the first does."""
    having: dict[Hashable, list[Rule]] = defaultdict(list)
    same: dict[Any, list[Rule]] = defaultdict(list)
    for rule in rules:
        same[rule.when].append(rule)
        for key in {key for case in cases[rule.id] or () for key in case.keys}:
            having[key].append(rule)
    for group in same.values():
        yield from ((a, b) for a in group for b in group if a is not b)
    for two in rules:
        candidates: dict[str, Rule] = {}
        for case in cases[two.id] or ():
            # What implies the case has all of its keys; the rarest has fewest rules.
            rarest = min((having[key] for key in case.keys), key=len, default=rules)
            candidates.update((rule.id, rule) for rule in rarest)
        for one in candidates.values():
            own, others = cases[one.id], cases[two.id]
            if one is not two and own and others and implies(own, others):
                yield one, two


def _compare_rows(
    rules: list[Rule],
    matched: sparse.csc_matrix,
    problems: dict[tuple[str, str, str], str],
) -> None:
    """Add the problems that show on the rows of a table."""
    counts = matched.getnnz(axis=0)
    for rule, count in zip(rules, counts, strict=True):
        if not count:
            why = f"matches none of {matched.shape[0]} rows"
            problems.setdefault((rule.id, "", "dead"), why)
    numbers = matched.astype("int32")
    shared = sparse.triu(numbers.T @ numbers, k=1).tocoo()
    for i, j, n_shared in zip(shared.row, shared.col, shared.data, strict=True):
        one, two = rules[i], rules[j]
        clash = _clash(one, two)
        if clash:
            rows = f"{n_shared} {'row' if n_shared == 1 else 'rows'} in common"
            why = f"{clash}; {rows}, of {counts[i]} and {counts[j]}"
            problems[one.id, two.id, "conflicting"] = why
        for inner, outer, count in ((two, one, counts[j]), (one, two, counts[i])):
            if n_shared < count or not _covers(outer, inner):
                continue
            pairs = [(inner.id, outer.id), (outer.id, inner.id)]
            known = [(*p, what) for p in pairs for what in ("duplicate", "subsumed")]
            if not any(key in problems for key in known):
                rows = "its only row is" if count == 1 else f"all its {count} rows are"
                why = f"{rows} matched by the other"
                problems[inner.id, outer.id, "subsumed"] = why


def _effect(rule: Rule) -> tuple[Any, ...]:
    """Return what a rule does to the rows that it matches."""
    return rule.kind, _labels(rule)


def _labels(rule: Rule) -> frozenset[tuple[str, Any]]:
    """Return the classes of a rule; 1 and True are two."""
    return frozenset((type(label).__name__, label) for label in rule.classes)


def _covers(outer: Rule, inner: Rule) -> bool:
    """Return whether a rule says all that another one does, where both match."""
    if outer.kind == inner.kind == "restrict":
        return _labels(outer) <= _labels(inner)
    final = outer.kind == "gate" and inner.kind == "assign"
    return (outer.kind == inner.kind or final) and _labels(outer) == _labels(inner)


def _clash(one: Rule, two: Rule) -> str:
    """Return what two rules say that cannot be reconciled, if anything."""
    kinds = {one.kind, two.kind}
    labels, others = _labels(one), _labels(two)
    if kinds in ({"assign"}, {"gate"}) and labels != others:
        return f"different classes, {one.then!r} and {two.then!r}"
    if kinds == {"assign", "forbid"} and labels == others:
        return f"{one.then!r} is assigned and forbidden"
    if kinds == {"restrict"} and not labels & others:
        return "the two leave no class"
    if kinds == {"assign", "restrict"} and not labels & others:
        assigned = one if one.kind == "assign" else two
        return f"{assigned.then!r} is assigned, and not among the classes left"
    return ""
