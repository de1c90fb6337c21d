"""How long `predict_proba` takes for one row, for a few, and for a great many.

    python benchmarks/serving.py [--rounds 200] [--bulk 1000000]

WideDeepClassifier, LightGBM and pytorch-widedeep are fitted to Adult, by default, and
predict from a DataFrame: rows that are drawn anew for every call, with LightGBM's
strings as pandas categories already. Models take turns, so that what else the machine
does hits all alike. Tables of 10,000 rows get a tenth of the rounds and the bulk three;
pytorch-widedeep gets a tenth of the bulk.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from peers import MAKERS

from sklearn_memgen.datasets import fetch_adult

MODELS = {
    "LightGBM": "lightgbm",
    "pytorch-widedeep": "pytorch_widedeep",
    "WideDeepClassifier": "wide_deep",
}
SLOW = ("pytorch-widedeep",)


def seconds_of_rounds(
    fitted: dict[str, tuple[Any, pd.DataFrame]],
    sizes: dict[str, int],
    rounds: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Time predictions of newly drawn rows, models in turn, after one round unseen."""
    seconds: dict[str, list[float]] = {name: [] for name in fitted}
    for _ in range(rounds + 1):
        for name, (model, X) in fitted.items():
            rows = X.iloc[rng.integers(len(X), size=sizes[name])]
            rows = rows.reset_index(drop=True)
            started = time.perf_counter()
            model.predict_proba(rows)
            seconds[name].append(time.perf_counter() - started)
    return {name: np.array(times[1:]) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--bulk", type=int, default=1_000_000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    X, y = fetch_adult(return_X_y=True)
    rng = np.random.default_rng(0)
    fitted = {}
    for name, maker in MODELS.items():
        model, table = MAKERS[maker](X, 0)
        fitted[name] = model.fit(table, y), table
    print(
        f"Adult, {X.shape[1]} columns, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}"
    )
    columns = {}
    for size in (1, 200, 10_000):
        rounds = args.rounds if size < 10_000 else max(args.rounds // 10, 1)
        sizes = dict.fromkeys(fitted, size)
        for name, seconds in seconds_of_rounds(fitted, sizes, rounds, rng).items():
            columns.setdefault(f"{size:,}: median ms", {})[name] = (
                f"{1000 * np.median(seconds):.2f}"
            )
            columns.setdefault(f"{size:,}: 99 % ms", {})[name] = (
                f"{1000 * np.percentile(seconds, 99):.2f}"
            )
    sizes = {name: args.bulk // (10 if name in SLOW else 1) for name in fitted}
    for name, seconds in seconds_of_rounds(fitted, sizes, 3, rng).items():
        columns.setdefault("bulk rows", {})[name] = f"{sizes[name]:,}"
        columns.setdefault("bulk rows/s", {})[name] = (
            f"{sizes[name] / np.median(seconds):,.0f}"
        )
    print(pd.DataFrame(columns).T.to_string())


if __name__ == "__main__":
    main()
