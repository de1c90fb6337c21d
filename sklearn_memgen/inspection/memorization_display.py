"""The picture of memorization scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_memgen._axes import INK, SOFT, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["MemorizationDisplay"]

#: From where on a row is called memorized.
MEMORIZED = 0.25


class MemorizationDisplay(InspectionDisplay):
    """How many rows are memorized, and how much.

    Parameters
    ----------
    result : MemorizationScores
        What `memorization_scores` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.
    """

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.memorization import memorization_scores

        return memorization_scores(*args, **params)

    def _draw(self, ax: Any) -> None:
        scores = self.result.memorization
        scores = scores[~np.isnan(scores)]
        # Scores below zero are chance, and few.
        lowest = np.floor(10 * max(scores.min(initial=0.0), -0.5)) / 10
        edges = np.linspace(lowest, 1, round((1 - lowest) / 0.05) + 1)
        parts = (
            (scores < MEMORIZED, "#9DB4C6", "others"),
            (scores >= MEMORIZED, "#D55E00", "memorized"),
        )
        for rows, color, words in parts:
            ax.hist(
                scores[rows].clip(edges[0], edges[-1]),
                edges,
                color=color,
                label=f"{int(rows.sum()):,} {words}",
            )
        ax.axvline(MEMORIZED, color=SOFT, lw=1, ls="--")
        ax.set_yscale("symlog", linthresh=10)
        ax.set_xlabel("memorization: right with the row in training, less without it")
        ax.set_ylabel("rows")
        ax.tick_params(colors=INK)
        share = (scores >= MEMORIZED).mean() if len(scores) else 0.0
        set_title(ax, f"{share:.1%} of the rows are known only by heart")
        ax.legend(frameon=False, fontsize=8)
