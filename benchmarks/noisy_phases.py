"""Phases of learning with noise, of nets that were pretrained and of others.

    python benchmarks/noisy_phases.py DIR [--mnist DIR] [--tasks ...] [--rows 10000]
        [--seeds 5] [--epochs 20] [--results DIR]

DIR holds adult.parquet and pendigits.parquet, the folder of MNIST the four files of the
original. Three tasks, of each a seeded sample of `--rows` labeled rows:

- mnist: digits 5 to 9 by a perceptron of 300 and 100 units, pretrained to tell the
  digits 0 to 4;
- adult and pendigits: two hidden layers of 256 units, pretrained on masked cells of all
  rows.

The nets that were not pretrained have the same encoder and the same layers, from a
source that learned nothing. Rows held out have the true labels.

*Phases*: of each level of noise the last epochs of fitting and settling, on average
over seeds; accuracy of the settled net and of the last epoch on rows held out; and of
the rows made wrong the share whose wrong label is reproduced in these epochs.

*Forgetting*: of the rows that were learned the share that was forgotten at least once,
at level 0.

*Steps*: how the share of corrupted labels that are reproduced changes from the last
quarter of an epoch to the first of the next, and from the first quarter of an epoch to
its last, on average over epochs.

With `--results` each result is stored when it is there, and those that are there are
not computed again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mnist import LeNetBody, load_mnist
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_memgen import NetClassifier, NoisyFineTuneProbe, SourceNet
from sklearn_memgen.training import Batch

TASKS = ["mnist", "adult", "pendigits"]
LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
#: Noise of the net whose steps are watched.
STEPS_LEVEL = 0.3
N_QUARTERS = 4
#: So small that a source learns nothing.
NO_LEARNING = {"max_epochs": 1, "learning_rate": 1e-12}


class WrongLabels(Callback):
    """Watch, step by step, how many of the wrong labels are reproduced.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
        The class indices that are learned.
    is_wrong : ndarray of shape (n_rows,)
        Which of them are wrong.
    """

    def __init__(self, labels: np.ndarray, is_wrong: np.ndarray) -> None:
        self.labels = labels
        self.is_wrong = is_wrong
        self.steps_: list[list[tuple[int, int]]] = []

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.steps_.append([])

    def observe(self, batch: Batch, logits: Tensor, losses: Tensor) -> None:
        rows = np.arange(len(self.labels))[
            batch.rows if isinstance(batch.rows, slice) else batch.rows.cpu().numpy()
        ]
        flat = logits.ndim == 1 or logits.shape[1] == 1
        predicted = logits.view(-1) > 0 if flat else logits.argmax(1)
        right = predicted.long().cpu().numpy() == self.labels[rows]
        wrong = self.is_wrong[rows]
        self.steps_[-1].append((int(right[wrong].sum()), int(wrong.sum())))

    def quarters(self) -> np.ndarray:
        """Return shares, of shape (n_epochs, 4)."""
        shares = []
        for epoch in self.steps_:
            parts = np.array_split(np.array(epoch), N_QUARTERS)
            shares.append([part[:, 0].sum() / part[:, 1].sum() for part in parts])
        return np.array(shares)


@lru_cache
def read(task: str, folder: Path, mnist: Path | None) -> tuple[Any, np.ndarray]:
    """Read all rows of a task, as a table or as arrays, and their labels."""
    if task == "mnist":
        assert mnist is not None, "mnist needs --mnist"
        return load_mnist(mnist)
    table = pd.read_parquet(folder / f"{task}.parquet")
    return table.iloc[:, :-1], table.iloc[:, -1].astype(str).to_numpy()


def make_source(task: str, X: Any, y: np.ndarray, seed: int, learns: bool) -> SourceNet:
    """Pretrain a source, or make one that learned nothing."""
    params: dict[str, Any] = {"random_state": seed} | ({} if learns else NO_LEARNING)
    if task != "mnist":
        return SourceNet(hidden_layer_sizes=(256, 256), **params).fit(X)
    few = y < 5
    source = SourceNet(objective="supervised", module=LeNetBody, **params)
    return source.fit(X[few], y[few])


def measure(
    task: str, pretrained: bool, seed: int, n_rows: int, n_epochs: int, data: Any
) -> dict[str, Any]:
    """Probe one sample of a task with one kind of start."""
    X, y = data
    source = make_source(task, X, y, seed, pretrained)
    rows = np.flatnonzero(y >= 5) if task == "mnist" else np.arange(len(y))
    rows = np.random.default_rng(seed).permutation(rows)[:n_rows]
    X = X[rows] if task == "mnist" else X.iloc[rows]
    classes, codes = np.unique(y[rows], return_inverse=True)
    net = NetClassifier(source=source, learning_rate=1e-3, random_state=seed)
    probe = NoisyFineTuneProbe(
        net,
        noise_levels=LEVELS,
        max_epochs=n_epochs,
        validation_fraction=0.2,
        threshold_fraction=None,
        random_state=seed,
    ).fit(X, codes)
    examples = probe.examples_
    learned = examples["first_learned_epoch"].notna()
    forgotten = (examples["n_forgotten"] > 0)[learned].mean()
    rng = np.random.default_rng(seed)
    is_wrong = rng.uniform(size=len(codes)) < STEPS_LEVEL
    shift = rng.integers(1, len(classes), len(codes))
    noisy = np.where(is_wrong, (codes + shift) % len(classes), codes)
    watch = WrongLabels(noisy, is_wrong)
    net.set_params(
        callbacks=[watch],
        early_stopping=False,
        schedule="constant",
        max_epochs=n_epochs,
    ).fit(X, noisy)
    return {
        "task": task,
        "pretrained": pretrained,
        "seed": seed,
        "phases": probe.phases_.reset_index().to_dict("list"),
        "curves": probe.curves_.to_dict("list"),
        "forgotten": float(forgotten),
        "quarters": watch_of(net).quarters().tolist(),
    }


def watch_of(net: NetClassifier) -> WrongLabels:
    """Return the callback that watched a fit, or its copy."""
    return next(c for _, c in net.net_.callbacks_ if isinstance(c, WrongLabels))


def phases_of(result: dict[str, Any]) -> pd.DataFrame:
    """Return a row for each level: ends of phases, and accuracies there."""
    curves = pd.DataFrame(result["curves"]).set_index(["level", "epoch"])
    rows = []
    for _, phase in pd.DataFrame(result["phases"]).iterrows():
        level, end = phase["level"], int(phase["settling_end"])
        of_level = curves.loc[level]
        settled, last = of_level.loc[end], of_level.iloc[-1]
        rows.append(
            {
                "task": result["task"],
                "pretrained": result["pretrained"],
                "level": level,
                "fitting": phase["fitting_end"],
                "settling": end,
                "settles for": end - phase["fitting_end"],
                "memorizes": phase["memorizes"],
                "settled": settled["validation_accuracy"],
                "last": last["validation_accuracy"],
                "best": of_level["validation_accuracy"].max(),
                "wrong, settled": settled["wrong_accuracy"],
                "wrong, last": last["wrong_accuracy"],
            }
        )
    return pd.DataFrame(rows)


def show(results: list[dict[str, Any]]) -> None:
    """Print the tables."""
    keys = ["task", "pretrained"]
    phases = pd.concat([phases_of(result) for result in results])
    means = phases.groupby([*keys, "level"], sort=False).mean()
    print(f"\nPhases, means of {len({r['seed'] for r in results})} seeds")
    print(means.round(3).to_string())
    rows = []
    for result in results:
        quarters = np.array(result["quarters"])
        rows.append(
            {
                "task": result["task"],
                "pretrained": result["pretrained"],
                "forgotten": result["forgotten"],
                "between epochs": (quarters[1:, 0] - quarters[:-1, -1]).mean(),
                "within epochs": (quarters[:, -1] - quarters[:, 0]).mean(),
            }
        )
    others = pd.DataFrame(rows).groupby(keys, sort=False)
    print("\nForgetting at level 0, and steps at level", STEPS_LEVEL)
    print(others.mean().round(3).to_string())
    print("standard deviations of seeds")
    print(others.std().round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results = []
    for seed in range(args.seeds):
        for task in args.tasks:
            for pretrained in (True, False):
                path = None
                if args.results is not None:
                    args.results.mkdir(parents=True, exist_ok=True)
                    path = args.results / f"{task} {pretrained} {seed}.json"
                if path is not None and path.exists():
                    results.append(json.loads(path.read_text()))
                    continue
                data = read(task, args.folder, args.mnist)
                result = measure(task, pretrained, seed, args.rows, args.epochs, data)
                results.append(result)
                if path is not None:
                    path.write_text(json.dumps(result))
                print(task, "pretrained" if pretrained else "new", seed, flush=True)
    show(results)


if __name__ == "__main__":
    main()
