"""What a Trace costs: seconds an epoch of training with one and without.

One net goes on training on the same encoded rows, a few epochs with a trace and a few
without in turn, so that whatever else the machine does falls on both. All that a trace
does is counted, its start and end among it. The figures are medians of the turns; on a
CPU they are processor seconds of one thread, in which other jobs do not count.

    python benchmarks/trace.py [--rows 40000] [--columns 50] [--epochs 3] [--turns 9]
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from engine import MLP, SINGLE_NET

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.training import (
    ArrayTensors,
    ResidentDataset,
    ResidentNet,
    Trace,
    train,
)


def epoch_seconds(
    net: ResidentNet,
    training: ResidentDataset,
    callbacks: Sequence[Any],
    n_epochs: int,
) -> float:
    """Go on training a net, and return the seconds of an epoch."""
    net.max_epochs = n_epochs
    clock = time.process_time if net.device == "cpu" else time.perf_counter
    started = clock()
    train(net, training, None, callbacks=callbacks)
    return (clock() - started) / n_epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(args.rows, args.columns)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(np.int64)
    many = (y + 2 * (X[:, 3] > 0) + 4 * (X[:, 4] > 0)).astype(np.int64)
    print(
        f"{args.rows:,} x {args.columns}, {args.turns} turns of {args.epochs} epochs, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.processor() or platform.machine()}, {args.device}"
    )
    common = {
        "max_epochs": 1,
        "early_stopping": False,
        "schedule": "constant",
        "learning_rate": 1e-3,
        "random_state": 0,
        "device": args.device,
    }
    variants = [
        ("MLP", 2, NetClassifier(MLP, **common)),
        ("MLP", 8, NetClassifier(MLP, **common)),
        ("WideDeep", 2, WideDeepClassifier(**SINGLE_NET, **common)),
    ]
    columns = ["without", "with", "ratio", "us a step"]
    print(
        f"{'module':>10}{'classes':>9}{'batch':>7}"
        + "".join(map("{:>11}".format, columns))
    )
    for name, n_classes, model in variants:
        target = y if n_classes == 2 else many
        for batch_size in (256, 1024):
            model.set_params(batch_size=batch_size).fit(X, target)
            encoded = X if model.encoder_ is None else model.encoder_.transform(X)
            training = as_dataset(encoded, target)
            seconds: dict[str, list[float]] = {"without": [], "with": []}
            for turn in range(args.turns + 1):  # the first warms up
                for key in sorted(seconds, reverse=bool(turn % 2)):
                    callbacks = [Trace()] if key == "with" else []
                    seconds[key].append(
                        epoch_seconds(model.net_, training, callbacks, args.epochs)
                    )
            without, traced = (median(seconds[k][1:]) for k in ("without", "with"))
            steps = -(-args.rows // batch_size)
            print(
                f"{name:>10}{n_classes:>9}{batch_size:>7}{without:>10.4f}s{traced:>10.4f}s"
                f"{traced / without:>11.3f}{(traced - without) / steps * 1e6:>11.1f}"
            )


def as_dataset(encoded: Any, y: np.ndarray) -> ResidentDataset:
    """Make a dataset of an array or of an encoded table."""
    if isinstance(encoded, np.ndarray):
        encoded = ArrayTensors({"": torch.from_numpy(encoded)})
    return ResidentDataset(encoded, torch.from_numpy(y))


if __name__ == "__main__":
    main()
