"""What scale and shift of BatchNorm learn alone, beside as many other parameters.

    python benchmarks/inspection_batch_norm.py --mnist FOLDER --tables FOLDER
        [--rows 2000] [--epochs 6] [--depths 1 2 4] [--widths 4 8 16] [--random 1]
        [--repeats 1] [--figure FILE]

Frankle, Schwab and Morcos (2021) train nothing but scale and shift of residual nets on
CIFAR-10, with the output layer frozen, too: test accuracy 48 % with ResNet-14 (1,120 of
these parameters), 69.5 % with ResNet-110 (8,290) and 82 % with ResNet-866 (64,700),
where the whole nets have 91 to 93 %. It rises with depth and with width. Two other
parameters a channel, drawn at random, learn far less.

Here nets of the same build, for MNIST of 14 x 14 pixels, in the paper's training (SGD,
0.1, momentum 0.9, weight decay 0.0001, first scales uniform), but for a few epochs of
32 rows a step, with a cosine schedule; and deep dense nets for the table pendigits,
with Adam. Settings are the same for everything that is trained, and none is tuned.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mnist import load_mnist
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from sklearn_memgen import NetClassifier
from sklearn_memgen.inspection import BatchNormStudy, batch_norm_study

KINDS = ["all", "batch_norm", "random", "output", "none"]


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.shortcut(x))


class ResNet(nn.Sequential):
    """The residual net of CIFAR-10 with 6 n + 2 layers, of any width."""

    def __init__(self, n_classes: int, n_blocks: int, width: int) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(1, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        n_in = width
        for stage in range(3):
            for block in range(n_blocks):
                stride = 2 if stage and not block else 1
                layers.append(Block(n_in, width * 2**stage, stride))
                n_in = width * 2**stage
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, n_classes)]
        super().__init__(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)


class Dense(nn.Sequential):
    """Hidden layers of one width, each with BatchNorm."""

    def __init__(
        self, n_features: int, n_classes: int, n_layers: int, width: int
    ) -> None:
        layers: list[nn.Module] = []
        for k in range(n_layers):
            layers += [
                nn.Linear(width if k else n_features, width),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
        super().__init__(*layers, nn.Linear(width, n_classes))


def load_images(folder: Path, n_rows: int, n_test: int) -> tuple[Any, Any, Any, Any]:
    """Return images of 14 x 14 pixels, centered, to learn and to test."""
    parts: list[Any] = []
    for part, n in (("train", n_rows), ("t10k", n_test)):
        pixels, digits = load_mnist(folder, part)
        chosen = np.random.RandomState(0).permutation(len(digits))[:n]
        images = pixels[chosen].reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5))
        parts += [(images - 0.1307) / 0.3081, digits[chosen]]
    return tuple(parts)


def load_table(folder: Path) -> tuple[Any, Any]:
    """Return pendigits."""
    table = pd.read_parquet(folder / "pendigits.parquet")
    y = table.iloc[:, -1].to_numpy()
    X = table.iloc[:, :-1].to_numpy(np.float32)
    return X, y


def report(name: str, study: BatchNormStudy, seconds: float) -> dict[str, Any]:
    """Print a line, and return it."""
    means = study.means()
    each = study.to_frame().groupby("trained")["test_accuracy"]
    spread = {k: f"{100 * each.min()[k]:.1f}-{100 * each.max()[k]:.1f}" for k in KINDS}
    accuracy = {k: 100 * means["test_accuracy"][k] for k in KINDS}
    print(
        f"| {name} | {means['n_trained']['all']:,.0f} "
        f"| {means['n_trained']['batch_norm']:,.0f} "
        f"({100 * means['share']['batch_norm']:.1f} %) "
        + " ".join(f"| {accuracy[k]:.1f}" for k in KINDS)
        + f" | {spread['random']} | {seconds:.0f} |",
        flush=True,
    )
    return {"name": name, "n": means["n_trained"]["batch_norm"], **accuracy}


def header(first: str) -> None:
    print(
        f"\n| {first} | parameters | scale and shift | all | scale and shift only | "
        "as many others | output layer only | nothing | others, each | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--depths", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--widths", type=int, nargs="*", default=[4, 8, 16])
    parser.add_argument("--dense-widths", type=int, nargs="*", default=[16, 64, 256])
    parser.add_argument("--random", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    options: dict[str, Any] = {
        "n_random": args.random,
        "n_repeats": args.repeats,
        "random_state": 0,
    }

    X, y, X_test, y_test = load_images(args.mnist, args.rows, args.test_rows)
    lines = []

    def images(
        n_blocks: int, width: int, batch_sizes: Any = (), **more: Any
    ) -> BatchNormStudy:
        model = NetClassifier(
            ResNet,
            module_params={"n_blocks": n_blocks, "width": width},
            optimizer="sgd",
            learning_rate=0.1,
            weight_decay=1e-4,
            batch_size=32,
            max_epochs=args.epochs,
            device=args.device,
        )
        settings = options | {"X_test": X_test, "y_test": y_test} | more
        settings["batch_sizes"] = batch_sizes
        return batch_norm_study(model, X, y, scale_init="uniform", **settings)

    header(f"MNIST, {args.rows} rows, {args.epochs} epochs")
    sizes = [(n, 8) for n in args.depths] + [(1, w) for w in args.widths if w != 8]
    for n_blocks, width in sizes:
        start = time.perf_counter()
        study = images(n_blocks, width)
        seconds = time.perf_counter() - start
        name = f"ResNet-{6 * n_blocks + 2}, width {width}"
        lines.append(report(name, study, seconds))

    print("\nThe first of them, others drawn from all tensors, output included:")
    header("")
    start = time.perf_counter()
    study = images(args.depths[0], 8, random_from="all")
    report("random_from='all'", study, time.perf_counter() - start)

    print("\nModes of ResNet-8 trained in full, accuracy on test rows, %")
    study = images(
        1, 8, batch_sizes=(2, 8, 32, 128), n_random=0, training_batch_sizes=(4, 128)
    )
    table = study.modes.assign(test_accuracy=lambda f: 100 * f["test_accuracy"])
    table = table.pivot_table(
        index="training_batch_size",
        columns=table["batch_size"].fillna(0).astype(int).replace(0, "running"),
        values="test_accuracy",
    )
    print(table.round(1).to_string(), flush=True)

    X, y = load_table(args.tables)
    header("pendigits, 5 hidden layers")
    for width in args.dense_widths:
        model = NetClassifier(
            Dense,
            module_params={"n_layers": 5, "width": width},
            optimizer="adam",
            learning_rate=0.01,
            weight_decay=0.0,
            batch_size=128,
            max_epochs=args.epochs,
            device=args.device,
        )
        start = time.perf_counter()
        scaled = make_pipeline(StandardScaler(), model)
        study = batch_norm_study(scaled, X, y, scale_init="uniform", **options)
        seconds = time.perf_counter() - start
        lines.append(report(f"width {width}", study, seconds))
        if width == args.dense_widths[-1]:
            start = time.perf_counter()
            model.set_params(early_stopping=False, random_state=0)
            scaled.fit(X, y)
            one = time.perf_counter() - start
            n_fits = 3 + args.random
            print(
                f"\nThe study of {n_fits} nets took {seconds / one:.1f} times as long "
                f"as one fit ({one:.1f} s)",
                flush=True,
            )
    if args.figure is not None:
        draw(lines, args.figure)


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy against the number of scales and shifts."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    words = {"all": "everything", "batch_norm": "scale and shift only"}
    words |= {"random": "as many others", "output": "output layer only"}
    for kind, label in words.items():
        nets = sorted(
            (line["n"], line[kind]) for line in lines if "Res" in line["name"]
        )
        ax.plot(*zip(*nets, strict=True), "o-", label=label)
    ax.set_xscale("log")
    ax.set_xlabel("number of scales and shifts")
    ax.set_ylabel("accuracy on test rows, %")
    ax.legend(frameon=False)
    plt.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
