"""NoisyFineTuneProbe: see when a net memorizes, and which labels it had to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._class_curve import ClassCurveMixin, FittedTable
from sklearn_memgen._label_noise import LabelNoise, check_levels
from sklearn_memgen._learning_events import learning_events
from sklearn_memgen._many_nets import ManyNetsMixin
from sklearn_memgen._net_estimator import Encoded
from sklearn_memgen._phases import find_phases
from sklearn_memgen._probe_nets import (
    PRESETS,
    ProbeNet,
    ProbePlan,
    as_curves,
    settled,
)
from sklearn_memgen._sklearn import (
    Interval,
    StrOptions,
    _fit_context,
)
from sklearn_memgen._suspects import SuspectsMixin
from sklearn_memgen._table_nets import encode_all
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.wide_deep import WideDeepClassifier

__all__ = ["NoisyFineTuneProbe"]


class NoisyFineTuneProbe(SuspectsMixin, ClassCurveMixin, ManyNetsMixin, BaseEstimator):
    """Watch nets learn labels with more and more noise, and tell what they memorized.

    A net first fits the pattern, then settles, and only then memorizes labels that do
    not follow it [1]_. The probe trains nets on `y` and on copies of `y` in which some
    labels were made wrong, so that it is known what is noise. From their courses it
    reads when each phase ends, and which of the given labels are suspect; it predicts
    with the net of the given labels as it was when settling ended.

    Parameters
    ----------
    estimator : NetClassifier, default=None
        Says what the nets are: a `WideDeepClassifier`, or a `NetClassifier` of any
        module; with ``source=`` they are pretrained. By default a `WideDeepClassifier`
        of one perceptron of 128 units, whose encoder does not look at the labels. What
        would blur the course is left out,
        whatever the estimator says: early stopping, the running average of the weights,
        falling learning rates, calibration, and the pilot nets of ``caution="auto"``.
    noise_levels : array-like of float, default=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
        Shares of the labels that are made wrong, from 0 on and below 1. Level 0 must be
        there: its nets predict.
    n_repeats : int, default=1
        Nets a level, each with its own seed, noise and held-out rows.
    noise : "uniform", array-like of shape (n_classes, n_classes), or callable, \
            default="uniform"
        What a label becomes: any other class with the same probability; or class j
        with a probability in proportion to entry (i, j) of a transition matrix, whose
        rows sum to 1; or what a function ``noise(y, level, rng)`` returns, which is
        given the labels, the level and a `RandomState`. Of a matrix the diagonal says
        how often a class changes, beside the others; the level says how often on
        average.
    exact : bool, default=True
        Whether exactly the share of a level is wrong. If not, each label is wrong with
        that probability.
    max_epochs : int, default=20
        Passes over the rows, all of which are made.
    validation_fraction : float, default=0.1
        Share of the rows that a net does not learn but is validated with. Other rows
        are held out from net to net.
    threshold_fraction : float or None, default=0.05
        Share of the rows that have a label of a further class in one more net of each
        repeat: threshold samples [2]_. None leaves these nets out.
    reference : bool, default=True
        Whether one more net of each repeat learns the given labels as `estimator` says,
        with its early stopping, schedule and average of weights. Its probabilities make
        half of `label_quality`.
    refit : {"clean"} or None, default=None
        "clean" fits the estimator, as it is, on the rows that `find_label_issues` does
        not name; that predicts.
    preset : {"tanzer2022"} or None, default=None
        "tanzer2022" trains as [1]_ do, whatever the estimator says, as far as it has
        these parameters: AdamW at 1e-4, weight decay of 0.01, a rate that rises over
        the first 10 % of the steps and falls linearly to zero, gradients of norm 1 at
        most, 64 rows a batch, a dropout of 0.1, and texts of 50 sub-word tokens. A
        `TextClassifier` or `TokenClassifier` does not decay biases and normalization.
    strategy : {"auto", "stacked", "sequential", "joblib"}, default="auto"
        How the nets are trained; see `training.Population`.
    n_jobs : int, default=None
        Processes, as joblib has it.
    random_state : int, RandomState instance or None, default=None
        Draws noise, held-out rows and weights.
    verbose : int, default=0
        1 prints how many nets there are, and the phases that were found.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.
    curves_ : DataFrame
        A row for each `level`, `repeat` and `epoch`. Accuracy and loss, in nats, on the
        learned rows by the labels that were learned (`accuracy`, `loss`), on those of
        them whose labels were left alone (`clean_...`), on the others by the wrong
        label (`wrong_...`) and by the given one (`original_...`), and on held-out rows
        (`validation_...`). Those of learned rows are of the forward pass of training,
        before its step. Then what callbacks of the estimator recorded in the history of
        the nets, such as a score on other rows.
    noise_ : DataFrame
        For each `level` and `repeat`: `nominal` and `realized` share of wrong labels
        among `n_rows` learned.
    phases_ : DataFrame, indexed by level
        `fitting_end` and `settling_end`, the last epochs of these phases, and whether
        the net `memorizes` within `max_epochs`. With several repeats the ends of 90 %
        bootstrap intervals, `..._low` and `..._high`.
    examples_ : DataFrame of shape (n_rows, 10)
        A row for each row of `X`, with its index, or for each token if the estimator is
        a `TokenClassifier`, by the numbers of `sentence` and `token`.
        `first_learned_epoch`, `n_forgotten`, `aum`, `confidence`, `variability` and
        `correctness` (the share of epochs) are those of a `training.Trace`, from the
        nets of level 0 that learned the row, on average; missing if none did.
        `loss_at_settling` is that of the given label, in nats; `label_quality` from 0
        to 1, low for a suspect label; then the `given_label` and the
        `suggested_label`. Rows of weight zero have labels only.
    learning_events_ : DataFrame
        For each `level`, whether `labels` are "clean" or were made "wrong", and the
        `class` that was learned: the number of them that nets learned from,
        `n_labels`; how many were right at least once, `n_learned`, or wrong again
        later, `n_forgettable`, and the ratio of the latter to the former,
        `forgettable_share`; and on average how often each was forgotten,
        `n_forgotten`, and the `first_learned_epoch` of those that were learned.
    n_label_issues_ : int
        Number of labels that `find_label_issues` names.
    estimators_ : list of NetClassifier
        The fitted classifiers whose mean probability predicts.
    n_features_in_ : int
        Number of features. Not defined if `X` is a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` is a DataFrame and all are strings.

    See Also
    --------
    training.Trace : What each row did in a single net.
    training.Population : How the nets are trained together.

    Notes
    -----
    *Phases.* Fitting ends in the first epoch after which training accuracy rises by
    less than 0.005 in the next, and validation accuracy by less than that or two of its
    standard errors; with settling, if there is none before. Settling ends in the last
    epoch before corrupted labels begin to be reproduced: before their accuracy rises by
    more than two standard errors above the lowest since validation ceased to rise, and
    stays there. At level 0 no label is corrupted; it is said to settle as long as the
    lowest level above it, the nearest there is, or, if there is none, as the threshold
    samples say.

    *Label quality* is the mean probability of the given label over all epochs until
    level 0 has settled, and over all nets that learned the row by that label or did not
    learn it, where level :math:`l` has a weight of :math:`(1 - l)^4`. The other half is
    the probability that the nets of `reference` give it.

    *Number of issues.* The labels that were made wrong at the lowest level above 0 are
    a sample of what wrong labels look like. Issues are the largest share of the given
    labels that can be like them [3]_; see `find_label_issues`.

    *Prediction.* The nets of level 0 predict, with the mean of their weights after the
    last three epochs of settling: one epoch differs from the next at a constant rate.

    *Encoding.* The table is encoded once, by all rows, and shared. If the encoder of
    `estimator` looks at labels, as that of a `WideDeepClassifier` does with its
    defaults, it sees the given ones, those of held-out rows among them; target
    statistics then leak given labels into nets that are to learn others. Leave them
    out by ``crosses=()``, ``bins="quantile"`` and ``memorize="none"`` or "exact".

    *Weights* of rows and classes are those of the given labels; they count in what nets
    learn, not in curves. ``class_weight`` stays with the row when its label changes.

    *Costs.* The probe takes (levels + 1) x repeats fits of `max_epochs`, and as many
    ordinary fits as repeats. For each of the former it keeps 8 bytes a row and epoch
    while fitting, and for those of level 0 the weights of each epoch. The encoded table
    stays in memory for `class_learning_curve`; it is not pickled.

    References
    ----------
    .. [1] Tanzer, Ruder and Rei, "Memorisation versus Generalisation in Pre-trained
       Language Models", 2022, https://arxiv.org/abs/2105.00828
    .. [2] Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin
       Ranking", 2020, https://arxiv.org/abs/2001.10528
    .. [3] Blanchard, Lee and Scott, "Semi-Supervised Novelty Detection", 2010,
       https://jmlr.org/papers/v11/blanchard10a.html

    Examples
    --------
    >>> from sklearn_memgen import NoisyFineTuneProbe
    >>> from sklearn_memgen.datasets import make_memgen_classification
    >>> X, y, parts = make_memgen_classification(
    ...     n_samples=1500, exception_fraction=0, random_state=0, return_parts=True
    ... )
    >>> probe = NoisyFineTuneProbe(
    ...     noise_levels=(0.0, 0.2, 0.4), max_epochs=12, random_state=0
    ... ).fit(X, y)
    >>> quality = probe.examples_["label_quality"].groupby(parts).mean()
    >>> bool(quality["noise"] < quality["general"] - 0.1)
    True
    >>> probe.suspects(3, X).columns[:3].tolist()
    ['given_label', 'suggested_label', 'label_quality']
    """

    _parameter_constraints: dict = {
        "estimator": [NetClassifier, None],
        "noise_levels": ["array-like"],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "noise": [StrOptions({"uniform"}), "array-like", callable],
        "exact": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "threshold_fraction": [Interval(Real, 0, 0.5, closed="right"), None],
        "reference": ["boolean"],
        "refit": [StrOptions({"clean"}), None],
        "preset": [StrOptions(set(PRESETS)), None],
        "strategy": [StrOptions({"auto", "stacked", "sequential", "joblib"})],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: NetClassifier | None = None,
        *,
        noise_levels: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        n_repeats: int = 1,
        noise: str | ArrayLike | Callable[..., Any] = "uniform",
        exact: bool = True,
        max_epochs: int = 20,
        validation_fraction: float = 0.1,
        threshold_fraction: float | None = 0.05,
        reference: bool = True,
        refit: str | None = None,
        preset: str | None = None,
        strategy: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.noise_levels = noise_levels
        self.n_repeats = n_repeats
        self.noise = noise
        self.exact = exact
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.threshold_fraction = threshold_fraction
        self.reference = reference
        self.refit = refit
        self.preset = preset
        self.strategy = strategy
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _make_estimator(self) -> NetClassifier:
        if self.estimator is not None:
            base = clone(self.estimator)
        else:
            base = WideDeepClassifier(
                hidden_layer_sizes=(128,),
                memorize="none",
                crosses=(),
                bins="quantile",
                n_bins=32,
                n_members=1,
                caution=False,
            )
        preset = {} if self.preset is None else PRESETS[self.preset]
        known = base.get_params(deep=False)
        return base.set_params(**{k: v for k, v in preset.items() if k in known})

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> NoisyFineTuneProbe:
        """Train all nets, and read off how they learned.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs, as far as the estimator takes them.
        y : array-like of shape (n_rows,)
            Class labels: strings, integers or booleans.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in the loss; a row of weight 0 is left out.

        Returns
        -------
        self : NoisyFineTuneProbe
            The fitted probe.

        Raises
        ------
        ValueError
            If a noise level is not from 0 on and below 1, 0 is not among them, `noise`
            is no transition matrix of the classes, or data cannot be learned from.
        FloatingPointError
            If the loss of a net becomes infinite or NaN.
        """
        levels = check_levels(self.noise_levels)
        rng = check_random_state(self.random_state)
        base = self._make_checked_estimator(rng)
        examples = base._read(
            X, y, sample_weight, encoder=base._make_encoder(), classes=None, reset=True
        )
        noise = LabelNoise(self.noise, examples.classes, self.exact)
        encoded = encode_all(base, examples.counted())
        base.encoder_, base.classes_ = encoded.encoder, examples.classes
        nets, reference_losses = self._train(base, encoded, levels, noise, rng)
        # From here on nothing fails but a refit: what was fitted before is replaced.
        self.classes_ = examples.classes
        self._take_features(base)
        self._read_off(nets, rng)
        self._settling_end = int(self.phases_["settling_end"].iloc[0])
        self.learning_events_ = learning_events(nets, self.classes_)
        index = base._index_of(X)
        self._judge(nets, reference_losses, examples, self._settling_end, index)
        self.estimators_ = [
            settled(base, net, self._settling_end) for net in nets if net.level == 0
        ]
        if self.refit == "clean":
            self.estimators_ = [self._fit_clean(X, y, examples, base.random_state)]
        self._table = FittedTable(base, encoded, rng.randint(2**31))
        return self

    def _train(
        self,
        base: NetClassifier,
        encoded: Encoded,
        levels: list[float],
        noise: LabelNoise,
        rng: np.random.RandomState,
    ) -> tuple[list[ProbeNet], np.ndarray | None]:
        plan = ProbePlan(
            base,
            encoded,
            noise.classes,
            max_epochs=self.max_epochs,
            validation_fraction=self.validation_fraction,
            rng=rng,
            schedule="constant" if self.preset is None else base.schedule,
        )
        for repeat in range(self.n_repeats):
            for level in levels:
                plan.add_level(level, repeat, noise)
            if self.threshold_fraction is not None:
                plan.add_threshold(self.threshold_fraction, repeat)
            if self.reference:
                plan.add_reference()
        if self.verbose:
            print(
                f"Training {len(plan.members)} nets on {len(plan.codes):,} rows for "
                f"{self.max_epochs} epochs, and {len(plan.references)} as usual"
            )
        nets = plan.train(self.strategy, self.n_jobs)
        return nets, plan.reference_losses()

    def _read_off(self, nets: list[ProbeNet], rng: np.random.RandomState) -> None:
        """Set curves, noise and phases."""
        curves = as_curves(nets)
        self.phases_ = find_phases(curves, rng)
        curves = curves[curves["level"].notna()]
        counts = ["n_corrupted", "n_validation"]
        self.curves_ = curves.drop(columns=counts).reset_index(drop=True)
        if self.verbose:
            print(self.phases_.to_string())
        rows = [
            (net.level, net.repeat, net.level, wrong.mean(), len(wrong))
            for net in nets
            if not net.has_threshold
            for wrong in [net.course.corrupted[net.course.rows.numpy()]]
        ]
        columns = ["level", "repeat", "nominal", "realized", "n_rows"]
        self.noise_ = pd.DataFrame(rows, columns=columns)

    # Predicting

    def _probabilities(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return np.mean([model._probabilities(X) for model in self.estimators_], axis=0)
