"""Draw the picture of the user guide's page on populations, from nets trained here.

Run ``python docs/make_populations.py``; it writes docs/_static/populations.png.
"""

from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.ticker import NullFormatter
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import scale
from torch import nn

from sklearn_memgen.training import (
    ArrayTensors,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
)

PICTURE = Path(__file__).parent / "_static" / "populations.png"
INK, SOFT = "#22303C", "#6B7885"
#: A color for each learning rate.
COLORS = {3e-4: "#56B4E9", 1e-3: "#0072B2", 3e-3: "#E69F00", 3e-2: "#B5300B"}


def make_net(lr: float) -> ResidentNet:
    """Return a small net."""
    module = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    return ResidentNet(module, lr=lr, max_epochs=40, batch_size=32, verbose=0)


def make_members() -> list[Member]:
    """Return four learning rates on five folds."""
    X, y = load_breast_cancer(return_X_y=True)
    table = ArrayTensors({"": torch.from_numpy(scale(X)).float()})
    data = ResidentDataset(table, torch.from_numpy(y))
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    return [
        Member(
            partial(make_net, lr),
            data,
            data.select(torch.from_numpy(test)),
            seed=fold,
            rows=train,
            n_iter_no_change=3,
        )
        for lr in COLORS
        for fold, (train, test) in enumerate(folds)
    ]


def draw_rows(ax: plt.Axes, members: list[Member]) -> None:
    """Draw which rows each member learns."""
    rates = list(COLORS)
    learned = np.full((len(members), 150), np.nan)
    for k, member in enumerate(members):
        rows = np.asarray(member.rows)
        learned[k, rows[rows < learned.shape[1]]] = k // 5
    ax.imshow(
        learned,
        aspect="auto",
        interpolation="none",
        cmap=ListedColormap([COLORS[rate] for rate in rates]),
    )
    for k, rate in enumerate(rates):
        middle = 5 * k + 2
        ax.text(-4, middle, f"{rate:g}", ha="right", va="center", color=COLORS[rate])
    ax.set(
        yticks=[],
        xticks=[0, 50, 100, 149],
        xlabel="row of the table they share (the first 150)",
    )
    ax.set_ylabel("20 members, by learning rate", labelpad=46)
    ax.set_title("Each learns rows of its own", loc="left", size=11, color=INK)


def draw_losses(ax: plt.Axes, population: Population, alone: Population) -> None:
    """Draw the validation losses of all members, and of some nets alone."""
    for k, result in enumerate(population):
        losses = result.history["valid_loss"]
        color = COLORS[list(COLORS)[k // 5]]
        ax.plot(losses.index + 1, losses, color=color, lw=1, alpha=0.75)
        best = losses.idxmin()
        ax.plot(best + 1, losses[best], "o", ms=4.5, color=color, mec="white", mew=0.7)
    for result in alone:
        losses = result.history["valid_loss"]
        label = "the first net of each rate, alone" if result is alone[0] else None
        ax.plot(
            losses.index + 1, losses, color=INK, lw=1.3, ls=(0, (1, 2)), label=label
        )
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5]
    ax.set(yscale="log")
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="epoch", ylabel="loss on its validation rows, nats")
    ax.set_title(
        "Each stops by itself and keeps its best epoch", loc="left", size=11, color=INK
    )
    ax.legend(frameon=False, loc="upper right", fontsize=9, labelcolor=INK)


def main() -> None:
    """Train the nets, together and alone, and draw both panels."""
    members = make_members()
    population = Population(members, strategy="stacked").train()
    alone = Population(members[::5], strategy="sequential").train()
    fig, axes = plt.subplots(
        1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=[0.8, 1]
    )
    draw_rows(axes[0], members)
    draw_losses(axes[1], population, alone)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(colors=SOFT)
        ax.xaxis.label.set_color(SOFT)
        ax.yaxis.label.set_color(SOFT)
    fig.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
