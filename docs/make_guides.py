"""Draw the picture of the user guide's page on guides.

Run ``python docs/make_guides.py``; it writes docs/_static/guides.png.
"""

import copy
from itertools import combinations
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklearn_memgen.training import Guide, GuideDisplay

PICTURE = Path(__file__).parent / "_static" / "guides.png"
INK, SOFT = "#22303C", "#6B7885"
COLORS = {"no guide": "#6B7885", "update": "#0072B2", "gradient": "#E69F00"}


def train(net, X, y, n_steps, guide=None, apply_to="update") -> list[float]:
    """Train with Adam; return how far the parameters are from the start, by step."""
    start = [p.detach().clone() for p in net.parameters()]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
    distances = [0.0]
    with (guide or Guide({})).attach(optimizer, net, apply_to=apply_to):
        for _ in range(n_steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(X), y).backward()
            optimizer.step()
            squares = [
                (p.detach() - s).square().sum()
                for p, s in zip(net.parameters(), start, strict=True)
            ]
            distances.append(sum(squares).sqrt().item())
    return distances


def scout_guide(net, X, y) -> Guide:
    """Let scouts learn three digits each, from the net on."""

    def scouts():
        for digits in combinations(range(5, 10), 3):
            scout = copy.deepcopy(net)
            rows = torch.isin(y, torch.tensor(digits))
            train(scout, X[rows], y[rows], 60)
            yield scout

    return Guide.from_displacements(net, scouts())


def main() -> None:
    """Draw both panels and save them."""
    torch.manual_seed(0)
    X, y = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
    X = X.float() / 16
    base = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    train(base, X[y < 5], y[y < 5], 200)
    _, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3.2), layout="constrained", width_ratios=(1.15, 1)
    )
    GuideDisplay.from_guide(scout_guide(base, X, y)).plot(left)
    left.set_title("what ten scouts had to change", loc="left", size=10, color=INK)

    tenth = Guide(dict.fromkeys(dict(base.named_parameters()), 0.1))
    for name, color in COLORS.items():
        guide, apply_to = (None, "update") if name == "no guide" else (tenth, name)
        net = copy.deepcopy(base)
        distances = train(net, X, y, 60, guide, apply_to)
        right.plot(distances, color=color, lw=2)
        above = name != "gradient"
        right.annotate(
            name if name == "no guide" else f"0.1 of the {name}",
            (60, distances[-1]),
            xytext=(4, 5 if above else -5),
            textcoords="offset points",
            va="center",
            size=9,
            color=color,
            annotation_clip=False,
        )
    right.set_title("a tenth of what, under Adam", loc="left", size=10, color=INK)
    right.set_xlabel("step")
    right.set_ylabel("distance from the start")
    right.set_ylim(0)
    right.set_xlim(0, 60)
    right.spines[["top", "right"]].set_visible(False)
    right.tick_params(colors=SOFT)
    plt.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
