"""Rule: a condition, and what it says of the class of a row."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from numbers import Real
from typing import Any

import numpy as np

from sklearn_memgen.rules.conditions import Condition, FunctionCondition
from sklearn_memgen.rules.literals import shorten

__all__ = ["KINDS", "Label", "Rule"]

#: What a rule may do.
KINDS = ("assign", "forbid", "restrict", "gate")
#: A class.
Label = str | int | bool


@dataclass(frozen=True, init=False, repr=False)
class Rule:
    """A condition, and what it says of the class of a row.

    Parameters
    ----------
    when : Condition or callable
        Which rows the rule speaks of. A function takes the table and returns a boolean
        a row; see :class:`FunctionCondition`.
    then : str, int, bool or, of kind "restrict", a list of them
        The class.
    kind : {"assign", "forbid", "restrict", "gate"}, default="assign"
        "assign" votes for the class (a whitelist rule), "forbid" rules it out (a
        blacklist rule), "restrict" rules out all others than those named, as an
        attribute does, and "gate" is final, before all else.
    id : str, default=None
        A name of its own. By default a digest of `kind`, `when` and `then`.
    weight : float, default=1.0
        How much an "assign" rule counts; positive.
    note : str, default=""
        What there is to know about it.
    author : str, default=""
        Who wrote it.
    created : str, date or datetime, default=""
        When, in ISO format, such as "2024-05-31".

    Attributes
    ----------
    classes : tuple of str, int or bool
        The class, or those of a "restrict" rule, each once, in order.

    Raises
    ------
    TypeError
        If a parameter is of another type.
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    Rules do not change, and are equal if all of their parameters are.

    References
    ----------
    .. [1] Sun et al., "Chimera: Large-Scale Classification using Machine Learning,
       Rules, and Crowdsourcing", VLDB 2014.

    Examples
    --------
    >>> from sklearn_memgen.rules import Rule, col
    >>> Rule(col("title").matches("rings?"), "rings", id="r1")
    Rule(title.matches("rings?"), 'rings', id='r1')
    >>> Rule(col("brand") == "Apple", ["phones", "laptops"], "restrict", id="r2")
    Rule(brand == "Apple", ['laptops', 'phones'], 'restrict', id='r2')
    """

    when: Condition
    then: Label | tuple[Label, ...]
    kind: str
    id: str
    weight: float
    note: str
    author: str
    created: str
    classes: tuple[Label, ...] = field(compare=False)
    _types: tuple[str, ...]

    def __init__(
        self,
        when: Condition | Callable[..., Any],
        then: Any,
        kind: str = "assign",
        *,
        id: str | None = None,
        weight: float = 1.0,
        note: str = "",
        author: str = "",
        created: str | date = "",
    ) -> None:
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}; got {shorten(repr(kind))}")
        condition = _check_when(when)
        classes = _check_classes(then, kind)
        if id is None:
            id = _digest(kind, condition, classes)
        for name, value in {"id": id, "note": note, "author": author}.items():
            if not isinstance(value, str):
                raise TypeError(f"{name} must be text; got {value!r}; put it in quotes")
        if not id or id != id.strip() or not id.isprintable():
            raise ValueError(
                f"id must be text without spaces around it; got {shorten(repr(id))}"
            )
        values = {
            "when": condition,
            "then": classes if kind == "restrict" else classes[0],
            "kind": kind,
            "id": id,
            "weight": _check_weight(weight),
            "note": note,
            "author": author,
            "created": _check_created(created),
            "classes": classes,
            # 1 == True in Python, but they are two classes.
            "_types": tuple(type(label).__name__ for label in classes),
        }
        for attribute, setting in values.items():
            object.__setattr__(self, attribute, setting)

    def __repr__(self) -> str:
        then = list(self.classes) if self.kind == "restrict" else self.then
        kind = "" if self.kind == "assign" else f", {self.kind!r}"
        weight = "" if self.weight == 1 else f", weight={self.weight:g}"
        return f"Rule({self.when}, {then!r}{kind}, id={self.id!r}{weight})"

    @property
    def columns(self) -> frozenset[str | int]:
        """Names of the columns that the condition reads."""
        return self.when.columns


def _check_when(when: Any) -> Condition:
    if isinstance(when, Condition):
        return when
    if callable(when) and not isinstance(when, type):
        return FunctionCondition(when)
    raise TypeError(
        "when must be a condition, such as col('title').contains('ring'), or a "
        f"function of the table; got {shorten(repr(when))}. parse_condition reads texts"
    )


def _check_classes(then: Any, kind: str) -> tuple[Label, ...]:
    several = isinstance(then, list | tuple | set | frozenset | np.ndarray)
    if kind != "restrict" and several:
        raise TypeError(f"a rule of kind {kind!r} has one class; got {then!r}")
    labels = [_check_class(label) for label in (then if several else [then])]
    if not labels:
        raise ValueError("a rule of kind 'restrict' needs at least one class; got none")
    each = {(type(label).__name__, str(label)): label for label in labels}
    return tuple(each[key] for key in sorted(each))


def _check_class(label: Any) -> Label:
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, str):
        if not label:
            raise ValueError("a class must not be empty")
        return str(label)
    if isinstance(label, bool | int):
        return label
    raise TypeError(f"a class must be text, an integer or a boolean; got {label!r}")


def _check_weight(weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, Real):
        raise TypeError(f"weight must be a number; got {shorten(repr(weight))}")
    try:
        number = float(weight)
    except OverflowError:
        number = math.inf
    if not 0 < number < math.inf:
        raise ValueError(f"weight must be positive and finite; got {shorten(weight)}")
    return number


def _check_created(created: Any) -> str:
    if isinstance(created, date):
        return created.isoformat()
    if not isinstance(created, str):
        raise TypeError(f"created must be a date; got {created!r}")
    try:
        if created:
            datetime.fromisoformat(created)
    except ValueError:
        raise ValueError(
            "created must be a date in ISO format, such as 2024-05-31; got "
            f"{shorten(repr(created))}"
        ) from None
    return created


def _digest(kind: str, when: Condition, classes: tuple[Label, ...]) -> str:
    """Return eight characters that say what a rule does."""
    text = json.dumps([kind, str(when), classes])
    return hashlib.sha256(text.encode()).hexdigest()[:8]
