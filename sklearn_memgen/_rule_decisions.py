"""Decisions of rules and a learner: made, declined, named, and told."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sklearn_memgen._rule_inputs import MatchedRows
from sklearn_memgen.rules.calibration import temper
from sklearn_memgen.rules.voting import Decisions, VotingMaster

__all__ = ["Poll"]


@dataclass(frozen=True)
class Poll:
    """Rows, and all that decides on them.

    Parameters
    ----------
    rows : MatchedRows
        The rows.
    ids : list of str
        Ids of the rules.
    classes : ndarray of shape (n_classes,)
        All classes.
    learner : ndarray of shape (n_rows, n_classes)
        Probabilities by the learner.
    master : VotingMaster
        What combines the votes.
    threshold : float
        Confidence below which rows are declined.
    """

    rows: MatchedRows
    ids: list[str]
    classes: np.ndarray
    learner: np.ndarray
    master: VotingMaster
    threshold: float

    def temper(self, temperature: float) -> Poll:
        """Return the same poll of a learner that is more sure of itself, or less."""
        learner, known = self.learner.copy(), self.master.known
        learner[:, known] = temper(learner[:, known], temperature)
        return replace(self, learner=learner)

    def reweigh(self, odds: np.ndarray) -> Poll:
        """Return the same poll with other odds of the rules."""
        return replace(self, master=self.master.reweigh(odds))

    def decide(self) -> Decisions:
        """Decide on all rows."""
        return self.master.decide(self.rows.matched, self.learner)

    def is_declined(self, decisions: Decisions) -> np.ndarray:
        """Return the rows that are declined: not sure enough, or without a class."""
        unsure = (decisions.confidence < self.threshold) & ~decisions.gated
        return unsure | (decisions.codes < 0)

    def decided_codes(self, rows: np.ndarray, matched: sparse.csr_matrix) -> np.ndarray:
        """Return the classes of some rows if these rules held, -1 for declined ones."""
        decisions = self.master.decide(matched, self.learner[rows])
        return np.where(self.is_declined(decisions), -1, decisions.codes)

    def name(self, decisions: Decisions, abstain_label: Any) -> np.ndarray:
        """Return labels, with `abstain_label` for declined rows."""
        labels, declined = self.classes[decisions.codes], self.is_declined(decisions)
        if not declined.any():
            return labels
        abstain = np.array([abstain_label])
        if abstain.dtype.kind != labels.dtype.kind:
            labels, abstain = labels.astype(object), abstain.astype(object)
        return np.where(declined, abstain, labels)

    def to_frame(self, abstain_label: Any, index: pd.Index | None) -> pd.DataFrame:
        """Return decisions as `RuleAugmentedClassifier.decide` tells them."""
        decisions = self.decide()
        agreed = decisions.codes == decisions.learner_codes
        source = np.select(
            [self.is_declined(decisions), decisions.gated, ~decisions.voted, agreed],
            ["declined", "gate", "learner", "both"],
            "rule",
        )
        return pd.DataFrame(
            {
                "label": self.name(decisions, abstain_label),
                "confidence": decisions.confidence,
                "source": source,
                "rules": _as_tuples(self.rows.matched, self.ids),
                "learner_label": self.classes[decisions.learner_codes],
                "learner_confidence": decisions.learner_confidence,
                "vetoed": _as_tuples(decisions.vetoed, self.classes.tolist()),
            },
            index=index,
        )


def _as_tuples(
    matrix: sparse.csr_matrix, names: Sequence[Hashable]
) -> list[tuple[Hashable, ...]]:
    """Return the names of the columns that are set, a tuple a row."""
    each = [names[column] for column in matrix.indices]
    return [tuple(each[a:b]) for a, b in pairwise(matrix.indptr)]
