"""Multipliers by name: what a guide is, without what it is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sklearn_memgen.training import guide_spread
from sklearn_memgen.training.guide_display import summarize

__all__ = ["Multipliers", "check_option"]


class Multipliers(Mapping[str, Tensor]):
    """Names with tensors that are not negative; see `Guide`.

    Parameters
    ----------
    multipliers : mapping of str to float, array-like or Tensor
        By name. They are copied to the CPU.
    """

    def __init__(self, multipliers: Mapping[str, Any]) -> None:
        self._multipliers = {
            name: _read_multiplier(name, value) for name, value in multipliers.items()
        }

    def __getitem__(self, name: str) -> Tensor:
        return self._multipliers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._multipliers)

    def __len__(self) -> int:
        return len(self._multipliers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Multipliers):
            return NotImplemented
        return set(self) == set(other) and all(
            torch.equal(self[name], other[name]) for name in self
        )

    __hash__ = None  # type: ignore[assignment]

    # Algebra

    def __mul__(self, other: Multipliers | float) -> Self:
        """Multiply by another guide, or all that is named by a number."""
        if isinstance(other, Multipliers):
            return self._product(other)
        if not isinstance(other, Real):
            return NotImplemented
        return type(self)({name: value * float(other) for name, value in self.items()})

    __rmul__ = __mul__

    def _product(self, other: Multipliers) -> Self:
        product: dict[str, Tensor] = dict(other.items())
        for name, value in self.items():
            try:
                product[name] = value * product.get(name, 1.0)
            except RuntimeError as error:
                raise ValueError(
                    f"the multipliers of {name!r} do not broadcast: "
                    f"{tuple(value.shape)} and {tuple(product[name].shape)}"
                ) from error
        return type(self)({name: product[name] for name in [*self, *other]})

    def clip(self, low: float = 0.0, high: float = 1.0) -> Self:
        """Bring all multipliers between two values."""
        return type(self)(
            {name: value.clamp(low, high) for name, value in self.items()}
        )

    def sparsify(self, threshold: float = 0.1) -> Self:
        """Set multipliers to zero that do not exceed a threshold."""
        return type(self)(
            {n: torch.where(value > threshold, value, 0) for n, value in self.items()}
        )

    def temper(
        self,
        temperature: str | None = None,
        *,
        slope: float | None = None,
        intercept: float | None = None,
    ) -> Self:
        r"""Let parameters change more or less, by a line through their multipliers.

        Parameters
        ----------
        temperature : str, default=None
            With the range :math:`r = \max g - \min g` of a tensor: "freezing" (1 from
            its 99th percentile on, 0 below), "icy" (:math:`2 (g - r / 2)`), "chilly"
            (:math:`g - \min g`), "room" (:math:`g`), "warm" (:math:`(g + r) / 2`) or
            "evaporating" (:math:`g / 4 + r`).
        slope, intercept : float, default=None
            In the place of a temperature, :math:`slope \cdot g - intercept`.

        Returns
        -------
        guide : Guide
            Negative values are set to zero.

        Raises
        ------
        ValueError
            If the temperature is unknown, or there is not either one or a line.

        Notes
        -----
        The 99th percentile is the value of rank ``1 + round(0.99 * (n - 1))``. Zeros
        are frozen at "freezing" even if it is zero, too. Of a tensor of equal values
        the smallest is taken to be zero, as in `from_displacements`.

        Examples
        --------
        >>> import torch
        >>> from sklearn_memgen.training import Guide
        >>> guide = Guide({"w": torch.tensor([0.0, 0.25, 0.75, 1.0])})
        >>> for temperature in ("icy", "warm", "freezing"):
        ...     guide.temper(temperature)["w"]
        tensor([0.0000, 0.0000, 0.5000, 1.0000])
        tensor([0.5000, 0.6250, 0.8750, 1.0000])
        tensor([0., 0., 0., 1.])
        """
        if temperature is None and slope is not None and intercept is not None:
            lines = {n: value * slope - intercept for n, value in self.items()}
            return type(self)({n: line.clamp_min(0) for n, line in lines.items()})
        if temperature is None or slope is not None or intercept is not None:
            raise ValueError(
                "either temperature or both slope and intercept must be given; got "
                f"temperature={temperature!r}, slope={slope!r}, intercept={intercept!r}"
            )
        check_option("temperature", temperature, tuple(guide_spread.TEMPERATURES))
        return type(self)(
            {n: guide_spread.temper(value, temperature) for n, value in self.items()}
        )

    # Printing

    def summary(self) -> pd.DataFrame:
        """Return a row for each parameter of the guide.

        Returns
        -------
        frame : DataFrame of shape (n_parameters, 5)
            The `parameter`; the `shape` of its multipliers; the share of `zeros`; the
            `mean`; and a `histogram` of eight bins from 0 to the largest multiplier of
            the guide, at least 1.
        """
        return summarize(self)

    def __repr__(self) -> str:
        plural = "" if len(self) == 1 else "s"
        title = f"{type(self).__name__} of {len(self)} parameter{plural}"
        if not len(self):
            return title
        frame = self.summary()
        frame["zeros"] = frame["zeros"].map("{:.0%}".format)
        frame["shape"] = [", ".join(map(str, s)) or "-" for s in frame["shape"]]
        return f"{title}\n" + frame.to_string(index=False, float_format="{:.3g}".format)


def _read_multiplier(name: str, value: Any) -> Tensor:
    """Return a multiplier as a floating tensor of its own on the CPU."""
    if not isinstance(value, Real | np.ndarray | list | tuple | Tensor):
        raise TypeError(
            f"the multiplier of {name!r} must be a number, an array or a tensor; got "
            f"{value!r}"
        )
    if isinstance(value, Real):
        value = torch.tensor(float(value), dtype=torch.float64)
    multiplier = torch.as_tensor(value).detach()
    dtype = multiplier.dtype if multiplier.is_floating_point() else torch.float32
    multiplier = multiplier.to("cpu", dtype, copy=True)
    wrong = multiplier[~(multiplier.isfinite() & (multiplier >= 0))]
    if wrong.numel():
        raise ValueError(
            f"the multipliers of {name!r} must be finite and not negative; got "
            f"{wrong[0].item():g}"
        )
    return multiplier


def check_option(name: str, value: Any, options: Sequence[str]) -> None:
    """Raise ValueError unless a value is one of the options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {list(options)}; got {value!r}")
