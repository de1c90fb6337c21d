"""What rules are mined for: the classes of rows, and those predicted for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen.rules.literals import check_value, shorten
from sklearn_memgen.rules.rule import Label

__all__ = ["MINED", "PARTS", "Target", "Targets"]

#: Parts of the labeled rows: those that are mined, and two that are held out.
MINED = 0
PARTS = (MINED, 1, 2)


@dataclass(frozen=True)
class Target:
    """What a rule may say: that rows are of a class, or are not.

    Parameters
    ----------
    kind : {"assign", "forbid"}
        The kind of the rule.
    code : int
        The class.
    """

    kind: str
    code: int


class Targets:
    """The classes of the rows of a table, and those that a model predicted.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Classes, missing for unlabeled rows.
    predicted : array-like of shape (n_rows,) or None
        Predicted classes, missing for declined rows.
    n_rows : int
        Number of rows.

    Attributes
    ----------
    classes : list of str, int or bool
        All classes there are, predicted ones too.
    codes : ndarray of shape (n_rows,), int
        Their places in `classes`, -1 for unlabeled rows.
    predicted : ndarray of shape (n_rows,), int, or None
        The same for those predicted.
    """

    def __init__(self, y: Any, predicted: Any, n_rows: int) -> None:
        labels = [_as_series(y, "y", n_rows)]
        if predicted is not None:
            labels.append(_as_series(predicted, "predicted", n_rows))
        codes, uniques = pd.factorize(pd.concat(labels, ignore_index=True))
        found = [_check_label(label) for label in uniques]
        order = sorted(range(len(found)), key=lambda i: _sort_key(found[i]))
        self.classes: list[Label] = [found[i] for i in order]
        place = np.append(np.argsort(order).astype(np.intp), -1)
        self.codes = place[codes[:n_rows]]
        self.predicted = None if predicted is None else place[codes[n_rows:]]
        if not (self.codes >= 0).any():
            raise ValueError("y has no labels; rules are mined from labeled rows")

    def select(self, classes: Iterable[Any] | None) -> np.ndarray:
        """Return the codes of classes that are asked for.

        Parameters
        ----------
        classes : iterable of str, int or bool, default=None
            The classes; None for all.

        Returns
        -------
        codes : ndarray of shape (n_selected,), int
            Ascending.

        Raises
        ------
        TypeError
            If it is a string.
        ValueError
            If a class is neither in y nor predicted.
        """
        if classes is None:
            return np.arange(len(self.classes))
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise TypeError(f"classes must be a list; got {shorten(repr(classes))}")
        known = {_sort_key(label): code for code, label in enumerate(self.classes)}
        codes = set()
        for label in pd.Index(list(classes)).tolist():
            if _sort_key(label) not in known:
                raise ValueError(
                    f"classes: {label!r} is not among the labels, such as "
                    f"{shorten(self.classes)}"
                )
            codes.add(known[_sort_key(label)])
        return np.array(sorted(codes), dtype=np.intp)

    def votes(self, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the class for which, and that against which each row speaks.

        Parameters
        ----------
        kind : {"assign", "forbid"}
            Kind of the rules. A row speaks for assigning its class, and against all
            others. It speaks for forbidding the class predicted if that is wrong, and
            against forbidding its own.

        Returns
        -------
        for_ : ndarray of shape (n_rows,), int
            Codes, -1 for none.
        against : ndarray of shape (n_rows,), int, or None
            Codes, -1 for none; None if it is all classes but that of `for_`.
        """
        if kind == "assign" or self.predicted is None:
            return self.codes, None
        wrong = (self.codes >= 0) & (self.predicted != self.codes)
        return np.where(wrong, self.predicted, -1), self.codes

    def masks(self, target: Target) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that speak for a target, and those that speak of it at all.

        Parameters
        ----------
        target : Target
            The target.

        Returns
        -------
        positive, relevant : ndarray of shape (n_rows,), bool
            The rows.
        """
        for_, against = self.votes(target.kind)
        positive = for_ == target.code
        if against is None:
            return positive, self.codes >= 0
        return positive, positive | (against == target.code)

    def undecided(self, target: Target) -> np.ndarray:
        """Return the unlabeled rows for which a target would make a difference.

        Parameters
        ----------
        target : Target
            The target.

        Returns
        -------
        rows : ndarray of shape (n_rows,), bool
            All unlabeled ones, or those for which the class to forbid is predicted.
        """
        unlabeled = self.codes < 0
        if target.kind == "assign" or self.predicted is None:
            return unlabeled
        return unlabeled & (self.predicted == target.code)

    def count(
        self, matched: sparse.csc_array, targets: list[Target], parts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the labeled rows say of conditions.

        Parameters
        ----------
        matched : csc_array of shape (n_rows, n_conditions), bool
            Rows of which they hold.
        targets : list of Target, of length n_conditions
            What each is to say.
        parts : ndarray of shape (n_rows,), int
            The part of each row, one of `PARTS`; -1 for unlabeled ones.

        Returns
        -------
        counts, n_right : ndarray of shape (n_parts, n_conditions), int
            Rows matched, and those that speak for the target, in each part.
        shares : ndarray of shape (n_parts, n_conditions)
            Share that speaks for the target among all rows of the part.
        """
        inside = (parts == np.array(PARTS)[:, None]).astype(int)
        shape = (len(inside), len(targets))
        counts, right = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
        shares = np.zeros(shape)
        of_target: dict[Target, list[int]] = defaultdict(list)
        for column, target in enumerate(targets):
            of_target[target].append(column)
        for target, columns in of_target.items():
            positive, relevant = self.masks(target)
            rows = matched[:, columns].astype(int)
            counts[:, columns] = (inside * relevant) @ rows
            right[:, columns] = (inside * positive) @ rows
            share = (inside @ positive) / np.maximum(inside @ relevant, 1)
            shares[:, columns] = share[:, None]
        return counts, right, shares


def _as_series(labels: Any, name: str, n_rows: int) -> pd.Series:
    if isinstance(labels, str) or getattr(labels, "ndim", 1) != 1:
        raise ValueError(
            f"{name} must be one-dimensional, with one label a row of X, {n_rows}"
        )
    series = pd.Series(labels)
    if len(series) != n_rows:
        raise ValueError(
            f"{name} must have one label a row of X, {n_rows}; got {len(series)}"
        )
    return series.astype(object).where(series.notna(), None)


def _check_label(label: Any) -> Label:
    try:
        checked = check_value(label)
    except (TypeError, ValueError) as error:
        raise type(error)(f"y or predicted: {error}") from None
    if isinstance(checked, float):
        raise ValueError(
            f"y and predicted must hold text, integers or booleans; got {label!r}"
        )
    return checked


def _sort_key(label: Any) -> tuple[str, Any]:
    """Return a key by which labels of several types have an order."""
    checked = check_value(label)
    return type(checked).__name__, checked
