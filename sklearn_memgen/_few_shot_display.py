"""Few-shot curves in figures and in a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from sklearn_memgen._axes import SOFT, new_axes, set_title
from sklearn_memgen.few_shot import few_shot_curve

__all__ = ["FewShotCurveDisplay", "compare_shots"]

#: Colors that color-blind readers can tell apart, and markers.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#22303C")
_MARKERS = "osD^vP*"
_CONFIDENCE = 0.95


def compare_shots(curve: pd.DataFrame, *, reference: str) -> pd.DataFrame:
    r"""Compare estimators with one of them, episode by episode.

    All estimators of a few-shot curve had the same episodes. Some of these are easy and
    some are hard for all, which differences within an episode are free of: they tell
    whether an estimator is better where the scores themselves overlap.

    Parameters
    ----------
    curve : DataFrame
        What `few_shot_curve` returns.
    reference : str
        The estimator to compare with.

    Returns
    -------
    differences : DataFrame
        For each other `estimator` and number of `shots`: the `mean_difference` of its
        score to that of the reference, `low` and `high` ends of the 95 % interval, and
        `n_episodes` in which both have a score. Sorted as in `curve`.

    Raises
    ------
    ValueError
        If `reference` is not in `curve`, or nothing else is.

    Notes
    -----
    The interval is that of Student's t for the differences :math:`d_1, \dots, d_n` of
    :math:`n` episodes,

    .. math:: \bar d \pm t_{0.975,\, n-1} \, \frac{s_d}{\sqrt{n}},

    and missing for one episode. It is about episodes drawn from this table: with more
    episodes it shrinks, whatever the number of rows is. Another table, or rows drawn
    anew, may say otherwise. Each interval stands for itself; of twenty one can be
    expected to miss.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from sklearn_memgen import compare_shots, few_shot_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> tree = DecisionTreeClassifier(random_state=0)
    >>> curve = few_shot_curve(
    ...     {"neighbor": KNeighborsClassifier(1), "tree": tree},
    ...     X, y, shots=(1, 5), random_state=0,
    ... )
    >>> compare_shots(curve, reference="tree").round(2)
      estimator  shots  mean_difference   low  high  n_episodes
    0  neighbor      1             0.42  0.37  0.47          20
    1  neighbor      5             0.00 -0.02  0.02          20

    A tree that learns one row of each class is much worse than the nearest neighbor.
    With five rows of each, twenty episodes cannot tell.
    """
    names = curve["estimator"].unique().tolist()
    if reference not in names:
        raise ValueError(f"reference must be one of {names!r}; got {reference!r}")
    if len(names) < 2:
        raise ValueError(f"curve has nothing to compare with {reference!r}")
    scores = curve.pivot(
        index=["shots", "episode"], columns="estimator", values="score"
    )[names]
    differences = scores.sub(scores[reference], axis=0).drop(columns=reference)
    long = differences.melt(ignore_index=False, value_name="score").reset_index()
    return _intervals(long).rename(columns={"mean": "mean_difference"})


def _intervals(curve: pd.DataFrame) -> pd.DataFrame:
    """Return mean, 95 % interval and number of the scores of each curve and shots."""
    scores = curve.groupby(["estimator", "shots"], sort=False)["score"]
    table = scores.agg(["mean", "std", "count"]).reset_index()
    n = table["count"].clip(lower=1)
    half = t.ppf((1 + _CONFIDENCE) / 2, n - 1) * table["std"] / np.sqrt(n)
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    table["n_episodes"] = table["count"]
    return table[["estimator", "shots", "mean", "low", "high", "n_episodes"]]


class FewShotCurveDisplay:
    """Scores of estimators by the number of training rows of each class.

    Parameters
    ----------
    curve : DataFrame
        What `few_shot_curve` returns.
    score_name : str, default="score"
        What the scores are, for the label of the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    compare_shots : Which estimator is better, in figures.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_memgen import FewShotCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> display = FewShotCurveDisplay.from_estimators(
    ...     {"neighbor": KNeighborsClassifier(1), "bayes": GaussianNB()},
    ...     X, y, shots=(1, 5, 20), random_state=0,
    ... )
    >>> display.plot()  # doctest: +ELLIPSIS
    <sklearn_memgen._few_shot_display.FewShotCurveDisplay object at ...>
    """

    def __init__(self, curve: pd.DataFrame, *, score_name: str = "score") -> None:
        self.curve = curve
        self.score_name = score_name

    @classmethod
    def from_estimators(
        cls, estimators: Any, X: Any, y: Any, **kwargs: Any
    ) -> FewShotCurveDisplay:
        """Score estimators.

        Parameters
        ----------
        estimators, X, y, **kwargs
            Arguments of `few_shot_curve`.

        Returns
        -------
        display : FewShotCurveDisplay
            What `plot` draws.
        """
        scoring = kwargs.get("scoring", "accuracy")
        name = scoring.replace("_", " ") if isinstance(scoring, str) else "score"
        return cls(few_shot_curve(estimators, X, y, **kwargs), score_name=name)

    def plot(
        self, ax: Any = None, *, reference: str | None = None
    ) -> FewShotCurveDisplay:
        """Draw a line for each estimator, its mean, and 95 % intervals of the mean.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.
        reference : str, default=None
            Draw differences to this estimator, as `compare_shots` has them, in place of
            scores.

        Returns
        -------
        display : FewShotCurveDisplay
            Itself, with `ax_` and `figure_`.
        """
        names = self.curve["estimator"].unique().tolist()
        if reference is None:
            table, middle = _intervals(self.curve), "mean"
        else:
            table = compare_shots(self.curve, reference=reference)
            middle = "mean_difference"
        shots = sorted(self.curve["shots"].unique())
        ax = new_axes(ax)
        for name, line in table.groupby("estimator", sort=False):
            place = names.index(name)
            color = _COLORS[place % len(_COLORS)]
            # Side by side, so that intervals do not hide each other.
            shift = 0.007 * (place - (len(names) - 1) / 2)
            ax.errorbar(
                line["shots"] * (shots[-1] / shots[0]) ** shift,
                line[middle],
                (line[middle] - line["low"]).fillna(0),
                color=color,
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=5,
                elinewidth=1,
                capsize=2,
                label=str(name).replace("$", r"\$"),
            )
        ax.set_xscale("log")
        ax.set_xticks(shots, [f"{n_shots:,}" for n_shots in shots])
        ax.minorticks_off()
        ax.set_xlabel("training rows of each class")
        if reference is None:
            ax.set_ylabel(f"{self.score_name}, mean and 95 % interval")
            title = "Learning from few rows"
        else:
            ax.axhline(0, color=SOFT, linewidth=1, zorder=0)
            ax.set_ylabel(f"difference in {self.score_name}, mean and 95 % interval")
            title = f"Better or worse than {reference}"
        set_title(ax, title.replace("$", r"\$"))
        ax.legend(frameon=False, fontsize=8)
        self.ax_, self.figure_ = ax, ax.figure
        return self
