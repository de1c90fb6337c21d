"""Guided transfer to a few rows of each class, beside plain transfer and others.

    python benchmarks/guided_transfer.py --mnist FOLDER --omniglot FILE
        [--source 1000] [--ways 20] [--shots 1 5] [--episodes 20] [--tuning 5]
        [--arms NAME ...]

MNIST is the folder of the four original files; FILE is the packed Omniglot
(`omniglot_105_packbits.npz`: images, alphabet, character, split, drawer). The base is a
CNN of two convolutions, trained on so many digits, or with ``--source background`` on
the characters of the background alphabets. Scouts learn three classes each. Then every
arm learns the same episodes of evaluation characters, and is tested on their other
drawings.

Learning rate, epochs and what else an arm has are tuned on episodes of background
characters. Rates are a factor of three apart, and searched until both neighbors of the
best are worse. Differences are to plain transfer, episode by episode, with 95 %
intervals. The second table is the validation curve: the accuracy after so many epochs,
at the rate of each arm. "oracle" is guided by how far each parameter goes if the net
learns all drawings of the episode from the same random head, the tested ones included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from mnist import load_mnist
from scipy.stats import spearmanr
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen import (
    GuidedTransferClassifier,
    NetClassifier,
    ShotSplit,
    SourceNet,
    compare_shots,
)
from sklearn_memgen.training import Displacement, Guide

SIDE = 28
#: What each arm is tuned over.
RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
EPOCHS = (15, 30, 60, 120, 240)
ANCHORS, STRENGTHS, DECAYS = (1.0, 30.0), (0.03, 1.0), (0.1, 0.3)
#: What all arms have in common.
COMMON: dict[str, Any] = {
    "schedule": "constant",
    "batch_size": 100,
    "max_epochs": max(EPOCHS),
    "early_stopping": False,
    "random_state": 0,
}
#: Makes an estimator of the rows that an episode learns and is tested on.
Arm = Callable[[np.ndarray, np.ndarray], Any]


class Body(nn.Sequential):
    """Two convolutions and a hidden layer of 128 features."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(512, 128), nn.ReLU()),
        )
        self.to(memory_format=torch.channels_last)  # quicker on few images


class Net(nn.Sequential):
    """The body and a head."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(Body(), nn.Linear(128, n_classes))


class Course(Callback):
    """The accuracy on other rows, after each number of epochs.

    Parameters
    ----------
    X, y : array
        The rows, and their classes as codes.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.accuracies: list[float] = []

    @torch.no_grad()
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) in EPOCHS:
            logits = net.module_(self.X.to(net.device)).cpu()
            self.accuracies.append((logits.argmax(1) == self.y).double().mean().item())


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


