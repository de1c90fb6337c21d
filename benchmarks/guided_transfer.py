"""Guided transfer to a few rows of each class, beside plain transfer and others.

    python benchmarks/guided_transfer.py --mnist FOLDER --omniglot FILE
        [--digits 1000] [--scouts all] [--ways 100] [--shots 1 5] [--episodes 20]

MNIST is the folder of the four original files; FILE is the packed Omniglot
(`omniglot_105_packbits.npz`: images, alphabet, character, split, drawer). The base is a
CNN of two convolutions, trained on digits; its scouts learn three of them each. Then
every arm learns the same episodes of evaluation characters, and is tested on their
other drawings.

Learning rate and epochs of each arm are tuned on episodes of background characters, of
none of the characters that it is tested on. Differences are to plain transfer, episode
by episode, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mnist import load_mnist
from sklearn.base import clone
from torch import nn

from sklearn_memgen import (
    GuidedTransferClassifier,
    NetClassifier,
    SourceNet,
    compare_shots,
    few_shot_curve,
)
from sklearn_memgen.training import Guide

SIDE = 28
#: What each arm is tuned over.
RATES, EPOCHS = (1e-3, 3e-3, 1e-2), (30, 60, 120)
N_TUNING = 5
#: What all arms have in common.
COMMON = {
    "schedule": "constant",
    "batch_size": 100,
    "early_stopping": False,
    "random_state": 0,
}


class Body(nn.Sequential):
    """Two convolutions and a hidden layer of 128 features."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(512, 128), nn.ReLU()),
        )


class Net(nn.Sequential):
    """The body and a head."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(Body(), nn.Linear(128, n_classes))


def load_omniglot(file: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read characters as images of 28 x 28, ink 1, and which character each is."""
    packed = np.load(file)
    of_part = packed["split"] == part
    bits = np.unpackbits(packed["X"][of_part], axis=1)[:, : 105 * 105]
    images = torch.from_numpy(bits.reshape(-1, 1, 105, 105)).float()
    # Strokes are two pixels wide; the mean of a cell would make them pale.
    small = nn.functional.adaptive_max_pool2d(images, SIDE)
    return small.numpy(), packed["character"][of_part]


def load_digits(folder: Path, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Read digits as images, of each digit equally many."""
    X, y = load_mnist(folder)
    rows = np.concatenate([np.flatnonzero(y == d)[: n_rows // 10] for d in range(10)])
    return X[rows].reshape(-1, 1, SIDE, SIDE), y[rows]


def constant_like(guide: Guide) -> Guide:
    """Return a guide of the same mean in each tensor, without its pattern."""
    return Guide({name: float(value.mean()) for name, value in guide.items()})


def make_arms(source: SourceNet) -> dict[str, Any]:
    """Return all arms, each with rate and epochs to be set."""

    def transfer(**params: Any) -> GuidedTransferClassifier:
        return GuidedTransferClassifier(source, **COMMON, **params)

    body = Guide(
        {name: v for name, v in source.guide_.items() if name.startswith("body.")}
    )
    arms = {
        "scratch": NetClassifier(Net, weight_decay=0.0, **COMMON),
        "plain transfer": transfer(guide=None),
        "frozen body": transfer(guide=Guide(dict.fromkeys(body, 0.0))),
        "L2-SP": transfer(guide=None, anchor=1.0),
        "constant of equal mean": transfer(guide=constant_like(body)),
        "guided, gradient": transfer(apply_to="gradient"),
        "guided, global": transfer(guide="global"),
        "guided, absolute": transfer(spread="absolute"),
    }
    for temperature in ("freezing", "icy", "room", "warm", "evaporating"):
        arms[f"guided, {temperature}"] = transfer(temperature=temperature)
    return arms


def tune(
    arms: dict[str, Any], X: np.ndarray, y: np.ndarray, n_shots: int, n_ways: int
) -> dict[str, Any]:
    """Set rate and epochs of each arm to the best of a grid, on episodes of its own."""
    grid = list(itertools.product(RATES, EPOCHS))
    candidates = {
        (name, rate, epochs): arm.set_params(learning_rate=rate, max_epochs=epochs)
        for name, arm in arms.items()
        for rate, epochs in grid
        for arm in [clone(arm)]
    }
    curve = few_shot_curve(
        {str(key): arm for key, arm in candidates.items()},
        X,
        y,
        shots=(n_shots,),
        n_ways=n_ways,
        n_episodes=N_TUNING,
        random_state=1,
    )
    means = curve.groupby("estimator")["score"].mean()
    best = {}
    for name in arms:
        key = max(
            (key for key in candidates if key[0] == name), key=lambda k: means[str(k)]
        )
        best[name] = candidates[key]
        print(f"  {name}: learning rate {key[1]}, {key[2]} epochs", flush=True)
    return best


def pretrain(X: np.ndarray, y: np.ndarray, n_scouts: str | int) -> SourceNet:
    """Train a base and send its scouts."""
    started = time.perf_counter()
    source = SourceNet(
        objective="supervised",
        module=Body,
        max_epochs=10,
        learning_rate=1e-3,
        scout_epochs=10,
        n_scouts=n_scouts,
        classes_per_scout=3,
        device="auto",
        random_state=0,
    ).fit(X, y)
    print(
        f"{len(y):,} images of {len(np.unique(y))} classes, "
        f"{len(source.scouts_)} scouts: {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--omniglot", type=Path, required=True)
    parser.add_argument("--digits", type=int, default=1000)
    parser.add_argument("--scouts", default="all")
    parser.add_argument("--ways", type=int, default=100)
    parser.add_argument("--shots", type=int, nargs="+", default=[1])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--arms", nargs="+", help="all by default")
    args = parser.parse_args()
    n_scouts = args.scouts if args.scouts == "all" else int(args.scouts)
    source = pretrain(*load_digits(args.mnist, args.digits), n_scouts)
    arms = make_arms(source)
    arms = {name: arms[name] for name in args.arms or arms}
    X, y = load_omniglot(args.omniglot, "background")
    X_test, y_test = load_omniglot(args.omniglot, "evaluation")
    for n_shots in args.shots:
        print(f"\n{args.ways}-way, {n_shots} rows of each")
        best = tune(arms, X, y, n_shots, args.ways)
        curve = few_shot_curve(
            best,
            X_test,
            y_test,
            shots=(n_shots,),
            n_ways=args.ways,
            n_episodes=args.episodes,
            random_state=0,
        )
        table = curve.groupby("estimator", sort=False)[["score", "fit_seconds"]].mean()
        differences = compare_shots(curve, reference="plain transfer")
        columns = ["mean_difference", "low", "high"]
        table = table.join(differences.set_index("estimator")[columns])
        print(table.round(4).to_string(), flush=True)


if __name__ == "__main__":
    main()
