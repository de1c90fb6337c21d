"""Displacement: how far scouts went from a base, of which guides are made."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from torch import Tensor

from sklearn_memgen.training import guide_spread
from sklearn_memgen.training.guide import Guide, Parameters, named_parameters
from sklearn_memgen.training.multipliers import check_option

__all__ = ["Displacement"]


class Displacement:
    """How far each parameter of a net went, in scouts that began with the same base.

    Scouts are added one by one and not kept. Their sums are on the device of the base,
    in float64 (float32 on a device that has no float64), and any number of guides can
    be made of them.

    Parameters
    ----------
    base : Module, mapping or iterable of (str, Parameter)
        The parameters that all scouts begin with. They are copied, so that the net may
        be trained in place as a scout.

    Attributes
    ----------
    n_scouts : int
        Scouts that were added.

    See Also
    --------
    Guide.from_displacements : A guide of scouts that are there all at once.

    References
    ----------
    .. [1] Nikolic, Andric and Nikolic, "Guided Transfer Learning", 2023,
       https://arxiv.org/abs/2303.16154

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import Displacement
    >>> displacement = Displacement({"w": torch.zeros(3)})
    >>> for scout in ([0.0, 1.0, 2.0], [0.0, 1.0, -2.0]):
    ...     displacement = displacement.add({"w": torch.tensor(scout)})
    >>> displacement.guide()["w"]
    tensor([0.0000, 0.2500, 1.0000])
    >>> displacement.guide(spread="absolute")["w"]
    tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, base: Parameters) -> None:
        self._sums = guide_spread.SpreadSums(named_parameters(base))

    @property
    def n_scouts(self) -> int:
        """Scouts that were added."""
        return self._sums.n_scouts

    def __repr__(self) -> str:
        n_parameters = len(self._sums.base)
        return f"Displacement of {n_parameters} parameters by {self.n_scouts} scouts"

    def add(self, parameters: Parameters) -> Self:
        """Add a scout.

        Parameters
        ----------
        parameters : Module, mapping or iterable of (str, Parameter)
            Those of the scout in the end.

        Returns
        -------
        displacement : Displacement
            Itself.

        Raises
        ------
        ValueError
            If it has other parameters or shapes than the base, or values that are not
            finite. Then it is not added.
        """
        self._sums.include(self._sums.moved(named_parameters(parameters)))
        return self

    def measure(self, parameters: Parameters) -> pd.Series:
        """Return how far one scout is from the base, without adding it.

        Parameters
        ----------
        parameters : Module, mapping or iterable of (str, Parameter)
            Those of the scout.

        Returns
        -------
        distances : Series of shape (n_layers,)
            The root mean squared displacement by layer.

        Raises
        ------
        ValueError
            See `add`.
        """
        moved = self._sums.moved(named_parameters(parameters))
        squares = {name: way.square() for name, way in moved.items()}
        return np.sqrt(_by_layer(squares)["mean"]).rename("displacement")

    def guide(
        self,
        *,
        scope: str = "tensor",
        spread: str = "squared",
        focus: str = "zero_enforced_and_normalized",
    ) -> Guide:
        """Let change what the scouts had to change; see `Guide.from_displacements`.

        Parameters
        ----------
        scope : {"tensor", "global"}, default="tensor"
            Whether the smallest and the largest displacement are those of the parameter
            tensor or of all of them.
        spread : {"squared", "absolute"}, default="squared"
            Whether displacements are squared, or taken absolutely.
        focus : {"zero_enforced_and_normalized", "zero_enforced", "normalized", \
                "unit_mean", "raw"}, default="zero_enforced_and_normalized"
            See `Guide.from_displacements`.

        Returns
        -------
        guide : Guide
            One tensor a parameter, of its shape; by default from 0 to 1.

        Raises
        ------
        ValueError
            If no scout was added, or an option is unknown.

        Warns
        -----
        UserWarning
            If no scout differs from the base. The guide is all zero then.
        """
        check_option("scope", scope, guide_spread.SCOPES)
        check_option("spread", spread, ("squared", "absolute"))
        check_option("focus", focus, guide_spread.FOCUSES)
        mean = self._sums.mean(squared=spread == "squared")
        scaled = guide_spread.focus_spread(mean, scope=scope, focus=focus)
        return Guide({name: value.float() for name, value in scaled.items()})

    def only(self, prefix: str) -> Displacement:
        """Return the displacement of the parameters whose names begin so.

        Parameters
        ----------
        prefix : str
            Such as ``"body."``.

        Returns
        -------
        displacement : Displacement
            A copy, of the same scouts.
        """
        sums = self._sums
        part = Displacement(
            {n: v for n, v in sums.base.items() if n.startswith(prefix)}
        )
        part._sums.n_scouts = sums.n_scouts
        for name in part._sums.base:
            part._sums.squares[name] += sums.squares[name]
            part._sums.absolutes[name] += sums.absolutes[name]
        return part

    def by_layer(self) -> pd.DataFrame:
        """Return how far each layer went, on average over its parameters and scouts.

        Returns
        -------
        frame : DataFrame of shape (n_layers, 3)
            By the name of the `layer`, its number of parameters `n_parameters`, the
            root mean squared displacement `rms`, and the mean absolute one `mean`.
        """
        squares = _by_layer(self._sums.squares)
        absolutes = _by_layer(self._sums.absolutes)
        n_scouts = max(self.n_scouts, 1)
        return pd.DataFrame(
            {
                "n_parameters": squares["n_parameters"],
                "rms": np.sqrt(squares["mean"] / n_scouts),
                "mean": absolutes["mean"] / n_scouts,
            }
        )

    def cpu(self) -> Self:
        """Bring all to the CPU, so that a pickle loads anywhere, and return itself."""
        sums = self._sums
        for tensors in (sums.base, sums.squares, sums.absolutes):
            tensors.update({name: value.cpu() for name, value in tensors.items()})
        return self


def _by_layer(values: dict[str, Tensor]) -> pd.DataFrame:
    """Return the mean of the values of each layer, and how many there are."""
    totals: dict[str, list[Any]] = {}
    for name, value in values.items():
        layer = name.rpartition(".")[0] or name
        total = totals.setdefault(layer, [0, 0.0])
        total[0] += value.numel()
        total[1] += value.sum().item()
    frame = pd.DataFrame.from_dict(
        totals, orient="index", columns=["n_parameters", "mean"]
    )
    frame.index.name = "layer"
    frame["mean"] /= frame["n_parameters"].clip(lower=1)
    return frame
