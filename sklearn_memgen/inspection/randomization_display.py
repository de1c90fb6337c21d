"""The picture of a randomization test."""

from __future__ import annotations

from typing import Any

from sklearn_memgen._axes import INK, SOFT, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["RandomizationTestDisplay"]

#: Words and color of each corruption.
_KINDS = {
    "none": ("data as given", INK),
    "labels": ("random labels", "#D55E00"),
    "partial_labels": ("some labels random", "#E69F00"),
    "shuffled_features": ("features shuffled", "#0072B2"),
    "permuted_values": ("values dealt anew", "#56B4E9"),
    "random_features": ("random features", "#009E73"),
}


class RandomizationTestDisplay(InspectionDisplay):
    """Training accuracy by epoch, a line for each corruption, and test accuracy.

    Dashed lines and empty markers are nets without regularizers. At the right are the
    test accuracies, and as thin bars what is to be expected by chance.

    Parameters
    ----------
    result : RandomizationTest
        What `randomization_test` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.inspection import (
    ...     RandomizationTestDisplay
    ... )
    >>> X, y = load_iris(return_X_y=True)
    >>> display = RandomizationTestDisplay.from_estimator(
    ...     NetClassifier(nn.Linear(4, 3), max_epochs=5), X, y, random_state=0
    ... )
    >>> display.plot().ax_.get_ylabel()
    'accuracy'
    """

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.randomization import randomization_test

        return randomization_test(*args, **params)

    def _draw(self, ax: Any) -> None:
        test = self.result
        keys = ["corruption", "regularized", "epoch"]
        means = test.curves.groupby(keys, sort=False)["train_accuracy"].mean()
        last = int(test.curves["epoch"].max())
        right = 1 + 1.1 * max(last - 1, 1)
        tests = test.means()
        n_settings = tests.index.get_level_values("regularized").nunique()
        n_kinds = tests.index.get_level_values("corruption").nunique()
        step = 0.025 * (right - 1)
        for k, (kind, regularized) in enumerate(tests.index):
            words, color = _KINDS[kind]
            curve = means[kind, regularized]
            ax.plot(
                curve,
                "-" if regularized else "--",
                color=color,
                lw=1.6,
                label=words if regularized else None,
            )
            at = right + step * (k // n_settings)
            one = tests.loc[(kind, regularized)]
            fill = color if regularized else "white"
            ax.plot(at, one["test_accuracy"], "o", color=color, mfc=fill, ms=6)
            ax.plot(at, one["chance"], "_", color=color, ms=9, mew=1.2)
        end = right + step * (n_kinds - 1)
        ax.axvline((last + right) / 2, color=SOFT, lw=0.6)
        ax.text(
            (right + end) / 2,
            1.03,
            "test",
            ha="center",
            fontsize=8,
            color=SOFT,
            transform=ax.get_xaxis_transform(),
        )
        ax.set_xlim(1 - 0.5 * step, end + step)
        ax.set_ylim(0, 1.03)
        ticks = [t for t in ax.get_xticks() if 1 < t <= last and t == int(t)]
        ax.set_xticks([1, *ticks], [f"{int(t)}" for t in [1, *ticks]])
        ax.set_xlabel("epoch")
        ax.set_ylabel("accuracy")
        set_title(ax, "Training accuracy; test accuracy at the right, bars: by chance")
        if n_settings > 1:
            ax.plot([], [], "--", color=SOFT, lw=1.6, label="without regularizers")
        ax.legend(
            frameon=False,
            fontsize=8,
            loc="lower right",
            bbox_to_anchor=(last, 0),
            bbox_transform=ax.get_xaxis_transform(),
        )
