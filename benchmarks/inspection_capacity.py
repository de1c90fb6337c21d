"""Capacity and randomness, beside what the papers say.

    python benchmarks/inspection_capacity.py width --mnist DIR [--rows 2000]
        [--widths 4 8 ... 1024] [--epochs 400] [--repeats 3] [--figure FILE]
    python benchmarks/inspection_capacity.py random [--mnist DIR] [--tables DIR]
        [--rows 1000] [--epochs 80] [--repeats 1] [--figure FILE]

DIR holds the four files of MNIST, or adult.parquet.

`width`: Neyshabur, Tomioka and Srebro (2015): two-layer nets of ReLUs on MNIST, its
images reduced to 10 x 10 pixels by the mean of areas, stochastic gradient descent like
that of the paper: batches of 100, a step of 0.1 that shrinks every epoch, momentum of
0.5 that rises by 0.02 an epoch up to 0.9; no regularization. The paper's 0.99 an epoch
is for 50,000 rows; of 2,000 rows an epoch has few steps, and it is 0.997, so that wide
nets get to fit wrong labels, too. Tested on the 10,000 official test images.

`random`: Zhang et al. (2017): a perceptron of 512 units on images of 28 x 28 pixels,
and the wide and deep net on a sample of Adult, on data as given and on corrupted data,
with regularizers and without; a fifth of the rows is held out to test. The capacity is
looked for in nets of few units, too. Seconds are compared with those of one fit of as
many epochs, of as many rows, in the same run.

No setting was chosen by errors on test rows.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mnist import load_mnist
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.inspection import (
    RandomizationTest,
    capacity_curve,
    randomization_test,
)

#: By what the step shrinks an epoch.
_SHRINK = 0.997
#: Training error up to which a width is said to fit: two rows of 2,000.
TOLERANCE = 0.001
#: Units of small nets, of which the capacity is looked for.
SMALL = (1, 2, 4)
KINDS = (
    "labels",
    "partial_labels",
    "shuffled_features",
    "permuted_values",
    "random_features",
)
WIDTHS = [2**k for k in range(2, 11)]


class MLP(nn.Sequential):
    """A hidden layer of ReLUs."""

    def __init__(self, n_features: int, n_classes: int, n_units: int = 512) -> None:
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


class PaperRates(Callback):
    """Step and momentum of each epoch, after Neyshabur et al."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        epoch = len(net.history) - 1
        for group in net.optimizer_.param_groups:
            group["lr"] = 0.1 * _SHRINK**epoch
            group["momentum"] = min(0.5 + 0.02 * epoch, 0.9)


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Reduce images of 28 x 28 pixels to 10 x 10 by the mean of areas."""
    edges = np.linspace(0, 28, 11)
    overlap = np.minimum(edges[1:, None], np.arange(1, 29)) - np.maximum(
        edges[:-1, None], np.arange(28)
    )
    mean = np.clip(overlap, 0, None) / 2.8  # (10, 28)
    images = pixels.reshape(-1, 28, 28)
    return (mean @ images @ mean.T).reshape(-1, 100).astype(np.float32)


def sample(y: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the numbers of random rows."""
    return np.random.RandomState(0).permutation(len(y))[:n_rows]


def run_width(args: argparse.Namespace) -> None:
    """Print error against width."""
    X, y = load_mnist(args.mnist)
    rows = sample(y, args.rows)
    X_test, y_test = load_mnist(args.mnist, "t10k")
    model = NetClassifier(
        MLP,
        optimizer=partial(torch.optim.SGD, momentum=0.5, fused=True),
        learning_rate=0.1,
        weight_decay=0.0,
        schedule="constant",
        batch_size=100,
        max_epochs=args.epochs,
        callbacks=[PaperRates()],
    )
    start = time.perf_counter()
    curve = capacity_curve(
        model,
        shrink(X[rows]),
        y[rows],
        args.widths,
        label_noise=(0.0, 0.05),
        X_test=shrink(X_test),
        y_test=y_test,
        n_repeats=args.repeats,
        tolerance=TOLERANCE,
        random_state=0,
    )
    print(f"{args.rows} rows, {time.perf_counter() - start:.0f} s", flush=True)
    frame = curve.to_frame()
    frame[["train_error", "test_error"]] *= 100
    grouped = frame.groupby(["label_noise", "width"])
    table = grouped.mean().drop(columns="repeat")
    table.insert(3, "test_std", grouped["test_error"].std())
    print(table.round(3).to_string(), flush=True)
    print(curve.interpolation_width.to_string(), flush=True)
    for level, fitted in curve.interpolation_width.items():
        errors = table.loc[level, "test_error"]
        if np.isfinite(fitted):
            widest = errors.index[-1]
            print(
                f"noise {level:g}: test error {errors[fitted]:.2f} % at the first "
                f"width that fits, {errors[widest]:.2f} % at {widest}",
                flush=True,
            )
    if args.figure:
        curve.plot().figure_.savefig(args.figure, dpi=110)


