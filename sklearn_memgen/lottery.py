"""LotteryPrunedNet: find the part of a net that learns as well as the whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._lottery_evidence import (
    EvidenceMixin,
    SearchedTable,
    measure_instability,
)
from sklearn_memgen._lottery_nets import CONTROLS, LotteryNets, as_rounds
from sklearn_memgen._lottery_plan import SEARCHES
from sklearn_memgen._lottery_search import LotterySearch, search_tickets
from sklearn_memgen._many_nets import ManyNetsMixin
from sklearn_memgen._sklearn import Interval, StrOptions, _fit_context
from sklearn_memgen._table_nets import encode_parts
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.training import ResidentNet, Ticket
from sklearn_memgen.training.pruning import CRITERIA, SCOPES
from sklearn_memgen.wide_deep import WideDeepClassifier

__all__ = ["LotteryPrunedNet"]


class LotteryPrunedNet(EvidenceMixin, ManyNetsMixin, BaseEstimator):
    """A net pruned to a winning ticket: a part that learns as well as the whole.

    A dense net is trained and the smallest weights are pruned; those that are left
    go back to where they began and are trained again, round by round. Among the nets of
    all rounds a small one is taken that is about as good as the best on rows held out.
    It predicts.

    Parameters
    ----------
    estimator : NetClassifier, default=None
        Says what the net is: a `WideDeepClassifier`, of which the deep part is pruned,
        or a `NetClassifier` of any module. By default a `WideDeepClassifier` of one
        perceptron without a wide part. Its optimizer, schedule and batch size are those
        of all nets. Early stopping and running averages of weights are left out.
    prune_rate : float, default=0.2
        Share of the remaining weights of a layer that a round prunes, in (0, 1).
    output_prune_rate : float or None, default=0.1
        The same for the output layer, in [0, 1). None treats it as all others.
    n_rounds : int, default=None
        How often `prune_rate` is taken.
    remaining : float, default=None
        In the place of `n_rounds`, the share of all prunable weights down to which is
        searched, in (0, 1]; the last round prunes less, so that it is met but for
        rounding. By default 0.05.
    scope : {"layer", "global"}, default="layer"
        Whether weights are ranked within each layer, or over all layers but the output
        layer.
    rewind : "init" or int, default="init"
        Where weights go back to: before training, or to the end of this epoch of the
        dense net; rounds then train for so many epochs less, controls included. Larger
        nets need a few epochs [2]_; `instability_epochs` tells. Without `reset` it
        counts for nothing.
    reset : bool, default=True
        Whether weights go back at all. If not, a round goes on from the weights of the
        round before.
    criterion : {"magnitude", "magnitude_increase", "movement", "random"}, \
            default="magnitude"
        By what weights are ranked; see `training.PruningRule`.
    search : {"cheap", "iterative", "one_shot", "early_bird"}, default="cheap"
        How tickets are looked for; see Notes.
    select : {"smallest", "best", "last"} or float, default="smallest"
        Which round is taken: the smallest within `tolerance` of the lowest validation
        loss, that with the lowest, the last one, or that with the share of weights
        nearest to a number in (0, 1].
    tolerance : "standard_error" or float, default="standard_error"
        By how much the validation loss of the smallest may be higher: a number of nats,
        or one standard error. Of several trials it is that of the mean over trials;
        of one that of the difference over the validation rows.
    n_trials : int, default=1
        Dense nets that are pruned, each from weights of its own.
    controls : sequence of {"random_reinit", "random_mask"}, default=()
        What is trained beside each ticket: its mask with newly drawn weights, or its
        weights with a mask drawn at random, of as many weights in each layer. Needs
        two trials at least: of one pair nobody can tell chance from a difference.
    n_controls : int, default=1
        Controls of each kind for each ticket.
    ticket : Ticket, default=None
        A ticket to train, without a search, once a trial; there are controls as in a
        search. If it brings an encoder, that encodes `X`.
    instability_epochs : sequence of int, default=()
        Epochs, such as ``(0, 1)``, at which `instability_` is measured; each takes two
        more dense trainings. `instability` measures it later.
    max_epochs : int or "auto", default="auto"
        Passes over the rows of a full training, all of which are made. "auto" takes
        what the estimator says.
    validate_every : int or None, default=None
        Steps between two looks at the rows held out; by default there is one an epoch.
    validation_fraction : float, default=0.1
        Share of the rows that are held out, the same for all nets. If there are too few
        rows, those that are learned take their place.
    keep_weights : bool, default=False
        Whether to keep the weights of all nets, for `score_rounds`.
    strategy : {"auto", "stacked", "sequential", "joblib"}, default="auto"
        How the nets of a round are trained; see `training.Population`.
    n_jobs : int, default=None
        Processes, as joblib has it.
    random_state : int, RandomState instance or None, default=None
        Draws weights, rows held out and controls: it fixes the tickets.
    verbose : int, default=0
        1 prints a line for each ticket.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.
    rounds_ : DataFrame
        A row for each net: its `round`, its `stage` ("search", or "final" for a ticket
        that is trained in full after shortened rounds), its `kind` ("ticket" or a
        control), `trial` and `repeat`, the share of weights `remaining` in all and in
        each layer (``remaining_<name>``); `early_stop_iteration`, the optimizer step
        with the lowest validation loss, with `valid_loss`, in nats, and
        `valid_accuracy` of then; `train_accuracy` in the last epoch, `n_epochs` and
        `seconds`, which nets of a stack share. Round 0 is the dense net.
    ticket_ : Ticket
        The ticket that was taken: of the selected round, the trial with the lowest
        validation loss.
    selected_round_ : int
        Its round.
    cost_ : dict
        What the search of a trial took, without controls: `row_epochs`, rows times
        epochs; `dense_trainings`, the same in full trainings of the dense net; and the
        `seconds` of all nets.
    instability_ : DataFrame or None
        How far apart two trainings from the same weights end, for each of
        `instability_epochs`; see `instability`. None without such epochs.
    estimator_ : NetClassifier
        The fitted classifier of the ticket.
    net_ : ResidentNet
        Its net.
    encoder_ : estimator or None
        Its encoder.
    n_features_in_ : int
        Number of features. Not defined if `X` is a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` is a DataFrame and all are strings.

    See Also
    --------
    Ticket : What is found.
    LotteryDisplay : Draws accuracy against the weights that remain.
    TicketInputsDisplay : Draws which inputs survive.

    Notes
    -----
    *Counts* are exact: of n weights a round keeps round(n (1 - rate)); ties go to those
    that come first. Biases, normalization, embeddings and the wide part are kept.

    *Searches.*

    - "iterative" [1]_ trains every round in full. It finds the smallest tickets and
      takes as many trainings as there are rounds, and one.
    - "one_shot" prunes the dense net once to the size of each round, and trains all of
      these. Its tickets are worse at small sizes.
    - "early_bird" goes through the rounds of "iterative", but stops each when the mask
      that it would draw has settled [3]_: less than a tenth of what it prunes is new,
      three epochs in a row. The selected ticket is trained in full.
    - "cheap" trains the dense net in full, prunes in at most four rounds of a fifth of
      the epochs, which go on from the round before, and trains the selected ticket in
      full from where it begins; the next larger one, too, if that is worse than the
      dense net by more than `tolerance`. Pruned nets are trained without the units that
      nothing sees (`nets.SeenUnits`). It takes less than 4 dense trainings of five
      epochs or more. What it gives up stands in the :ref:`user guide <lottery>`.

    *Validation rows* choose the best step of each net and the ticket, so that
    `valid_accuracy` is a little optimistic. Score on other rows.

    References
    ----------
    .. [1] Frankle and Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable
       Neural Networks", 2019, https://arxiv.org/abs/1803.03635
    .. [2] Frankle et al., "Linear Mode Connectivity and the Lottery Ticket
       Hypothesis", 2020, https://arxiv.org/abs/1912.05671
    .. [3] You et al., "Drawing Early-Bird Tickets", 2020,
       https://arxiv.org/abs/1909.11957

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import LotteryPrunedNet
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LotteryPrunedNet(remaining=0.2, max_epochs=20, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.9
    True
    >>> model.ticket_.remaining < 1
    True
    """

    _parameter_constraints: dict = {
        "estimator": [NetClassifier, None],
        "prune_rate": [Interval(Real, 0, 1, closed="neither")],
        "output_prune_rate": [Interval(Real, 0, 1, closed="left"), None],
        "n_rounds": [Interval(Integral, 0, None, closed="left"), None],
        "remaining": [Interval(Real, 0, 1, closed="right"), None],
        "scope": [StrOptions(set(SCOPES))],
        "rewind": [StrOptions({"init"}), Interval(Integral, 0, None, closed="left")],
        "reset": ["boolean"],
        "criterion": [StrOptions(set(CRITERIA))],
        "search": [StrOptions(set(SEARCHES))],
        "select": [
            StrOptions({"smallest", "best", "last"}),
            Interval(Real, 0, 1, closed="right"),
        ],
        "tolerance": [
            StrOptions({"standard_error"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "n_trials": [Interval(Integral, 1, None, closed="left")],
        "controls": [list, tuple],
        "n_controls": [Interval(Integral, 1, None, closed="left")],
        "ticket": [Ticket, None],
        "instability_epochs": [list, tuple],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "validate_every": [Interval(Integral, 1, None, closed="left"), None],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "keep_weights": ["boolean"],
        "strategy": [StrOptions({"auto", "stacked", "sequential", "joblib"})],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: NetClassifier | None = None,
        *,
        prune_rate: float = 0.2,
        output_prune_rate: float | None = 0.1,
        n_rounds: int | None = None,
        remaining: float | None = None,
        scope: str = "layer",
        rewind: str | int = "init",
        reset: bool = True,
        criterion: str = "magnitude",
        search: str = "cheap",
        select: str | float = "smallest",
        tolerance: str | float = "standard_error",
        n_trials: int = 1,
        controls: Sequence[str] = (),
        n_controls: int = 1,
        ticket: Ticket | None = None,
        instability_epochs: Sequence[int] = (),
        max_epochs: int | str = "auto",
        validate_every: int | None = None,
        validation_fraction: float = 0.1,
        keep_weights: bool = False,
        strategy: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.prune_rate = prune_rate
        self.output_prune_rate = output_prune_rate
        self.n_rounds = n_rounds
        self.remaining = remaining
        self.scope = scope
        self.rewind = rewind
        self.reset = reset
        self.criterion = criterion
        self.search = search
        self.select = select
        self.tolerance = tolerance
        self.n_trials = n_trials
        self.controls = controls
        self.n_controls = n_controls
        self.ticket = ticket
        self.instability_epochs = instability_epochs
        self.max_epochs = max_epochs
        self.validate_every = validate_every
        self.validation_fraction = validation_fraction
        self.keep_weights = keep_weights
        self.strategy = strategy
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _make_estimator(self) -> NetClassifier:
        if self.estimator is not None:
            base = clone(self.estimator)
        else:
            base = WideDeepClassifier(wide=False, n_members=1, n_bins=32, caution=False)
        if not isinstance(self.max_epochs, str):
            base.set_params(max_epochs=self.max_epochs)
        return base

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> LotteryPrunedNet:
        """Search for a ticket, and train it.

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
        self : LotteryPrunedNet
            The fitted classifier.

        Raises
        ------
        ValueError
            If a layer would be pruned to nothing, the net has no layer to prune,
            `rewind` or `instability_epochs` are beyond training, `remaining` is never
            reached, both `n_rounds` and `remaining` are given, there are controls of
            one trial, a ticket does not fit the net, or data cannot be learned from.
        FloatingPointError
            If the loss of a net becomes infinite or NaN.
        """
        self._check_params()
        rng = check_random_state(self.random_state)
        base = self._make_checked_estimator(rng)
        brought = None if self.ticket is None else self.ticket.encoder
        encoder = base._make_encoder() if brought is None else brought
        examples = base._read(
            X, y, sample_weight, encoder=encoder, classes=None, reset=True
        )
        encoded = encode_parts(
            base, examples, self.validation_fraction, rng, encoder=brought
        )
        nets = LotteryNets(
            base,
            encoded,
            examples.n_outputs,
            controls=self.controls,
            n_controls=self.n_controls,
            validate_every=self.validate_every,
            strategy=self.strategy,
            n_jobs=self.n_jobs,
            rng=rng,
        )
        search = search_tickets(self, nets)
        table = SearchedTable(nets, search.max_epochs, rng.randint(2**31))
        measured = None
        if self.instability_epochs:
            ticket = search.chosen().ticket
            measured = measure_instability(table, ticket, self.instability_epochs)
        # From here on nothing fails: what was fitted before is replaced as a whole.
        self.classes_ = examples.classes
        self._take_features(base)
        base.encoder_, base.classes_ = encoded.encoder, examples.classes
        self._keep(base, nets, search)
        self._table, self.instability_ = table, measured
        return self

    def _check_params(self) -> None:
        """Check what parameters say together."""
        if self.n_rounds is not None and self.remaining is not None:
            raise ValueError(
                "either n_rounds or remaining says how far to prune; got n_rounds="
                f"{self.n_rounds} and remaining={self.remaining}"
            )
        for control in self.controls:
            if control not in CONTROLS:
                raise ValueError(
                    f"controls must be among {list(CONTROLS)}; got {control!r}"
                )
        if self.controls and self.n_trials < 2:
            raise ValueError(
                f"controls={tuple(self.controls)} need n_trials of 2 or more, since "
                "one trial does not tell chance from a difference; got "
                f"n_trials={self.n_trials}"
            )

    def _keep(
        self, base: NetClassifier, nets: LotteryNets, search: LotterySearch
    ) -> None:
        """Set what was found."""
        chosen = search.chosen()
        self.rounds_ = as_rounds(search.trained)
        self.selected_round_ = chosen.round
        self.ticket_ = chosen.ticket
        net = nets.restore(chosen.trained.best_weights_)
        settled = copy.copy(base)
        settled.history_ = chosen.history
        settled._finish(net, nets.encoded.validation)
        settled.net_ = net
        self.estimator_ = settled
        n_rows = len(nets.encoded.training)
        tickets = self.rounds_[self.rounds_["kind"] == "ticket"]
        n_epochs = tickets["n_epochs"].sum() / self.n_trials
        self.cost_ = {
            "row_epochs": float(n_rows * n_epochs),
            "dense_trainings": float(n_epochs / search.max_epochs),
            "seconds": float(self.rounds_["seconds"].sum()),
        }
        self._weights = None
        if self.keep_weights:
            self._weights = [net.trained.best_weights_ for net in search.trained]

    @property
    def net_(self) -> ResidentNet:
        """The net of the ticket."""
        check_is_fitted(self)
        return self.estimator_.net_

    @property
    def encoder_(self) -> Any:
        """The encoder of the net, or None."""
        check_is_fitted(self)
        return self.estimator_.encoder_

    # Predicting

    def _probabilities(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self.estimator_._probabilities(X)
