"""Course: what a net made of every row in every epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_memgen.training import Batch, Rows, pool_logits
from sklearn_memgen.training.accumulators import label_margins

__all__ = ["CURVES", "TINY", "Course"]

#: What is recorded in each epoch, in this order.
CURVES = (
    "accuracy",
    "loss",
    "clean_accuracy",
    "clean_loss",
    "wrong_accuracy",
    "wrong_loss",
    "original_accuracy",
    "original_loss",
    "validation_accuracy",
    "validation_loss",
)
#: Logits that are kept until they are looked at together.
_BLOCK_ROWS = 2**14
#: The smallest probability, so that no loss is infinite.
TINY = 1e-30


class Course(Callback):
    """Record what a net makes of every row in every epoch.

    Rows that are learned are seen in the forward pass of training, before its step, as
    a `Trace` sees them; rows held out after each epoch. Losses are negative logarithms
    of the probability of a label, in nats, whatever the criterion is. Every row counts
    once, whatever its weight is.

    Parameters
    ----------
    given : Tensor of shape (n_rows,)
        The labels of all rows before noise came in, as class indices.
    learned : Tensor of shape (n_rows,)
        The labels with noise.
    rows : Tensor of shape (n_learned,)
        The rows that are learned, in the order of the dataset that is learned.
    held_out : Tensor of shape (n_held_out,)
        The other rows.
    held_out_X : Rows of length n_held_out or None
        Their inputs; None if there are none.
    keep_weights : bool, default=False
        Whether to keep the weights at the end of each epoch.
    keep_margins : bool, default=False
        Whether to keep margins.

    Attributes
    ----------
    losses_ : list of ndarray of shape (n_rows,), float32, one an epoch
        Loss of the given label.
    wrong_losses_ : list of ndarray of shape (n_corrupted,), float32, one an epoch
        Loss of the wrong label of each learned row that has one, in their order.
    margins_ : list of ndarray of shape (n_rows,), float32, one an epoch
        Margin of the label with noise, if margins are kept.
    predictions_ : list of ndarray of shape (n_rows,), int32, one an epoch
        The class with the largest logit.
    curves_ : list of tuple
        Values of `CURVES`, one tuple an epoch.
    weights_ : list of dict of str to Tensor
        The weights at the end of each epoch, on the CPU, if they are kept.
    """

    #: What training makes anew; a `training.Checkpoint` leaves it out.
    made_anew = ("given_", "learned_", "rows_", "held_out_X_")

    def __init__(
        self,
        given: Tensor,
        learned: Tensor,
        rows: Tensor,
        held_out: Tensor,
        held_out_X: Rows | None,
        keep_weights: bool = False,
        keep_margins: bool = False,
    ) -> None:
        self.given = given
        self.learned = learned
        self.rows = rows
        self.held_out = held_out
        self.held_out_X = held_out_X
        self.keep_weights = keep_weights
        self.keep_margins = keep_margins
        self.margins_: list[np.ndarray] = []
        self.losses_: list[np.ndarray] = []
        self.wrong_losses_: list[np.ndarray] = []
        self.predictions_: list[np.ndarray] = []
        self.curves_: list[tuple[float, ...]] = []
        self.weights_: list[dict[str, Tensor]] = []
        self.pending_: list[tuple[Tensor, Tensor]] = []
        self.n_pending_ = 0

    @property
    def corrupted(self) -> np.ndarray:
        """Whether the label of each row was made wrong, shape (n_rows,)."""
        return (self.given != self.learned).numpy()

    @property
    def is_learned(self) -> np.ndarray:
        """Whether each row is learned, shape (n_rows,)."""
        is_learned = np.zeros(len(self.given), dtype=bool)
        is_learned[self.rows.numpy()] = True
        return is_learned

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Bring labels and held-out rows to the device of the net."""
        self.given_ = self.given.to(net.device)
        self.learned_ = self.learned.to(net.device)
        self.rows_ = self.rows.to(net.device)
        X = self.held_out_X
        self.held_out_X_ = None if X is None else X.to(net.device)
        # Loss of the given label, prediction, and loss and margin of the learned one.
        # Of a row that no episode has had so far a net knows nothing.
        n_classes = int(torch.maximum(self.given, self.learned).max()) + 1
        unknown = torch.tensor([math.log(n_classes), -1.0, math.log(n_classes), 0.0])
        self.seen_ = unknown[:, None].repeat(1, len(self.given)).to(net.device)

    def observe(self, batch: Batch, logits: Tensor, losses: Tensor) -> None:
        """Keep what a step computed; see `training.Observer`."""
        rows = batch.rows
        if isinstance(rows, slice):
            rows = torch.arange(rows.start, rows.stop, device=logits.device)
        self.pending_.append((rows, logits))
        self.n_pending_ += len(rows)
        if self.n_pending_ >= _BLOCK_ROWS:
            self._look_at_pending()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Look at the rows held out, and bring what was seen to the host at once."""
        self._look_at_pending()
        if self.held_out_X_ is not None:
            logits = net.logits(self.held_out_X_).to(net.device)
            self._look(self.held_out.to(net.device), logits)
        losses, predictions, learned, margins = self.seen_.cpu().numpy()
        predictions = predictions.astype(np.int32)
        self.losses_.append(losses.copy())
        self.wrong_losses_.append(learned[self.is_learned & self.corrupted])
        if self.keep_margins:
            self.margins_.append(margins.copy())
        self.predictions_.append(predictions)
        self.curves_.append(self._summarize(losses, predictions, learned))
        if self.keep_weights:
            state = net.module_.state_dict()
            self.weights_.append(
                {k: v.detach().clone().cpu() for k, v in state.items()}
            )

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Leave the device, and let go of all inputs."""
        self.held_out_X = None
        del self.given_, self.learned_, self.rows_, self.held_out_X_, self.seen_

    def _look_at_pending(self) -> None:
        if not self.pending_:
            return
        rows, logits = map(torch.cat, zip(*self.pending_, strict=True))
        self.pending_, self.n_pending_ = [], 0
        self._look(self.rows_[rows.to(self.rows_.device)], logits)

    @torch.no_grad()
    def _look(self, rows: Tensor, logits: Tensor) -> None:
        """See what the net makes of some rows of the table."""
        logits = pool_logits(logits.float())
        _, given = label_margins(logits, self.given_[rows])
        margins, learned = label_margins(logits, self.learned_[rows])
        if logits.ndim == 1 or logits.shape[1] == 1:
            predictions = (logits.view(-1) > 0).float()
        else:
            predictions = logits.argmax(1).float()
        given, learned = (-p.clamp(min=TINY).log() for p in (given, learned))
        self.seen_[:, rows] = torch.stack([given, predictions, learned, margins])

    def _summarize(
        self, losses: np.ndarray, predictions: np.ndarray, learned: np.ndarray
    ) -> tuple[float, ...]:
        """Return the values of `CURVES`; NaN where there are no rows."""
        right_given = predictions == self.given.numpy()
        right_learned = predictions == self.learned.numpy()
        is_learned = self.is_learned
        clean, wrong = is_learned & ~self.corrupted, is_learned & self.corrupted
        parts = (
            (is_learned, right_learned, learned),
            (clean, right_given, losses),
            (wrong, right_learned, learned),
            (wrong, right_given, losses),
            (~is_learned, right_given, losses),
        )
        values: list[float] = []
        for rows, right, loss in parts:
            if rows.any():
                values += [float(right[rows].mean()), float(loss[rows].mean())]
            else:
                values += [np.nan, np.nan]
        return tuple(values)
