"""Member: one net of a population, before, during and after its training."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sklearn_memgen.training.batches import Pass, ResidentDataset, Rows, SelectedRows
from sklearn_memgen.training.devices import OwnRandomness, at_most_threads, seeded
from sklearn_memgen.training.fitting import history_frame, train, train_in_passes
from sklearn_memgen.training.guide import Guide
from sklearn_memgen.training.guide_callback import GuideCallback
from sklearn_memgen.training.net import ResidentNet
from sklearn_memgen.training.threads import worthwhile_threads
from sklearn_memgen.training.trace import Trace

__all__ = ["Member", "StartedMember", "TrainedMember", "train_alone"]


@dataclass(frozen=True)
class Member:
    """A net of a population: how it is made, and what it is trained on.

    Parameters
    ----------
    make_net : callable
        Returns the `ResidentNet`, not initialized, or one that goes on. Learning rate,
        weight decay, optimizer, epochs and the like are those of the net.
    training : ResidentDataset
        The data. Members that share its `X` share the memory, too, and can be stacked:
        give a member other labels or weights by ``dataclasses.replace(training, y=...,
        weight=...)``.
    validation : ResidentDataset, default=None
        With validation data training stops when their loss no longer falls, and the
        net goes back to its best epoch.
    seed : int, default=0
        The seed under which the net is initialized and trained.
    rows : array-like of shape (n_rows,), int, default=None
        The rows of `training` that this member learns; all by default.
    guide : Guide or callable, default=None
        See `GuideCallback`.
    callbacks : sequence of skorch callbacks, default=()
        Callbacks of this member alone.
    n_iter_no_change, tol, verbose
        See `train`. There is no progress to show of a net in a stack.
    """

    make_net: Callable[[], ResidentNet]
    training: ResidentDataset
    validation: ResidentDataset | None = None
    seed: int = 0
    rows: Any = None
    guide: Guide | Callable[[nn.Module], Guide] | None = None
    callbacks: Sequence[Any] = ()
    n_iter_no_change: int = 5
    tol: float = 0.0
    verbose: int = 0

    def dataset(self) -> ResidentDataset:
        """Return the rows that the member learns, without a copy of the table."""
        if self.rows is None:
            return self.training
        if isinstance(self.rows, Tensor):
            return self.training.select(self.rows.long())
        return self.training.select(torch.from_numpy(np.asarray(self.rows, np.int64)))

    def with_rows_only(self) -> Member:
        """Return a member that has no data but its rows, to be sent away."""
        training = self.dataset()
        if isinstance(training.X, SelectedRows):
            training = replace(training, X=training.X.table[training.X.rows])
        return replace(self, training=training, rows=None)


@dataclass(frozen=True)
class TrainedMember:
    """What has become of a member.

    Parameters
    ----------
    net : ResidentNet or None
        The net as `train` leaves it; None if it was never made.
    callbacks : list
        The callbacks that looked on: those of the member, or copies of them that come
        back from another process.
    strategy : {"stacked", "sequential", "joblib"} or None
        How it was trained; None if it was not.
    error : Exception or None
        What ended its training, such as a `FloatingPointError` if it diverged.
    """

    net: ResidentNet | None = None
    callbacks: list[Any] = field(default_factory=list)
    strategy: str | None = None
    error: Exception | None = None

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end, by neither an error nor Ctrl-C ended."""
        trained = self.net is not None and self.error is None
        return trained and not getattr(self.net, "interrupted_", True)

    @property
    def history(self) -> pd.DataFrame:
        """What was recorded in each epoch; see `train`."""
        return history_frame([] if self.net is None else self.net.history)

    @property
    def trace(self) -> Trace | None:
        """The first `Trace` among the callbacks, filled."""
        bare = [c[1] if isinstance(c, tuple) else c for c in self.callbacks]
        return next((c for c in bare if isinstance(c, Trace)), None)


