"""One new example at a time, plain and guided, and what is forgotten by it.

    python benchmarks/guided_sequential.py --mnist FOLDER --omniglot FILE
        [--ways 10] [--episodes 20] [--scouts 30] [--arms ...]

The base is that of `guided_transfer.py`. In an episode every arm learns one drawing
each of some evaluation characters of Omniglot by ``fit``, and then one new drawing of a
known character at a time by ``partial_fit``, with so many passes over it as
`epochs_per_call` says; the drawings of all arms are the same. After some of them it is
asked for

- the held-out drawings, of which none is ever learned,
- those that it has learned so far, the very first ones included,
- digits: held-out ones, by the nearest mean of the features that the body gives to the
  1,000 digits of the base, which tells what of the source is left in the body.

Learning rate and epochs of ``fit`` are tuned for each arm on background characters, and
then, with these, learning rate and epochs of ``partial_fit``, by the mean accuracy on
held-out drawings on the way. Differences are to plain transfer, episode by
episode, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from guided_transfer import COMMON, load_digits, load_omniglot, pretrain
from mnist import load_mnist
from sklearn.base import clone

from sklearn_memgen import GuidedTransferClassifier, SourceNet
from sklearn_memgen.training import Guide

#: What each arm is tuned over, for `fit` and for `partial_fit`.
FIT_GRID = list(itertools.product((1e-3, 3e-3), (30, 60)))
CALL_GRID = list(itertools.product((3e-4, 1e-3, 3e-3), (1, 5)))
N_TUNING = 6
#: New examples after which there is a row.
STEPS = (0, 1, 2, 5, 10, 20)
N_HELD_OUT = 10


def make_arms(source: SourceNet) -> dict[str, GuidedTransferClassifier]:
    """Return all arms, with rates and epochs to be set."""
    frozen = Guide(
        {n: 0.0 for n in source.guide_ if n.startswith("body.")}  # the head may move
    )
    params: dict[str, dict[str, Any]] = {
        "plain transfer": {"guide": None},
        "guided, tensor": {},
        "guided, global": {"guide": "global"},
        "guided, absolute": {"spread": "absolute"},
        "guided, warm": {"temperature": "warm"},
        "frozen body": {"guide": frozen},
    }
    return {
        name: GuidedTransferClassifier(source, **COMMON, **given)
        for name, given in params.items()
    }


class Episode:
    """Drawings of some characters: the first ones, new ones and those held out."""

    def __init__(self, X: np.ndarray, y: np.ndarray, ways: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.classes = np.sort(rng.choice(np.unique(y), ways, replace=False))
        first, later, held = [], [], []
        for character in self.classes:
            rows = rng.permutation(np.flatnonzero(y == character))
            first.append(rows[:1])
            held.append(rows[-N_HELD_OUT:])
            later.append(rows[1:-N_HELD_OUT])
        pool = rng.permutation(np.concatenate(later))[: STEPS[-1]]
        self.X, self.y = X, y
        self.first, self.held = np.concatenate(first), np.concatenate(held)
        self.new = pool

    def fit(self, arm: GuidedTransferClassifier) -> GuidedTransferClassifier:
        """Learn the first drawings."""
        return clone(arm).fit(self.X[self.first], self.y[self.first])

    def go_on(
        self,
        fitted: GuidedTransferClassifier,
        call: dict[str, Any],
        digits: Digits | None = None,
    ) -> list[dict[str, float]]:
        """Learn the new drawings one by one, and return what is known after them."""
        model = copy.deepcopy(fitted).set_params(**call)
        found = []
        for n in range(len(self.new) + 1):
            if n:
                row = self.new[[n - 1]]
                model.partial_fit(self.X[row], self.y[row])
            if n not in STEPS:
                continue
            known = {"n": n, "held out": self.score(model, self.held)}
            if digits is not None:
                seen = np.concatenate([self.first, self.new[:n]])
                known["learned"] = self.score(model, seen)
                known["digits"] = digits.score(model)
            found.append(known)
        return found

    def score(self, model: GuidedTransferClassifier, rows: np.ndarray) -> float:
        return float((model.predict(self.X[rows]) == self.y[rows]).mean())


class Digits:
    """Tells what a body still knows of the source's task."""

    def __init__(self, folder: Path, X: np.ndarray, y: np.ndarray) -> None:
        self.X, self.y = X, y
        pixels, self.test_y = (part[:1000] for part in load_mnist(folder, "t10k"))
        self.test_X = pixels.reshape(-1, *X.shape[1:])

    @torch.no_grad()
    def score(self, model: GuidedTransferClassifier) -> float:
        body = model.net_.module_.body.eval()
        learned, test = (
            body(torch.from_numpy(X)).numpy() for X in (self.X, self.test_X)
        )
        means = np.stack([learned[self.y == digit].mean(0) for digit in range(10)])
        distances = ((test[:, None] - means) ** 2).sum(2)
        return float((distances.argmin(1) == self.test_y).mean())