def show_random(
    name: str, model: Any, X: Any, y: Any, args: argparse.Namespace
) -> RandomizationTest:
    """Print how a model learns random data, and what that costs."""
    kept, _ = train_test_split(np.arange(len(y)), test_size=0.2, random_state=0)
    rows = X.iloc[kept] if hasattr(X, "iloc") else X[kept]
    alone = clone(model).set_params(early_stopping=False, random_state=0)
    clone(alone).set_params(max_epochs=1).fit(rows, y[kept])  # to warm up
    start = time.perf_counter()
    alone.fit(rows, y[kept])
    one_fit = time.perf_counter() - start
    start = time.perf_counter()
    test = randomization_test(
        model,
        *(X, y),
        corruptions=KINDS,
        regularizers=True,
        capacity=True,
        n_repeats=args.repeats,
        random_state=0,
    )
    seconds = time.perf_counter() - start
    n_nets = len(test.runs) + len(test.ladder)
    print(
        f"\n{name}: {test.n_rows} rows; {n_nets} nets in {seconds:.1f} s, "
        f"{seconds / one_fit:.1f} times one fit of {one_fit:.2f} s",
        flush=True,
    )
    table = test.means()
    for column in ("train_accuracy", "test_accuracy", "chance"):
        table[column] *= 100
    print(table.round(2).to_string(), flush=True)
    print(f"effective capacity: {test.effective_capacity.to_dict()}", flush=True)
    return test


def run_random(args: argparse.Namespace) -> None:
    """Print how nets learn random data."""
    test = None
    if args.mnist:
        X, y = load_mnist(args.mnist)
        rows = sample(y, args.rows)
        X, y = X[rows], y[rows]
        model = NetClassifier(
            MLP,
            optimizer=partial(torch.optim.SGD, momentum=0.9, fused=True),
            learning_rate=0.1,
            weight_decay=5e-4,
            schedule="constant",
            batch_size=64,
            max_epochs=args.epochs,
        )
        test = show_random("MNIST, 512 units", model, X, y, args)
        for n_units in SMALL:
            small = clone(model).set_params(module_params={"n_units": n_units})
            capacity = randomization_test(
                small, X, y, corruptions="labels", capacity=True, random_state=0
            )
            found = int(capacity.effective_capacity[True])
            weights = 784 * n_units + n_units + 10 * n_units + 10
            print(
                f"{n_units} units, {weights} weights: fits random labels of {found} "
                f"of {capacity.n_rows} rows",
                flush=True,
            )
    if args.tables:
        table = pd.read_parquet(args.tables / "adult.parquet")
        y = table.pop(table.columns[-1]).astype(str).to_numpy()
        rows = sample(y, args.rows)
        model = WideDeepClassifier(max_epochs=args.epochs)
        found = show_random("Adult", model, table.iloc[rows], y[rows], args)
        test = test or found
    if args.figure and test is not None:
        test.plot().figure_.savefig(args.figure, dpi=110)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["width", "random"])
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    if args.what == "width" and args.mnist is None:
        parser.error("width needs --mnist DIR")
    defaults = {"width": (2000, 400, 3), "random": (1000, 80, 1)}[args.what]
    args.rows = args.rows or defaults[0]
    args.epochs = args.epochs or defaults[1]
    args.repeats = args.repeats or defaults[2]
    pd.set_option("display.width", 200)
    {"width": run_width, "random": run_random}[args.what](args)


if __name__ == "__main__":
    main()
