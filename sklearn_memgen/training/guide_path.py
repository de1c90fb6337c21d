"""Several guides, one for each part of the way that a net goes from its start."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from sklearn_memgen.training.guide import Guide

__all__ = ["GuidePath", "rms_distance"]


class GuidePath:
    """Guides by the distance from the start: near it one holds, farther off another.

    What a net has to change at first need not be what it has to change later. Scouts
    that are measured on their way tell both; see `DisplacementPath`. The distance is
    the root mean squared displacement of the parameters.

    Parameters
    ----------
    guides : sequence of Guide
        The guides, from the start on; all name the same parameters.
    distances : sequence of float
        Where each guide but the first begins, ascending, in the unit of the parameters.

    Attributes
    ----------
    guides : tuple of Guide
        The guides.
    distances : tuple of float
        Where each guide but the first begins.

    Raises
    ------
    ValueError
        If there is no guide, they name different parameters, or the distances are
        another number, not positive or not ascending.

    See Also
    --------
    GuideCallback : Hands it to an estimator.

    References
    ----------
    .. [1] Nikolic, Andric and Nikolic, "Guided Transfer Learning", 2023,
       https://arxiv.org/abs/2303.16154, where it is named as a next step.

    Examples
    --------
    >>> from sklearn_memgen.training import Guide, GuidePath
    >>> path = GuidePath([Guide({"w": 1.0}), Guide({"w": 0.1})], distances=[0.5])
    >>> path.at(0.2)["w"], path.at(0.5)["w"]
    (tensor(1., dtype=torch.float64), tensor(0.1000, dtype=torch.float64))
    """

    def __init__(self, guides: Sequence[Guide], distances: Sequence[float]) -> None:
        self.guides = tuple(guides)
        self.distances = tuple(float(distance) for distance in distances)
        if not self.guides:
            raise ValueError("guides is empty; a path needs one of them at least")
        if any(set(guide) != set(self.guides[0]) for guide in self.guides):
            raise ValueError("the guides of a path must name the same parameters")
        if len(self.distances) != len(self.guides) - 1:
            raise ValueError(
                f"{len(self.guides)} guides need {len(self.guides) - 1} distances, "
                f"where all but the first begin; got {len(self.distances)}"
            )
        if any(not low < high for low, high in pairwise((0.0, *self.distances))):
            raise ValueError(
                f"distances must be positive and ascending; got {self.distances}"
            )

    def __len__(self) -> int:
        return len(self.guides)

    def __repr__(self) -> str:
        begins = ", ".join(f"{distance:.3g}" for distance in (0.0, *self.distances))
        return f"GuidePath of {len(self)} guides, from distances {begins} on"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GuidePath):
            return NotImplemented
        return self.guides == other.guides and self.distances == other.distances

    __hash__ = None  # type: ignore[assignment]

    def at(self, distance: float) -> Guide:
        """Return the guide that holds at a distance from the start."""
        return self.guides[bisect_right(self.distances, distance)]

    def map(self, change: Callable[[Guide], Guide]) -> GuidePath:
        """Return a path of guides that are changed alike."""
        return GuidePath([change(guide) for guide in self.guides], self.distances)


@torch.no_grad()
def rms_distance(
    parameters: Mapping[str, Tensor], start: Mapping[str, Tensor]
) -> float:
    """Return the root mean squared distance of parameters from where they began.

    Parameters
    ----------
    parameters, start : mapping of str to Tensor
        By name, on one device. Those that `start` does not name do not count.

    Returns
    -------
    distance : float
        In the unit of the parameters; 0 if there are none.
    """
    ways = [parameters[name] - begin for name, begin in start.items()]
    n_parameters = sum(way.numel() for way in ways)
    if not n_parameters:
        return 0.0
    squares = torch.stack([way.square().sum(dtype=torch.float32) for way in ways])
    return (squares.sum() / n_parameters).sqrt().item()
