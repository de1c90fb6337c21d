"""RuleSuggestions: mined rules, for an analyst to accept."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from sklearn_memgen.rules.literals import shorten
from sklearn_memgen.rules.rule import Rule
from sklearn_memgen.rules.ruleset import RuleSet

__all__ = ["FIGURES", "RuleSuggestions"]

#: What is known of each rule, and its type.
FIGURES = {
    "support": int,
    "precision": float,
    "precision_low": float,
    "held_out": int,
    "gain": int,
    "confidence": float,
}

_SHOWN = 10


class RuleSuggestions:
    """Rules that :func:`suggest_rules` mined, for an analyst to accept.

    Parameters
    ----------
    rules : list of Rule
        Class by class, those that add most rows first.
    figures : DataFrame of shape (n_rules, 6)
        The columns `FIGURES`: what is known of each, in the same order.

    Attributes
    ----------
    rules : RuleSet
        All of them. Notes hold their support and precision.
    """

    def __init__(self, rules: list[Rule], figures: pd.DataFrame) -> None:
        self._rules = list(rules)
        self._figures = figures
        self.rules = RuleSet(rules)

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __repr__(self) -> str:
        n_classes = len({(type(r.then), r.then) for r in self._rules})
        title = (
            f"RuleSuggestions: {len(self)} {'rule' if len(self) == 1 else 'rules'} for "
            f"{n_classes} {'class' if n_classes == 1 else 'classes'}"
        )
        if not self._rules:
            return title
        frame = self.to_frame().head(_SHOWN)
        frame = frame[["rule", "when", "support", "precision", "precision_low", "gain"]]
        frame = frame.assign(when=[shorten(text) for text in frame["when"]])
        more = len(self) - len(frame)
        lines = [title, frame.round(3).to_string(index=False)]
        return "\n".join(lines + ([f"... and {more} more"] if more else []))

    def to_frame(self) -> pd.DataFrame:
        """Return the rules and what is known of them, a row each.

        Returns
        -------
        frame : DataFrame
            With the columns "rule" (its id), "when" (its condition as text), "then" and
            "kind"; "support", the labeled rows that it matches; "precision", the share
            for which it is right among those of them that were held out of mining and
            choosing it, NaN without any; "precision_low", the lower end of Wilson's 95
            percent interval; "held_out", their number; "gain", the rows in focus that
            it adds to the rules of its class before it; "confidence", from 0 to 1. See
            :func:`suggest_rules`.
        """
        columns = {
            "rule": [rule.id for rule in self._rules],
            "when": [str(rule.when) for rule in self._rules],
            "then": pd.Series([rule.then for rule in self._rules], dtype=object),
            "kind": [rule.kind for rule in self._rules],
        }
        figures = {name: self._figures[name].to_numpy() for name in self._figures}
        return pd.DataFrame({**columns, **figures})

    def accept(self, *ids: str) -> RuleSet:
        """Return the rules that are wanted.

        Parameters
        ----------
        *ids : str
            Their ids.

        Returns
        -------
        rules : RuleSet
            Of these only.

        Raises
        ------
        KeyError
            If there is no such rule.
        """
        return RuleSet(self.rules[id] for id in dict.fromkeys(ids))
