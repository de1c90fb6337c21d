"""Members that share embeddings, beside nets of their own trained as a Population.

    python benchmarks/members.py DIR [--tables ...] [--splits 3] [--rows 40000]

`n_members=4` of WideDeepClassifier is one net: four perceptrons over the same
embeddings and wide part, computed at once. The other way to have four is four whole
nets. Both learn the same encoded rows and stop by the same held-out rows; nothing is
calibrated. Takes tables and inner splits as `ablation.py` does, so that no decision
rests on a test row. Seconds are those of the training of nets.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss
from tabular import load, split_rows

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.training import Population, pool_logits, probabilities

N_MEMBERS = 4


Rows = tuple[pd.DataFrame, pd.Series]


def train(rows: Rows, X_new: pd.DataFrame, n_members: int, n_nets: int) -> dict:
    """Train nets that differ in their seeds alone, and predict other rows.

    Returns the probabilities that each net predicts, the classes, and the seconds of
    training and of predicting.
    """
    model = WideDeepClassifier(
        n_members=n_members, caution=False, calibrate=False, random_state=0
    )
    learning = model._learning(*rows)
    member = next(learning)  # the net that the fit wants trained, and its rows
    members = [replace(member, seed=member.seed + k) for k in range(n_nets)]
    started = time.perf_counter()
    population = Population(members).train()
    trained = time.perf_counter() - started
    with suppress(StopIteration):
        learning.send(population[0])
    encoded = model.encoder_.transform(X_new)
    started = time.perf_counter()
    nets = [net for net in population.nets_ if net is not None]
    chances = [probabilities(pool_logits(net.logits(encoded))).numpy() for net in nets]
    return {
        "chances": chances,
        "classes": model.classes_,
        "trained": trained,
        "predicted": time.perf_counter() - started,
    }


def loss(y: pd.Series, result: dict, n_nets: int) -> float:
    """Return the log-loss of the mean of the first nets, in nats."""
    chances = np.mean(result["chances"][:n_nets], axis=0, dtype=np.float64)
    chances = np.clip(chances, 1e-7, 1)
    chances /= chances.sum(axis=1, keepdims=True)
    return float(log_loss(y, chances, labels=result["classes"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--tables", nargs="+", help="all by default")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40_000)
    args = parser.parse_args()
    print(f"{args.splits} inner splits; at most {args.rows:,} rows")
    print(
        f"| table | one net | {N_MEMBERS} members of a net | {N_MEMBERS} nets "
        "| training, times as long | predicting, times as long |"
    )
    print("|---|---|---|---|---|---|")
    for path in sorted(args.folder.glob("*.parquet")):
        if args.tables and path.stem not in args.tables:
            continue
        figures = [measure(path, args.rows, seed) for seed in range(args.splits)]
        one, joint, own, trained, predicted = np.mean(figures, axis=0)
        print(
            f"| {path.stem} | {one:.4f} | {joint:.4f} | {own:.4f} "
            f"| {trained:.1f} | {predicted:.1f} |",
            flush=True,
        )


def measure(path: Path, n_rows: int, seed: int) -> tuple[float, ...]:
    """Return log-losses of one net, of members and of nets; and ratios of seconds."""
    X, y = load(path)
    train_rows, _ = split_rows(y, 0)  # the test rows of `tabular.py` stay aside
    chosen = np.random.default_rng(seed).permutation(train_rows)[:n_rows]
    X, y = X.iloc[chosen], y.iloc[chosen]
    kept, held_out = split_rows(y, seed + 1)
    rows = X.iloc[kept], y.iloc[kept]
    X_new, y_new = X.iloc[held_out], y.iloc[held_out]
    joint = train(rows, X_new, N_MEMBERS, 1)
    own = train(rows, X_new, 1, N_MEMBERS)
    return (
        loss(y_new, own, 1),
        loss(y_new, joint, 1),
        loss(y_new, own, N_MEMBERS),
        own["trained"] / joint["trained"],
        own["predicted"] / joint["predicted"],
    )


if __name__ == "__main__":
    main()
