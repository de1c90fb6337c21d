"""GridSearchCV with one worker and with two: a fit keeps to its share of the cores.

    python benchmarks/grid_search.py [--rows 12000]

The floor for two workers is half the time of one; that one may use all cores for each
fit, two workers have one core each. Workers are started before the clock is.
"""

from __future__ import annotations

import argparse
import time

import joblib
import torch
from sklearn.model_selection import GridSearchCV

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import make_memgen_classification


def warm_up() -> None:
    """Load what a first fit loads."""
    X, y = make_memgen_classification(500, random_state=0)
    WideDeepClassifier(max_epochs=1).fit(X, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    X, y = make_memgen_classification(args.rows, random_state=0)
    grid = {"learning_rate": [1e-3, 3e-3], "hidden_layer_sizes": [(), (128, 128)]}
    warm_up()
    joblib.Parallel(n_jobs=2)(joblib.delayed(warm_up)() for _ in range(2))
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.rounds):
        for n_jobs, times in seconds.items():
            model = WideDeepClassifier(max_epochs=10, random_state=0)
            search = GridSearchCV(model, grid, cv=3, n_jobs=n_jobs, refit=False)
            started = time.perf_counter()
            search.fit(X, y)
            times.append(time.perf_counter() - started)
    print(
        f"{args.rows:,} rows, 12 fits of 10 epochs, {joblib.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads in the main process"
    )
    best = {n_jobs: min(times) for n_jobs, times in seconds.items()}
    for n_jobs, time_ in best.items():
        print(f"n_jobs={n_jobs}: {time_:6.2f} s")
    print(f"n_jobs=1 / n_jobs=2: {best[1] / best[2]:.2f}")


if __name__ == "__main__":
    main()
