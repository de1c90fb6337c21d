"""How a net of a lottery learned: its best step, and when its mask had settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_memgen.training import (
    Batch,
    PruningRule,
    ResidentDataset,
    mask_distance,
    probabilities,
)

__all__ = ["LotteryCourse", "MaskDraw"]

#: A mask has settled when it has moved by less than this for so many epochs; You et
#: al. (2020), "Drawing Early-Bird Tickets", have 0.1 and five.
_SETTLED, _N_SETTLED = 0.1, 3


@dataclass(frozen=True)
class MaskDraw:
    """How the next masks are drawn from a net.

    Parameters
    ----------
    rule : PruningRule
        The rule.
    masks : mapping of str to Tensor, bool
        What remains.
    initial : mapping of str to Tensor
        What training began with.
    strength : float
        See `PruningRule.draw`.
    seed : int
        See `PruningRule.draw`.
    """

    rule: PruningRule
    masks: Mapping[str, Tensor]
    initial: Mapping[str, Tensor]
    strength: float
    seed: int

    def __call__(self, final: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the masks."""
        return self.rule.draw(
            self.masks, final, self.initial, strength=self.strength, seed=self.seed
        )


class LotteryCourse(Callback):
    """Look at rows held out while a net learns, and keep its weights.

    Parameters
    ----------
    validation : ResidentDataset or None
        The rows; let go of when training ends.
    validate_every : int or None, default=None
        Steps between two looks; there is one after each epoch in any case.
    keep_epochs : sequence of int, default=()
        Epochs after which the weights are kept, to rewind to.
    in_whole : callable, default=dict
        Turns the state of the module, by name, into that of the whole net.
    stop : MaskDraw or None, default=None
        With it training stops, after `keep_epochs`, when the masks that it draws from
        the net no longer change.

    Attributes
    ----------
    best_step_ : int
        Steps that were taken before the validation loss was lowest.
    best_loss_, best_accuracy_ : float
        Loss, in nats, and accuracy of then.
    best_losses_ : ndarray of shape (n_validation,)
        The loss of each row of then.
    train_accuracy_ : float
        Accuracy on the learned rows in the last epoch, of the forward passes.
    best_weights_, final_weights_ : dict of str to Tensor
        The state of the module when the loss was lowest, and in the end.
    kept_weights_ : dict of int to dict of str to Tensor
        That after each of `keep_epochs`.
    n_epochs_ : int
        Epochs that were made.
    """

    def __init__(
        self,
        validation: ResidentDataset | None,
        *,
        validate_every: int | None = None,
        keep_epochs: Sequence[int] = (),
        in_whole: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict,
        stop: MaskDraw | None = None,
    ) -> None:
        self.validation = validation
        self.validate_every = validate_every
        self.keep_epochs = keep_epochs
        self.in_whole = in_whole
        self.stop = stop

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Bring the rows to the device of the net."""
        assert self.validation is not None
        self._net = net
        self._rows = self.validation.to(net.device)
        self.n_steps_ = self.n_epochs_ = self.n_seen_ = self.n_settled_ = 0
        self.n_right_ = torch.zeros((), device=net.device, dtype=torch.int64)
        self.best_weights_: dict[str, Tensor] = {}
        self.drawn_: dict[str, Tensor] | None = None
        self.best_loss_ = np.inf
        self.kept_weights_: dict[int, dict[str, Tensor]] = {}

    def observe(self, batch: Batch, logits: Tensor, losses: Tensor) -> None:
        """Look at a step before it is taken; see `training.Observer`."""
        if batch.begins_step:
            every = self.validate_every
            if every is not None and self.n_steps_ and self.n_steps_ % every == 0:
                self._validate()
                self._net._set_training(True)
            self.n_steps_ += 1
        codes = probabilities(logits).argmax(dim=1)
        self.n_right_ += (codes == batch[1]).sum()
        self.n_seen_ += len(codes)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Validate, keep weights, and stop if the mask has settled."""
        self._validate()
        self.n_epochs_ += 1
        self.train_accuracy_ = int(self.n_right_) / self.n_seen_
        self.n_right_.zero_()
        self.n_seen_ = 0
        if self.n_epochs_ in self.keep_epochs:
            self.kept_weights_[self.n_epochs_] = self._state(net, "cpu")
        if self.stop is not None and self.n_epochs_ >= max(self.keep_epochs, default=0):
            self._stop_if_settled(self.stop, self._state(net, net.device))

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Leave the device, and let go of all inputs."""
        self.final_weights_ = self._state(net, "cpu")
        self.best_weights_ = _copy(self.best_weights_, "cpu")
        self.validation = None
        del self._net, self._rows, self.n_right_, self.drawn_

    def forget(self, *, best: bool) -> None:
        """Let go of the weights of the end, and, with `best`, of the best ones."""
        self.final_weights_ = {}
        if best:
            self.best_weights_ = {}

    def _stop_if_settled(self, stop: MaskDraw, weights: Mapping[str, Tensor]) -> None:
        drawn, before = stop(weights), self.drawn_
        self.drawn_ = drawn
        if before is None:
            return
        is_near = mask_distance(drawn, before, stop.masks) < _SETTLED
        self.n_settled_ = self.n_settled_ + 1 if is_near else 0
        if self.n_settled_ == _N_SETTLED:
            raise KeyboardInterrupt  # by which skorch's callbacks end training

    @torch.no_grad()
    def _validate(self) -> None:
        """Look at the rows held out, and keep the weights if they are the best."""
        net, rows = self._net, self._rows
        logits = net.logits(rows.X).to(net.device)
        losses = net.criterion_(logits, rows.targets)
        weight = torch.ones_like(losses) if rows.weight is None else rows.weight
        loss = float((losses * weight).sum() / weight.sum())
        if not loss < self.best_loss_:
            return
        right = probabilities(logits).argmax(dim=1) == rows.targets
        self.best_loss_, self.best_step_ = loss, self.n_steps_
        self.best_accuracy_ = float(right.float().mean())
        self.best_losses_ = losses.cpu().numpy()
        self.best_weights_ = self._state(net, net.device)

    def _state(self, net: Any, device: Any) -> dict[str, Tensor]:
        """Return a copy of the state of the whole net."""
        return _copy(self.in_whole(net.module_.state_dict()), device)


def _copy(state: Mapping[str, Tensor], device: Any) -> dict[str, Tensor]:
    return {n: v.detach().to(device, copy=True) for n, v in state.items()}
