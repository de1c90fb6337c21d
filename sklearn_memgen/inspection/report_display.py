"""The pictures of a report, beside each other."""

from __future__ import annotations

from typing import Any, Self

from sklearn_memgen._axes import import_pyplot
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["MemorizationReportDisplay"]


class MemorizationReportDisplay(InspectionDisplay):
    """Memorization, the course with random labels, and the data map of a report.

    Parameters
    ----------
    result : MemorizationReport
        What `memorization_report` returned.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, shape (3,)
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.
    """

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.report import memorization_report

        return memorization_report(*args, **params)

    def plot(self, ax: Any = None) -> Self:
        """Draw the three pictures.

        Parameters
        ----------
        ax : array of three matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : MemorizationReportDisplay
            Itself, with `axes_` and `figure_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            plt = import_pyplot()
            _, ax = plt.subplots(1, 3, figsize=(16.5, 4.6), layout="constrained")
        parts = (self.result.memorization, self.result.randomization)
        for place, part in zip(ax, (*parts, self.result.data_map), strict=True):
            part.plot(place)
        self.axes_, self.figure_ = ax, ax[0].figure
        return self
