"""Draw the picture of the user guide's page on flatness, from nets trained here.

Run ``python docs/make_flatness.py``; it writes docs/_static/flatness.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen.inspection import (
    InstabilityDisplay,
    SharpnessDisplay,
    loss_landscape,
    sharpness,
)

PICTURE = Path(__file__).parent / "_static" / "flatness.png"


class MLP(nn.Sequential):
    """Three hidden layers."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(
            nn.Linear(n_features, 32),
            nn.ReLU(),
            nn.Linear(32, 32),
            nn.ReLU(),
            nn.Linear(32, 32),
            nn.ReLU(),
            nn.Linear(32, n_classes),
        )


def make(batch_size: int, learning_rate: float = 0.003) -> NetClassifier:
    """Make a net that is trained in batches of a size, for 30 epochs."""
    return NetClassifier(
        MLP,
        optimizer="adam",
        weight_decay=0,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_epochs=30,
        early_stopping=False,
        random_state=0,
    )


def main() -> None:
    """Measure nets of digits, look around one, and between pairs."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    nets = {f"batches of {size}": make(size).fit(X, y) for size in (16, 256)}
    found = {
        name: sharpness(net, X, y, n_iter=60, random_state=0)
        for name, net in nets.items()
    }
    plane = loss_landscape(
        nets["batches of 16"], X, y, dimensions=2, n_points=41, random_state=0
    )
    fig, axes = plt.subplots(
        1, 3, figsize=(15.5, 4.2), layout="constrained", width_ratios=(1.15, 1, 1.1)
    )
    SharpnessDisplay(found).plot(axes[0])
    plane.plot(axes[1])
    InstabilityDisplay.from_estimator(
        make(32, 0.01), X, y, epochs=(0, 1, 2, 8), n_repeats=4, random_state=0
    ).plot(axes[2])
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
