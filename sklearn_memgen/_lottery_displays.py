"""Pictures of a LotteryPrunedNet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen._axes import INK, SOFT, import_pyplot, new_axes, set_title
from sklearn_memgen._surviving_inputs import surviving_inputs

__all__ = ["LotteryDisplay", "TicketInputsDisplay"]

#: Words, color and style of each kind of net.
_KINDS = {
    "ticket": ("ticket", "#0072B2", "-"),
    "random_reinit": ("its mask, new weights", "#D55E00", "--"),
    "random_mask": ("its weights, random mask", "#009E73", ":"),
}
#: What is drawn, with the words for it.
_MEASURES = {
    "valid_accuracy": "validation accuracy",
    "early_stop_iteration": "early-stop iteration",
    "valid_loss": "validation loss (nats)",
    "train_accuracy": "training accuracy",
    "accuracy": "test accuracy",
    "loss": "test loss (nats)",
}


class LotteryDisplay:
    """What tickets reach, by the weights that remain, beside their controls.

    The points are means over trials and repeats, the bars go from the lowest to the
    highest. Make it with `from_estimator`.

    Parameters
    ----------
    rounds : DataFrame
        A row for each net, with `kind`, `round`, `remaining` and the measures.
    measures : sequence of str
        Columns to draw, each on axes of its own.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_measures,)
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    .. [1] Frankle and Carbin, "The Lottery Ticket Hypothesis", 2019, figures 3 and 4,
       https://arxiv.org/abs/1803.03635

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import LotteryDisplay, LotteryPrunedNet
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LotteryPrunedNet(
    ...     search="iterative", n_rounds=2, max_epochs=5, random_state=0
    ... ).fit(X, y)
    >>> LotteryDisplay.from_estimator(model).plot()  # doctest: +ELLIPSIS
    <sklearn_memgen._lottery_displays.LotteryDisplay object at ...>
    """

    def __init__(self, rounds: pd.DataFrame, *, measures: tuple[str, ...]) -> None:
        self.rounds = rounds
        self.measures = measures

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        X: Any = None,
        y: Any = None,
        measures: tuple[str, ...] | None = None,
    ) -> LotteryDisplay:
        """Take the rounds of a fitted lottery.

        Of a round that was trained in full in the end, only these trainings are taken.

        Parameters
        ----------
        estimator : fitted LotteryPrunedNet
            The model.
        X, y : rows and labels, default=None
            With them, and ``keep_weights=True``, accuracy is that on these rows.
        measures : tuple of str, default=None
            Columns of `rounds_`, or of `score_rounds`. By default accuracy and
            `early_stop_iteration`.

        Returns
        -------
        display : LotteryDisplay
            What `plot` draws.

        Raises
        ------
        ValueError
            If a measure is unknown.
        """
        rounds = estimator.rounds_ if X is None else estimator.score_rounds(X, y)
        if measures is None:
            accuracy = "valid_accuracy" if X is None else "accuracy"
            measures = (accuracy, "early_stop_iteration")
        for measure in measures:
            if measure not in _MEASURES or measure not in rounds:
                known = [name for name in _MEASURES if name in rounds]
                raise ValueError(f"measures must be among {known}; got {measure!r}")
        in_full = rounds.loc[rounds["stage"] == "final", "round"].unique()
        shortened = rounds["round"].isin(in_full) & (rounds["stage"] == "search")
        return cls(rounds[~shortened], measures=measures)

    def plot(self, axes: Any = None) -> LotteryDisplay:
        """Draw a line for each kind of net.

        Parameters
        ----------
        axes : sequence of matplotlib Axes of length n_measures, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : LotteryDisplay
            Itself, with `axes_` and `figure_`.
        """
        plt = import_pyplot()

        if axes is None:
            n = len(self.measures)
            size = (5.2 * n, 4.2)
            _, axes = plt.subplots(1, n, figsize=size, layout="constrained")
        axes = np.atleast_1d(axes)
        for ax, measure in zip(axes, self.measures, strict=True):
            self._plot_measure(new_axes(ax), measure)
        axes[0].legend(frameon=False, fontsize=8)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _plot_measure(self, ax: Any, measure: str) -> None:
        for kind, (words, color, style) in _KINDS.items():
            of_kind = self.rounds[self.rounds["kind"] == kind]
            if of_kind.empty:
                continue
            if kind != "ticket":  # all lines begin at the dense net
                dense = self.rounds[self.rounds["remaining"] == 1]
                of_kind = pd.concat([dense, of_kind])
            groups = of_kind.groupby("round")
            share = 100 * groups["remaining"].mean()
            values = groups[measure].agg(["mean", "min", "max"])
            bars = [values["mean"] - values["min"], values["max"] - values["mean"]]
            ax.errorbar(
                share,
                values["mean"],
                yerr=np.array(bars),
                color=color,
                ls=style,
                marker=".",
                capsize=2,
                lw=1.4,
                elinewidth=0.8,
                label=words,
            )
        ax.set_xscale("log")
        ax.invert_xaxis()
        shares = 100 * self.rounds.groupby("round")["remaining"].mean()
        ticks = shares.to_numpy()[:: max(len(shares) // 6, 1)]
        ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("weights that remain (%)")
        set_title(ax, _MEASURES[measure][0].upper() + _MEASURES[measure][1:])


class TicketInputsDisplay:
    """Which inputs a ticket keeps: the share of the weights that leave each of them.

    Make it with `from_estimator`.

    Parameters
    ----------
    inputs : DataFrame of shape (n_inputs, 3), indexed by input
        `n_weights`, `n_remaining` and the share `remaining` of the weights of the first
        layer that leave an input, the largest share first. For a table an input is a
        column, with all that it was encoded as, a calendar part or a found cross.
    overall : float
        The share that remains in the first layer.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import LotteryPrunedNet, TicketInputsDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = LotteryPrunedNet(remaining=0.2, max_epochs=10, random_state=0)
    >>> display = TicketInputsDisplay.from_estimator(model.fit(X, y))
    >>> display.inputs.columns.tolist()
    ['n_weights', 'n_remaining', 'remaining']
    >>> bool(display.inputs.loc["petal width (cm)", "remaining"] > 0)
    True
    >>> display.plot()  # doctest: +ELLIPSIS
    <sklearn_memgen._lottery_displays.TicketInputsDisplay object at ...>
    """

    def __init__(self, inputs: pd.DataFrame, *, overall: float) -> None:
        self.inputs = inputs
        self.overall = overall

    @classmethod
    def from_estimator(cls, estimator: Any) -> TicketInputsDisplay:
        """Take the first layer of the ticket of a fitted lottery.

        Parameters
        ----------
        estimator : fitted LotteryPrunedNet
            The model.

        Returns
        -------
        display : TicketInputsDisplay
            What `plot` draws.
        """
        inputs = surviving_inputs(estimator)
        overall = inputs["n_remaining"].sum() / inputs["n_weights"].sum()
        return cls(inputs, overall=float(overall))

    def plot(self, ax: Any = None, *, n_inputs: int = 30) -> TicketInputsDisplay:
        """Draw a bar for each input, or a picture if the inputs are a square of pixels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.
        n_inputs : int, default=30
            Most bars; the inputs with the largest shares are drawn.

        Returns
        -------
        display : TicketInputsDisplay
            Itself, with `ax_` and `figure_`.
        """
        side = round(len(self.inputs) ** 0.5)
        has_names = self.inputs.index.dtype == object
        if not has_names and side**2 == len(self.inputs) and side >= 8:
            ax = new_axes(ax, hidden=("top", "right", "left", "bottom"))
            pixels = self.inputs["remaining"].sort_index().to_numpy()
            image = ax.imshow(pixels.reshape(side, side), cmap="Blues", vmin=0)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.figure.colorbar(image, ax=ax, label="share of weights that remain")
        else:
            shown = self.inputs.head(n_inputs)[::-1]
            ax = new_axes(ax, height=1.2 + 0.24 * len(shown))
            ax.barh(shown.index.astype(str), 100 * shown["remaining"], color="#0072B2")
            ax.axvline(100 * self.overall, color=SOFT, lw=1, ls="--")
            ax.set_xlabel("weights that remain (%)")
            ax.tick_params(axis="y", labelsize=8, labelcolor=INK, length=0)
        set_title(ax, "Which inputs the ticket keeps")
        self.ax_, self.figure_ = ax, ax.figure
        return self
