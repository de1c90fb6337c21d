"""What a lottery gives on request: a small net, scores of all rounds, instability."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, log_loss
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_memgen._lottery_nets import LotteryNet, LotteryNets
from sklearn_memgen._lottery_plan import check_epochs
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.compaction import compact
from sklearn_memgen.training import Ticket

__all__ = [
    "EvidenceMixin",
    "SearchedTable",
    "measure_instability",
    "weights_between",
]


@dataclass(frozen=True)
class SearchedTable:
    """What a lottery was fitted on, and how its nets are trained.

    Parameters
    ----------
    nets : LotteryNets
        The table, and how nets are made.
    max_epochs : int
        Epochs of a full training.
    seed : int
        Of all that is drawn later.
    """

    nets: LotteryNets
    max_epochs: int
    seed: int


class EvidenceMixin:
    """The part of `LotteryPrunedNet` that answers questions after `fit`."""

    classes_: np.ndarray
    rounds_: pd.DataFrame
    estimator_: NetClassifier
    ticket_: Ticket

    _table: SearchedTable
    _weights: list[dict[str, Tensor]] | None

    def compact(self, X: Any = None) -> NetClassifier:
        """Return the ticket as an ordinary classifier that holds only what is left.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, default=None
            Two rows or more; see `compact`.

        Returns
        -------
        classifier : NetClassifier
            Fitted, with the predictions of this one, but for rounding.

        Raises
        ------
        CannotCompactError
            If the net cannot be traced, or `X` is needed.

        See Also
        --------
        sklearn_memgen.compact : What is taken out.
        """
        check_is_fitted(self)
        return compact(self.estimator_, X)

    def score_rounds(self, X: Any, y: ArrayLike) -> pd.DataFrame:
        """Score all nets of the search on rows of their own.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs.
        y : array-like of shape (n_rows,)
            Their labels.

        Returns
        -------
        scores : DataFrame
            `rounds_` with the columns `accuracy` and `loss`, the log-loss in nats, of
            each net at its step of the lowest validation loss, not calibrated.

        Raises
        ------
        ValueError
            If weights were not kept.
        """
        check_is_fitted(self)
        if self._weights is None:
            raise ValueError(
                "score_rounds needs the weights of all nets: fit with keep_weights=True"
            )
        module = self.estimator_.net_.module_
        own = {name: value.clone() for name, value in module.state_dict().items()}
        rows = []
        try:
            for weights in self._weights:
                module.load_state_dict(weights)
                predicted = self.estimator_.predict_proba(X)
                labels = self.classes_[predicted.argmax(axis=1)]
                row = {
                    "accuracy": accuracy_score(y, labels),
                    "loss": log_loss(y, predicted, labels=self.classes_),
                }
                rows.append(row)
        finally:
            module.load_state_dict(own)
        return self.rounds_.join(pd.DataFrame(rows, index=self.rounds_.index))

    def instability(
        self,
        rewind: Sequence[int] = (0, 1),
        *,
        n_points: int = 30,
        sparse: bool = False,
    ) -> pd.DataFrame:
        r"""Tell whether two trainings from the same weights end in one valley.

        A dense net is trained from the weights that `ticket_` begins with. From its
        weights after some epochs two nets are trained to the end, in orders of rows of
        their own. Where the error rises on the
        line between them by less than 0.02, weights are worth rewinding to.

        Parameters
        ----------
        rewind : sequence of int, default=(0, 1)
            After how many epochs the nets part; 0 is where
            the ticket begins: before training, with ``rewind="init"``.
        n_points : int, default=30
            Points on the line, ends included.
        sparse : bool, default=False
            Whether the two nets are pruned as `ticket_` is.

        Returns
        -------
        instability : DataFrame of shape (n_rewinds, 4)
            For each `rewind` the `error` of the two nets on the rows held out, on
            average, the highest `error_between` on the line, and their difference, the
            `instability`.

        Raises
        ------
        ValueError
            If an epoch is beyond training.
        NotFittedError
            If the model is not fitted, or was unpickled, which leaves its rows behind.

        Notes
        -----
        .. math:: \sup_\alpha E(\alpha \theta_1 + (1 - \alpha) \theta_2)
            - \frac{E(\theta_1) + E(\theta_2)}{2}

        with the share of wrong predictions :math:`E` [1]_. Statistics that
        normalizations keep are interpolated, too.

        References
        ----------
        .. [1] Frankle et al., "Linear Mode Connectivity and the Lottery Ticket
           Hypothesis", 2020, https://arxiv.org/abs/1912.05671
        """
        check_is_fitted(self)
        if not hasattr(self, "_table"):
            raise NotFittedError(
                "instability needs the rows that the model was fitted on; they are not "
                "pickled with it, so call fit again"
            )
        return measure_instability(
            self._table, self.ticket_, rewind, n_points=n_points, sparse=sparse
        )


def measure_instability(
    table: SearchedTable,
    ticket: Ticket,
    rewind: Sequence[int],
    *,
    n_points: int = 30,
    sparse: bool = False,
) -> pd.DataFrame:
    """Train pairs of nets, and look between them; see `EvidenceMixin.instability`."""
    max_epochs = table.max_epochs
    check_epochs("rewind", rewind, max_epochs)
    nets = copy.copy(table.nets)
    nets.rng = np.random.RandomState(table.seed)
    begin = ticket.initial
    everything = {name: torch.ones_like(m) for name, m in ticket.masks.items()}
    weights = {0: begin}
    if any(rewind):
        dense = LotteryNet(0, 0, Ticket(everything, begin), max_epochs=max_epochs)
        (dense,) = nets.train([dense], keep_epochs=rewind)
        weights |= dense.trained.kept_weights_
    masks = ticket.masks if sparse else everything
    pairs = [
        LotteryNet(0, k, Ticket(masks, weights[epoch]), max_epochs=max_epochs - epoch)
        for epoch in rewind
        for k in range(2)
    ]
    trained = [net.trained.final_weights_ for net in nets.train(pairs)]
    rows = []
    for epoch, one, other in zip(rewind, trained[::2], trained[1::2], strict=True):
        errors = [
            nets.error(weights_between(one, other, share))
            for share in np.linspace(0, 1, n_points)
        ]
        error = (errors[0] + errors[-1]) / 2
        rows.append((epoch, error, max(errors), max(errors) - error))
    columns = ["rewind", "error", "error_between", "instability"]
    return pd.DataFrame(rows, columns=columns)


def weights_between(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return the weights on the line between two nets; counters are those of one."""
    return {
        name: torch.lerp(value, other[name], share)
        if value.is_floating_point()
        else value
        for name, value in one.items()
    }
