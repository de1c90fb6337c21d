"""How far scouts went, and multipliers made of it: guided transfer learning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sklearn_memgen._warnings import user_stacklevel

__all__ = ["FOCUSES", "SCOPES", "TEMPERATURES", "SpreadSums", "focus_spread", "temper"]

SCOPES = ("tensor", "global")
FOCUSES = (
    "zero_enforced_and_normalized",
    "zero_enforced",
    "normalized",
    "unit_mean",
    "raw",
)
#: The largest multiplier of "unit_mean": steps that are much larger than the learning
#: rate says would undo what others have learned.
_MOST = 3.0


class SpreadSums:
    """Sums, over scouts, of how far each parameter went from the base.

    They stay on the device of the base, and scouts need not be kept.

    Parameters
    ----------
    base : mapping of str to Tensor
        The parameters that all scouts began with. They are copied, for what is trained
        in place would take its base along.
    """

    def __init__(self, base: Mapping[str, Tensor]) -> None:
        self.base = {name: value.detach().clone() for name, value in base.items()}
        self.squares = self._zeros()
        self.absolutes = self._zeros()
        self.n_scouts = 0

    def _zeros(self) -> dict[str, Tensor]:
        return {
            name: torch.zeros_like(value, dtype=_sum_dtype(value))
            for name, value in self.base.items()
        }

    def moved(self, scout: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return how far a scout went.

        Raises
        ------
        ValueError
            If it has other parameters or shapes than the base, or values that are not
            finite.
        """
        which = f"scout {self.n_scouts}"
        if set(scout) != set(self.base):
            names = sorted(set(scout) ^ set(self.base))
            raise ValueError(
                f"{which} and the base do not have the same parameters; one of them "
                f"alone has {names}"
            )
        moved = {}
        for name, start in self.base.items():
            value = scout[name].detach()
            if value.shape != start.shape:
                raise ValueError(
                    f"{name!r} of {which} has the shape {tuple(value.shape)}, that of "
                    f"the base {tuple(start.shape)}"
                )
            dtype = _sum_dtype(start)
            way = value.to(start.device, dtype) - start.to(dtype)
            if not way.isfinite().all():
                worst = way[~way.isfinite()][0].item()
                raise ValueError(
                    f"{name!r} of {which} is not finite: it moved by {worst}"
                )
            moved[name] = way
        return moved

    def include(self, moved: Mapping[str, Tensor]) -> None:
        """Count a scout that `moved` so far."""
        for name, way in moved.items():
            self.squares[name] += way.square()
            self.absolutes[name] += way.abs()
        self.n_scouts += 1

    def mean(self, *, squared: bool) -> dict[str, Tensor]:
        """Return how far each parameter went on average.

        Parameters
        ----------
        squared : bool
            Whether to average squares, or absolute values.

        Returns
        -------
        spread : dict of str to Tensor
            In float64, on the CPU, of the shapes of the parameters.

        Raises
        ------
        ValueError
            If there is no scout.

        Warns
        -----
        UserWarning
            If no scout differs from the base.
        """
        if not self.n_scouts:
            raise ValueError("scouts is empty; a guide needs one of them at least")
        if not any(total.any() for total in self.absolutes.values()):
            warnings.warn(
                f"none of the {self.n_scouts} scouts differs from the base, and the "
                "guide freezes everything; was the base a copy of what the scouts "
                "began with, and did they learn anything?",
                UserWarning,
                stacklevel=user_stacklevel(),
            )
        sums = self.squares if squared else self.absolutes
        return {
            name: total.to("cpu", torch.float64) / self.n_scouts
            for name, total in sums.items()
        }


def _sum_dtype(value: Tensor) -> torch.dtype:
    """Return float64, or float32 where the device has no float64."""
    return torch.float32 if value.device.type == "mps" else torch.float64


def focus_spread(
    spread: Mapping[str, Tensor], *, scope: str, focus: str
) -> dict[str, Tensor]:
    """Scale spreads to multipliers, by the smallest and the largest of a scope."""
    tensors = [value.flatten() for value in spread.values() if value.numel()]
    everything = torch.cat(tensors) if tensors else torch.zeros(0)
    scaled = {}
    for name, value in spread.items():
        of_scope = everything if scope == "global" else value
        low, high = _ends(of_scope)
        if focus == "unit_mean":
            scaled[name] = (value / (of_scope.mean() if high else 1)).clamp_max(_MOST)
            continue
        if focus.startswith("zero_enforced"):
            value = value - low
        if focus == "normalized":
            value = value / high if high else value
        elif focus == "zero_enforced_and_normalized":
            value = value / (high - low) if high else value
        scaled[name] = value
    return scaled


def _freeze(g: Tensor, low: float, high: float) -> Tensor:
    n = g.numel()
    threshold = g.flatten().kthvalue(1 + round(0.99 * (n - 1))).values
    return ((g >= threshold) & (g > 0)).to(g.dtype)


#: Multipliers of a tensor, its lowest and its highest -> multipliers.
TEMPERATURES: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "freezing": _freeze,
    "icy": lambda g, low, high: 2 * (g - (high - low) / 2),
    "chilly": lambda g, low, high: g - low,
    "room": lambda g, low, high: g,
    "warm": lambda g, low, high: 0.5 * g + (high - low) / 2,
    "evaporating": lambda g, low, high: 0.25 * g + (high - low),
}


def temper(multiplier: Tensor, temperature: str) -> Tensor:
    """Change the multipliers of a tensor to a temperature; see `Guide.temper`."""
    if not multiplier.numel():
        return multiplier
    return TEMPERATURES[temperature](multiplier, *_ends(multiplier)).clamp_min(0)


def _ends(values: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest value, of equal values 0 and the value."""
    if not values.numel():
        return 0.0, 0.0
    low, high = values.min().item(), values.max().item()
    return (0.0 if low == high else low), high
