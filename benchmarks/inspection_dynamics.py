"""The largest margin, forgetting, data maps and areas under the margin, beside papers.

    python benchmarks/inspection_dynamics.py [DATA] [--parts margin forgetting maps aum]
        [--steps 100000] [--rows 20000] [--epochs 20] [--repeats 2] [--table-rows 6000]
        [--seeds 3] [--figure FILE]

DATA holds the folders ``mnist`` (the four original files) and ``tabular`` (parquet
files whose last column is the target); by default it is $SKLEARN_MEMGEN_DATA.

*margin*: the data of Figure 1 of Soudry et al. 2018 at their learning rate, iris, and
the digits 0 and 1 of MNIST. Of each optimizer the angle to the hard-margin SVM, and
from step 100 on R^2 of straight lines: of the angle against one over the logarithm of
the step, and of one over the angle against that logarithm, which leaves a constant
beside it.

*forgetting*: the share of unforgettable rows of MNIST in the settings of Toneva et al.
2019 (SGD, batches of 64, learning rate 0.01, momentum 0.5), by a small convolutional
net, of whole images and of such whose pixels are permuted, all in the same way. They
have 60,000 rows, 200 epochs and 5 nets: 91.7 % and 75.3 %.

*maps*: test scores of a net that learned the third of the rows that is most ambiguous
(or hard, or easy), and of one that learned a random third, or all. Test rows are only
predicted.

*aum*: average precision of finding labels that were made wrong, 10 % of them, by the
area under the margin, by that of one plain fit, which has no threshold samples, and by
the loss at its end, the floor; and precision and recall of the threshold.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mnist import load_mnist
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.datasets import make_separable
from sklearn_memgen.inspection import (
    AreaUnderMargin,
    MarginPath,
    aum,
    data_map,
    forgetting,
    margin_path,
)
from sklearn_memgen.training import Trace

PARTS = ("margin", "forgetting", "maps", "aum")
#: Mean and standard deviation of the pixels of MNIST.
PIXELS = (0.1307, 0.3081)
#: Training rows of Adult.
N_ADULT = 32_561
NOISE = 0.1


class ConvNet(nn.Sequential):
    """Two convolutions and two dense layers."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(
            *(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(320, 50), nn.ReLU(), nn.Linear(50, n_classes)),
        )


def say(*words: object) -> None:
    """Print at once."""
    print(*words, flush=True)


def say_table(frame: pd.DataFrame, digits: int = 3) -> None:
    """Print a table in markdown."""
    say("| " + " | ".join(frame.columns) + " |")
    say("|" + "---|" * len(frame.columns))
    for row in frame.itertuples(index=False):
        cells = [f"{x:.{digits}f}" if isinstance(x, float) else str(x) for x in row]
        say("| " + " | ".join(cells) + " |")


# Margin


def fit_lines(path: MarginPath, optimizer: int) -> list[float]:
    """Return R^2 of angle ~ 1 / log step and of angle ~ 1 / (log step + constant)."""
    late = path.steps >= 100
    logs, angle = np.log(path.steps[late]), path.angle[optimizer][late]
    pairs = ((1 / logs, angle), (logs, 1 / angle))
    return [float(np.corrcoef(*pair)[0, 1] ** 2) for pair in pairs]


