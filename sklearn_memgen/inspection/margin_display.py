"""The picture of the way to the largest margin."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from sklearn_memgen._axes import SOFT, import_pyplot, new_axes, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["MarginPathDisplay"]

#: Words and color of each optimizer.
_LINES = {
    "gd": ("gradient descent", "#0072B2"),
    "momentum": ("with momentum", "#56B4E9"),
    "adam": ("Adam", "#D55E00"),
}
#: Laws are fitted from the last step divided by this on.
_FITTED = 100
_PANELS = {
    "norm": "The weights keep growing",
    "angle": "The angle to the SVM falls (degrees)",
    "margin_gap": "The margin nears the largest (gap)",
}


class MarginPathDisplay(InspectionDisplay):
    """Norm, angle to the SVM and margin gap, against the logarithm of the step.

    Dotted lines are the laws of the long run for gradient descent: the norm grows by
    the logarithm of the step over the largest margin, here through the last point, and
    angle and margin gap fall with one over that logarithm, up to a constant in each,
    fitted to its last two decades and drawn from one before.

    Parameters
    ----------
    result : MarginPath
        What `margin_path` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes or ndarray of three
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    .. [1] Soudry et al., "The Implicit Bias of Gradient Descent on Separable Data",
       2018, https://arxiv.org/abs/1710.10345
    """

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.margin import margin_path

        return margin_path(*args, **params)

    def plot(self, ax: Any = None) -> Self:
        """Draw three panels, or the angle alone.

        Parameters
        ----------
        ax : matplotlib Axes, or sequence of three, default=None
            Where to draw; by default on a new figure. On one axes the angle is drawn.

        Returns
        -------
        display : MarginPathDisplay
            Itself, with `ax_` and `figure_`.

        Raises
        ------
        ValueError
            If there are neither one nor three axes.
        ImportError
            If matplotlib is not installed.
        """
        plt = import_pyplot()
        if ax is None:
            _, ax = plt.subplots(1, 3, figsize=(13.5, 4.0), layout="constrained")
        axes = np.atleast_1d(ax)
        if len(axes) not in (1, 3):
            raise ValueError(f"ax must be one axes, or three; got {len(axes)}")
        panels = ["angle"] if len(axes) == 1 else list(_PANELS)
        for panel, name in zip(axes, panels, strict=True):
            self._draw_panel(new_axes(panel), name, named=panel is axes[0])
        self.ax_, self.figure_ = axes[0] if len(axes) == 1 else axes, axes[0].figure
        return self

    def _draw_panel(self, ax: Any, name: str, *, named: bool) -> None:
        result = self.result
        values = getattr(result, name)
        ax.set_xscale("log")
        for optimizer, line in zip(result.optimizers, values, strict=True):
            words, color = _LINES[optimizer]
            label = words if named else None
            ax.plot(result.steps, line, color=color, lw=1.6, label=label)
        if "gd" in result.optimizers:
            self._draw_law(ax, name, values[result.optimizers.index("gd")])
        ax.set_ylim(bottom=0)
        ax.set_xlabel("step")
        set_title(ax, _PANELS[name])
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize=8)

    def _draw_law(self, ax: Any, name: str, line: np.ndarray) -> None:
        """Draw what gradient descent does in the long run."""
        steps = self.result.steps
        first = max(steps[-1] / _FITTED, 10)
        drawn, fitted = steps >= first / 10, steps >= first
        if fitted.sum() < 3:
            return
        logs = np.log(steps[drawn])
        if name == "norm":
            law = line[-1] + (logs - logs[-1]) / self.result.max_margin
            words = "log step / margin + constant"
        else:
            inverse = 1 / np.maximum(line, np.finfo(float).tiny)
            slope, offset = np.polyfit(np.log(steps[fitted]), inverse[fitted], 1)
            law = slope * logs + offset
            # Before the law holds it may be anything, or beyond the picture.
            law = 1 / np.where(law > inverse.min() / 1.2, law, np.nan)
            words = "constant / (log step + constant)"
        ax.plot(steps[drawn], law, ":", color=SOFT, lw=1.6, label=words)
