"""The analyst's loop around a fitted classifier: audit, suggest, review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

from sklearn_memgen._rule_inputs import split_labels
from sklearn_memgen.rules.auditing import audit_rules
from sklearn_memgen.rules.mining import suggest_rules
from sklearn_memgen.rules.reviewing import review_sample
from sklearn_memgen.rules.suggestions import RuleSuggestions

if TYPE_CHECKING:
    from sklearn_memgen._rule_decisions import Poll
    from sklearn_memgen.rules import RuleSet

__all__ = ["RuleAnalysis"]


class RuleAnalysis:
    """What `RuleAugmentedClassifier` offers to those who write rules."""

    if TYPE_CHECKING:
        abstain_label: Any

        def _poll(self, X: Any) -> Poll: ...
        def _make_rules(self) -> RuleSet: ...
        def decide(self, X: Any) -> pd.DataFrame: ...

    def audit(self, X: Any, y: ArrayLike, *, confidence: float = 0.95) -> pd.DataFrame:
        """Judge each rule by what it does on rows.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows.
        y : array-like of shape (n_rows,)
            Their labels, missing ones among them.
        confidence : float, default=0.95
            Probability that the interval of a precision holds it.

        Returns
        -------
        audit : DataFrame of n_rules rows, indexed by ids
            With the columns

            - `kind` and `then` of the rule;
            - `n_rows`, `coverage`: number and share of the rows that it matches;
            - `n_labeled`, `n_right`, `precision`: how many of these have a label, of
              how many it is right, and their ratio. An "assign" rule or a gate is right
              where the label is its class, "restrict" where it is one of its classes,
              "forbid" where it is not its class;
            - `precision_low`, `precision_high`: Wilson's interval of the precision;
            - `n_overlapping`: rows of which another rule says the same;
            - `n_conflicting`: rows of which another rule says the contrary;
            - `agreement`: share of the rows on which the learner alone would agree;
            - `n_gained`, `n_lost`: labeled rows that are right only because of the
              rule, and those that would be right without it.

        Notes
        -----
        For the last two columns the rows of each rule are decided once more without
        it, which takes about a millisecond a rule.
        """
        poll = self._poll(X)
        labels, is_labeled = split_labels(y)
        check_consistent_length(poll.learner, is_labeled)
        codes = np.full(len(is_labeled), -1)
        codes[is_labeled] = pd.Index(poll.classes).get_indexer(labels)
        codes[is_labeled & (codes < 0)] = -2
        return audit_rules(
            list(self._make_rules()),
            poll.rows.matched,
            poll.classes,
            codes,
            poll.learner.argmax(axis=1),
            poll.decided_codes,
            confidence=confidence,
        )

    def suggest_rules(
        self, X: pd.DataFrame, y: ArrayLike, *, errors_only: bool = True, **params: Any
    ) -> RuleSuggestions:
        """Mine rules that an analyst may accept.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            Rows, best those that nothing was learned from.
        y : array-like of shape (n_rows,)
            Their labels, missing ones among them.
        errors_only : bool, default=True
            Whether only rows count as gain that the classifier decides wrongly, or
            declines. Precision is counted on all rows in any case.
        **params : dict
            Passed to :func:`sklearn_memgen.rules.suggest_rules`.

        Returns
        -------
        suggestions : RuleSuggestions
            Rules with support and precision. `self.rules.add` takes those accepted.
        """
        poll = self._poll(X)
        labels = poll.name(poll.decide(), self.abstain_label)
        if errors_only:
            wrong = labels.astype(object) != np.asarray(y, dtype=object)
            params.setdefault("focus", wrong)
            params.setdefault("predicted", labels)
        return suggest_rules(X, y, **params)

    def review_sample(self, X: Any, n: int, **params: Any) -> pd.DataFrame:
        """Draw rows for people to look at, from each source and class.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows of a batch.
        n : int
            Number of rows to draw.
        **params : dict
            Passed to :func:`sklearn_memgen.rules.review_sample`.

        Returns
        -------
        sample : DataFrame of at most n rows
            What was decided of them, with their strata. `estimate_precision` makes the
            precision of the batch from the verdicts.
        """
        return review_sample(self.decide(X), n, **params)
