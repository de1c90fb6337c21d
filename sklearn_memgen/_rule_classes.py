"""All classes there are: those of labels, and those that rules bring."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sklearn_memgen._warnings import user_stacklevel
from sklearn_memgen.rules import RuleSet

__all__ = ["join_classes", "warn_of_new_classes"]

_NUMBERS = dict.fromkeys("iuf", "numbers")


def join_classes(
    labels: np.ndarray, rules: RuleSet, given: Any = None
) -> tuple[np.ndarray, dict[Any, list[str]]]:
    """Return all classes, those of labels and those that rules bring.

    Parameters
    ----------
    labels : ndarray of shape (n_labels,)
        Labels of rows.
    rules : RuleSet
        The rules. The classes of "forbid" rules alone do not count.
    given : array-like of shape (n_classes,) or None
        All classes there are, if that is known.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted.
    added : dict of class to list of str
        Classes that no label has, nor `given`, and the ids of the rules for them.

    Raises
    ------
    ValueError
        If labels or rules name classes that are not among those given, or classes of
        rules are of another type than labels.
    """
    classes = np.unique(labels)
    if given is not None:
        known = np.unique(np.asarray(given))
        strange = np.setdiff1d(classes, known).tolist()
        if strange:
            raise ValueError(f"y has the labels {strange!r}, which classes lacks")
        try:
            rules.check(classes=known)
        except ValueError as error:
            raise ValueError(f"{error}\nclasses names {known.tolist()!r}") from None
        return known, {}
    added: dict[Any, list[str]] = {}
    kind, have = _kind_of(classes), set(classes.tolist())
    for rule in rules:
        if not rules.is_enabled(rule.id):
            continue
        for label in rule.classes:
            if _kind_of(np.array([label])) != kind:
                raise ValueError(
                    f"rule {rule.id!r} names the class {label!r}, but labels are of "
                    f"another type, such as {classes.tolist()[0]!r}"
                )
            if label not in have and rule.kind != "forbid":
                added.setdefault(label, []).append(rule.id)
    return (np.union1d(classes, list(added)) if added else classes), added


def _kind_of(classes: np.ndarray) -> str:
    kind = classes.dtype.kind
    return "booleans" if kind == "b" else _NUMBERS.get(kind, "text")


def warn_of_new_classes(added: dict[Any, list[str]]) -> None:
    """Warn of classes that rules bring, as these may be misspelled.

    Parameters
    ----------
    added : dict of class to list of str
        As of `join_classes`.
    """
    shown = "; ".join(
        f"{label!r} (rule {ids[0]!r}{f' and {len(ids) - 1} more' if ids[1:] else ''})"
        for label, ids in list(added.items())[:10]
    )
    count = f"{len(added)} {'class' if len(added) == 1 else 'classes'}"
    warnings.warn(
        f"rules name {count} that no row in y has: {shown}. They join classes_. If "
        "that is meant, name all classes in classes=",
        UserWarning,
        stacklevel=user_stacklevel(),
    )