def pretrain(X: np.ndarray, y: np.ndarray, n_scouts: int, **params: Any) -> SourceNet:
    """Train a base and send its scouts."""
    started = time.perf_counter()
    source = SourceNet(
        objective="supervised",
        module=Body,
        max_epochs=10,
        learning_rate=1e-3,
        scout_epochs=10,
        scout_stages=3,
        n_scouts=n_scouts,
        classes_per_scout=3,
        device="auto",
        random_state=0,
        **params,
    ).fit(X, y)
    print(
        f"{len(y):,} images of {len(np.unique(y))} classes, "
        f"{len(source.scouts_)} scouts: {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return source


# Arms


def constant_like(guide: Guide) -> Guide:
    """Return a guide of the same mean in each tensor, without its pattern."""
    return Guide({name: float(value.mean()) for name, value in guide.items()})


def find_oracle(source: SourceNet, X: np.ndarray, y: np.ndarray) -> Displacement:
    """Return how far the body goes if it learns all rows of an episode."""
    settings = COMMON | {"max_epochs": 60, "learning_rate": 1e-3}
    model = GuidedTransferClassifier(source, guide=None, **settings).fit(X, y)
    return Displacement(_body(source.net_.module_)).add(_body(model.net_.module_))


def _body(net: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p for n, p in net.named_parameters() if n.startswith("body.")}


def make_arms(source: SourceNet) -> dict[str, dict[str, Arm]]:
    """Return the variants of all arms, each with a learning rate to be set."""

    def transfer(**params: Any) -> Arm:
        return lambda X, y: GuidedTransferClassifier(source, **COMMON, **params)

    def oracle(X: np.ndarray, y: np.ndarray) -> GuidedTransferClassifier:
        guide = find_oracle(source, X, y).guide(focus="unit_mean")
        return GuidedTransferClassifier(source, guide=guide, **COMMON)

    def tuned(**params: Any) -> dict[str, Arm]:
        """Return variants by strength and by layer."""
        return {
            f"strength {strength}, decay {decay}": transfer(
                temperature=(strength, 0.0), layer_decay=decay, **params
            )
            for strength in STRENGTHS
            for decay in DECAYS
        }

    body = source.displacement_.only("body.").guide()
    free = Guide(dict.fromkeys(body, 1.0))
    arms = {
        "plain transfer": {"": transfer(guide=None)},
        "scratch": {"": lambda X, y: NetClassifier(Net, weight_decay=0.0, **COMMON)},
        "frozen body": {"": transfer(guide=free * 0.0)},
        "L2-SP": {f"anchor {a}": transfer(guide=None, anchor=a) for a in ANCHORS},
        "constant of equal mean": {"": transfer(guide=constant_like(body))},
        "constant, tuned": tuned(guide=free),
        "guided, gradient": {"": transfer(apply_to="gradient")},
        "guided, global": {"": transfer(guide="global")},
        "guided, absolute": {"": transfer(spread="absolute")},
        "guided, by distance": {"": transfer(by_distance=True)},
        "guided, unit mean": {"": transfer(focus="unit_mean")},
        "guided, unit mean, by distance": {
            "": transfer(focus="unit_mean", by_distance=True)
        },
        "guided, unit mean, tuned": tuned(focus="unit_mean"),
        "oracle, unit mean": {"": oracle},
    }
    for temperature in ("freezing", "icy", "room", "warm", "evaporating"):
        arms[f"guided, {temperature}"] = {"": transfer(temperature=temperature)}
    return arms


# Episodes


def run_arm(
    arm: Arm, rate: float, X: np.ndarray, y: np.ndarray, split: Any
) -> list[float]:
    """Return the accuracies of an arm in an episode, after each number of epochs."""
    train, test = split
    _, codes = np.unique(y[np.r_[train, test]], return_inverse=True)
    course = Course(X[test], codes[len(train) :])
    model = arm(X[np.r_[train, test]], codes)
    model.set_params(learning_rate=rate, callbacks=[course])
    model.fit(X[train], codes[: len(train)])
    return course.accuracies


def climb(learn: Callable[[float], np.ndarray]) -> None:
    """Look at rates from the middle of the grid on, until the best is between worse."""

    def at(k: int) -> float:
        return learn(RATES[k]).max() if 0 <= k < len(RATES) else -np.inf

    best = RATES.index(1e-3)
    while (better := max(best, best - 1, best + 1, key=at)) != best:
        best = better


def tune(
    arms: dict[str, dict[str, Arm]], X: np.ndarray, y: np.ndarray, splits: list[Any]
) -> dict[str, tuple[Arm, float, int]]:
    """Return variant, rate and number of epochs that are best for each arm."""

    def learn(arm: Arm, courses: dict[float, np.ndarray], rate: float) -> np.ndarray:
        if rate not in courses:
            runs = [run_arm(arm, rate, X, y, split) for split in splits]
            courses[rate] = np.mean(runs, axis=0)
        return courses[rate]

    best = {}
    for name, variants in arms.items():
        found: dict[tuple[str, float], np.ndarray] = {}
        for label, arm in variants.items():
            courses: dict[float, np.ndarray] = {}
            climb(partial(learn, arm, courses))
            found |= {(label, rate): course for rate, course in courses.items()}
        label, rate = max(found, key=lambda key: found[key].max())
        epochs = EPOCHS[int(found[label, rate].argmax())]
        best[name] = variants[label], rate, epochs
        print(f"  {name}: learning rate {rate}, {epochs} epochs {label}; in % at")
        most: dict[float, float] = {}
        for (_, r), course in found.items():
            most[r] = max(most.get(r, 0.0), 100 * course.max())
        print(
            "    ", ", ".join(f"{r}: {most[r]:.1f}" for r in sorted(most)), flush=True
        )
    return best


def compare(
    best: dict[str, tuple[Arm, float, int]],
    X: np.ndarray,
    y: np.ndarray,
    splits: list[Any],
    n_shots: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return accuracies and differences of all arms, and their validation curves."""
    scores, courses = [], {}
    for name, (arm, rate, epochs) in best.items():
        runs = [run_arm(arm, rate, X, y, split) for split in splits]
        courses[name] = np.mean(runs, axis=0)
        scores += [
            (name, n_shots, episode, run[EPOCHS.index(epochs)])
            for episode, run in enumerate(runs)
        ]
    curve = pd.DataFrame(scores, columns=["estimator", "shots", "episode", "score"])
    table = curve.groupby("estimator", sort=False)[["score"]].mean()
    differences = compare_shots(curve, reference="plain transfer")
    columns = ["mean_difference", "low", "high"]
    table = table.join(differences.set_index("estimator")[columns])
    return table, pd.DataFrame(courses, index=EPOCHS).T


def correlate(
    source: SourceNet, X: np.ndarray, y: np.ndarray, splits: list[Any]
) -> pd.DataFrame:
    """Return rank correlations of what scouts changed and what the targets change."""
    scouts = source.displacement_.only("body.").guide(focus="raw")
    rows = []
    for train, test in splits:
        every = np.r_[train, test]
        few = find_oracle(source, X[train], y[train]).guide(focus="raw")
        whole = find_oracle(source, X[every], y[every]).guide(focus="raw")
        pairs = {
            "scouts, few rows": (scouts, few),
            "scouts, all rows": (scouts, whole),
            "few rows, all rows": (few, whole),
        }
        rows += [
            (name, pair, spearmanr(a[name].flatten(), b[name].flatten()).statistic)
            for pair, (a, b) in pairs.items()
            for name in scouts
            if name.endswith("weight")
        ]
    frame = pd.DataFrame(rows, columns=["parameter", "pair", "rank correlation"])
    return frame.pivot_table(index="parameter", columns="pair")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--omniglot", type=Path, required=True)
    parser.add_argument("--source", default="1000", help="digits, or 'background'")
    parser.add_argument("--scouts", type=int, default=120)
    parser.add_argument("--ways", type=int, default=20)
    parser.add_argument("--shots", type=int, nargs="+", default=[1])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--tuning", type=int, default=5, help="episodes to tune on")
    parser.add_argument("--arms", nargs="+", help="all by default")
    parser.add_argument("--cache", type=Path, help="folder that keeps sources")
    args = parser.parse_args()
    X, y = load_omniglot(args.omniglot, "background")
    X_test, y_test = load_omniglot(args.omniglot, "evaluation")
    known = (X, y)
    if args.source != "background":
        known = load_digits(args.mnist, int(args.source))
    source = joblib.Memory(args.cache, verbose=0).cache(pretrain)(*known, args.scouts)
    arms = make_arms(source)
    arms = {name: arms[name] for name in args.arms or arms}
    for n_shots in args.shots:
        print(f"\n{args.ways}-way, {n_shots} rows of each")
        tuning = ShotSplit(n_shots, args.ways, args.tuning, random_state=1)
        best = tune(arms, X, y, list(tuning.split(X, y)))
        testing = ShotSplit(n_shots, args.ways, args.episodes, random_state=0)
        splits = list(testing.split(X_test, y_test))
        table, courses = compare(best, X_test, y_test, splits, n_shots)
        print((100 * table).round(2).to_string(), flush=True)
        print((100 * courses).round(1).to_string(), flush=True)
        print(correlate(source, X_test, y_test, splits[:5]).round(2).to_string())


if __name__ == "__main__":
    main()
