"""Draw the picture of the landing page from numbers computed here.

Run ``python docs/make_landing.py``; it writes docs/_static/landing.png.
"""

import itertools
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import FancyBboxPatch, Rectangle
from sklearn.model_selection import train_test_split

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import make_memgen_classification

PICTURE = Path(__file__).parent / "_static" / "landing.png"
N_ROWS = 6_000
# Okabe and Ito's colors, which color-blind readers can tell apart.
WIDE, DEEP, JOINT, INK, SOFT = "#E69F00", "#0072B2", "#009E73", "#22303C", "#6B7885"
WIDTH, HEIGHT = 11.0, 5.75  # inches
LEFTS, BAR = [4.75, 6.85, 8.95], 1.55  # of the columns, and the length of a full bar
ROWS = {"general": 3.02, "exception": 1.92, "noise": 0.82}  # bottoms of the cards
CARD = 0.98
NOTES = {
    "general": "follow a smooth rule over all columns:\nto be generalized",
    "exception": "pairs of categories that come back\n"
    "and break the rule: worth memorizing",
    "noise": "wrong labels, each for itself:\nto be neither, so low is good",
}


def compute() -> tuple[pd.DataFrame, pd.Series]:
    """Return the test accuracy of each model on each kind of row, and their shares."""
    X, y, parts = make_memgen_classification(
        n_samples=N_ROWS, random_state=0, return_parts=True
    )
    X_train, X_test, y_train, y_test, _, parts_test = train_test_split(
        X, y, parts, stratify=parts, random_state=0
    )
    pairs = {"crosses": [("cat_0", "cat_1")], "wide_learning_rate": 0.5}
    models = {
        "wide": WideDeepClassifier(hidden_layer_sizes=(), random_state=0, **pairs),
        "deep": WideDeepClassifier(wide=False, random_state=0),
        "joint": WideDeepClassifier(random_state=0, **pairs),
    }
    accuracy = {}
    for name, model in models.items():
        right = model.fit(X_train, y_train).predict(X_test) == y_test
        accuracy[name] = right.groupby(parts_test).mean()
        accuracy[name]["all"] = right.mean()
    return pd.DataFrame(accuracy), parts.value_counts(normalize=True)


def draw_net(ax, left: float, bottom: float, wide: bool, deep: bool) -> None:
    """Draw a little net: inputs below, one output above, with one way up or two."""
    output = (left + BAR / 2, bottom + 0.78)
    way_of_wide = np.linspace(0.08, 0.62 if deep else BAR - 0.08, 4 if deep else 7)
    way_of_deep = np.linspace(0.95 if wide else 0.2, BAR - (0.0 if wide else 0.2), 5)
    if wide:
        for x in way_of_wide:
            ax.plot([left + x, output[0]], [bottom, output[1]], color=WIDE, lw=1)
        ax.plot(left + way_of_wide, np.full(len(way_of_wide), bottom), "s", color=WIDE)
    if deep:
        middle = way_of_deep.mean()
        layers = [
            (left + way_of_deep, bottom),
            (left + middle + np.linspace(-0.22, 0.22, 4), bottom + 0.27),
            (left + middle + np.linspace(-0.14, 0.14, 3), bottom + 0.52),
            (np.array([output[0]]), output[1]),
        ]
        for (below, low), (above, high) in itertools.pairwise(layers):
            for a in below:
                for b in above:
                    ax.plot([a, b], [low, high], color=DEEP, lw=0.6)
        for xs, y in layers[:-1]:
            ax.plot(xs, np.full(len(xs), y), "o", color=DEEP, ms=5)
    color = JOINT if wide and deep else WIDE if wide else DEEP
    ax.plot(*output, "o", color=color, ms=9, zorder=3)


def draw(accuracy: pd.DataFrame, shares: pd.Series) -> plt.Figure:
    """Draw a card for each kind of row and a bar for each model."""
    fig = plt.figure(figsize=(WIDTH, HEIGHT))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.axis("off")
    ax.text(0.3, 5.2, "Memorize or generalize?", size=19, weight="bold", color=INK)
    ax.text(
        0.3,
        4.42,
        f"A table of {N_ROWS:,} rows of which it is known\nwhere each label came from, "
        "and the share\nof test labels that three models get right.",
        size=10.5,
        color=SOFT,
        linespacing=1.35,
    )

    heads = {
        "wide": ("wide part alone", "a weight a value and pair", WIDE),
        "deep": ("deep part alone", "a net over embeddings", DEEP),
        "joint": ("wide & deep", "both logits added", JOINT),
    }
    for (name, (head, words, color)), left in zip(heads.items(), LEFTS, strict=True):
        draw_net(ax, left, 4.72, wide=name != "deep", deep=name != "wide")
        ax.text(left, 4.4, head, size=12, weight="bold", color=color)
        ax.text(left, 4.17, words, size=8.8, color=SOFT)

    for part, bottom in ROWS.items():
        ax.add_patch(
            FancyBboxPatch(
                (0.3, bottom),
                WIDTH - 0.6,
                CARD,
                boxstyle="round,pad=0,rounding_size=0.08",
                fc="#F3F5F7",
                ec="none",
            )
        )
        ax.text(0.5, bottom + 0.66, part, size=13, weight="bold", color=INK)
        ax.text(
            4.4,
            bottom + 0.66,
            f"{shares[part]:.0%} of the rows",
            size=9.5,
            color=SOFT,
            ha="right",
        )
        ax.text(0.5, bottom + 0.15, NOTES[part], size=9.5, color=INK, linespacing=1.3)
        for (name, (_, _, color)), left in zip(heads.items(), LEFTS, strict=True):
            share = accuracy.loc[part, name]
            low_is_good = part == "noise"
            for length, face in ((1.0, "#DDE2E7"), (share, color)):
                ax.add_patch(
                    Rectangle(
                        (left, bottom + 0.22),
                        BAR * length,
                        0.2,
                        fc=face,
                        alpha=0.45 if low_is_good and face == color else 1,
                    )
                )
            ax.text(
                left,
                bottom + 0.52,
                f"{share:.0%}",
                size=15,
                weight="bold",
                color=INK,
            )
    ax.text(0.5, 0.42, "all rows", size=13, weight="bold", color=INK)
    ax.text(4.4, 0.42, "of the test part", size=9.5, color=SOFT, ha="right")
    for name, left in zip(heads, LEFTS, strict=True):
        share = accuracy.loc["all", name]
        ax.text(left, 0.42, f"{share:.0%}", size=15, weight="bold", color=INK)
    return fig


if __name__ == "__main__":
    figure = draw(*compute())
    figure.savefig(PICTURE, dpi=160)
    print(PICTURE)
