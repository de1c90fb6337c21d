"""Flatness: large and small batches, scaled layers, and lines between nets.

    python benchmarks/inspection_flatness.py batches --mnist DIR --tables DIR
        [--rows 10000] [--epochs 20] [--seeds 3] [--figure FILE]
    python benchmarks/inspection_flatness.py scaling
    python benchmarks/inspection_flatness.py lines [--epochs 30] [--repeats 5]
    python benchmarks/inspection_flatness.py cost --mnist DIR

DIR holds the four files of MNIST, or adult.parquet.

`batches`: Keskar et al. (2017) train nets in small batches of 256 rows and in large
ones of 10 % of the rows, and find the latter in sharper minima that generalize worse.
Here a perceptron with BatchNorm, like their F1 but of 4 x 128 units, on MNIST digits,
and the deep part of `WideDeepClassifier` on a sample of Adult; Adam at 0.001 for all,
without weight decay, as in the paper, for as many epochs. Of 10,000 rows 10 % are but
four times 256, so that batches of 32 are there, too; and since in as many epochs large
batches take fewer steps, once more for as many steps as those of 256. Sharpness on
2,000 of the rows learned, test accuracy on 10,000 others.

`scaling`: Dinh et al. (2017): a layer of a net of ReLUs is multiplied and the next one
divided by a number, which changes no prediction.

`lines`: Frankle et al. (2020): the error between two nets that parted after k epochs,
on digits of scikit-learn, for a wide net and a narrow one at a higher learning rate.

`cost`: seconds, as multiples of the fit that was inspected.

No setting was chosen by what is shown here.
"""

from __future__ import annotations

import argparse
import copy
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mnist import load_mnist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.inspection import MEASURES, instability, loss_landscape, sharpness

Data = tuple[Any, Any, Any, Any]


class Perceptron(nn.Sequential):
    """Hidden layers of ReLUs, with BatchNorm or without."""

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        n_layers: int = 4,
        n_units: int = 128,
        norm: bool = True,
    ) -> None:
        layers: list[nn.Module] = []
        for depth in range(n_layers):
            layers.append(nn.Linear(n_units if depth else n_features, n_units))
            if norm:
                layers.append(nn.BatchNorm1d(n_units))
            layers.append(nn.ReLU())
        super().__init__(*layers, nn.Linear(n_units, n_classes))


def make(table: bool, **params: Any) -> NetClassifier:
    """Make a classifier that is trained as the paper's nets are."""
    params |= {
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "constant",
        "early_stopping": False,
        "ema_decay": None,
    }
    if table:
        return WideDeepClassifier(wide=False, n_members=1, dropout=0.0, **params)
    return NetClassifier(Perceptron, **params)


def load(args: argparse.Namespace) -> dict[str, Data]:
    """Return training and test rows of each data set."""
    data: dict[str, Data] = {}
    if args.mnist is not None:
        X, y = load_mnist(args.mnist)
        rows = np.random.RandomState(0).permutation(len(X))[: args.rows]
        data["MNIST"] = X[rows], y[rows], *load_mnist(args.mnist, "t10k")
    if args.tables is not None:
        table = pd.read_parquet(args.tables / "adult.parquet")
        y = table.pop("target").to_numpy()
        parts = train_test_split(
            table, y, train_size=args.rows, test_size=10_000, random_state=0, stratify=y
        )
        data["Adult"] = parts[0], parts[2], parts[1], parts[3]
    return data


def compare_batches(args: argparse.Namespace) -> None:
    """Print sharpness by size of batches."""
    curves, rows = {}, []
    large = args.rows // 10
    plans = [
        ("32", 32, args.epochs),
        ("256", 256, args.epochs),
        (f"{large:,}", large, args.epochs),
        (f"{large:,}, as many steps as 256", large, round(args.epochs * large / 256)),
    ]
    for name, (X, y, X_test, y_test) in load(args).items():
        for words, size, n_epochs in plans:
            for seed in range(args.seeds):
                start = time.perf_counter()
                model = make(
                    name == "Adult",
                    batch_size=size,
                    max_epochs=n_epochs,
                    random_state=seed,
                ).fit(X, y)
                seconds = time.perf_counter() - start
                found = sharpness(model, X, y, random_state=0)
                line = loss_landscape(
                    model, X, y, n_points=25, span=0.8, random_state=seed
                )
                curves.setdefault((name, words), []).append(line)
                rows.append(
                    {
                        "data": name,
                        "batch": words,
                        "epochs": n_epochs,
                        "seed": seed,
                        "train": 1 - found.error,
                        "train loss": found.loss,
                        "test": model.score(X_test, y_test),
                        **found.values,
                        "residual": found.residual / found.values["hessian_eigenvalue"],
                        "negative": found.smallest_eigenvalue,
                        "fit s": seconds,
                    }
                )
                print(pd.Series(rows[-1]).to_frame().T.to_string(header=seed == 0))
    frame = pd.DataFrame(rows)
    groups = frame.drop(columns="seed").groupby(["data", "batch"], sort=False)
    print(groups.mean().to_string(float_format="{:.4g}".format))
    print("standard deviations over seeds")
    print(groups.std().to_string(float_format="{:.2g}".format))
    print("rank correlation of each measure with test accuracy, over all nets")
    for name, part in frame.groupby("data"):
        measures = ["train loss", *MEASURES]
        ranks = part[measures].corrwith(part["test"], method="spearman")
        print(name, ranks.round(2).to_dict(), flush=True)
    if args.figure is not None:
        draw_batches(curves, args.figure)