def margin_part(data: Path, n_steps: int, figure: str | None) -> None:
    """Follow three optimizers on three tables."""
    X, y = make_separable(random_state=0)
    pixels, digits = load_mnist(data / "mnist")
    rows = np.flatnonzero(digits < 2)[:1000]
    flowers, kinds = load_iris(return_X_y=True)
    flowers = StandardScaler().fit_transform(flowers)
    tables = {
        "Figure 1": (X, y, n_steps, 1 / np.linalg.norm(X, 2), False),
        "iris, setosa or not": (flowers, kinds == 0, n_steps, None, True),
        "MNIST, 0 or 1": (pixels[rows], digits[rows], n_steps // 20, None, False),
    }
    for name, (X, y, n, rate, intercept) in tables.items():
        begin = time.perf_counter()
        path = margin_path(
            None, X, y, n_steps=n, learning_rate=rate, fit_intercept=intercept
        )
        seconds = time.perf_counter() - begin
        say(
            f"\n{name}: {X.shape[0]} rows, {X.shape[1]} features, {n} steps of "
            f"{path.learning_rate:.3g}, largest margin {path.max_margin:.4g}, "
            f"{seconds:.0f} s"
        )
        found = []
        for k, optimizer in enumerate(path.optimizers):
            late = path.steps >= n / 10
            slope, _ = np.polyfit(np.log(path.steps[late]), path.norm[k][late], 1)
            angles = [path.angle[k][path.steps >= at][0] for at in (100, n // 10, n)]
            found.append(
                [
                    optimizer,
                    *angles,
                    *fit_lines(path, k),
                    float(slope * path.max_margin),
                    f"{path.loss[k, -1]:.1e}",
                    float(100 * path.margin[k, -1] / path.max_margin),
                ]
            )
        heads = ["optimizer", "angle at step 100", f"at {n // 10}", f"at {n}"]
        heads += [
            "R^2",
            "R^2, constant",
            "norm's slope x margin",
            "loss",
            "margin (% of the largest)",
        ]
        say_table(pd.DataFrame(found, columns=heads))
        if figure is not None and name == "Figure 1":
            path.plot().figure_.savefig(figure, dpi=120)
            say(f"figure: {figure}")


# Forgetting


def forgetting_part(data: Path, n_rows: int, n_epochs: int, n_repeats: int) -> None:
    """Count unforgettable rows of MNIST."""
    pixels, digits = load_mnist(data / "mnist")
    rows = np.random.RandomState(0).permutation(len(digits))[:n_rows]
    plain = (pixels[rows] - PIXELS[0]) / PIXELS[1]
    permuted = plain[:, np.random.RandomState(1).permutation(784)]
    net = NetClassifier(
        ConvNet,
        optimizer=partial(torch.optim.SGD, momentum=0.5),
        learning_rate=0.01,
        weight_decay=0.0,
        schedule="constant",
        batch_size=64,
        max_epochs=n_epochs,
    )
    say(f"\nMNIST: {n_rows} rows, {n_epochs} epochs, {n_repeats} nets")
    found = []
    for name, X, published in (
        ("images", plain, "91.7"),
        ("permuted pixels", permuted, "75.3"),
    ):
        begin = time.perf_counter()
        events = forgetting(
            net,
            X.reshape(-1, 1, 28, 28),
            digits[rows],
            n_repeats=n_repeats,
            random_state=0,
        )
        found.append(
            [
                name,
                published,
                100 * events.unforgettable_share,
                float(100 * (events.counts[0] == 0).mean()),
                float(100 * (~events.learned).any(axis=0).mean()),
                float(events.n_forgotten.mean() / n_repeats),
                f"{time.perf_counter() - begin:.0f}",
            ]
        )
        say(f"  {name}: done in {found[-1][-1]} s")
    heads = ["", "published (%)", "unforgettable (%)", "by the first net (%)"]
    heads += ["never learned (%)", "events a row and net", "seconds"]
    say_table(pd.DataFrame(found, columns=heads), digits=2)


# Tables


def load_table(data: Path, name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Read a table."""
    if name == "digits":
        return load_digits(return_X_y=True, as_frame=True)
    frame = pd.read_parquet(data / "tabular" / f"{name}.parquet")
    frame = frame[:N_ADULT] if name == "adult" else frame
    return frame.iloc[:, :-1], frame.iloc[:, -1]


def split(
    data: Path, name: str, n_rows: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """Return rows to learn and to test, and their labels."""
    X, y = load_table(data, name)
    n_train = min(n_rows, 2 * len(X) // 3)
    X, X_test, y, y_test = train_test_split(
        X, y.to_numpy(), train_size=n_train, stratify=y, random_state=seed
    )
    return X.reset_index(drop=True), X_test, y, y_test


def maps_part(data: Path, n_rows: int, n_seeds: int) -> None:
    """Learn a third of the rows, chosen in different ways."""
    found = []
    for name in ("adult", "pendigits"):
        for seed in range(n_seeds):
            X, X_test, y, y_test = split(data, name, n_rows, seed)
            model = WideDeepClassifier(random_state=seed)
            begin = time.perf_counter()
            mapped = data_map(model, X, y, random_state=seed)
            seconds = time.perf_counter() - begin
            easy = np.argsort(-mapped.confidence)[: len(X) // 3]
            chosen = {
                "all": np.arange(len(X)),
                "a random third": np.random.RandomState(seed).permutation(len(X))[
                    : len(X) // 3
                ],
                "the most ambiguous third": mapped.select(1 / 3),
                "the hardest third": mapped.select(1 / 3, by="confidence"),
                "the easiest third": easy,
            }
            for words, rows in chosen.items():
                begin = time.perf_counter()
                fitted = clone(model).fit(X.iloc[rows], y[rows])
                took = time.perf_counter() - begin
                p = np.zeros((len(X_test), len(np.unique(y))))
                p[:, np.searchsorted(np.unique(y), fitted.classes_)] = (
                    fitted.predict_proba(X_test)
                )
                accuracy = float((fitted.predict(X_test) == y_test).mean())
                p = p.clip(1e-7)
                p /= p.sum(axis=1, keepdims=True)
                loss = log_loss(y_test, p, labels=np.unique(y))
                cost = seconds / took if words == "all" else np.nan
                found.append([name, words, 100 * accuracy, loss, cost])
        say(f"  {name}: done")
    heads = ["table", "rows that are learned", "accuracy (%)", "log-loss", "map / fit"]
    frame = pd.DataFrame(found, columns=heads)
    say(f"\nmaps: {n_rows} rows at most, means of {n_seeds} seeds")
    say_table(frame.groupby(heads[:2], sort=False).mean().reset_index())


def aum_part(data: Path, n_rows: int, n_seeds: int) -> None:
    """Find labels that were made wrong."""
    found = []
    for name in ("digits", "adult", "pendigits"):
        for seed in range(n_seeds):
            X, _, y, _ = split(data, name, n_rows, seed)
            rng = np.random.RandomState(seed)
            classes, codes = np.unique(y, return_inverse=True)
            wrong = np.zeros(len(y), dtype=bool)
            wrong[rng.permutation(len(y))[: round(NOISE * len(y))]] = True
            shifts = rng.randint(1, len(classes), size=len(y))
            noisy = classes[np.where(wrong, (codes + shifts) % len(classes), codes)]
            model = WideDeepClassifier(
                early_stopping=False, callbacks=[Trace()], random_state=seed
            )
            begin = time.perf_counter()
            fitted = clone(model).fit(X, noisy)
            fit = time.perf_counter() - begin
            codes = np.searchsorted(classes, noisy)
            p = fitted.predict_proba(X)[np.arange(len(X)), codes]
            begin = time.perf_counter()
            areas = aum(model, X, noisy, random_state=seed)
            cost = (time.perf_counter() - begin) / fit
            scores = {
                "area under the margin": -areas.aum,
                "area, no threshold samples": -AreaUnderMargin.from_trace(
                    fitted.trace_
                ).aum,
                "loss at the end": -p,
                "at random": rng.uniform(size=len(X)),
            }
            is_issue = areas.is_issue
            hit = float(100 * wrong[is_issue].mean()) if is_issue.any() else np.nan
            for words, score in scores.items():
                precision = average_precision_score(wrong, score)
                extra = [float(100 * is_issue[wrong].mean()), hit, cost]
                if words != "area under the margin":
                    extra = [np.nan] * 3
                found.append([name, words, precision, *extra])
        say(f"  {name}: done")
    heads = ["table", "by", "average precision", "threshold: recall (%)"]
    heads += ["precision (%)", "time / fit"]
    frame = pd.DataFrame(found, columns=heads)
    say(f"\naum: {n_rows} rows at most, {NOISE:.0%} wrong, means of {n_seeds} seeds")
    say_table(frame.groupby(heads[:2], sort=False).mean().reset_index())


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", nargs="?", default=os.environ.get("SKLEARN_MEMGEN_DATA")
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--table-rows", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure")
    args = parser.parse_args()
    if args.data is None:
        parser.error("DATA is needed, or the environment variable SKLEARN_MEMGEN_DATA")
    data = Path(args.data)
    begin = time.perf_counter()
    if "margin" in args.parts:
        margin_part(data, args.steps, args.figure)
    if "maps" in args.parts:
        maps_part(data, args.table_rows, args.seeds)
    if "aum" in args.parts:
        aum_part(data, args.table_rows, args.seeds)
    if "forgetting" in args.parts:
        forgetting_part(data, args.rows, args.epochs, args.repeats)
    say(f"\n{time.perf_counter() - begin:.0f} s in all")


if __name__ == "__main__":
    main()
