"""LotteryPrunedNet on MNIST as in the paper, and its cheap search.

    python benchmarks/lottery.py MNIST [--trials 2] [--iterations 12000]
        [--parts paper one_shot cheap] [--json FILE]

MNIST is the folder of the four original files. The protocol is that of Frankle and
Carbin (2019): LeNet-300-100 with Gaussian Glorot weights, Adam at 1.2e-3, batches of
60, 5,000 of the 60,000 training rows held out and looked at every 100 iterations; a
round prunes 20 % of the weights that remain in a layer, 10 % in the last. The
early-stop iteration is that with the lowest validation loss, and test accuracy is of
then. Pixels are scaled by their mean and standard deviation.

*paper*: 22 rounds of tickets, beside the same masks with newly drawn weights.
*one_shot*: the dense net pruned once to each size. *cheap*: a ticket at 13.5 %, what it
cost in trainings of the dense net, and its test accuracy beside that of the paper's
search.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mnist import LeNet, load_mnist
from torch import nn

from sklearn_memgen import LotteryPrunedNet, NetClassifier

MEAN, DEVIATION = 0.1307, 0.3081
BATCH, N_HELD_OUT = 60, 5000
N_ROUNDS = 21
#: The size at which tickets are compared.
SIZE = 0.135


class GlorotLeNet(LeNet):
    """LeNet-300-100 with Gaussian Glorot weights and biases of zero."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)


def make_net(**params: object) -> NetClassifier:
    """Make the net, with the paper's training."""
    return NetClassifier(
        GlorotLeNet,
        optimizer="adam",
        weight_decay=0.0,
        learning_rate=1.2e-3,
        schedule="constant",
        batch_size=BATCH,
        **params,
    )


def make(n_epochs: int, n_trials: int, **params: object) -> LotteryPrunedNet:
    """Make a search."""
    return LotteryPrunedNet(
        make_net(),
        max_epochs=n_epochs,
        n_trials=n_trials,
        validate_every=100,
        validation_fraction=N_HELD_OUT / 60_000,
        keep_weights=True,
        random_state=0,
        **params,
    )


def load(folder: Path, part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Read digits, scaled by mean and standard deviation."""
    X, y = load_mnist(folder, part)
    return (X - MEAN) / DEVIATION, y


def summarize(rounds: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each size: means, and the range over trials."""
    figures = rounds.groupby(["kind", "round"]).agg(
        remaining=("remaining", "mean"),
        stop=("early_stop_iteration", "mean"),
        stop_min=("early_stop_iteration", "min"),
        stop_max=("early_stop_iteration", "max"),
        test=("accuracy", "mean"),
        test_min=("accuracy", "min"),
        test_max=("accuracy", "max"),
        train=("train_accuracy", "mean"),
    )
    return figures.reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=N_ROUNDS)
    parts = ["paper", "one_shot", "cheap"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    X, y = load(args.folder)
    X_test, y_test = load(args.folder, "t10k")
    steps = -(-(len(X) - N_HELD_OUT) // BATCH)
    n_epochs = -(-args.iterations // steps)
    print(f"{n_epochs} epochs of {steps} iterations, {args.trials} trials")
    searches = {
        "paper": {
            "search": "iterative",
            "n_rounds": args.rounds,
            "controls": ("random_reinit",) if args.trials > 1 else (),
        },
        "one_shot": {"search": "one_shot", "n_rounds": args.rounds},
        "cheap": {"search": "cheap", "remaining": SIZE, "select": SIZE},
    }
    found = {}
    for part in args.parts:
        started = time.perf_counter()
        model = make(n_epochs, args.trials, **searches[part]).fit(X, y)
        rounds = model.score_rounds(X_test, y_test)
        found[part] = rounds
        seconds = time.perf_counter() - started
        cost = model.cost_["dense_trainings"]
        print(f"\n{part}: {cost:.1f} dense trainings, {seconds:.0f} s")
        if part == "cheap":
            rounds = rounds[rounds["stage"] == "final"]
        print(summarize(rounds).round(4).to_string(index=False), flush=True)
        if args.json is not None:
            tables = {name: table.to_dict("list") for name, table in found.items()}
            args.json.write_text(json.dumps(tables, default=float))
    if {"paper", "cheap"} <= set(found):
        paper, cheap = found["paper"], found["cheap"]
        tickets = paper[paper["kind"] == "ticket"]
        at = (tickets["remaining"] - SIZE).abs().idxmin()
        same = tickets[tickets["round"] == tickets.loc[at, "round"]]
        final = cheap[cheap["stage"] == "final"]
        difference = final["accuracy"].mean() - same["accuracy"].mean()
        print(
            f"\nAt {SIZE:.1%} the cheap search reaches {final['accuracy'].mean():.4f}, "
            f"{100 * difference:+.2f} points beside the paper's"
        )


if __name__ == "__main__":
    main()