def draw_batches(curves: dict[tuple[str, str], list[Any]], path: Path) -> None:
    """Draw losses along random directions, a panel for each data set."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for name, _ in curves))
    fig, axes = plt.subplots(
        1, len(names), figsize=(5.2 * len(names), 3.8), layout="constrained"
    )
    for ax, name in zip(np.ravel(axes), names, strict=True):
        for (data, words), lines in curves.items():
            if data == name:
                loss = np.mean([line.loss[:, 0] for line in lines], axis=0)
                ax.plot(lines[0].a, loss, label=f"batches of {words}")
        ax.set_yscale("log")
        ax.set_title(f"{name}: loss along random directions", loc="left", fontsize=10)
        ax.set_xlabel("way, 1 is as long as the weights")
        ax.set_ylabel("loss, nats")
        ax.legend(frameon=False, fontsize=8)
    fig.savefig(path, dpi=110)


def compare_scales(args: argparse.Namespace) -> None:
    """Print measures of a net before and after its layers are scaled."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
    model = make(
        False,
        module_params={"n_layers": 2, "norm": False},
        max_epochs=30,
        random_state=0,
    ).fit(X, y)
    rows = []
    for factor in (1, 3, 10, 30):
        scaled = copy.deepcopy(model)
        first, _, second = list(scaled.net_.module_)[:3]
        with torch.no_grad():
            first.weight *= factor
            first.bias *= factor
            second.weight /= factor
        found = sharpness(scaled, X, y, n_rows=None, n_iter=60, random_state=0)
        line = loss_landscape(scaled, X, y, n_points=3, span=0.5, random_state=0)
        rows.append(
            {
                "factor": factor,
                "test": scaled.score(X_test, y_test),
                **found.values,
                "loss at 0.5, by filters": line.loss[-1, 0],
            }
        )
    print(pd.DataFrame(rows).to_string(float_format="{:.4g}".format), flush=True)


def compare_lines(args: argparse.Namespace) -> None:
    """Print instability by the epoch at which nets part."""
    X, y = load_digits(return_X_y=True)
    wide = {"n_layers": 2, "n_units": 128}
    plans = [
        ("2 x 128, rate 0.001", wide | {"norm": False}, 0.001, "interpolate"),
        ("the same with BatchNorm", wide, 0.001, "interpolate"),
        ("its statistics re-estimated", wide, 0.001, "reestimate"),
        (
            "3 x 32, rate 0.01",
            {"n_layers": 3, "n_units": 32, "norm": False},
            0.01,
            "interpolate",
        ),
    ]
    for words, module_params, rate, batch_norm in plans:
        model = make(
            False, module_params=module_params, batch_size=32, max_epochs=args.epochs
        ).set_params(learning_rate=rate)
        start = time.perf_counter()
        found = instability(
            model,
            X / 16,
            y,
            epochs=[k for k in (0, 1, 2, 4, 8, 16) if k < args.epochs],
            n_repeats=args.repeats,
            batch_norm=batch_norm,
            random_state=0,
        )
        print(f"{words}: {time.perf_counter() - start:.0f} s")
        frame = found.to_frame().drop(columns="repeat").groupby("epoch")
        means = frame.mean().assign(std=frame["instability"].std())
        print(means.to_string(float_format="{:.4f}".format), flush=True)


def compare_costs(args: argparse.Namespace) -> None:
    """Print seconds of each inspection beside those of the fit."""
    for name, (X, y, *_) in load(args).items():
        start = time.perf_counter()
        model = make(
            name == "Adult", batch_size=256, max_epochs=args.epochs, random_state=0
        ).fit(X, y)
        fit = time.perf_counter() - start
        print(f"{name}: a fit of {args.epochs} epochs {fit:.1f} s")
        jobs: dict[str, Any] = {m: partial(sharpness, measures=m) for m in MEASURES}
        jobs["landscape, 31 points"] = loss_landscape
        jobs["landscape, 31 x 31 points"] = partial(loss_landscape, dimensions=2)
        for job, inspect in jobs.items():
            start = time.perf_counter()
            inspect(model, X, y)
            seconds = time.perf_counter() - start
            print(f"  {job}: {seconds:.2f} s, {seconds / fit:.2f} fits", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {
        "batches": compare_batches,
        "scaling": compare_scales,
        "lines": compare_lines,
        "cost": compare_costs,
    }
    parser.add_argument("part", choices=parts)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    parts[args.part](args)


if __name__ == "__main__":
    main()
