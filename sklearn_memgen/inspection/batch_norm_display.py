"""Pictures of what a net learns by its normalizations alone."""

from __future__ import annotations

from typing import Any, Self

from sklearn_memgen._axes import INK, SOFT, new_axes, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["BatchNormStudyDisplay"]

#: What is trained, in words, and its color.
_WORDS = {
    "all": ("everything", "#6B7885"),
    "batch_norm": ("scale and shift only", "#0072B2"),
    "random": ("as many others,\ndrawn at random", "#D55E00"),
    "output": ("the output layer only", "#009E73"),
    "none": ("nothing", "#C7CDD3"),
}
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class BatchNormStudyDisplay(InspectionDisplay):
    """Accuracy on test rows by what is trained: the mean, and a dot for each net.

    Parameters
    ----------
    result : BatchNormStudy
        What `batch_norm_study` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot` or `plot_modes`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.inspection import BatchNormStudyDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> module = nn.Sequential(
    ...     nn.Linear(4, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3)
    ... )
    >>> display = BatchNormStudyDisplay.from_estimator(
    ...     NetClassifier(module, max_epochs=5), X, y, n_random=1, random_state=0
    ... )
    >>> display.plot().ax_.get_xlabel()
    'accuracy on test rows'
    """

    _height = 3.4

    @staticmethod
    def _inspect(estimator: Any, X: Any, y: Any, **params: Any) -> Any:
        # The function makes a display itself.
        from sklearn_memgen.inspection.batch_norm import batch_norm_study

        return batch_norm_study(estimator, X, y, **params)

    def _draw(self, ax: Any) -> None:
        nets, means = self.result.nets, self.result.means()
        for k, (kind, row) in enumerate(means.iterrows()):
            color = _WORDS[str(kind)][1]
            ax.barh(k, row["test_accuracy"], height=0.62, color=color, alpha=0.8)
            each = nets.loc[nets["trained"] == kind, "test_accuracy"]
            if len(each) > 1:
                ax.plot(each, [k] * len(each), "o", ms=4, mfc="white", mec=INK, mew=0.8)
            ax.text(
                max(each.max(), row["test_accuracy"]) + 0.015,
                k,
                f"{100 * row['test_accuracy']:.1f} %",
                va="center",
                fontsize=9,
                color=INK,
            )
        ax.axvline(self.result.constant_accuracy, color=SOFT, lw=1, ls=":")
        labels = [
            f"{_WORDS[str(kind)][0]}\n{row['n_trained']:,.0f} parameters"
            for kind, row in means.iterrows()
        ]
        ax.set_yticks(range(len(means)), labels, fontsize=8.5, color=INK)
        ax.invert_yaxis()
        ax.set_xlim(0, 1.12)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
        ax.set_xlabel("accuracy on test rows")
        set_title(ax, "What is trained; dotted: always the most frequent class")
        ax.tick_params(axis="x", colors=SOFT)

    def plot_modes(self, ax: Any = None) -> Self:
        """Draw the accuracy by what BatchNorm normalizes by.

        Lines are by batches of the test rows, dashed ones by running statistics; there
        is a color for each size of the batches in training.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : BatchNormStudyDisplay
            Itself, with `ax_` and `figure_`.

        Raises
        ------
        ValueError
            If the net has no normalization with running statistics.
        ImportError
            If matplotlib is not installed.
        """
        modes = self.result.modes
        if not len(modes):
            raise ValueError(
                "there are no modes to draw: the normalizations of this net have no "
                "running statistics, and do the same in training and in prediction"
            )
        ax = new_axes(ax)
        means = modes.groupby(
            ["training_batch_size", "statistics", "batch_size"], dropna=False
        )["test_accuracy"].mean()
        sizes = sorted(modes["batch_size"].dropna().astype(int).unique())
        for k, size in enumerate(sorted(modes["training_batch_size"].unique())):
            color = _COLORS[k % len(_COLORS)]
            running = means[size]["running"].iloc[0]
            ax.axhline(running, color=color, lw=1, ls="--")
            if sizes:
                label = f"trained at {size} rows a step"
                ax.plot(means[size]["batch"], "o-", ms=4, color=color, label=label)
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("test rows that are normalized together")
        ax.set_ylabel("accuracy on test rows")
        set_title(ax, "By batches, and dashed by running statistics")
        ax.legend(frameon=False, fontsize=8, labelcolor=INK)
        ax.tick_params(colors=SOFT)
        self.ax_, self.figure_ = ax, ax.figure
        return self
