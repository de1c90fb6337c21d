"""Draw the picture of the user guide's page on memorization, from nets trained here.

Run ``python docs/make_memorization.py``; it writes docs/_static/memorization.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen.inspection import memorization_scores

PICTURE = Path(__file__).parent / "_static" / "memorization.png"
#: Pairs of images that are shown.
N_PAIRS = 5


class MLP(nn.Sequential):
    """One hidden layer."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(
            nn.Linear(n_features, 128), nn.ReLU(), nn.Linear(128, n_classes)
        )


def show(ax, image, words):
    """Show one digit with its label."""
    ax.imshow(image.reshape(8, 8), cmap="Greys")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(words, fontsize=9)


def main() -> None:
    """Score digits, and show which of them help others."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.4, random_state=0)
    model = NetClassifier(
        MLP, learning_rate=0.01, weight_decay=0.0, max_epochs=30, early_stopping=False
    )
    scores = memorization_scores(
        model, X, y, X_test=X_test, y_test=y_test, n_models=200, random_state=0
    )
    pairs = scores.influence(min_influence=0.3).drop_duplicates("test_row")
    pairs = pairs.drop_duplicates("train_row").head(N_PAIRS)
    print(pairs.to_string(), f"agreement {scores.agreement():.2f}", sep="\n")
    fig = plt.figure(figsize=(13, 4.2), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=(1.15, 1))
    scores.plot(left.subplots())
    axes = right.subplots(2, N_PAIRS)
    right.suptitle(
        "Memorized digits (above), and unseen ones that they help to get right (below)",
        fontsize=10,
        x=0.02,
        ha="left",
        color="#22303C",
    )
    for ax in axes.flat:
        ax.axis("off")
    for column, pair in zip(axes.T, pairs.itertuples(), strict=False):
        for ax in column:
            ax.axis("on")
        show(column[0], X[pair.train_row], f"a {y[pair.train_row]}")
        words = f"a {y_test[pair.test_row]}: +{pair.influence:.0%}"
        show(column[1], X_test[pair.test_row], words)
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
