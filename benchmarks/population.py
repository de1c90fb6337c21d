"""Seconds an epoch of many nets: as one Population, stacked, in turn, and by joblib.

    python benchmarks/population.py [--sizes 1 8 32 128] [--layers 32 128] [--epochs 2]
                                    [--rounds 2] [--rows 20000] [--data numbers adult]
                                    [--without stacked]

All train the same nets, with other seeds, on 20,000 x 30 normal numbers, and the net of
WideDeepClassifier on Adult; two hidden layers, batches of 256. The ways take turns; the
figures are the best of the rounds. `chunk` is how many nets are stacked at once.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult
from sklearn_memgen.training import (
    ArrayTensors,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
)
from sklearn_memgen.training.stacking_rule import members_a_chunk

BATCH_SIZE = 256
#: Strategies and numbers of processes.
WAYS = {
    "auto": ("auto", None),
    "auto, 2 processes": ("auto", 2),
    "stacked": ("stacked", None),
    "one after another": ("sequential", None),
    "joblib, 2 processes": ("joblib", 2),
}

Data = tuple[Callable[[], ResidentNet], ResidentDataset]


def make_mlp(n_inputs: int, n_units: int, n_epochs: int) -> ResidentNet:
    """Return a plain net."""
    module = nn.Sequential(
        nn.Linear(n_inputs, n_units),
        nn.ReLU(),
        nn.Linear(n_units, n_units),
        nn.ReLU(),
        nn.Linear(n_units, 1),
    )
    return ResidentNet(
        module,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=1e-3,
        max_epochs=n_epochs,
        batch_size=BATCH_SIZE,
        verbose=0,
    )


def numbers(n_rows: int, n_units: int, n_epochs: int) -> Data:
    """Return nets and data of 30 numbers."""
    X = torch.randn(n_rows, 30, generator=torch.Generator().manual_seed(0))
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long()
    data = ResidentDataset(ArrayTensors({"": X}), y)
    return partial(make_mlp, 30, n_units, n_epochs), data


def adult(n_rows: int, n_units: int, n_epochs: int) -> Data:
    """Return the net of WideDeepClassifier and the encoded rows of Adult."""
    X, y = fetch_adult(return_X_y=True)
    X, y = X[:n_rows], (y[:n_rows] == y.max()).to_numpy().astype(np.int64)
    model = WideDeepClassifier(
        hidden_layer_sizes=(n_units, n_units),
        n_members=1,
        crosses=(),
        caution=False,
        batch_size=BATCH_SIZE,
        max_epochs=1,
        random_state=0,
        device="cpu",
    ).fit(X, y)
    data = ResidentDataset(model.encoder_.transform(X), torch.from_numpy(y))

    def make_net() -> ResidentNet:
        net = model._make_net(model.encoder_, data, 1, BATCH_SIZE)
        return net.set_params(batch_size=BATCH_SIZE, max_epochs=n_epochs)

    return make_net, data


def seconds_of(members: list[Member], way: str) -> float:
    """Train a population and return the seconds."""
    strategy, n_jobs = WAYS[way]
    population = Population(members, strategy=strategy, n_jobs=n_jobs, device="cpu")
    started = time.perf_counter()
    population.train()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--layers", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--data", nargs="+", default=["numbers", "adult"])
    parser.add_argument("--without", nargs="*", default=[], choices=WAYS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    ways = [way for way in WAYS if way not in args.without]
    print(
        f"{args.rows:,} rows, {args.epochs} epochs, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}; seconds an epoch"
    )
    print("| data | layers | weights | nets | chunk | " + " | ".join(ways) + " |")
    print("|---" * (5 + len(ways)) + "|")
    for name in args.data:
        for n_units in args.layers:
            make_data = {"numbers": numbers, "adult": adult}[name]
            make_net, data = make_data(args.rows, n_units, args.epochs)
            net = make_net().set_params(device="cpu").initialize()
            n_weights = sum(p.numel() for p in net.module_.parameters())
            for size in args.sizes:
                members = [Member(make_net, data, seed=seed) for seed in range(size)]
                seconds_of(members[:2], "joblib, 2 processes")  # starts the workers
                best = dict.fromkeys(ways, math.inf)
                for turn in range(args.rounds):
                    for way in ways if turn % 2 else reversed(ways):
                        best[way] = min(best[way], seconds_of(members, way))
                figures = [f"{seconds / args.epochs:.2f}" for seconds in best.values()]
                chunk = min(members_a_chunk(net), size)
                cells = [name, f"({n_units}, {n_units})", f"{n_weights:,}", size, chunk]
                print(
                    "| " + " | ".join(map(str, [*cells, *figures])) + " |", flush=True
                )


if __name__ == "__main__":
    main()
