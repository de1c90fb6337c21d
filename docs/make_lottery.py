"""Draw the picture of the user guide's page on tickets, from nets trained here.

Run ``python docs/make_lottery.py``; it writes docs/_static/lottery.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

from sklearn_memgen import (
    LotteryDisplay,
    LotteryPrunedNet,
    NetClassifier,
    TicketInputsDisplay,
)

PICTURE = Path(__file__).parent / "_static" / "lottery.png"


class MLP(nn.Sequential):
    """Two hidden layers."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(
            nn.Linear(n_features, 64),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, n_classes),
        )


def main() -> None:
    """Search for tickets of digits, and for one of a table."""
    X, y = load_digits(return_X_y=True)
    digits = LotteryPrunedNet(
        NetClassifier(MLP, schedule="constant"),
        search="iterative",
        remaining=0.04,
        prune_rate=0.35,
        output_prune_rate=0.2,
        n_trials=3,
        controls=("random_reinit", "random_mask"),
        validation_fraction=0.3,
        max_epochs=25,
        validate_every=10,
        random_state=0,
    ).fit(X / 16, y)
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    table = LotteryPrunedNet(remaining=0.05, select="last", random_state=0).fit(X, y)
    fig, axes = plt.subplots(1, 3, figsize=(14, 4.1), layout="constrained")
    LotteryDisplay.from_estimator(digits).plot(axes[:2])
    TicketInputsDisplay.from_estimator(table).plot(axes[2], n_inputs=14)
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
