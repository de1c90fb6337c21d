"""How many scouts a guide needs, and how many rows each of them.

    python benchmarks/guided_saturation.py --mnist FOLDER --omniglot FILE
        [--source 1000] [--ways 20] [--episodes 20] [--rate 0.003] [--epochs 120]

Data and net are those of `guided_transfer.py`, and all scouts begin with the same base.
First more and more scouts learn all rows of three digits, then 30 scouts learn fewer
and fewer rows. For each guide: the rank correlation with the guide of all 120 scouts,
over the weights of the body, and the accuracy of one-shot episodes beside plain
transfer, which has a third of the learning rate, as tuned in `guided_transfer.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from guided_transfer import COMMON, load_digits, load_omniglot, pretrain
from scipy.stats import spearmanr

from sklearn_memgen import (
    GuidedTransferClassifier,
    SourceNet,
    compare_shots,
    few_shot_curve,
)

N_SCOUTS = (1, 3, 10, 30, 120)
N_ROWS = (15, 30, 100, 300)
#: Scouts of the sweep of rows.
N_FEW = 30


def some_rows(n_rows: int) -> Callable[..., list[np.ndarray]]:
    """Return what gives each scout so many rows of three digits."""

    def divide(X: Any, y: Any, n_scouts: int, rng: Any) -> list[np.ndarray]:
        tasks = []
        for _ in range(n_scouts):
            digits = rng.choice(10, 3, replace=False)
            rows = [rng.permutation(np.flatnonzero(y == d)) for d in digits]
            tasks.append(np.concatenate([r[: n_rows // 3] for r in rows]))
        return tasks

    return divide


def weights_of(source: SourceNet) -> torch.Tensor:
    """Return how far the weights of the body went."""
    raw = source.displacement_.only("body.").guide(focus="raw")
    return torch.cat([v.flatten() for n, v in raw.items() if n.endswith("weight")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--omniglot", type=Path, required=True)
    parser.add_argument("--source", type=int, default=1000, help="digits")
    parser.add_argument("--ways", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--rate", type=float, default=0.003)
    parser.add_argument("--epochs", type=int, default=120)
    args = parser.parse_args()
    X, y = load_digits(args.mnist, args.source)
    sources = {f"{n} scouts": pretrain(X, y, n) for n in N_SCOUTS}
    for n_rows in N_ROWS:
        name = f"{N_FEW} scouts of {n_rows} rows"
        sources[name] = pretrain(X, y, N_FEW, scout_tasks=some_rows(n_rows))
    common = COMMON | {"max_epochs": args.epochs}
    first = next(iter(sources.values()))
    plain = GuidedTransferClassifier(
        first, guide=None, learning_rate=args.rate / 3, **common
    )
    arms: dict[str, Any] = {"plain transfer": plain}
    for name, source in sources.items():
        arms[name] = GuidedTransferClassifier(source, learning_rate=args.rate, **common)
    curve = few_shot_curve(
        arms,
        *load_omniglot(args.omniglot, "evaluation"),
        shots=(1,),
        n_ways=args.ways,
        n_episodes=args.episodes,
        random_state=0,
    )
    everything = weights_of(sources[f"{max(N_SCOUTS)} scouts"])
    found = {n: spearmanr(weights_of(s), everything) for n, s in sources.items()}
    table = curve.groupby("estimator", sort=False)[["score"]].mean()
    differences = compare_shots(curve, reference="plain transfer")
    columns = ["mean_difference", "low", "high"]
    table = 100 * table.join(differences.set_index("estimator")[columns])
    ranks = pd.Series({n: result.statistic for n, result in found.items()})
    print(table.assign(rank_correlation=ranks).round(2).to_string())


if __name__ == "__main__":
    main()
