"""Pictures of losses around and between nets."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_memgen._axes import INK, SOFT, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["LossLandscapeDisplay"]

_BLUE, _RED = "#0072B2", "#D55E00"
_N_LEVELS = 12


class LossLandscapeDisplay(InspectionDisplay):
    """Loss and error along a line, or contours of the loss on a plane.

    Points where the loss is not finite are left out of lines, and are as high as the
    highest contour.

    Parameters
    ----------
    result : LossLandscape
        What `loss_landscape` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    error_ax_ : matplotlib Axes or None
        The axes of the error, at the right of a line.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import loss_landscape
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(max_epochs=3, random_state=0).fit(X, y)
    >>> loss_landscape(model, X, y, n_points=5, random_state=0).plot()
    <sklearn_memgen.inspection.landscape_display.LossLandscapeDisplay object at ...>
    """

    error_ax_: Any = None

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.landscape import loss_landscape

        return loss_landscape(*args, **params)

    def _draw(self, ax: Any) -> None:
        if len(self.result.b) > 1:
            self._draw_plane(ax)
        else:
            self._draw_line(ax)

    def _draw_line(self, ax: Any) -> None:
        result = self.result
        loss = np.where(np.isfinite(result.loss[:, 0]), result.loss[:, 0], np.nan)
        ax.plot(result.a, loss, color=_BLUE)
        ax.set_ylabel("loss, nats", color=_BLUE)
        ax.set_ylim(bottom=0)
        self.error_ax_ = error_ax = ax.twinx()
        error_ax.spines["top"].set_visible(False)
        error_ax.plot(result.a, 100 * result.error[:, 0], "--", color=_RED)
        error_ax.set_ylabel("error, %", color=_RED)
        error_ax.set_ylim(bottom=0)
        if result.is_line:
            for end in (0, 1):
                ax.axvline(end, color=SOFT, lw=0.8, ls=":")
            ax.set_xlabel("share of the other net")
            barrier = 100 * result.barrier["error"]
            title = f"Barrier between two nets: {barrier:.1f} points of error"
        else:
            ax.axvline(0, color=SOFT, lw=0.8, ls=":")
            ax.set_xlabel("way along a random direction")
            title = "Loss and error around the weights"
        set_title(ax, f"{title}, on {result.n_rows:,} rows")

    def _draw_plane(self, ax: Any) -> None:
        result = self.result
        finite = result.loss[np.isfinite(result.loss)]
        if not finite.size:
            raise ValueError("the loss is finite at no point; take a smaller span")
        low, high = finite.min(), finite.max()
        # Even steps of the logarithm, since losses rise faster and faster.
        floor = max(low, high * 1e-4, 1e-12)
        levels = np.geomspace(floor, max(high, 1.001 * floor), _N_LEVELS)
        shown = np.where(np.isfinite(result.loss), result.loss, high)
        shown = np.maximum(shown, floor).T
        ax.contourf(result.a, result.b, shown, levels, cmap="Blues")
        lines = ax.contour(
            result.a, result.b, shown, levels[1:-1:2], colors=INK, linewidths=0.7
        )
        # The innermost is too small to write on.
        ax.clabel(lines, lines.levels[1:], fontsize=7, fmt="%.2g")
        ax.plot(0, 0, "o", color=INK, ms=5, label="the net")
        i, k = np.unravel_index(np.nanargmin(result.loss), result.loss.shape)
        if result.a[i] or result.b[k]:
            place = result.a[i], result.b[k]
            ax.plot(*place, "x", color=_RED, ms=7, mew=2, label="lowest point")
        ax.legend(fontsize=8, loc="upper right", framealpha=0.9)
        ax.set_xlabel("one random direction")
        ax.set_ylabel("another")
        ax.set_aspect("equal")
        set_title(ax, f"Loss around the weights, nats, on {result.n_rows:,} rows")
