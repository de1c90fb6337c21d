"""The picture of the curves of a NoisyFineTuneProbe."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sklearn_memgen._axes import INK, SOFT, new_axes, set_title

__all__ = ["NoiseCurvesDisplay"]

_PHASES = {"fitting": "#E3EEF7", "settling": "#E4F3E8", "memorizing": "#FBE9DF"}
#: Curves, their words, color and style.
_LINES = {
    "accuracy": ("learned labels", INK, "-"),
    "validation_accuracy": ("held-out rows", "#0072B2", "-"),
    "original_accuracy": ("corrupted rows, given label", "#009E73", "--"),
    "wrong_accuracy": ("corrupted rows, wrong label", "#D55E00", "--"),
}


class NoiseCurvesDisplay:
    """Accuracy by epoch at one level of noise, with the phases shaded.

    Make it with `from_estimator`.

    Parameters
    ----------
    curves : DataFrame of shape (n_epochs, n_columns), indexed by epoch
        Curves of a level, the mean over the repeats.
    level : float
        The level.
    fitting_end, settling_end : float
        Where phases end, epochs.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import NoiseCurvesDisplay, NoisyFineTuneProbe
    >>> X, y = load_iris(return_X_y=True)
    >>> probe = NoisyFineTuneProbe(
    ...     noise_levels=(0.0, 0.3), max_epochs=5, random_state=0
    ... ).fit(X, y)
    >>> display = NoiseCurvesDisplay.from_estimator(probe, level=0.3)
    >>> display.plot()  # doctest: +ELLIPSIS
    <sklearn_memgen._noise_displays.NoiseCurvesDisplay object at ...>
    """

    def __init__(
        self,
        curves: pd.DataFrame,
        *,
        level: float,
        fitting_end: float,
        settling_end: float,
    ) -> None:
        self.curves = curves
        self.level = level
        self.fitting_end = fitting_end
        self.settling_end = settling_end

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, level: float | None = None
    ) -> NoiseCurvesDisplay:
        """Take the curves of a level from a fitted probe.

        Parameters
        ----------
        estimator : fitted NoisyFineTuneProbe
            The probe.
        level : float, default=None
            A level of its `noise_levels`; by default the highest.

        Returns
        -------
        display : NoiseCurvesDisplay
            What `plot` draws.

        Raises
        ------
        ValueError
            If the probe has no such level.
        """
        levels = estimator.phases_.index
        level = levels.max() if level is None else level
        if level not in levels:
            raise ValueError(f"level={level!r} is none of {levels.tolist()}")
        curves = estimator.curves_[estimator.curves_["level"] == level]
        phases = estimator.phases_.loc[level]
        return cls(
            curves.drop(columns=["level", "repeat"]).groupby("epoch").mean(),
            level=level,
            fitting_end=phases["fitting_end"],
            settling_end=phases["settling_end"],
        )

    def plot(self, ax: Any = None) -> NoiseCurvesDisplay:
        """Draw lines over shaded phases.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : NoiseCurvesDisplay
            Itself, with `ax_` and `figure_`.
        """
        ax = new_axes(ax)
        last = self.curves.index[-1]
        ends = [0.5, self.fitting_end + 0.5, self.settling_end + 0.5, last + 0.5]
        for (phase, color), begin, end in zip(
            _PHASES.items(), ends, ends[1:], strict=False
        ):
            if end > begin:
                ax.axvspan(begin, end, color=color, lw=0, zorder=0)
                ax.text(
                    (begin + end) / 2,
                    1.01,
                    phase,
                    transform=ax.get_xaxis_transform(),
                    ha="center",
                    va="bottom",
                    fontsize=8,
                    color=SOFT,
                )
        for name, (words, color, style) in _LINES.items():
            if self.curves[name].notna().any():
                ax.plot(self.curves[name], style, color=color, label=words, marker=".")
        ax.set_xlim(0.5, last + 0.5)
        ax.set_ylim(0, 1)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel("accuracy")
        title = f"{self.level:.0%} of the labels made wrong"
        set_title(ax, title, pad=18)
        ax.legend(frameon=False, fontsize=8)
        self.ax_, self.figure_ = ax, ax.figure
        return self
