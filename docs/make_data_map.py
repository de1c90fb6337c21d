"""Draw the picture of the user guide's page on traces, from numbers computed here.

Run ``python docs/make_data_map.py``; it writes docs/_static/data_map.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import ListedColormap

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import make_memgen_classification
from sklearn_memgen.training import Trace

PICTURE = Path(__file__).parent / "_static" / "data_map.png"
INK, SOFT = "#22303C", "#6B7885"
# Never forgotten, once, twice, three times or more: from gray to a strong color.
COLORS = ["#C3CBD2", "#56B4E9", "#E69F00", "#B5300B"]
WORDS = ["never", "once", "twice", "more often"]
NOTES = {
    "general": "general rows",
    "exception": "exceptions, which come back",
    "noise": "wrong labels",
}


def compute() -> tuple[pd.DataFrame, pd.Series]:
    """Return the trace of a model, and where each label came from."""
    X, y, parts = make_memgen_classification(
        n_samples=3000, random_state=0, return_parts=True
    )
    model = WideDeepClassifier(
        max_epochs=20, early_stopping=False, callbacks=[Trace()], random_state=0
    )
    return model.fit(X, y).trace_.to_frame(index=X.index), parts


def draw(frame: pd.DataFrame, parts: pd.Series) -> plt.Figure:
    """Draw a data map for each kind of row."""
    fig, axes = plt.subplots(
        1, 3, figsize=(11, 4.1), sharex=True, sharey=True, layout="constrained"
    )
    for ax, (part, words) in zip(axes, NOTES.items(), strict=True):
        rows = frame[parts == part].sort_values("n_forgotten")
        points = ax.scatter(
            rows["variability"],
            rows["confidence"],
            c=rows["n_forgotten"].astype(int).clip(upper=3),
            cmap=ListedColormap(COLORS),
            vmin=-0.5,
            vmax=3.5,
            s=13,
            lw=0,
        )
        ax.set_title(f"{len(rows):,} {words}", loc="left", size=11, color=INK)
        ax.set_xlabel("variability", color=SOFT)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(colors=SOFT)
    axes[0].set_ylabel("confidence", color=SOFT)
    axes[0].set(xlim=(-0.01, 0.45), ylim=(-0.02, 1.02))
    bar = fig.colorbar(points, ax=axes, ticks=range(4), pad=0.01, aspect=30)
    bar.set_ticklabels(WORDS)
    bar.set_label("forgotten", color=SOFT)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=SOFT)
    return fig


if __name__ == "__main__":
    draw(*compute()).savefig(PICTURE, dpi=160)
    print(PICTURE)
