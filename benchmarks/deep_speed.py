"""Seconds an epoch on Adult: WideDeepClassifier and pytorch-widedeep.

    python benchmarks/deep_speed.py [--epochs 5] [--rounds 3]

Both have a wide part and a deep part, of the same batch and layer sizes; what a number
or a string is turned into is each library's own. Crosses are left out, early stopping
is off. `epoch` is training alone, `fit` everything from the table on, over the number
of epochs. Models take turns; the figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from peers import PytorchWideDeep

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult

Figures = tuple[float, float]


def fit_ours(
    X: pd.DataFrame, y: pd.Series, sizes: Sequence[int], batch_size: int, n_epochs: int
) -> Figures:
    """Return the seconds of an epoch and of the fit, over the number of epochs."""
    model = WideDeepClassifier(
        hidden_layer_sizes=sizes,
        n_members=1,
        crosses=(),
        caution=False,
        batch_size=batch_size,
        max_epochs=n_epochs,
        early_stopping=False,
        random_state=0,
        device="cpu",
    )
    started = time.perf_counter()
    model.fit(X, y)
    fit = (time.perf_counter() - started) / n_epochs
    return model.history_["duration"].mean(), fit


def fit_peer(
    X: pd.DataFrame, y: pd.Series, sizes: Sequence[int], batch_size: int, n_epochs: int
) -> Figures:
    """Return the same for pytorch-widedeep."""
    model = PytorchWideDeep(sizes, crosses=(), n_epochs=n_epochs, batch_size=batch_size)
    started = time.perf_counter()
    inputs = model.fit_preprocessors(X).transform(X)
    encoded = time.perf_counter()
    model.train(inputs, (y == y.max()).to_numpy().astype(np.int64))
    done = time.perf_counter()
    return (done - encoded) / n_epochs, (done - started) / n_epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    X, y = fetch_adult(return_X_y=True)
    print(
        f"Adult, {len(X):,} rows, {args.epochs} epochs a fit, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.machine()}"
    )
    fits: dict[str, Callable[..., Figures]] = {
        "WideDeepClassifier": fit_ours,
        "pytorch-widedeep": fit_peer,
    }
    for fit in fits.values():  # which loads what is loaded late
        fit(X[:1000], y[:1000], (8,), 256, 1)
    rows = []
    for sizes in ((128, 128), (200, 100)):
        for batch_size in (256, 1024):
            run = {name: partial(fit, X, y, sizes) for name, fit in fits.items()}
            figures: dict[str, list[Figures]] = {name: [] for name in fits}
            for _ in range(args.rounds):
                for name, call in run.items():
                    figures[name].append(call(batch_size, args.epochs))
            medians = {name: np.median(f, axis=0) for name, f in figures.items()}
            ours, peer = medians.values()
            rows.append(
                {
                    "layers": "-".join(map(str, sizes)),
                    "batch": batch_size,
                    **{f"{name}: epoch s": m[0] for name, m in medians.items()},
                    **{f"{name}: fit s": m[1] for name, m in medians.items()},
                    "epoch, times": peer[0] / ours[0],
                    "fit, times": peer[1] / ours[1],
                }
            )
    table = pd.DataFrame(rows).set_index(["layers", "batch"]).T
    print(table.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
