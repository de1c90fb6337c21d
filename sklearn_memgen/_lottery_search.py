"""How a lottery is searched: nets are trained, pruned, and trained again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sklearn_memgen._lottery_course import MaskDraw
from sklearn_memgen._lottery_nets import LotteryNet, LotteryNets
from sklearn_memgen._lottery_plan import SearchPlan, check_epochs, choose_round
from sklearn_memgen.training import (
    PruningRule,
    Ticket,
    auto_batch_size,
    auto_max_epochs,
)

if TYPE_CHECKING:
    from sklearn_memgen.lottery import LotteryPrunedNet

__all__ = ["LotterySearch", "search_tickets"]

#: The share of weights down to which is searched if nothing else is said.
_REMAINING = 0.05


class LotterySearch:
    """Searches for tickets.

    Parameters
    ----------
    nets : LotteryNets
        Makes and trains nets.
    plan : SearchPlan
        What to do.
    rule : PruningRule
        How masks are drawn.
    n_trials : int
        How many dense nets there are.
    max_epochs : int
        Epochs of a full training.
    rewind : int
        The epoch to whose end weights are rewound.
    reset : bool
        Whether weights are reset at all.
    select, tolerance
        See `choose_round`.
    keep_weights : bool
        Whether to keep the best weights of controls, too.
    verbose : bool
        Whether to print a line for each ticket.

    Attributes
    ----------
    trained : list of LotteryNet
        All nets, in the order they were trained.
    """

    def __init__(
        self,
        nets: LotteryNets,
        plan: SearchPlan,
        rule: PruningRule,
        *,
        n_trials: int,
        max_epochs: int,
        rewind: int,
        reset: bool,
        select: str | float,
        tolerance: str | float,
        keep_weights: bool,
        verbose: bool,
    ) -> None:
        self.nets = nets
        self.plan = plan
        self.rule = rule
        self.n_trials = n_trials
        self.max_epochs = max_epochs
        self.rewind = rewind
        self.reset = reset
        self.select = select
        self.tolerance = tolerance
        self.keep_weights = keep_weights
        self.verbose = verbose
        self.trained: list[LotteryNet] = []

    def run(self, dense: Sequence[Ticket]) -> None:
        """Train the dense nets, prune them, and train what is left, round by round.

        Parameters
        ----------
        dense : sequence of Ticket of length n_trials
            What keeps all weights, as they are before training.
        """
        plan = self.plan
        draws = [self._draw(ticket, at=0) for ticket in dense]
        nets = [
            LotteryNet(
                0,
                trial,
                ticket,
                max_epochs=self.max_epochs,
                is_full=not plan.dense_stops,
            )
            for trial, ticket in enumerate(dense)
        ]
        stops = draws if plan.dense_stops else None
        nets = self._train(nets, keep_epochs=(self.rewind,), stops=stops)
        if plan.from_dense:
            self._prune_at_once(nets)
        else:
            self._prune_by_rounds(nets, draws)
        if plan.n_finals:
            self._train_finals()

    def train_found(self, tickets: Sequence[Ticket]) -> None:
        """Train tickets that were found elsewhere, and their controls.

        Parameters
        ----------
        tickets : sequence of Ticket of length n_trials
            One a trial.
        """
        nets = [
            LotteryNet(0, trial, ticket, max_epochs=self.max_epochs)
            for trial, ticket in enumerate(tickets)
        ]
        self._train(self.nets.with_controls(nets))

    def chosen(self) -> LotteryNet:
        """Return the best net of the round that is chosen, among those in full."""
        candidates = [net for net in self.trained if net.is_full]
        candidates = [net for net in candidates if net.kind == "ticket"]
        round_ = choose_round(candidates, self.select, self.tolerance)
        of_round = [net for net in candidates if net.round == round_]
        return min(of_round, key=lambda net: net.trained.best_loss_)

    # Rounds

    def _prune_at_once(self, dense: Sequence[LotteryNet]) -> None:
        nets = [
            self._pruned(net, self._draw(net.ticket, at=round_ - 1), round_)
            for round_ in range(1, len(self.plan.strengths) + 1)
            for net in dense
        ]
        self._train(self.nets.with_controls(nets))

    def _prune_by_rounds(
        self, nets: list[LotteryNet], draws: list[MaskDraw | None]
    ) -> None:
        n_rounds = len(self.plan.strengths)
        for round_ in range(1, n_rounds + 1):
            nets = [
                self._pruned(net, draw, round_)
                for net, draw in zip(nets, draws, strict=True)
            ]
            draws = [self._draw(net.ticket, at=round_) for net in nets]
            stops = draws if self.plan.stops else None
            if nets[0].is_full:
                nets = self.nets.with_controls(nets)
            nets = self._train(nets, stops=stops)[: self.n_trials]

    def _train_finals(self) -> None:
        """Train the ticket of a search of shortened trainings in full.

        If it is worse than the dense net, the next larger one is trained, too.
        """
        short = [net for net in self.trained if not net.is_full]
        if not short:
            return
        round_ = choose_round(short, self.select, self.tolerance)
        n_finals = self.plan.n_finals if self.select in ("smallest", "best") else 1
        for _ in range(n_finals):
            nets = [
                replace(
                    net,
                    is_full=True,
                    is_final=True,
                    start=None,
                    max_epochs=self._epochs_after(net.round),
                )
                for net in short
                if net.round == round_
            ]
            self._train(self.nets.with_controls(nets) if round_ else nets)
            round_ -= 1
            if self.chosen().round > 0 or round_ < short[0].round:
                return

    def _train(
        self,
        nets: Sequence[LotteryNet],
        *,
        keep_epochs: Sequence[int] = (),
        stops: Sequence[MaskDraw | None] | None = None,
    ) -> list[LotteryNet]:
        trained = self.nets.train(
            nets,
            keep_epochs=keep_epochs,
            stops=stops,
            compacts=self.plan.compacts and nets[0].round > 0,
        )
        self.trained += trained
        for net in trained:
            if net.kind != "ticket":  # nothing is drawn from controls
                net.trained.forget(best=not self.keep_weights)
            elif self.verbose:
                print(
                    f"Round {net.round}, trial {net.trial}: "
                    f"{net.ticket.remaining:.1%} of the weights, validation loss "
                    f"{net.trained.best_loss_:.4f}, accuracy "
                    f"{net.trained.best_accuracy_:.4f}"
                )
        return trained

    # Masks

    def _draw(self, ticket: Ticket, *, at: int) -> MaskDraw | None:
        """Return how masks are drawn from a net, by a strength of the plan.

        After the last round none are drawn any more, but when the mask has settled is
        of interest still: by a further round, if all layers have weights enough.
        """
        rule, strengths = self.rule, self.plan.strengths
        if at >= len(strengths):
            rule, at = replace(rule, scope="layer"), len(strengths) - 1
            n_remaining = {name: int(m.sum()) for name, m in ticket.masks.items()}
            try:
                rule.counts(n_remaining, strengths[at])
            except (IndexError, ValueError):
                return None
        seed = int(self.nets.rng.randint(2**31))
        return MaskDraw(rule, ticket.masks, ticket.initial, strengths[at], seed)

    def _pruned(
        self, net: LotteryNet, draw: MaskDraw | None, round_: int
    ) -> LotteryNet:
        """Return a net of the next round."""
        assert draw is not None
        initial = net.ticket.initial
        if not self.reset:
            initial = net.trained.final_weights_
        elif net.round == 0 and self.rewind:
            initial = net.trained.kept_weights_[self.rewind]
        masks = draw(net.trained.final_weights_)
        full = self._epochs_after(round_)
        is_full = self.plan.share == 1 and not self.plan.stops
        return LotteryNet(
            round_,
            net.trial,
            Ticket(masks, initial, net.ticket.encoder),
            max_epochs=full if is_full else self._shortened(full),
            is_full=is_full,
            start=net.trained.final_weights_ if self.plan.goes_on else None,
        )

    def _shortened(self, n_epochs: int) -> int:
        """Return the share of the epochs that a round takes, rounded down."""
        return max(int(self.plan.share * n_epochs + 1e-9), 1)

    def _epochs_after(self, round_: int) -> int:
        """Return the epochs of a full training of a round."""
        return self.max_epochs - (self.rewind if round_ and self.reset else 0)


def search_tickets(model: LotteryPrunedNet, nets: LotteryNets) -> LotterySearch:
    """Search, or train the ticket that is given, as the parameters of a model say."""
    training, base = nets.encoded.training, nets.estimator
    batch_size = auto_batch_size(base.batch_size, len(training))
    max_epochs = auto_max_epochs(base.max_epochs, len(training), batch_size)
    rewind = 0 if model.rewind == "init" else int(model.rewind)
    if rewind >= max_epochs:
        raise ValueError(
            f"rewind={rewind} is beyond training: of {max_epochs} epochs one at "
            "least must be left"
        )
    check_epochs("instability_epochs", model.instability_epochs, max_epochs)
    rule = PruningRule(
        model.prune_rate, model.output_prune_rate, model.scope, model.criterion
    )
    dense = [nets.initialize(model.ticket) for _ in range(model.n_trials)]
    sizes = {name: mask.numel() for name, mask in dense[0].masks.items()}
    n_rounds: float | None = model.n_rounds
    if n_rounds is None:
        remaining = _REMAINING if model.remaining is None else model.remaining
        n_rounds = rule.strength_for(sizes, remaining)
    plan = SearchPlan.make(model.search, n_rounds)
    search = LotterySearch(
        nets,
        plan,
        rule,
        n_trials=model.n_trials,
        max_epochs=max_epochs,
        rewind=rewind,
        reset=model.reset,
        select=model.select,
        tolerance=model.tolerance,
        keep_weights=model.keep_weights,
        verbose=bool(model.verbose),
    )
    if model.ticket is not None:
        search.train_found(dense)
    else:
        plan.check_counts(rule, sizes)
        search.run(dense)
    return search
