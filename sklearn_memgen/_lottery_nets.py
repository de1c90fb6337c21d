"""The nets of a lottery: tickets and controls, trained as one Population."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sklearn_memgen._lottery_course import LotteryCourse, MaskDraw
from sklearn_memgen._net_estimator import Encoded
from sklearn_memgen._table_nets import net_maker, own_callbacks, train_all
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.nets import CannotCompactError, SeenUnits
from sklearn_memgen.training import (
    Guide,
    Member,
    ResidentDataset,
    ResidentNet,
    Ticket,
    probabilities,
    prunable_weights,
    random_masks,
    resolve_device,
    seeded,
)
from sklearn_memgen.training.stacking_rule import may_pay

__all__ = ["CONTROLS", "LotteryNet", "LotteryNets", "as_rounds", "begin_with"]

#: What a ticket is compared with, at the same masks or the same weights.
CONTROLS = ("random_reinit", "random_mask")


@dataclass(frozen=True)
class LotteryNet:
    """A net of a lottery.

    Parameters
    ----------
    round : int
        How often it was pruned.
    trial : int
        Which dense net it comes from.
    ticket : Ticket
        What it began with.
    kind : {"ticket", "random_reinit", "random_mask"}, default="ticket"
        Whether it is a ticket, or what control.
    repeat : int, default=0
        Which control of its kind and ticket it is.
    is_final : bool, default=False
        Whether it was trained in full after a search of shortened trainings.
    max_epochs : int, default=0
        Epochs it was to be trained for.
    is_full : bool, default=True
        Whether these were all there are, and none was saved.
    start : mapping of str to Tensor or None, default=None
        The weights that it goes on from; by default those of the ticket.
    course : LotteryCourse or None, default=None
        How it learned, once it is trained.
    history : DataFrame or None, default=None
        What was recorded in each epoch.
    """

    round: int
    trial: int
    ticket: Ticket
    kind: str = "ticket"
    repeat: int = 0
    is_final: bool = False
    max_epochs: int = 0
    is_full: bool = True
    start: Mapping[str, Tensor] | None = None
    course: LotteryCourse | None = None
    history: pd.DataFrame | None = None

    @property
    def trained(self) -> LotteryCourse:
        """How it learned."""
        assert self.course is not None
        return self.course


class LotteryNets:
    """Makes and trains the nets of one table.

    Parameters
    ----------
    estimator : NetClassifier
        Says what the nets are.
    encoded : Encoded
        Rows to learn and rows to validate with.
    n_outputs : int
        Number of classes.
    controls : sequence of str
        Of `CONTROLS`.
    n_controls : int
        How many of each for a ticket.
    validate_every : int or None
        See `LotteryCourse`.
    strategy, n_jobs
        See `training.Population`.
    rng : RandomState
        Draws weights, masks of controls and the order of rows.
    """

    def __init__(
        self,
        estimator: NetClassifier,
        encoded: Encoded,
        n_outputs: int,
        *,
        controls: Sequence[str],
        n_controls: int,
        validate_every: int | None,
        strategy: str,
        n_jobs: int | None,
        rng: np.random.RandomState,
    ) -> None:
        self.estimator = estimator
        self.encoded = encoded
        self.n_outputs = n_outputs
        self.controls = controls
        self.n_controls = n_controls
        self.validate_every = validate_every
        self.strategy = strategy
        self.n_jobs = n_jobs
        self.rng = rng
        self.device = resolve_device(estimator.device)

    def initialize(self, ticket: Ticket | None = None) -> Ticket:
        """Draw weights, and return a ticket that keeps all, or those of a ticket."""
        with seeded(self.rng.randint(2**31), self.device):
            net = _initialized(self._make_net(1), str(self.device))
        names = list(prunable_weights(net.module_))
        if ticket is not None:
            ticket.apply(net.module_)
        state = net.module_.state_dict()
        known = {} if ticket is None else ticket.masks
        masks = {
            name: known.get(name, torch.ones(state[name].shape, dtype=torch.bool))
            for name in names
        }
        return Ticket(masks, state, self.encoded.encoder)

    def with_controls(self, nets: Sequence[LotteryNet]) -> list[LotteryNet]:
        """Return tickets, and behind them the controls of each."""
        controls = [
            replace(net, ticket=self._control(net.ticket, kind), kind=kind, repeat=k)
            for net in nets
            for kind in self.controls
            for k in range(self.n_controls)
        ]
        return [*nets, *controls]

    def train(
        self,
        nets: Sequence[LotteryNet],
        *,
        keep_epochs: Sequence[int] = (),
        stops: Sequence[MaskDraw | None] | None = None,
        compacts: bool = False,
    ) -> list[LotteryNet]:
        """Train nets from what their tickets begin with.

        Parameters
        ----------
        nets : sequence of LotteryNet
            The nets.
        keep_epochs : sequence of int, default=()
            See `LotteryCourse`.
        stops : sequence of MaskDraw or None, default=None
            For each net, see `LotteryCourse`.
        compacts : bool, default=False
            Whether to train without units that nothing sees, where that is quicker:
            nets of other shapes cannot be stacked.

        Returns
        -------
        nets : list of LotteryNet
            The same, trained.
        """
        stops = stops or [None] * len(nets)
        stacks = self.strategy in ("auto", "stacked") and may_pay(
            len(nets), self.device
        )
        compacts = compacts and not stacks
        members = [
            self._member(net, keep_epochs, stop, compacts)
            for net, stop in zip(nets, stops, strict=True)
        ]
        trained = train_all(members, self.strategy, self.n_jobs, self.device)
        results = []
        for net, result in zip(nets, trained, strict=True):
            # Those of another process are copies.
            course = next(c for c in result.callbacks if isinstance(c, LotteryCourse))
            results.append(replace(net, course=course, history=result.history))
        return results

    def restore(self, weights: Mapping[str, Tensor]) -> ResidentNet:
        """Return a net with given weights."""
        with seeded(0, self.device):
            return begin_with(self._make_net(1), weights, str(self.device))

    def error(self, weights: Mapping[str, Tensor]) -> float:
        """Return the share of wrong predictions on the rows held out."""
        logits = self.restore(weights).logits(self._validation.X)
        wrong = probabilities(logits).argmax(dim=1) != self._validation.targets.cpu()
        return float(wrong.float().mean())

    @property
    def _validation(self) -> ResidentDataset:
        """The rows held out, or those that are learned if there are none."""
        held_out = self.encoded.validation
        return self.encoded.training if held_out is None else held_out

    def _control(self, ticket: Ticket, kind: str) -> Ticket:
        if kind == "random_reinit":
            return replace(ticket, initial=self.initialize().initial)
        masks = random_masks(ticket.masks, seed=self.rng.randint(2**31))
        return replace(ticket, masks=masks)

    def _member(
        self,
        net: LotteryNet,
        keep_epochs: Sequence[int],
        stop: MaskDraw | None,
        compacts: bool,
    ) -> Member:
        initial = dict(net.ticket.initial if net.start is None else net.start)
        for name, mask in net.ticket.masks.items():
            initial[name] = initial[name].masked_fill(~mask, 0)
        seen = self._seen_units(net.ticket.masks) if compacts else SeenUnits({})
        course = LotteryCourse(
            self._validation,
            validate_every=self.validate_every,
            keep_epochs=keep_epochs,
            in_whole=partial(seen.put, whole=initial),
            stop=stop,
        )
        make_net = self._make_net(net.max_epochs)
        return Member(
            partial(begin_with, make_net, initial, str(self.device), seen),
            self.encoded.training,
            seed=self.rng.randint(2**31),
            guide=Guide.from_mask(seen.take(net.ticket.masks)),
            callbacks=[course, *own_callbacks(self.estimator)],
        )

    def _seen_units(self, masks: Mapping[str, Tensor]) -> SeenUnits:
        """Return the units that are seen under masks; all if that is not known."""
        with seeded(0, self.device):
            module = _initialized(self._make_net(1), str(self.device)).module_
        X = self.encoded.training.X
        rows = X[torch.arange(4) % len(X)].to(torch.device("cpu")).inputs()
        try:
            return SeenUnits.find(module, masks, rows)
        except CannotCompactError:
            return SeenUnits({})

    def _make_net(self, max_epochs: int) -> Callable[[], ResidentNet]:
        return net_maker(
            self.estimator,
            self.encoded.encoder,
            self.encoded.training,
            self.n_outputs,
            max_epochs,
            self.estimator.schedule,
        )


def _initialized(make_net: Callable[[], ResidentNet], device: str) -> ResidentNet:
    net = make_net()
    if not net.initialized_:
        net.set_params(device=device).initialize()
    return net


def begin_with(
    make_net: Callable[[], ResidentNet],
    weights: Mapping[str, Tensor],
    device: str,
    seen: SeenUnits | None = None,
) -> ResidentNet:
    """Make a net that begins with given weights, of all units or those seen."""
    net = _initialized(make_net, device)
    net.module_.load_state_dict(dict(weights))
    if seen is not None and seen.positions:
        seen.keep(net.module_)
        net.initialize_optimizer()
    return net


def as_rounds(nets: Sequence[LotteryNet]) -> pd.DataFrame:
    """Return a row for each trained net; see `LotteryPrunedNet.rounds_`."""
    rows: list[dict[str, Any]] = []
    for net in nets:
        layers = net.ticket.to_frame().set_index("layer")["remaining"]
        assert net.history is not None
        rows.append(
            {
                "round": net.round,
                "stage": "final" if net.is_final else "search",
                "kind": net.kind,
                "trial": net.trial,
                "repeat": net.repeat,
                "remaining": net.ticket.remaining,
                **{f"remaining_{name}": share for name, share in layers.items()},
                "early_stop_iteration": net.trained.best_step_,
                "valid_loss": net.trained.best_loss_,
                "valid_accuracy": net.trained.best_accuracy_,
                "train_accuracy": net.trained.train_accuracy_,
                "n_epochs": net.trained.n_epochs_,
                "seconds": net.history["duration"].sum(),
            }
        )
    return pd.DataFrame(rows)
