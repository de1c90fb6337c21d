"""What the pictures of inspections have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from sklearn_memgen._axes import new_axes

__all__ = ["InspectionDisplay"]


class InspectionDisplay:
    """A picture of what a function of `inspection` found.

    A subclass names the function and draws; one with several panels replaces `plot`.

    Parameters
    ----------
    result : object
        What the function returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.
    """

    #: The function, as a staticmethod.
    _inspect: ClassVar[Callable[..., Any]]
    #: Height of a new figure, inches.
    _height: ClassVar[float] = 4.2

    def __init__(self, result: Any) -> None:
        self.result = result

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, **params: Any) -> Self:
        """Inspect an estimator, to draw what is found.

        Parameters
        ----------
        estimator, X, y, **params
            See the function that this is the picture of.

        Returns
        -------
        display : InspectionDisplay
            What `plot` draws.
        """
        return cls(cls._inspect(estimator, X, y, **params))

    def plot(self, ax: Any = None) -> Self:
        """Draw what was found.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : InspectionDisplay
            Itself, with `ax_` and `figure_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = new_axes(ax, height=self._height)
        self._draw(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw(self, ax: Any) -> None:
        raise NotImplementedError
