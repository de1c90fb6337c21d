"""WideDeepClassifier and LightGBM on Adult, both by default: loss, ranking and time.

    python benchmarks/adult.py [--splits 3] [--also realmlp tabm]

Takes the census income table that `fetch_adult` finds, and three seeded, stratified
80/20 splits. LightGBM gets its strings as pandas categories, WideDeepClassifier the raw
table. The prior, which predicts the class frequencies, is the floor. Other models of
`peers.py` join in on request; RealMLP and TabM take minutes without a GPU.
"""

from __future__ import annotations

import argparse
import platform
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from peers import MAKERS, tiny_table
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult


def make_prior(X: pd.DataFrame, seed: int) -> tuple[Any, pd.DataFrame]:
    return DummyClassifier(), X


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--also", nargs="+", choices=MAKERS, default=[])
    args = parser.parse_args()
    X, y = fetch_adult(return_X_y=True)
    models = {
        "prior": make_prior,
        "LightGBM": MAKERS["lightgbm"],
        "WideDeepClassifier": MAKERS["wide_deep"],
        **{name: MAKERS[name] for name in args.also},
    }
    # The first fit of a process also loads the rest of torch; that is told apart.
    started = time.perf_counter()
    WideDeepClassifier(max_epochs=1).fit(X[:100], y[:100])
    print(
        f"{len(X):,} rows, {args.splits} splits, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}; "
        f"first fit in a process (100 rows): {time.perf_counter() - started:.1f} s"
    )
    columns = ["log-loss", "ROC AUC", "accuracy", "fit s", "predict s"]
    rows = {}
    for name, make in models.items():
        figures = []
        tiny, labels = tiny_table()
        model, tiny = make(tiny, 0)
        model.fit(tiny, labels)  # which loads what is loaded late
        for seed in range(args.splits):
            model, table = make(X, seed)
            X_train, X_test, y_train, y_test = train_test_split(
                table, y, test_size=0.2, stratify=y, random_state=seed
            )
            started = time.perf_counter()
            model.fit(X_train, y_train)
            fitted = time.perf_counter()
            probabilities = model.predict_proba(X_test)
            predicted = time.perf_counter()
            figures.append(
                (
                    log_loss(y_test, probabilities),
                    roc_auc_score(y_test, probabilities[:, 1]),
                    accuracy_score(
                        y_test, model.classes_[probabilities.argmax(axis=1)]
                    ),
                    fitted - started,
                    predicted - fitted,
                )
            )
        rows[name] = np.mean(figures, axis=0)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    print(table.to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
