"""The plan of a lottery: which rounds there are, and which ticket is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from sklearn_memgen._lottery_nets import LotteryNet
from sklearn_memgen.training import PruningRule

__all__ = ["SEARCHES", "SearchPlan", "check_epochs", "choose_round"]

SEARCHES = ("cheap", "iterative", "one_shot", "early_bird")
#: The cheap search prunes in so many rounds, each of such a share of all epochs.
_CHEAP_ROUNDS, _CHEAP_SHARE = 4, 0.2


@dataclass(frozen=True)
class SearchPlan:
    """What a search does.

    Parameters
    ----------
    strengths : tuple of float
        How strong each round of pruning is; see `PruningRule`.
    from_dense : bool, default=False
        Whether every round prunes the dense net, rather than the round before.
    share : float, default=1.0
        Share of all epochs that a round is trained for.
    dense_stops, stops : bool, default=False
        Whether the dense net, and the rounds, are stopped when the mask has settled.
    goes_on : bool, default=False
        Whether a round goes on from the weights of the round before, and only a final
        training begins where the ticket does.
    compacts : bool, default=False
        Whether pruned nets are trained without the units that nothing sees.
    n_finals : int, default=0
        Most tickets that are trained in full in the end.
    """

    strengths: tuple[float, ...]
    from_dense: bool = False
    share: float = 1.0
    dense_stops: bool = False
    stops: bool = False
    goes_on: bool = False
    compacts: bool = False
    n_finals: int = 0

    @classmethod
    def make(cls, search: str, n_rounds: float) -> SearchPlan:
        """Return the plan of a search, down to what so many rounds leave."""
        whole = math.floor(n_rounds + 1e-9)
        rest = n_rounds - whole
        ones = (1.0,) * whole + ((rest,) if rest > 1e-9 else ())
        if search == "one_shot":
            return cls(tuple(np.cumsum(ones).tolist()), from_dense=True)
        if search == "early_bird":
            return cls(ones, dense_stops=True, stops=True, n_finals=1)
        if search == "cheap":
            n_steps = min(_CHEAP_ROUNDS, len(ones))
            steps = (n_rounds / max(n_steps, 1),) * n_steps
            return cls(
                steps,
                share=_CHEAP_SHARE,
                stops=True,
                goes_on=True,
                compacts=True,
                n_finals=2,
            )
        return cls(ones)

    def check_counts(self, rule: PruningRule, sizes: dict[str, int]) -> None:
        """Raise a ValueError if a layer would be pruned to nothing.

        Parameters
        ----------
        rule : PruningRule
            The rule.
        sizes : dict of str to int
            Weights of each layer.
        """
        remaining = dict(sizes)
        for strength in self.strengths:
            counts = rule.counts(sizes if self.from_dense else remaining, strength)
            # Of layers that are ranked together it is not known beforehand.
            remaining |= {group[0]: n for group, n in counts.items() if len(group) == 1}


def choose_round(
    nets: Sequence[LotteryNet], select: str | float, tolerance: str | float
) -> int:
    """Return the round whose tickets are taken.

    Parameters
    ----------
    nets : sequence of LotteryNet
        Trained tickets, of each round as many.
    select : {"smallest", "best", "last"} or float
        The smallest within `tolerance` of the lowest validation loss, on average over
        trials; that with the lowest; the last; or that whose share of remaining weights
        is nearest.
    tolerance : "standard_error" or float
        By how much the loss may be higher, in nats: so much, or one standard error,
        over trials, or, of a single one, of the difference over the validation rows.

    Returns
    -------
    round : int
        The round.
    """
    by_round: dict[int, list[LotteryNet]] = {}
    for net in nets:
        by_round.setdefault(net.round, []).append(net)
    remaining = {
        k: float(np.mean([net.ticket.remaining for net in of_round]))
        for k, of_round in by_round.items()
    }
    if select == "last":
        return max(by_round)
    if not isinstance(select, str):
        return min(by_round, key=lambda k: abs(remaining[k] - select))
    losses = {
        k: np.array([net.trained.best_loss_ for net in of_round])
        for k, of_round in by_round.items()
    }
    best = min(losses, key=lambda k: losses[k].mean())
    if select == "best":
        return best
    allowed = []
    for k, loss in losses.items():
        if not isinstance(tolerance, str):
            error = float(tolerance)
        elif len(loss) > 1:
            error = float(losses[best].std(ddof=1)) / math.sqrt(len(loss))
        else:
            differences = (
                by_round[k][0].trained.best_losses_
                - by_round[best][0].trained.best_losses_
            )
            error = float(differences.std()) / math.sqrt(len(differences))
        if loss.mean() <= losses[best].mean() + error:
            allowed.append(k)
    return min(allowed, key=lambda k: remaining[k])


def check_epochs(name: str, epochs: Sequence[int], max_epochs: int) -> None:
    """Raise a ValueError if there are epochs that training does not get to."""
    for epoch in epochs:
        if not isinstance(epoch, Integral) or not 0 <= epoch < max_epochs:
            raise ValueError(
                f"{name} must hold epochs from 0 to {max_epochs - 1}; got {epoch!r}"
            )
