"""How far scouts went on each part of their way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from skorch.callbacks import Callback
from torch import Tensor

from sklearn_memgen.training.displacement import Displacement
from sklearn_memgen.training.guide import Parameters, named_parameters
from sklearn_memgen.training.guide_path import GuidePath

__all__ = ["DisplacementPath", "WayPoints"]


class DisplacementPath:
    """How far each parameter of a net went, on each part of the way of scouts.

    It is a `Displacement` for each part, of what scouts did from its beginning to its
    end, and how far from the base they were in the end of each, on average.

    Parameters
    ----------
    base : Module, mapping or iterable of (str, Parameter)
        See `Displacement`.
    n_stages : int
        In how many parts the way is divided.

    Attributes
    ----------
    stages : list of Displacement
        What scouts did in each part of the way.

    See Also
    --------
    Displacement : The way as a whole.
    GuidePath : What is made of it.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import DisplacementPath
    >>> path = DisplacementPath({"w": torch.zeros(2)}, n_stages=2)
    >>> way = [{"w": torch.tensor([3.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])}]
    >>> guides = path.add(way).guide()
    >>> guides
    GuidePath of 2 guides, from distances 0, 2.12 on
    >>> guides.at(0.0)["w"], guides.at(3.0)["w"]
    (tensor([1., 0.]), tensor([0., 1.]))
    """

    def __init__(self, base: Parameters, n_stages: int) -> None:
        known = named_parameters(base)
        self.stages = [Displacement(known) for _ in range(n_stages)]
        #: Sums over scouts of the squared distance of each parameter tensor from the
        #: base, at the end of each stage.
        self._squares: list[dict[str, float]] = [
            dict.fromkeys(known, 0.0) for _ in range(n_stages)
        ]

    @property
    def n_scouts(self) -> int:
        """Scouts that were added."""
        return self.stages[0].n_scouts

    def __repr__(self) -> str:
        return (
            f"DisplacementPath of {len(self.stages)} stages by {self.n_scouts} scouts"
        )

    def add(self, way: Sequence[Parameters]) -> Self:
        """Add a scout.

        Parameters
        ----------
        way : sequence of Module, mapping or iterable of (str, Parameter)
            Its parameters at the end of each stage.

        Returns
        -------
        path : DisplacementPath
            Itself.

        Raises
        ------
        ValueError
            If there are more or fewer than stages; or see `Displacement.add`.
        """
        if len(way) != len(self.stages):
            raise ValueError(
                f"a scout has {len(way)} points on its way; there are "
                f"{len(self.stages)} stages"
            )
        total = self.stages[0]._sums
        moved = [total.moved(named_parameters(parameters)) for parameters in way]
        before: dict[str, Tensor] | None = None
        for stage, squares, now in zip(self.stages, self._squares, moved, strict=True):
            for name, so_far in now.items():
                squares[name] += so_far.square().sum().item()
            if before is None:
                stage._sums.include(now)
            else:
                stage._sums.include({n: way - before[n] for n, way in now.items()})
            before = now
        return self

    def distances(self) -> list[float]:
        """Return how far from the base scouts were in the end of each stage.

        Returns
        -------
        distances : list of float
            Roots of the mean squared displacement over parameters and scouts.
        """
        n_parameters = sum(
            value.numel() for value in self.stages[0]._sums.base.values()
        )
        n_values = max(n_parameters * self.n_scouts, 1)
        return [math.sqrt(sum(s.values()) / n_values) for s in self._squares]

    def guide(self, **scale: Any) -> GuidePath:
        """Make a guide of each stage; see `Displacement.guide`.

        Stages in whose beginning scouts were no farther from the base than in the
        beginning of the one before are left out: no distance tells them from it.

        Parameters
        ----------
        **scale
            `scope`, `spread` and `focus`.

        Returns
        -------
        path : GuidePath
            By distance from the base.
        """
        guides, begins = [self.stages[0].guide(**scale)], [0.0]
        distances = self.distances()
        for stage, begin in zip(self.stages[1:], distances[:-1], strict=True):
            if begin > begins[-1]:
                guides.append(stage.guide(**scale))
                begins.append(begin)
        return GuidePath(guides, begins[1:])

    def only(self, prefix: str) -> DisplacementPath:
        """Return that of the parameters whose names begin so; see `Displacement`."""
        part = DisplacementPath({}, len(self.stages))
        part.stages = [stage.only(prefix) for stage in self.stages]
        part._squares = [
            {name: value for name, value in squares.items() if name.startswith(prefix)}
            for squares in self._squares
        ]
        return part

    def cpu(self) -> Self:
        """Bring all to the CPU, so that a pickle loads anywhere, and return itself."""
        for stage in self.stages:
            stage.cpu()
        return self


class WayPoints(Callback):
    """Keep the parameters of a net at the end of some epochs.

    Parameters
    ----------
    epochs : sequence of int
        The epochs, from 1 on.

    Attributes
    ----------
    points : list of dict of str to Tensor
        Copies of the parameters, on the device of the net.
    """

    def __init__(self, epochs: Sequence[int]) -> None:
        self.epochs = epochs

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin anew."""
        self.points: list[dict[str, Tensor]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Keep the parameters, if it is one of the epochs."""
        for _ in range(list(self.epochs).count(len(net.history))):
            parameters = net.module_.named_parameters()
            self.points.append({n: p.detach().clone() for n, p in parameters})
