"""Seconds an epoch: the public `fit`, a bare loop, and stock skorch.

All three train the same module from the same tensors with the same optimizer. The bare
loop does nothing but index, compute, and step. The floor below it, `compute`, is the
forward and backward pass alone, on batches that are there already.

    python benchmarks/engine.py [--rows 40000] [--columns 50] [--epochs 10] [--rounds 5]

The `WideDeep` rows do the same for the net that `WideDeepClassifier` builds, whose fit
has to encode the table as well; stock skorch gets the encoded tensors as a dict.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import skorch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_memgen import NetClassifier, WideDeepClassifier

#: One net over 1,500 bins, which trains as the bare loop does.
SINGLE_NET = {
    "hidden_layer_sizes": (128, 128),
    "n_members": 1,
    "ema_decay": None,
    "bins": "quantile",
    "n_bins": 48,
    "crosses": (),
}


class MLP(nn.Sequential):
    """A plain net of two hidden layers."""

    def __init__(self, n_features: int, n_classes: int, n_units: int = 64) -> None:
        super().__init__(
            nn.Linear(n_features, n_units),
            nn.ReLU(),
            nn.Linear(n_units, n_units),
            nn.ReLU(),
            nn.Linear(n_units, n_classes),
        )


def bare_loop(
    module: nn.Module,
    inputs: dict[str, Tensor],
    y: Tensor,
    batch_size: int,
    n_epochs: int,
) -> None:
    """Train with a hand-written loop and a fused optimizer."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    module.train()
    for _ in range(n_epochs):
        order = torch.randperm(len(y))
        for start in range(0, len(y), batch_size):
            rows = order[start : start + batch_size]
            batch = [tensor[rows] for tensor in inputs.values()]
            logits = module(*batch)
            if logits.shape[1] == 1:
                target = y[rows].to(logits.dtype)
                loss = F.binary_cross_entropy_with_logits(logits[:, 0], target)
            else:
                loss = F.cross_entropy(logits, y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()


def compute_only(
    module: nn.Module,
    inputs: dict[str, Tensor],
    y: Tensor,
    batch_size: int,
    n_epochs: int,
) -> None:
    """Run forward and backward passes, and nothing else."""
    parameters = list(module.parameters())
    loss_of = Loss()
    batches = list(
        zip(*(t.split(batch_size) for t in [*inputs.values(), y]), strict=True)
    )
    for _ in range(n_epochs):
        for *batch, target in batches:
            torch.autograd.grad(loss_of(module(*batch), target), parameters)


class Loss(nn.Module):
    """The loss of the bare loop, as skorch takes it."""

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        if logits.shape[1] == 1:
            return F.binary_cross_entropy_with_logits(logits[:, 0], y.to(logits.dtype))
        return F.cross_entropy(logits, y)


def stock_skorch(
    module: nn.Module,
    inputs: dict[str, np.ndarray],
    y: np.ndarray,
    batch_size: int,
    n_epochs: int,
) -> None:
    """Train with skorch as it comes, but for shuffling and without validation."""
    net = skorch.NeuralNetClassifier(
        module,
        criterion=Loss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=1e-3,
        max_epochs=n_epochs,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    net.fit(inputs if len(inputs) > 1 else next(iter(inputs.values())), y)


def measure(
    runs: dict[str, Callable[[], object]], rounds: int, n_epochs: int
) -> dict[str, float]:
    """Time the runs in turn, several rounds, and return the medians an epoch."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):  # the first round warms up
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - started) / n_epochs)
    return {name: median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(args.rows, args.columns)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(np.int64)
    print(
        f"{args.rows:,} x {args.columns}, {args.epochs} epochs a fit, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.processor() or platform.machine()}"
    )
    columns = ["compute", "bare loop", "fit", "stock skorch", "fit/bare", "skorch/fit"]
    print(f"{'module':>9}{'batch':>7}" + "".join(f"{c:>14}" for c in columns))
    for name in ("MLP", "WideDeep"):
        for batch_size in (256, 1024):
            common = {
                "batch_size": batch_size,
                "max_epochs": args.epochs,
                "early_stopping": False,
                "schedule": "constant",
                "learning_rate": 1e-3,
                "random_state": 0,
                "device": "cpu",
            }
            if name == "MLP":
                model = NetClassifier(MLP, **common)
                inputs = {"": X}
                make = partial(MLP, args.columns, 2)
            else:
                model = WideDeepClassifier(**SINGLE_NET, **common).fit(X, y)
                encoded = model.encoder_.transform(X).inputs()
                inputs = {key: tensor.numpy() for key, tensor in encoded.items()}
                make = model._make_module(model.encoder_, args.columns, 2)
            tensors = {key: torch.from_numpy(array) for key, array in inputs.items()}
            labels = torch.from_numpy(y)
            sizes = (batch_size, args.epochs)
            medians = measure(
                {
                    "compute": partial(run, compute_only, make, tensors, labels, sizes),
                    "bare": partial(run, bare_loop, make, tensors, labels, sizes),
                    "fit": partial(model.fit, X, y),
                    "stock": partial(run, stock_skorch, make, inputs, y, sizes),
                },
                args.rounds,
                args.epochs,
            )
            print(
                f"{name:>9}{batch_size:>7}"
                + "".join(f"{seconds:>13.3f}s" for seconds in medians.values())
                + f"{medians['fit'] / medians['bare']:>14.2f}"
                + f"{medians['stock'] / medians['fit']:>14.2f}"
            )


def run(
    loop: Callable[..., None],
    make: Callable[[], nn.Module],
    inputs: dict,
    y: Any,
    sizes: tuple[int, int],
) -> None:
    """Run a loop on a new module."""
    loop(make(), inputs, y, *sizes)


if __name__ == "__main__":
    main()
