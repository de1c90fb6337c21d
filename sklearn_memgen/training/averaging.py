"""A running average of the weights, which is what a trained net keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["WeightAverage"]

#: Steps between two updates: an update costs a good part of a small net's step.
_STEPS = 4


class WeightAverage:
    r"""An exponential moving average of weights, which can take their place.

    Parameters
    ----------
    parameters : iterable of Parameter
        The weights.
    decay : float
        Share of the average that remains after a step, between 0 and 1.

    Notes
    -----
    The average of weights along the path of stochastic gradient descent generalizes
    better than its end, and needs no falling learning rate (Polyak and Juditsky, 1992).
    In the first steps the decay is lower, :math:`(1 + t) / (10 + t)` after t updates,
    so that the initial weights are soon forgotten.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.parameters = list(parameters)
        self.average = [weight.clone() for weight in self.weights]
        self.decay = decay
        self.in_place = False
        self._n_steps = 0

    @property
    def weights(self) -> list[Tensor]:
        """The weights as they are now, wherever they have been moved."""
        return [parameter.detach() for parameter in self.parameters]

    def state_dict(self) -> dict[str, Any]:
        """Return the average, and all else that is to be known of it."""
        return {
            "average": self.average,
            "in_place": self.in_place,
            "n_steps": self._n_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, whose tensors are on the device of the weights."""
        self.average = state["average"]
        self.in_place = state["in_place"]
        self._n_steps = state["n_steps"]

    def update(self) -> None:
        """Count a step, after which the weights may enter the average."""
        self._n_steps += 1
        if self._n_steps % _STEPS == 0 and self.average:
            n_updates = self._n_steps // _STEPS
            decay = min(self.decay**_STEPS, (1 + n_updates) / (10 + n_updates))
            get_ema_multi_avg_fn(decay)(self.average, self.weights, None)

    def swap(self, *, in_place: bool) -> None:
        """Put the average in the place of the weights, or the weights back."""
        if in_place == self.in_place or self._n_steps < _STEPS:
            return
        for weight, average in zip(self.weights, self.average, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)
        self.in_place = in_place
