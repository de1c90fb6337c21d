"""PopulationSearchCV beside GridSearchCV: seconds, peak memory, scores and winner.

    python benchmarks/population_search.py [--data adult numbers] [--rounds 2]
                                           [--rows 48842] [--n-jobs 2]

4 candidates on 5 folds. "adult": WideDeepClassifier as it is by default, two learning
rates and two widths, on the raw table. "numbers": a net of 30-32-32-1 in
NetClassifier on 20,000 x 30 numbers, four learning rates. The searches take turns;
seconds and memory are the best of the rounds. Memory is that of all processes
together, above what this one had before, sampled every 20 ms. Workers are started
before the clock is.
"""

from __future__ import annotations

import argparse
import gc
import math
import platform
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import joblib
import numpy as np
import psutil
import torch
from sklearn.model_selection import GridSearchCV
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult
from sklearn_memgen.model_selection import PopulationSearchCV


class MLP(nn.Sequential):
    """A small net."""

    def __init__(self, n_features: int) -> None:
        super().__init__(
            nn.Linear(n_features, 32),
            nn.ReLU(),
            nn.Linear(32, 32),
            nn.ReLU(),
            nn.Linear(32, 1),
        )


def adult(n_rows: int, device: str) -> tuple[Any, dict[str, list], Any, Any]:
    """Return the default model, its grid, and Adult."""
    X, y = fetch_adult(return_X_y=True)
    grid = {"learning_rate": [1e-3, 3e-3], "hidden_layer_sizes": [(64, 64), (128, 128)]}
    return (
        WideDeepClassifier(random_state=0, device=device),
        grid,
        X[:n_rows],
        y[:n_rows],
    )


def numbers(n_rows: int, device: str) -> tuple[Any, dict[str, list], Any, Any]:
    """Return a small net, its grid, and numbers."""
    n_rows = min(n_rows, 20_000)
    X = np.random.default_rng(0).normal(size=(n_rows, 30)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
    model = NetClassifier(
        MLP, batch_size=256, max_epochs=10, random_state=0, device=device
    )
    return model, {"learning_rate": [3e-4, 1e-3, 3e-3, 1e-2]}, X, y


class PeakMemory:
    """The most memory that this process and its children take, in MiB."""

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self._before = psutil.Process().memory_info().rss
        self.mib = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._done.wait(0.02):
            total = -self._before
            process = psutil.Process()
            for one in [process, *process.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += one.memory_info().rss
            self.mib = max(self.mib, total / 2**20)

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["adult", "numbers"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=48_842)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"5 folds, n_jobs={args.n_jobs}, device {args.device}, {joblib.cpu_count()} "
        f"cores, torch {torch.__version__}, {platform.machine()}"
    )
    print("| data | search | seconds | peak MiB | worst fold difference | winner |")
    print("|---|---|---|---|---|---|")
    for name in args.data:
        compare(name, {"adult": adult, "numbers": numbers}[name], args)


def compare(name: str, make: Callable[..., Any], args: argparse.Namespace) -> None:
    """Run both searches in turns, and print a row for each."""
    model, grid, X, y = make(args.rows, args.device)
    settings = {"cv": 5, "n_jobs": args.n_jobs, "refit": False}
    settings["scoring"] = "neg_log_loss"
    warm_up = GridSearchCV(
        clone_small(model), {"learning_rate": [1e-3, 3e-3]}, **settings | {"cv": 2}
    )
    warm_up.fit(X[:500], y[:500])
    searches = {
        "GridSearchCV": GridSearchCV(model, grid, **settings),
        "PopulationSearchCV": PopulationSearchCV(model, grid, **settings),
    }
    seconds, memory = (
        dict.fromkeys(searches, math.inf),
        dict.fromkeys(searches, math.inf),
    )
    for _ in range(args.rounds):
        for kind, search in searches.items():
            with PeakMemory() as peak:
                started = time.perf_counter()
                search.fit(X, y)
                seconds[kind] = min(seconds[kind], time.perf_counter() - started)
            memory[kind] = min(memory[kind], peak.mib)
    expected = fold_scores(searches["GridSearchCV"])
    for kind, search in searches.items():
        difference = np.abs(fold_scores(search) - expected).max()
        winner = ", ".join(f"{k}={v}" for k, v in search.best_params_.items())
        print(
            f"| {name} | {kind} | {seconds[kind]:.1f} | {memory[kind]:.0f} "
            f"| {difference:.1e} | {winner} |",
            flush=True,
        )


def clone_small(model: Any) -> Any:
    """Return the model with a single epoch."""
    return type(model)(**model.get_params() | {"max_epochs": 1})


def fold_scores(search: Any) -> np.ndarray:
    """Return the scores of all fits, shape (n_splits, n_candidates)."""
    results = search.cv_results_
    return np.stack([results[f"split{i}_test_score"] for i in range(search.n_splits_)])


if __name__ == "__main__":
    main()
