"""Draw the picture of the user guide's page on capacity, from nets trained here.

Run ``python docs/make_capacity.py``; it writes docs/_static/capacity.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen.inspection import capacity_curve, randomization_test

PICTURE = Path(__file__).parent / "_static" / "capacity.png"


class MLP(nn.Sequential):
    """One hidden layer."""

    def __init__(self, n_features: int, n_classes: int, n_units: int = 256) -> None:
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


def main() -> None:
    """Train ever wider nets on digits, and one on digits made random."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = NetClassifier(
        MLP,
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=0.0,
        schedule="constant",
        batch_size=64,
    )
    curve = capacity_curve(
        model,
        X,
        y,
        widths=(2, 4, 8, 16, 32, 64, 128, 256),
        test_fraction=0.4,
        max_epochs=150,
        n_repeats=2,
        random_state=0,
    )
    test = randomization_test(model, X, y, max_epochs=140, random_state=0)
    fig, axes = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained")
    curve.plot(axes[0])
    test.plot(axes[1])
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
