"""How far scouts went, and multipliers made of it: guided transfer learning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

__all__ = ["FOCUSES", "SCOPES", "TEMPERATURES", "focus_spread", "mean_spread", "temper"]

SCOPES = ("tensor", "global")
FOCUSES = ("zero_enforced_and_normalized", "zero_enforced", "normalized", "raw")


def mean_spread(
    base: Mapping[str, Tensor],
    scouts: Iterable[Mapping[str, Tensor]],
    *,
    squared: bool,
) -> dict[str, Tensor]:
    """Return how far each parameter went from the base, on average over the scouts.

    Parameters
    ----------
    base : dict of str to Tensor
        The parameters that all scouts began with.
    scouts : iterable of dict of str to Tensor
        Theirs in the end. They are read one by one, so that not all need be held.
    squared : bool
        Whether to average squares, or absolute values.

    Returns
    -------
    spread : dict of str to Tensor
        In float64, on the CPU, of the shapes of the parameters.

    Raises
    ------
    ValueError
        If there is no scout, or one has other parameters, shapes, or values that are
        not finite.
    """
    start = {name: _plain(value) for name, value in base.items()}
    sums = {name: torch.zeros_like(value) for name, value in start.items()}
    n_scouts = 0
    for scout in scouts:
        if set(scout) != set(start):
            names = sorted(set(scout) ^ set(start))
            raise ValueError(
                f"scout {n_scouts} and the base do not have the same parameters; one "
                f"of them alone has {names}"
            )
        for name, value in scout.items():
            if value.shape != start[name].shape:
                raise ValueError(
                    f"{name!r} of scout {n_scouts} has the shape {tuple(value.shape)}, "
                    f"that of the base {tuple(start[name].shape)}"
                )
            moved = _plain(value) - start[name]
            if not moved.isfinite().all():
                worst = moved[~moved.isfinite()][0].item()
                raise ValueError(
                    f"{name!r} of scout {n_scouts} is not finite: it moved by {worst}"
                )
            sums[name] += moved.square() if squared else moved.abs()
        n_scouts += 1
    if not n_scouts:
        raise ValueError("scouts is empty; a guide needs one of them at least")
    if not any(total.any() for total in sums.values()):
        warnings.warn(
            f"none of the {n_scouts} scouts differs from the base, and the guide "
            "freezes everything; was the base a copy of what the scouts began with?",
            UserWarning,
            stacklevel=3,
        )
    return {name: total / n_scouts for name, total in sums.items()}


def focus_spread(
    spread: Mapping[str, Tensor], *, scope: str, focus: str
) -> dict[str, Tensor]:
    """Scale spreads to multipliers, by the smallest and the largest of a scope."""
    tensors = [value.flatten() for value in spread.values() if value.numel()]
    everything = torch.cat(tensors) if tensors else torch.zeros(0)
    scaled = {}
    for name, value in spread.items():
        low, high = _ends(everything if scope == "global" else value)
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


def _plain(value: Tensor) -> Tensor:
    # A copy, for the value may go on changing.
    return value.detach().to("cpu", torch.float64, copy=True)
