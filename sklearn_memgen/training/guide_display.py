"""A guide in print and in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

__all__ = ["GuideDisplay", "summarize"]

_N_PRINTED_BINS, _LEVELS = 8, "·▁▂▃▄▅▆▇█"
_INK, _SOFT, _MEAN = "#22303C", "#6B7885", "#D55E00"


def summarize(multipliers: Mapping[str, Tensor]) -> pd.DataFrame:
    """Return a row for each tensor of multipliers; see `Guide.summary`."""
    top = _top(multipliers)
    rows = [
        (
            name,
            tuple(value.shape),
            _share_of_zeros(value),
            value.mean().item(),
            _sparkline(_shares(value, _N_PRINTED_BINS, top)),
        )
        for name, value in multipliers.items()
    ]
    return pd.DataFrame(
        rows, columns=["parameter", "shape", "zeros", "mean", "histogram"]
    )


def _top(multipliers: Mapping[str, Tensor]) -> float:
    """Return the end of the histograms, which is that of all tensors."""
    largest = [value.max().item() for value in multipliers.values() if value.numel()]
    return max([1.0, *largest])


def _shares(value: Tensor, n_bins: int, top: float) -> np.ndarray:
    """Return the share of the multipliers in each bin, shape (n_bins,)."""
    counts, _ = np.histogram(value.double().numpy(), bins=n_bins, range=(0, top))
    return counts / max(value.numel(), 1)


def _share_of_zeros(value: Tensor) -> float:
    return (value == 0).sum().item() / max(value.numel(), 1)


def _sparkline(shares: np.ndarray) -> str:
    """Draw shares as blocks, the largest one full, and a dot where there is nothing."""
    highest = max(shares.max(), 1e-12)
    levels = np.ceil(shares / highest * (len(_LEVELS) - 1)).astype(int)
    return "".join(_LEVELS[level] for level in levels)


class GuideDisplay:
    """A picture of a `Guide`: how the multipliers of each parameter are distributed.

    Make it with `from_guide`.

    Parameters
    ----------
    names : sequence of str of length n_parameters
        The parameters.
    shares : ndarray of shape (n_parameters, n_bins)
        Share of the multipliers of each in each bin.
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    zeros : ndarray of shape (n_parameters,)
        Share of the multipliers that are zero.
    means : ndarray of shape (n_parameters,)
        Mean multiplier of each parameter.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import Guide, GuideDisplay
    >>> guide = Guide({"weight": torch.rand(4, 3), "bias": torch.zeros(4)})
    >>> GuideDisplay.from_guide(guide).plot()  # doctest: +ELLIPSIS
    <sklearn_memgen.training.guide_display.GuideDisplay object at ...>
    """

    def __init__(
        self,
        *,
        names: list[str],
        shares: np.ndarray,
        edges: np.ndarray,
        zeros: np.ndarray,
        means: np.ndarray,
    ) -> None:
        self.names = names
        self.shares = shares
        self.edges = edges
        self.zeros = zeros
        self.means = means

    @classmethod
    def from_guide(
        cls, guide: Mapping[str, Tensor], *, n_bins: int = 25
    ) -> GuideDisplay:
        """Count the multipliers of a guide.

        Parameters
        ----------
        guide : Guide
            The guide.
        n_bins : int, default=25
            Number of bins from 0 to the largest multiplier, at least 1.

        Returns
        -------
        display : GuideDisplay
            What `plot` draws.
        """
        top, values = _top(guide), list(guide.values())
        shares = [_shares(value, n_bins, top) for value in values]
        return cls(
            names=list(guide),
            shares=np.array(shares).reshape(len(values), n_bins),
            edges=np.linspace(0, top, n_bins + 1),
            zeros=np.array([_share_of_zeros(value) for value in values]),
            means=np.array([value.mean().item() for value in values]),
        )

    def plot(self, ax: Any = None) -> GuideDisplay:
        """Draw a row of bins for each parameter, the darker the fuller, and its mean.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : GuideDisplay
            Itself, with `ax_` and `figure_`.
        """
        import matplotlib.pyplot as plt

        n = len(self.names)
        if ax is None:
            size = (7.2, 1.3 + 0.34 * max(n, 2))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        positions = np.arange(n)
        # Few bins hold most: by the root of their shares the others can be seen, too.
        ax.pcolormesh(
            self.edges,
            np.arange(n + 1) - 0.5,
            np.sqrt(self.shares),
            cmap="Blues",
            vmin=0,
            vmax=1,
            edgecolor="white",
            linewidth=0.6,
        )
        ax.plot(self.means, positions, "D", color=_MEAN, ms=5, label="mean", zorder=3)
        for position, zeros in zip(positions, self.zeros, strict=True):
            ax.annotate(
                f"{zeros:.0%} zeros",
                (1.01, position),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
                color=_SOFT,
            )
        ax.set_yticks(positions, [name.replace("$", r"\$") for name in self.names])
        ax.set_ylim(max(n, 1) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.set_xlabel("multiplier")
        ax.set_title(
            "How much each parameter may change", loc="left", fontsize=10, color=_INK
        )
        ax.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        return self