def tune(
    arm: GuidedTransferClassifier, episodes: list[Episode]
) -> tuple[GuidedTransferClassifier, dict[str, Any]]:
    """Return an arm with the best settings of `fit`, and the best of later calls."""

    def known_after_fit(candidate: GuidedTransferClassifier) -> float:
        return np.mean([e.score(e.fit(candidate), e.held) for e in episodes])

    fits = [
        clone(arm).set_params(learning_rate=rate, max_epochs=epochs)
        for rate, epochs in FIT_GRID
    ]
    best = max(fits, key=known_after_fit)
    fitted = [(episode, episode.fit(best)) for episode in episodes]

    def known_on_the_way(call: dict[str, Any]) -> float:
        return np.mean([r["held out"] for e, f in fitted for r in e.go_on(f, call)])

    calls = [
        {"learning_rate": rate, "epochs_per_call": epochs} for rate, epochs in CALL_GRID
    ]
    return best, max(calls, key=known_on_the_way)


def interval(differences: pd.Series) -> str:
    """Write a mean difference in points, with a 95 % interval."""
    points = 100 * differences
    half = 1.959964 * points.std(ddof=1) / len(points) ** 0.5
    mean = points.mean()
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def print_tables(frame: pd.DataFrame, arms: list[str]) -> None:
    """Print a table of each measure, a row an arm, a column a number of examples."""
    for measure in ("held out", "learned", "digits"):
        print(f"\n{measure}, %, and beside {arms[0]}, points (95 %)")
        print("| arm | " + " | ".join(map(str, STEPS)) + " |")
        print("|---" * (1 + len(STEPS)) + "|")
        values = frame.pivot(index="episode", columns=["arm", "n"], values=measure)
        for arm in arms:
            cells = []
            for n in STEPS:
                cell = f"{100 * values[arm, n].mean():.1f}"
                if arm != arms[0]:
                    cell += "; " + interval(values[arm, n] - values[arms[0], n])
                cells.append(cell)
            print("| " + " | ".join([arm, *cells]) + " |")
        gains = {arm: interval(values[arm, STEPS[-1]] - values[arm, 0]) for arm in arms}
        print(f"from 0 to {STEPS[-1]}:", gains, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--omniglot", type=Path, required=True)
    parser.add_argument("--digits", type=int, default=1000)
    parser.add_argument("--scouts", type=int, default=30)
    parser.add_argument("--ways", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument(
        "--arms", nargs="+", help="all by default, plain transfer first"
    )
    args = parser.parse_args()
    started = time.perf_counter()
    X, y = load_digits(args.mnist, args.digits)
    source = pretrain(X, y, args.scouts)
    digits = Digits(args.mnist, X, y)
    arms = make_arms(source)
    arms = {name: arms[name] for name in args.arms or arms}
    drawings = load_omniglot(args.omniglot, "background")
    tuning = [Episode(*drawings, args.ways, 1000 + k) for k in range(N_TUNING)]
    drawings = load_omniglot(args.omniglot, "evaluation")
    episodes = [Episode(*drawings, args.ways, seed) for seed in range(args.episodes)]
    rows = []
    for name, arm in arms.items():
        best, call = tune(arm, tuning)
        print(f"  {name}: {best.learning_rate}, {best.max_epochs} epochs; {call}")
        for k, episode in enumerate(episodes):
            for row in episode.go_on(episode.fit(best), call, digits):
                rows.append({"arm": name, "episode": k} | row)
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    print_tables(pd.DataFrame(rows), list(arms))


if __name__ == "__main__":
    main()
