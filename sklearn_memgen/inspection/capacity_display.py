"""The picture of a capacity curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_memgen._axes import INK, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["CapacityCurveDisplay"]

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class CapacityCurveDisplay(InspectionDisplay):
    """Training and test error against width, a color for each level of label noise.

    Vertical lines are at the smallest width that fits all labels.

    Parameters
    ----------
    result : CapacityCurve
        What `capacity_curve` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.inspection import CapacityCurveDisplay
    >>> class MLP(nn.Sequential):
    ...     def __init__(self, n_features, n_classes, n_units=16):
    ...         super().__init__(
    ...             nn.Linear(n_features, n_units), nn.ReLU(),
    ...             nn.Linear(n_units, n_classes),
    ...         )
    >>> X, y = load_iris(return_X_y=True)
    >>> display = CapacityCurveDisplay.from_estimator(
    ...     NetClassifier(MLP, max_epochs=20), X, y, widths=(2, 32), random_state=0
    ... )
    >>> display.plot().ax_.get_xlabel()
    'units of each hidden layer'
    """

    @staticmethod
    def _inspect(estimator: Any, X: Any, y: Any, **params: Any) -> Any:
        # The function makes a display itself.
        from sklearn_memgen.inspection.capacity import capacity_curve

        return capacity_curve(estimator, X, y, **params)

    def _draw(self, ax: Any) -> None:
        curve = self.result
        means, fitted = curve.means(), curve.interpolation_width
        top = float(curve.to_frame()[["train_error", "test_error"]].to_numpy().max())
        for k, level in enumerate(curve.label_noise):
            color = _COLORS[k % len(_COLORS)]
            one = means.loc[level]
            noise = (
                "labels as given"
                if level == 0
                else f"{100 * level:g} % of the labels wrong"
            )
            ax.plot(one["test_error"], "o-", color=color, ms=4, label=f"test, {noise}")
            ax.plot(
                one["train_error"],
                "o--",
                color=color,
                ms=3,
                lw=1.2,
                mfc="white",
                label=f"training, {noise}",
            )
            if curve.test_error.shape[2] > 1:
                each = curve.test_error[k]
                ax.fill_between(
                    curve.widths,
                    each.min(axis=1),
                    each.max(axis=1),
                    color=color,
                    alpha=0.15,
                    lw=0,
                )
            if np.isfinite(fitted[level]):
                ax.axvline(fitted[level], color=color, lw=1, ls=":", zorder=0)
        ax.set_xscale("log", base=2)
        ax.set_xticks(curve.widths, [f"{n}" for n in curve.widths])
        ax.minorticks_off()
        ax.set_ylim(-0.02 * top, 1.08 * top if top else 1)
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.3g}")
        ax.set_xlabel("units of each hidden layer")
        ax.set_ylabel("error")
        set_title(ax, "Error against width; dotted: all labels are fitted")
        ax.legend(facecolor="white", edgecolor="none", fontsize=8, labelcolor=INK)
