"""Pictures of sharpness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sklearn_memgen._axes import INK, SOFT, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["MEASURES", "SharpnessDisplay"]

#: What can be measured, and what pictures say.
MEASURES = {
    "keskar": "rise in a box, %",
    "sam": "rise at distance rho, nats",
    "adaptive": "rise at relative distance, nats",
    "hessian_eigenvalue": "largest curvature",
    "hessian_trace": "sum of curvatures",
}

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class SharpnessDisplay(InspectionDisplay):
    """The measures of one net, or of several beside each other.

    Parameters
    ----------
    result : Sharpness, or dict of str to Sharpness
        What `sharpness` returned; of several nets by name.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import SharpnessDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(max_epochs=3, random_state=0).fit(X, y)
    >>> SharpnessDisplay.from_estimator(model, X, y, random_state=0).plot()
    <sklearn_memgen.inspection.sharpness_display.SharpnessDisplay object at ...>
    """

    _height = 3.6

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.flatness import sharpness

        return sharpness(*args, **params)

    def _draw(self, ax: Any) -> None:
        results = self.result
        if not isinstance(results, Mapping):
            results = {"": results}
        first = next(iter(results.values()))
        names = list(first.values)
        positive = [v for r in results.values() for v in r.values.values() if v > 0]
        least = min(positive, default=1e-3) / 2
        height = 0.7 / len(results)
        for k, (label, result) in enumerate(results.items()):
            color = _COLORS[k % len(_COLORS)]
            for place, name in enumerate(names):
                value = result.values.get(name, np.nan)
                at = place + (k - (len(results) - 1) / 2) * height
                ax.hlines(at, least, max(value, least), color=color, lw=0.8, ls=":")
                ax.plot(
                    max(value, least),
                    at,
                    "o",
                    color=color,
                    ms=6,
                    label=label if label and not place else None,
                )
                ax.annotate(
                    f"{value:.3g}",
                    (max(value, least), at),
                    xytext=(7, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                    color=INK,
                )
        ax.set_xscale("log")
        ax.set_xlim(left=least)
        ax.margins(x=0.15)
        words = [f"{name}\n{MEASURES[name]}" for name in names]
        ax.set_yticks(range(len(names)), words, fontsize=8)
        ax.invert_yaxis()
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("sharpness, each line in units of its own", color=SOFT)
        set_title(ax, f"How sharp the minimum is, on {first.n_rows:,} rows")
        if len(results) > 1:
            ax.legend(
                frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1)
            )
