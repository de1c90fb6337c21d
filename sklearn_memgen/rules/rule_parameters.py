"""Rules as parameters, which a search may vary one by one."""

from __future__ import annotations

import copy
import difflib
from typing import Any, Self

from sklearn_memgen.rules.literals import shorten
from sklearn_memgen.rules.rule import Rule

__all__ = ["RuleParameters"]


class RuleParameters:
    """What makes a set of rules part of the parameters of an estimator.

    A classifier with the parameter `rules` has those of each rule, too:
    ``rules__ID__enabled`` and ``rules__ID__weight``.
    """

    _rules: dict[str, Rule]
    _disabled: set[str]
    version: int

    def __sklearn_clone__(self) -> Self:
        return copy.copy(self)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what may be changed of each rule, by its name.

        Parameters
        ----------
        deep : bool, default=True
            There are no other parameters, so that without there are none.

        Returns
        -------
        params : dict of str to bool or float
            ``ID__enabled`` and ``ID__weight`` of each rule.
        """
        if not deep:
            return {}
        enabled = {f"{id}__enabled": id not in self._disabled for id in self._rules}
        weights = {f"{id}__weight": rule.weight for id, rule in self._rules.items()}
        return enabled | weights

    def set_params(self, **params: Any) -> Self:
        """Enable or disable rules, or change their weights.

        Parameters
        ----------
        **params : dict
            As of `get_params`.

        Returns
        -------
        self : RuleSet
            The same set.

        Raises
        ------
        TypeError
            If `enabled` is no boolean, or a weight no number.
        ValueError
            If there is no such rule or parameter, or a weight is not positive.

        Examples
        --------
        >>> from sklearn_memgen.rules import Rule, RuleSet, col
        >>> rules = RuleSet([Rule(col("price") > 50, "luxury", id="dear")])
        >>> rules.set_params(dear__weight=2, dear__enabled=False)
        RuleSet of 1 rules, 1 disabled
        """
        rules, disabled = dict(self._rules), set(self._disabled)
        for name, value in params.items():
            id, _, parameter = name.rpartition("__")
            if id not in rules or parameter not in ("enabled", "weight"):
                near = difflib.get_close_matches(name, self.get_params(), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"rules have the parameters ID__enabled and ID__weight; got "
                    f"{name!r}{hint}"
                )
            if parameter == "weight":
                rules[id] = _reweigh(rules[id], value)
            elif not isinstance(value, bool):
                raise TypeError(
                    f"{name} must be True or False; got {shorten(repr(value))}"
                )
            elif value:
                disabled.discard(id)
            else:
                disabled.add(id)
        self._rules, self._disabled = rules, disabled
        self.version += 1
        return self


def _reweigh(rule: Rule, weight: Any) -> Rule:
    """Return the same rule of another weight."""
    return Rule(
        rule.when,
        rule.then,
        rule.kind,
        id=rule.id,
        weight=weight,
        note=rule.note,
        author=rule.author,
        created=rule.created,
    )
