"""RuleAugmentedClassifier: machines generalize, people memorize; both vote."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_consistent_length, get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._rule_analysis import RuleAnalysis
from sklearn_memgen._rule_calibration import Calibration
from sklearn_memgen._rule_classes import join_classes, warn_of_new_classes
from sklearn_memgen._rule_decisions import Poll
from sklearn_memgen._rule_inputs import MatchedRows, index_of, read_rows, split_labels
from sklearn_memgen._rule_learning import Labeled, RuleLearning
from sklearn_memgen._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from sklearn_memgen.rules import Rule, RuleSet
from sklearn_memgen.wide_deep import WideDeepClassifier

__all__ = ["RuleAugmentedClassifier"]


class RuleAugmentedClassifier(RuleAnalysis, ClassifierMixin, BaseEstimator):
    r"""Rules that people write and a learner, which decide together.

    Machines generalize: a learner knows what thousands of labeled rows have in common.
    People memorize: an analyst knows what a word means that no labeled row has. Rules
    act at the next prediction, hold where there are no labels yet, and each decision
    says who made it and on what evidence. What trusted rules decide joins the training
    rows, so that the learner catches up.

    A row goes through four stages. *Gates* decide it for good. Otherwise the *learner*
    and "assign" rules vote. "restrict" and "forbid" rules *filter* what has won. What
    is not sure enough is *declined*.

    Parameters
    ----------
    estimator : classifier with `predict_proba`, default=None
        The learner; by default a `WideDeepClassifier`. It gets rows as they are, so
        that it may be a pipeline.
    rules : RuleSet or list of Rule, default=None
        The rules. Changed later on (``model.rules.add(...)``,
        ``model.set_params(rules=...)``), they act at the next prediction.
    classes : array-like of shape (n_classes,), default=None
        All classes there are: rules and labels that name others are refused. By default
        rules may bring classes that no label has, with a warning in `fit`.
    rule_weights : {"precision", "label_model", "given"}, default="precision"
        How the precision of rules is found: counted on labeled rows; by a model of
        where they agree and contradict each other, for many rules and few labels (see
        `fit_label_model`); or `prior_precision` for all, so that only the weights that
        people gave them differ.
    prior_precision : float, default=0.95
        What is thought of a rule before it has matched labeled rows.
    learner_trust : float, default=0.98
        The most that the learner is believed where rules vote as well. At 1, a learner
        that is sure of itself overrules all rules.
    calibrate : bool, default=True
        Whether rows that are held out tell, if there are rules that vote, how sure of
        itself the learner should be, and how much the vote of each rule adds to what
        the learner knows. Without `target_precision` the learner is fitted twice.
    learn_from_rules : bool, default=True
        Whether unlabeled rows that trusted rules decide join the training rows. If the
        learner takes weights, theirs are the rules' confidence, and those of all rows
        are scaled so that classes keep their shares, which rules know some better than
        others.
    min_rule_precision : float, default=0.9
        Estimated precision from which on a rule is trusted to label rows.
    min_confidence : float, default=0.0
        Rows of a lower confidence are declined.
    target_precision : float, default=None
        Decline as many rows as it takes for the others to be right this often. The
        threshold is found on rows held out.
    certainty : float, default=0.95
        Probability with which `target_precision` is kept on rows of the same kind as
        those held out.
    abstain_label : str, int or None, default=None
        What is predicted for declined rows.
    cv : int, splitter or iterable, default=None
        Folds by which rows are held out; None is 5. `target_precision` takes all of
        them, `calibrate` alone the first.
    n_jobs : int, default=None
        Number of folds fitted at once.
    random_state : int, RandomState instance or None, default=None
        Of the folds, and of the default learner.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        All classes: those of labels, and those that the rules of today bring.
    estimator_ : classifier
        The learner, fitted.
    rule_precision_ : DataFrame of n_rules rows, indexed by ids
        `precision`, as estimated; `odds`, what a vote adds to the log-odds of its
        class; and the weights of the labeled rows that each rule matched, `n_labeled`,
        and was right about, `n_right`.
    temperature_ : float
        By which the learner's log-probabilities are divided; 1 if they are not.
    threshold_ : float
        Confidence below which `target_precision` declines; infinite if it is out of
        reach.
    n_labeled_by_rules_ : Series of n_classes values
        Number of unlabeled rows of each class that rules labeled for the learner.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_columns,)
        Names of the columns, if all are strings.

    See Also
    --------
    Rule : A condition, and what it says of the class of a row.
    RuleSet : Rules that are read from files, edited, matched and linted.

    Notes
    -----
    The system is Chimera's [1]_: gate keeper, learning-based and rule-based
    classifiers, voting master, filter. Votes are combined as evidence, see
    `VotingMaster`; within a kind the order of rules never changes a result.

    *Precision of rules.* People write rules without a look at each training row, so
    that the labeled rows are a sample on which a rule can be judged: its precision is
    :math:`(k + 5\pi) / (n + 5)` with :math:`k` of :math:`n` right and the prior
    :math:`\pi`. For a class without labels see `Evidence.precision`.

    *Declining.* By default nothing is declined but rows for which "forbid" and
    "restrict" rules leave no class. With `target_precision`, learner and weights are
    learned on folds, and the threshold is found by fixed sequence testing
    [2]_ on the decisions about the rows held out. It holds for rows like these:
    where classes arrive that no label has, rules must say so. Rows that a gate decides
    are never declined.

    References
    ----------
    .. [1] Sun et al., "Chimera: Large-Scale Classification using Machine Learning,
       Rules, and Crowdsourcing", VLDB 2014.
    .. [2] Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to
       Achieve Risk Control", 2021, https://arxiv.org/abs/2110.01052

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.naive_bayes import MultinomialNB
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_memgen import Rule, RuleAugmentedClassifier, RuleSet, col
    >>> titles = ["gold ring", "silver ring", "motor oil", "engine oil"] * 5
    >>> X = pd.DataFrame({"title": titles})
    >>> y = ["rings", "rings", "oils", "oils"] * 5
    >>> words = make_column_transformer((CountVectorizer(), "title"))
    >>> title = col("title")
    >>> rules = RuleSet([
    ...     Rule(title.contains("binder"), "office", id="binders"),
    ...     Rule(title.contains("earring"), "rings", "forbid", id="earrings"),
    ... ])
    >>> model = RuleAugmentedClassifier(
    ...     make_pipeline(words, MultinomialNB()), rules,
    ...     classes=["office", "oils", "rings"],
    ... ).fit(X, y)
    >>> new = pd.DataFrame({"title": ["gold ring", "ring binder", "earring, ring"]})
    >>> model.predict(new).tolist()
    ['rings', 'office', 'oils']
    >>> model.decide(new)[["label", "source", "rules", "vetoed"]]
        label   source       rules    vetoed
    0   rings  learner          ()        ()
    1  office     rule  (binders,)        ()
    2    oils  learner (earrings,)  (rings,)

    A rule that is added acts at once:

    >>> model.rules.add(Rule(title.contains("necklace"), "rings", id="necklaces"))
    >>> model.decide(pd.DataFrame({"title": ["necklace"]}))["source"].tolist()
    ['rule']
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "rules": [RuleSet, list, tuple, None],
        "classes": ["array-like", None],
        "rule_weights": [StrOptions({"precision", "label_model", "given"})],
        "prior_precision": [Interval(Real, 0, 1, closed="neither")],
        "learner_trust": [Interval(Real, 0, 1, closed="both")],
        "calibrate": ["boolean"],
        "learn_from_rules": ["boolean"],
        "min_rule_precision": [Interval(Real, 0, 1, closed="both")],
        "min_confidence": [Interval(Real, 0, 1, closed="both")],
        "target_precision": [Interval(Real, 0, 1, closed="neither"), None],
        "certainty": [Interval(Real, 0, 1, closed="neither")],
        "abstain_label": "no_validation",
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        rules: RuleSet | Iterable[Rule] | None = None,
        *,
        classes: ArrayLike | None = None,
        rule_weights: str = "precision",
        prior_precision: float = 0.95,
        learner_trust: float = 0.98,
        calibrate: bool = True,
        learn_from_rules: bool = True,
        min_rule_precision: float = 0.9,
        min_confidence: float = 0.0,
        target_precision: float | None = None,
        certainty: float = 0.95,
        abstain_label: Any = None,
        cv: Any = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.rules = rules
        self.classes = classes
        self.rule_weights = rule_weights
        self.prior_precision = prior_precision
        self.learner_trust = learner_trust
        self.calibrate = calibrate
        self.learn_from_rules = learn_from_rules
        self.min_rule_precision = min_rule_precision
        self.min_confidence = min_confidence
        self.target_precision = target_precision
        self.certainty = certainty
        self.abstain_label = abstain_label
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    # Helpers

    def _make_estimator(self) -> Any:
        if self.estimator is not None:
            return self.estimator
        return WideDeepClassifier(random_state=self.random_state)

    def _make_rules(self) -> RuleSet:
        if isinstance(self.rules, RuleSet):
            return self.rules
        return RuleSet(self.rules or ())

    def _make_learning(
        self, rules: RuleSet, classes: np.ndarray, *, weighted: bool = False
    ) -> RuleLearning:
        return RuleLearning(
            self._make_estimator(),
            rules,
            classes,
            rule_weights=self.rule_weights,
            prior_precision=self.prior_precision,
            learner_trust=self.learner_trust,
            learn_from_rules=self.learn_from_rules,
            min_rule_precision=self.min_rule_precision,
            weighted=weighted,
        )

    # Fitting

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        X_unlabeled: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> RuleAugmentedClassifier:
        """Weigh the rules, let them label rows, and fit the learner.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows, as far as the learner takes them.
        y : array-like of shape (n_rows,)
            Class labels: strings, integers or booleans. Rows whose label is missing,
            None or NaN, are unlabeled.
        X_unlabeled : DataFrame, array-like or sparse matrix of n_columns, default=None
            More rows without labels.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows, in the precision of rules and in the learner.
        groups : array-like of shape (n_rows,), default=None
            Rows of a group are held out together.

        Returns
        -------
        self : RuleAugmentedClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If data cannot be learned from, a column that a rule reads is missing, or a
            rule or label names a class that is not among `classes`. Rules are named
            with the line of their file.
        TypeError
            If there are weights, and the learner takes none.

        Warns
        -----
        UserWarning
            If rules name classes that no label has and `classes` is not given, or
            `target_precision` is out of reach, so that all rows are declined.
        """
        rules = self._make_rules()
        labels, is_labeled = split_labels(y)
        data = read_rows(self, X, reset=True)
        check_consistent_length(data, is_labeled)
        weight = _check_sample_weight(sample_weight, data, ensure_non_negative=True)
        classes, added = join_classes(labels, rules, self.classes)
        if added:
            warn_of_new_classes(added)
        rows, kept = MatchedRows.of(data, rules), np.flatnonzero(is_labeled)
        unlabeled = None
        if len(kept) < len(rows):
            unlabeled = rows.take(np.flatnonzero(~is_labeled))
            rows = rows.take(kept)
        if X_unlabeled is not None:
            more = MatchedRows.of(read_rows(self, X_unlabeled, reset=False), rules)
            unlabeled = more if unlabeled is None else unlabeled.join(more)
        codes = np.searchsorted(classes, labels)
        labeled = Labeled(rows, codes, weight[kept])
        learning = self._make_learning(
            rules, classes, weighted=sample_weight is not None
        )
        learned = learning.learn(labeled, unlabeled)
        calibrated = Calibration(
            learning,
            labeled,
            unlabeled,
            None if groups is None else np.asarray(groups)[kept],
            self.cv,
            self.n_jobs,
            self.random_state,
        ).run(
            learned.precision,
            votes=self.calibrate,
            target=self.target_precision,
            certainty=self.certainty,
        )
        self.temperature_ = calibrated.temperature
        self.threshold_ = calibrated.threshold
        self.estimator_ = learned.estimator
        self._labels = np.unique(labels)
        self._judged = {rule.id: rule for rule in rules}
        self.rule_precision_ = learned.evidence.to_frame(rules.ids)
        self.rule_precision_.insert(0, "precision", learned.precision)
        odds = calibrated.odds
        if odds is None:
            odds = learning.odds_of(learned.precision)
        self.rule_precision_.insert(1, "odds", odds)
        self.n_labeled_by_rules_ = pd.Series(
            learned.n_by_rules, index=classes, name="n_rows"
        )
        return self

    # Predicting

    @property
    def classes_(self) -> np.ndarray:
        """All classes, sorted: those of labels, and those that rules name today."""
        check_is_fitted(self)
        return join_classes(self._labels, self._make_rules(), self.classes)[0]

    def decide(self, X: Any) -> pd.DataFrame:
        """Say of each row what was decided, by whom, and on what evidence.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows.

        Returns
        -------
        decisions : DataFrame of n_rows rows, indexed as `X` is
            With the columns

            - `label`: the class, or `abstain_label`;
            - `confidence`: its probability, or that of the class which was declined;
            - `source`: "gate"; "rule", if rules assign the class and the learner would
              have chosen another one; "both", if it would not; "learner", if no rule
              assigns the class; "declined";
            - `rules`: a tuple of the ids of all rules that hold of the row;
            - `learner_label`, `learner_confidence`: what the learner alone would say;
            - `vetoed`: a tuple of classes that had more votes, but that "forbid" and
              "restrict" rules ruled out.
        """
        return self._poll(X).to_frame(self.abstain_label, index_of(X))

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of each row.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows.

        Returns
        -------
        labels : ndarray of shape (n_rows,)
            The class of the highest probability, `abstain_label` where a row is
            declined.
        """
        poll = self._poll(X)
        return poll.name(poll.decide(), self.abstain_label)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Compute the probability of each class, after votes and filter.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows.

        Returns
        -------
        probabilities : ndarray of shape (n_rows, n_classes)
            In the order of `classes_`, whether a row is declined or not. Where rules
            leave no class they are those before the filter.
        """
        return self._poll(X).decide().probabilities

    def _poll(self, X: Any) -> Poll:
        """Match the rules of today with rows, and ask the learner."""
        rules, classes = self._make_rules(), self.classes_
        rows = MatchedRows.of(read_rows(self, X, reset=False), rules)
        learning = self._make_learning(rules, classes)
        precision, odds = self._weigh(learning)
        return learning.poll(
            self.estimator_,
            precision,
            rows,
            odds,
            temperature=self.temperature_,
            threshold=max(self.min_confidence, self.threshold_),
        )

    def _weigh(self, learning: RuleLearning) -> tuple[np.ndarray, np.ndarray]:
        """Return precision and odds of the rules of today."""
        rules = learning.rules
        known = self.rule_precision_.reindex(rules.ids)
        is_judged = [_says_the_same(self._judged.get(rule.id), rule) for rule in rules]
        precision = np.where(is_judged, known["precision"], self.prior_precision)
        odds = learning.odds_of(precision)
        return precision, np.where(is_judged, known["odds"], odds)

    # Tags

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        learner = get_tags(self._make_estimator())
        tags.input_tags = learner.input_tags
        tags.classifier_tags = learner.classifier_tags
        return tags


def _says_the_same(before: Rule | None, rule: Rule) -> bool:
    """Return whether a rule is what it was in `fit`, but for its weight and notes."""
    if before is None or before is rule:
        return before is rule
    then = (before.when, before.kind, before.classes)
    return then == (rule.when, rule.kind, rule.classes)