class StartedMember:
    """A member whose net is made, as it is alone under its seed.

    Parameters
    ----------
    member : Member
        The member.
    device : torch.device
        Where its net is.
    """

    def __init__(self, member: Member, device: torch.device) -> None:
        self.member = member
        self.device = device
        self.training = member.dataset()
        self.validation = member.validation
        self.callbacks = list(member.callbacks)
        if member.guide is not None:
            self.callbacks.append(("guide", GuideCallback(member.guide)))
        self.error: Exception | None = None
        with seeded(member.seed, device):
            self.net = member.make_net()
            if not self.net.initialized_:
                self.net.set_params(device=str(device)).initialize()
            self.randomness = OwnRandomness(device)
        #: The pass that its training waits for, if it goes on.
        self.wanted: Pass | None = None
        self._passes: Generator[Pass, float, None] | None = None

    def train(self) -> None:
        """Train the net to the end, alone."""
        n_threads = worthwhile_threads(self.net, self.training)
        with seeded(0, self.device), self.randomness, at_most_threads(n_threads):
            try:
                train(
                    self.net,
                    self.training,
                    self.validation,
                    verbose=self.member.verbose,
                    **self._settings(),
                )
            except Exception as error:
                self.error = error

    def begin(self) -> None:
        """Begin training, up to the first pass."""
        self._passes = train_in_passes(
            self.net, self.training, self.validation, **self._settings()
        )
        self._resume(lambda passes: next(passes))

    def place(self, tables: dict[int, Rows]) -> None:
        """Bring the data to the device; `tables` are those that are there already."""
        self.training = self._placed(self.training, tables)
        if self.validation is not None:
            self.validation = self._placed(self.validation, tables)

    def _placed(
        self, data: ResidentDataset, tables: dict[int, Rows]
    ) -> ResidentDataset:
        chosen = data.X if isinstance(data.X, SelectedRows) else None
        table = data.X if chosen is None else chosen.table
        if id(table) not in tables:
            tables[id(table)] = table.to(self.device)
        X = tables[id(table)]
        if chosen is not None:
            X = SelectedRows(X, chosen.rows.to(self.device))
        return replace(
            data,
            X=X,
            y=None if data.y is None else data.y.to(self.device),
            weight=None if data.weight is None else data.weight.to(self.device),
        )

    def answer(self, loss: float) -> None:
        """Go on after the wanted pass, up to the next."""
        self._resume(lambda passes: passes.send(loss))

    @property
    def learns(self) -> bool:
        """Whether the wanted pass is one of training."""
        return self.wanted is not None and self.wanted.training

    def draw_pass(self) -> tuple[ResidentDataset, Tensor]:
        """Return the dataset of the wanted pass, and the order of its rows."""
        assert self.wanted is not None
        data = self.training if self.wanted.training else self.validation
        assert data is not None
        with self.randomness:
            order = self.wanted.iterator.draw_order()
        return data, torch.arange(len(data)) if order is None else order

    def interrupt(self) -> None:
        """End training as Ctrl-C does; the net keeps what it has learned."""
        if self.wanted is not None:
            with suppress(KeyboardInterrupt):
                self._resume(lambda passes: passes.throw(KeyboardInterrupt()))

    def abandon(self) -> None:
        """End training at once, for an error that is not the member's."""
        self.wanted = None
        if self._passes is not None:
            self._passes.close()

    def _resume(self, go_on: Callable[[Generator[Pass, float, None]], Pass]) -> None:
        assert self._passes is not None
        self.wanted = None
        with self.randomness:
            try:
                self.wanted = go_on(self._passes)
            except StopIteration:
                if self.net.interrupted_:
                    raise KeyboardInterrupt from None
            except Exception as error:
                self.error = error

    def _settings(self) -> dict[str, Any]:
        return {
            "callbacks": self.callbacks,
            "n_iter_no_change": self.member.n_iter_no_change,
            "tol": self.member.tol,
        }

    def result(self, strategy: str) -> TrainedMember:
        """Return what has become of the member."""
        return TrainedMember(self.net, list(self.callbacks), strategy, self.error)


def train_alone(
    member: Member, device: torch.device, strategy: str = "sequential"
) -> TrainedMember:
    """Train a member by itself; `strategy` is what to record of it."""
    try:
        started = StartedMember(member, device)
    except Exception as error:
        return TrainedMember(error=error)
    started.train()
    return started.result(strategy)
