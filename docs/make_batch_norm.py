"""Draw the picture of the user guide's page on normalizations, from nets trained here.

Run ``python docs/make_batch_norm.py``; it writes docs/_static/batch_norm.png.
"""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen._axes import INK, SOFT, set_title
from sklearn_memgen.inspection import (
    BatchNormStudy,
    BatchNormStudyDisplay,
    batch_norm_study,
)

PICTURE = Path(__file__).parent / "_static" / "batch_norm.png"
WIDTHS = (16, 32, 64, 128, 256)
LINES = {
    "all": ("everything", "#6B7885"),
    "batch_norm": ("scale and shift only", "#0072B2"),
    "random": ("as many others", "#D55E00"),
}


class Deep(nn.Sequential):
    """Five hidden layers, each with BatchNorm."""

    def __init__(self, n_features: int, n_classes: int, n_units: int = 128) -> None:
        layers: list[nn.Module] = []
        for k in range(5):
            layers += [
                nn.Linear(n_units if k else n_features, n_units),
                nn.BatchNorm1d(n_units),
                nn.ReLU(),
            ]
        super().__init__(*layers, nn.Linear(n_units, n_classes))


def study(n_units: int, **params: Any) -> BatchNormStudy:
    """Study nets of one width on digits."""
    X, y = load_digits(return_X_y=True)
    model = NetClassifier(
        Deep,
        module_params={"n_units": n_units},
        learning_rate=0.03,
        batch_size=32,
        max_epochs=10,
    )
    return batch_norm_study(model, X / 16, y, random_state=0, **params)


def draw_widths(ax: Any, means: pd.DataFrame) -> None:
    """Draw accuracy against width."""
    for kind, (label, color) in LINES.items():
        ax.plot(means[kind], "o-", ms=4, color=color, label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    ax.minorticks_off()
    ax.set_xlabel("units of each of five hidden layers")
    ax.set_ylabel("accuracy on test rows")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(colors=SOFT)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    set_title(ax, "The wider, the more scale and shift learn")


def main() -> None:
    """Study nets of several widths, and the modes of one."""
    one = study(128, n_random=3, training_batch_sizes=(4, 128))
    means = {128: one.means()["test_accuracy"]}
    for width in set(WIDTHS) - {128}:
        found = study(width, n_random=3, batch_sizes=())
        means[width] = found.means()["test_accuracy"]
    fig, axes = plt.subplots(1, 3, figsize=(15, 4.1), layout="constrained")
    display = BatchNormStudyDisplay(one).plot(axes[0])
    draw_widths(axes[1], pd.DataFrame(means).T.sort_index())
    display.plot_modes(axes[2])
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
