"""How rules are weighed, and how a learner learns from rows that rules decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from sklearn_memgen._rule_decisions import Poll
from sklearn_memgen._rule_inputs import MatchedRows
from sklearn_memgen.rules import RuleSet
from sklearn_memgen.rules.calibration import temper
from sklearn_memgen.rules.evidence import Evidence
from sklearn_memgen.rules.label_model import fit_label_model
from sklearn_memgen.rules.voting import VotingMaster, log_odds

__all__ = ["Labeled", "Learned", "RuleLearning"]

#: Kinds of rules that name the class of a row.
_ASSIGNING = ("assign", "gate")


@dataclass(frozen=True)
class Labeled:
    """Rows with labels.

    Parameters
    ----------
    rows : MatchedRows
        The rows.
    codes : ndarray of shape (n_rows,), int
        Their classes, as places among all.
    weight : ndarray of shape (n_rows,)
        Their weights.
    """

    rows: MatchedRows
    codes: np.ndarray
    weight: np.ndarray

    def take(self, rows: np.ndarray) -> Labeled:
        """Take some rows."""
        return Labeled(self.rows.take(rows), self.codes[rows], self.weight[rows])

    def join(self, other: Labeled) -> Labeled:
        """Return the rows of both."""
        return Labeled(
            self.rows.join(other.rows),
            np.concatenate([self.codes, other.codes]),
            np.concatenate([self.weight, other.weight]),
        )


def keep_shares(
    labeled: Labeled, by_rules: Labeled, n_unlabeled: int, n_classes: int
) -> np.ndarray:
    """Return weights by which classes of many rules do not crowd out the others.

    Parameters
    ----------
    labeled : Labeled
        Rows with labels, at least one of a weight above zero.
    by_rules : Labeled
        Unlabeled rows that rules labeled.
    n_unlabeled : int
        Number of all unlabeled rows.
    n_classes : int
        Number of classes.

    Returns
    -------
    weight : ndarray of shape (n_labeled + n_by_rules,)
        Of the rows of both, of the same sum as their weights. A class with labels has
        the share that it has in these, a new one the share that it has in the unlabeled
        rows.
    """
    codes = np.concatenate([labeled.codes, by_rules.codes])
    weight = np.concatenate([labeled.weight, by_rules.weight])
    own, both = (
        np.bincount(each, w, minlength=n_classes)
        for each, w in ((labeled.codes, labeled.weight), (codes, weight))
    )
    new = np.where(own > 0, 0.0, both / max(n_unlabeled, 1))
    target = own / own.sum() * (1 - new.sum()) + new
    factor = target * both.sum() / np.where(both > 0, both, 1.0)
    return weight * factor[codes]


@dataclass(frozen=True)
class Learned:
    """What was learned from labeled rows, from unlabeled ones, and from rules.

    Parameters
    ----------
    estimator : classifier
        The learner, fitted.
    evidence : Evidence
        What labeled rows say of the rules.
    precision : ndarray of shape (n_rules,)
        Of each rule, in the order of their ids.
    n_by_rules : ndarray of shape (n_classes,), int
        Number of unlabeled rows that rules labeled, and the learner learned from.
    """

    estimator: Any
    evidence: Evidence
    precision: np.ndarray
    n_by_rules: np.ndarray


@dataclass(frozen=True)
class RuleLearning:
    """Learns from labeled and unlabeled rows, and decides.

    Parameters
    ----------
    estimator : classifier
        The learner; clones of it are fitted.
    rules : RuleSet
        The rules.
    classes : ndarray of shape (n_classes,)
        All classes.
    rule_weights, prior_precision, learner_trust, learn_from_rules, min_rule_precision
        See `RuleAugmentedClassifier`.
    weighted : bool
        Whether the labeled rows have weights that count.
    """

    estimator: Any
    rules: RuleSet
    classes: np.ndarray
    rule_weights: str
    prior_precision: float
    learner_trust: float
    learn_from_rules: bool
    min_rule_precision: float
    weighted: bool

    @property
    def has_votes(self) -> bool:
        """Whether rules vote beside the learner."""
        rules = self.rules
        return any(r.kind == "assign" and rules.is_enabled(r.id) for r in rules)

    def odds_of(self, precision: np.ndarray) -> np.ndarray:
        """Return the log-odds of votes by the precision of the rules alone."""
        return log_odds(precision, len(self.classes))

    def learn(self, labeled: Labeled, unlabeled: MatchedRows | None) -> Learned:
        """Weigh the rules, let them label, and fit the learner.

        Parameters
        ----------
        labeled : Labeled
            Rows with labels.
        unlabeled : MatchedRows or None
            Rows without.

        Returns
        -------
        learned : Learned
            All that is needed to decide.
        """
        evidence = Evidence.collect(
            list(self.rules),
            labeled.rows.matched,
            labeled.codes,
            labeled.weight,
            self.classes,
        )
        precision = self._weigh(evidence, labeled, unlabeled)
        everything, n_by_rules = labeled, np.zeros(len(self.classes), dtype=int)
        if self.learn_from_rules and unlabeled is not None:
            by_rules = self._label_by_rules(unlabeled, precision)
            n_by_rules = np.bincount(by_rules.codes, minlength=len(self.classes))
            weight = keep_shares(labeled, by_rules, len(unlabeled), len(self.classes))
            everything = replace(labeled.join(by_rules), weight=weight)
        estimator = self._fit(everything, is_weighted=bool(n_by_rules.any()))
        return Learned(estimator, evidence, precision, n_by_rules)

    def _weigh(
        self, evidence: Evidence, labeled: Labeled, unlabeled: MatchedRows | None
    ) -> np.ndarray:
        """Return the precision of each rule."""
        if self.rule_weights == "given":
            return np.full(len(self.rules), self.prior_precision)
        without = None if unlabeled is None else unlabeled.matched
        precision = evidence.precision(self.prior_precision, without)
        if self.rule_weights == "precision":
            return precision
        matched, codes = labeled.rows.matched, labeled.codes
        if without is not None:
            matched = sparse.vstack([matched, without], format="csr")
            codes = np.concatenate([codes, np.full(without.shape[0], -1)])
        rules = list(self.rules)
        places = {label: code for code, label in enumerate(self.classes.tolist())}
        assigning = [j for j, rule in enumerate(rules) if rule.kind in _ASSIGNING]
        model = fit_label_model(
            matched[:, assigning],
            [places[rules[j].classes[0]] for j in assigning],
            n_classes=len(self.classes),
            labels=codes,
            prior_accuracy=self.prior_precision,
        )
        precision[assigning] = np.clip(model.accuracies, 1e-6, 1 - 1e-6)
        return precision

    def _label_by_rules(self, rows: MatchedRows, precision: np.ndarray) -> Labeled:
        """Return the rows that trusted rules label, weighted by their precision."""
        assigns = np.array([rule.kind in _ASSIGNING for rule in self.rules], dtype=bool)
        trusted = assigns & (precision >= self.min_rule_precision)
        some = np.flatnonzero(np.diff(rows.matched[:, np.flatnonzero(trusted)].indptr))
        kept = sparse.diags_array((trusted | ~assigns).astype(np.int8), dtype=np.int8)
        matched = sparse.csr_matrix(rows.matched[some].astype(np.int8) @ kept)
        matched.eliminate_zeros()
        n_classes = len(self.classes)
        master = VotingMaster(
            self.rules,
            self.classes,
            np.ones(n_classes, dtype=bool),
            precision,
            learner_trust=1.0,
        )
        indifferent = np.full((len(some), n_classes), 1 / n_classes)
        decisions = master.decide(matched.astype(bool), indifferent)
        # Where rules contradict each other none is sure.
        sure = decisions.voted & (decisions.confidence >= self.min_rule_precision)
        chosen = some[sure]
        return Labeled(
            rows.take(chosen), decisions.codes[sure], decisions.confidence[sure]
        )

    def _fit(self, labeled: Labeled, *, is_weighted: bool) -> Any:
        """Fit a clone of the learner, with weights as far as it takes any."""
        estimator = clone(self.estimator)
        parameter = _find_weight_parameter(estimator)
        params = {}
        if (self.weighted or is_weighted) and parameter is not None:
            params[parameter] = labeled.weight
        elif self.weighted:
            raise TypeError(
                f"{type(estimator).__name__} takes no sample_weight; leave it out"
            )
        return estimator.fit(labeled.rows.data, self.classes[labeled.codes], **params)

    def poll(
        self,
        estimator: Any,
        precision: np.ndarray,
        rows: MatchedRows,
        odds: np.ndarray | None = None,
        *,
        temperature: float = 1.0,
        threshold: float = 0.0,
    ) -> Poll:
        """Ask the learner, and make ready to decide.

        Parameters
        ----------
        estimator : classifier
            The learner, fitted.
        precision : ndarray of shape (n_rules,)
            Of each rule, in the order of their ids.
        rows : MatchedRows
            The rows.
        odds : ndarray of shape (n_rules,), default=None
            What their votes add to the learner; by default what their precision says.
        temperature : float, default=1.0
            By which the learner's log-probabilities are divided.
        threshold : float, default=0.0
            Confidence below which rows are declined.

        Returns
        -------
        poll : Poll
            What decides.
        """
        known = np.isin(self.classes, estimator.classes_)
        probabilities = np.zeros((len(rows), len(self.classes)))
        probabilities[:, known] = temper(
            estimator.predict_proba(rows.data), temperature
        )
        master = VotingMaster(
            self.rules,
            self.classes,
            known,
            precision,
            odds,
            learner_trust=self.learner_trust,
        )
        ids = self.rules.ids
        return Poll(rows, ids, self.classes, probabilities, master, threshold)


def _find_weight_parameter(estimator: Any) -> str | None:
    """Return the name under which `fit` takes the weights of rows."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        takes = last not in (None, "passthrough")
        takes = takes and has_fit_parameter(last, "sample_weight")
        return f"{name}__sample_weight" if takes else None
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None
