"""How many rows a class needs, in figures and in a picture."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sklearn_memgen._axes import new_axes, set_title

__all__ = ["ClassCurveDisplay", "rows_needed"]

#: Colors and markers of the heads.
_HEADS = {"standard": ("#0072B2", "o"), "prototype": ("#D55E00", "s")}


def rows_needed(curve: pd.DataFrame, *, well: float = 0.9) -> pd.DataFrame:
    """Read off how many rows a class needs to be predicted.

    Parameters
    ----------
    curve : DataFrame
        What `NoisyFineTuneProbe.class_learning_curve` returns.
    well : float, default=0.9
        From which share of the best F1 on the class is said to be predicted well. The
        best F1 is that with the largest count, of the better head.

    Returns
    -------
    needed : DataFrame of shape (n_heads, 2), indexed by head
        `predicted`: the smallest count with which, and with all larger ones, more than
        half of the nets predict some held-out row of the class rightly.
        `predicted_well`: the smallest count with which, and with all larger ones, the
        mean F1 over the repeats reaches its share. Missing if there is none.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen import rows_needed
    >>> curve = pd.DataFrame({
    ...     "head": "standard", "count": [5, 25, 100, 500], "repeat": 0,
    ...     "recall": [0.0, 0.2, 0.8, 0.8], "f1": [0.0, 0.3, 0.8, 0.85],
    ... })
    >>> rows_needed(curve)
              predicted  predicted_well
    head
    standard         25             100
    """
    heads = curve["head"].unique()
    f1 = curve.pivot_table(index="count", columns="head", values="f1")[heads]
    share = curve.assign(is_predicted=(curve["recall"] > 0).astype(float)).pivot_table(
        index="count", columns="head", values="is_predicted"
    )[heads]
    best = f1.iloc[-1].max()
    needed = pd.DataFrame(
        {
            "predicted": _first_for_good(share > 0.5),
            "predicted_well": _first_for_good((f1 >= well * best) & (f1 > 0)),
        },
        dtype="Int64",
    )
    return needed.rename_axis("head")


def _first_for_good(holds: pd.DataFrame) -> pd.Series:
    """Return for each column the first count from which on it holds, if there is one.

    `holds` is indexed by count, in ascending order.
    """
    for_good = holds[::-1].cummin()[::-1]
    return for_good.idxmax().where(for_good.any())


class ClassCurveDisplay:
    """F1 of a class by the number of its rows that were learned.

    Parameters
    ----------
    curve : DataFrame
        What `NoisyFineTuneProbe.class_learning_curve` returns.
    class_name : str, default=None
        The class, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    rows_needed : The answer in figures.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import ClassCurveDisplay, NoisyFineTuneProbe
    >>> X, y = load_iris(return_X_y=True)
    >>> probe = NoisyFineTuneProbe(
    ...     noise_levels=(0.0,), max_epochs=5, random_state=0
    ... ).fit(X, y)
    >>> display = ClassCurveDisplay.from_estimator(probe, 2, counts=(5, 15, 25))
    >>> display.plot()  # doctest: +ELLIPSIS
    <sklearn_memgen._class_display.ClassCurveDisplay object at ...>
    """

    def __init__(self, curve: pd.DataFrame, *, class_name: str | None = None) -> None:
        self.curve = curve
        self.class_name = class_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, class_: Any, **kwargs: Any
    ) -> ClassCurveDisplay:
        """Train the nets of a class learning curve.

        Parameters
        ----------
        estimator : fitted NoisyFineTuneProbe
            The probe.
        class_ : label
            One of its `classes_`.
        **kwargs
            Further arguments of `NoisyFineTuneProbe.class_learning_curve`.

        Returns
        -------
        display : ClassCurveDisplay
            What `plot` draws.
        """
        curve = estimator.class_learning_curve(class_, **kwargs)
        return cls(curve, class_name=str(class_))

    def plot(self, ax: Any = None) -> ClassCurveDisplay:
        """Draw a line for each head, its mean, and a point for each net.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : ClassCurveDisplay
            Itself, with `ax_` and `figure_`.
        """
        ax = new_axes(ax)
        for head, of_head in self.curve.groupby("head", sort=False):
            color, marker = _HEADS[str(head)]
            ax.plot(of_head["count"], of_head["f1"], marker, color=color, alpha=0.4)
            mean = of_head.groupby("count")["f1"].mean()
            ax.plot(mean, color=color, marker=marker, label=f"{head} head")
        counts = sorted(self.curve["count"].unique())
        ax.set_xscale("log")
        ax.set_xticks(counts, [f"{count:,}" for count in counts])
        ax.minorticks_off()
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlabel("learned rows of the class")
        ax.set_ylabel("F1 on held-out rows")
        name = "the class" if self.class_name is None else f"class {self.class_name}"
        set_title(ax, f"How many rows {name} needs".replace("$", r"\$"))
        ax.legend(frameon=False, fontsize=8)
        self.ax_, self.figure_ = ax, ax.figure
        return self
