"""What all pictures of estimators have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["INK", "SOFT", "import_pyplot", "new_axes", "set_title"]

#: Colors of words that matter, and of others.
INK, SOFT = "#22303C", "#6B7885"


def import_pyplot() -> Any:
    """Return matplotlib's pyplot.

    Raises
    ------
    ImportError
        If matplotlib is not installed; says how to get it.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "pictures need matplotlib, which is not installed: "
            "pip install 'sklearn-memgen[plot]'"
        ) from error
    return plt


def new_axes(
    ax: Any, *, height: float = 4.2, hidden: Sequence[str] = ("top", "right")
) -> Any:
    """Return the axes to draw on, by default those of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
        The user's axes.
    height : float, default=4.2
        Height of a new figure, inches.
    hidden : sequence of str, default=("top", "right")
        Spines that are not drawn.
    """
    plt = import_pyplot()
    if ax is None:
        _, ax = plt.subplots(figsize=(7.2, height), layout="constrained")
    ax.spines[list(hidden)].set_visible(False)
    return ax


def set_title(ax: Any, title: str, **kwargs: Any) -> None:
    """Set a title at the left; `kwargs` are those of `Axes.set_title`."""
    ax.set_title(title, loc="left", fontsize=10, color=INK, **kwargs)
