"""WideDeepClassifier beside other classifiers on a folder of tables, all by default.

    python benchmarks/tabular.py DIR [--models ...] [--tables ...] [--splits 3]
        [--json FILE] [--redo MODEL ...] [--picture FILE]

Takes every parquet file of the folder, whose last column is the target, and seeded,
stratified 80/20 splits. Every model gets the raw table, with the least preparation that
its documentation asks for: see `peers.py`. Each fit has a process of its own, in which
the model is first fitted to a tiny table, so that imports and what libraries load late
do not count. Its memory is the peak of that process.

With `--json` each result is stored when it is there, and those that are there are not
computed again, unless `--redo` names their model. Several runs may share a file.

Log-losses are in nats, with probabilities of at least 1e-7. The ROC AUC of more than
two classes is the mean of each class against the rest. Ranks are by log-loss; a model
that fails on a table is last there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peers import MAKERS, tiny_table

DEFAULT_MODELS = [name for name in MAKERS if name not in ("realmlp", "tabm")]
KEYS = ["table", "split", "model"]
FIGURES = ["log-loss", "ROC AUC", "accuracy", "fit s", "predict s", "peak MiB"]
REFERENCE = "lightgbm"


def load(path: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Read a table; its last column is the target."""
    table = pd.read_parquet(path)
    return table.iloc[:, :-1], table.iloc[:, -1]


def split_rows(y: pd.Series, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the rows, stratified; the only row of a class is a training row."""
    from sklearn.model_selection import train_test_split

    alone = (y.map(y.value_counts()) < 2).to_numpy()
    rows = np.arange(len(y))
    train, test = train_test_split(
        rows[~alone], test_size=0.2, stratify=y[~alone], random_state=seed
    )
    return np.concatenate([train, rows[alone]]), test


def peak_mib() -> float:
    """Return the largest memory that this process has held."""
    units_a_mib = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_a_mib


def score(
    y: np.ndarray, probabilities: np.ndarray, classes: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Rate probabilities, after a column for every label of the table is there."""
    from sklearn.metrics import roc_auc_score

    aligned = np.zeros((len(y), len(labels)))
    aligned[:, np.searchsorted(labels, classes)] = probabilities
    codes = np.searchsorted(labels, y)
    likelihoods = aligned[np.arange(len(y)), codes].clip(1e-7, 1)
    seen = [1] if len(labels) == 2 else np.unique(codes)
    areas = [roc_auc_score(codes == code, aligned[:, code]) for code in seen]
    return {
        "log-loss": float(-np.log(likelihoods).mean()),
        "ROC AUC": float(np.mean(areas)),
        "accuracy": float((aligned.argmax(axis=1) == codes).mean()),
    }


def run(path: Path, seed: int, name: str) -> dict[str, float]:
    """Fit and rate one model on one split of one table."""
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    make = MAKERS[name]
    X, y = tiny_table()
    model, X = make(X, seed)
    model.fit(X, y).predict_proba(X)
    X, y = load(path)
    train, test = split_rows(y, seed)
    model, X = make(X, seed)
    X_train, X_test, y_train = X.iloc[train], X.iloc[test], y.iloc[train]
    peak_before = peak_mib()
    started = time.perf_counter()
    model.fit(X_train, y_train)
    fitted = time.perf_counter()
    peak = peak_mib()
    probabilities = model.predict_proba(X_test)
    predicted = time.perf_counter()
    return {
        **score(y.iloc[test].to_numpy(), probabilities, model.classes_, np.unique(y)),
        "fit s": fitted - started,
        "predict s": predicted - fitted,
        "peak MiB": peak,
        "MiB before": peak_before,
    }


def run_alone(path: Path, seed: int, name: str) -> dict[str, Any]:
    """Run in a new process; return the error where it fails."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as alone:
        try:
            return alone.submit(run, path, seed, name).result()
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


class Results:
    """Results by table, split and model, kept in a file where there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.read()

    def read(self) -> None:
        if self.path is not None and self.path.exists():
            self.rows = json.loads(self.path.read_text())

    def has(self, key: tuple) -> bool:
        self.read()
        return any(tuple(row[k] for k in KEYS) == key for row in self.rows)

    def put(self, key: tuple, figures: dict[str, Any]) -> None:
        """Add a result to those that the file has by now."""
        self.read()
        self.rows.append({**dict(zip(KEYS, key, strict=True)), **figures})
        self.write()

    def drop(self, models: list[str]) -> None:
        self.rows = [row for row in self.rows if row["model"] not in models]
        self.write()

    def write(self) -> None:
        if self.path is not None:
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(self.rows, indent=1))
            new.replace(self.path)


def summarize(rows: list[dict[str, Any]], models: list[str]) -> pd.DataFrame:
    """Print the means of each table, then ranks, wins and times; return log-losses."""
    frame = pd.DataFrame(rows).reindex(columns=[*KEYS, *FIGURES, "error"])
    if frame["error"].notna().any():
        print("failed:")
        for row in frame[frame["error"].notna()].itertuples():
            print(f"  {row.table}, split {row.split}, {row.model}: {row.error[:300]}")
    failed = frame["error"].notna().groupby([frame["table"], frame["model"]]).any()
    means = frame.groupby(["table", "model"])[FIGURES].mean()
    means[failed.reindex(means.index)] = np.nan
    splits = frame.groupby(["table", "model"])["split"].nunique()
    for table, part in means.groupby(level="table"):
        part = part.droplevel("table").reindex(models).dropna(how="all")
        part.insert(0, "splits", splits[table].reindex(part.index))
        print(f"\n{table}\n{part.to_string(float_format='{:.4f}'.format)}")
    losses = means["log-loss"].unstack().reindex(columns=models)
    done = frame.groupby(["table", "model"]).size().unstack().reindex(columns=models)
    complete = losses[done.notna().all(axis=1)]
    if len(complete) < len(losses):
        left_out = ", ".join(losses.index.difference(complete.index))
        print(f"\nnot in the ranks, as not every model has been run: {left_out}")
    complete = complete.fillna(np.inf)
    summary = pd.DataFrame({"mean rank": complete.rank(axis=1).mean()})
    if REFERENCE in models:
        wins = complete.lt(complete[REFERENCE], axis=0).sum()
        summary[f"better than {REFERENCE}"] = wins
    seconds = means["fit s"].unstack().reindex(index=complete.index, columns=models)
    summary["fit s, total"] = seconds.sum()
    print(f"\n{len(complete)} tables, ranks by log-loss")
    ordered = summary.sort_values("mean rank")
    print(ordered.to_string(float_format="{:.2f}".format))
    return complete


def critical_difference(n_models: int, n_tables: int, alpha: float = 0.05) -> float:
    """Return how far apart mean ranks must be, by Nemenyi's test."""
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - alpha, n_models, np.inf) / np.sqrt(2)
    return q * np.sqrt(n_models * (n_models + 1) / (6 * n_tables))


def groups_within(ranks: np.ndarray, distance: float) -> list[tuple[float, float]]:
    """Return the ends of the longest runs of sorted ranks that are so close."""
    groups: list[tuple[float, float]] = []
    for start in ranks:
        end = ranks[ranks <= start + distance].max()
        if end > start and (not groups or end > groups[-1][1]):
            groups.append((start, end))
    return groups


def draw(losses: pd.DataFrame, path: Path) -> None:
    """Draw the mean ranks; bars join models that Nemenyi's test does not separate."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    n_tables, n_models = losses.shape
    ranks = losses.rank(axis=1).mean().sort_values()
    distance = critical_difference(n_models, n_tables)
    groups = groups_within(ranks.to_numpy(), distance)
    n_left = (n_models + 1) // 2
    first_name = 0.5 + 0.25 * len(groups)
    height = first_name + 0.4 * n_left
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.6 * height), layout="constrained")
    axes.set(xlim=(0.2, n_models + 0.8), ylim=(height, -0.9))
    axes.axis("off")
    axes.hlines(0, 1, n_models, color="black", linewidth=1)
    for rank in range(1, n_models + 1):
        axes.vlines(rank, -0.12, 0, color="black", linewidth=1)
        axes.text(rank, -0.2, str(rank), ha="center", va="bottom")
    title = f"Mean rank by log-loss on {n_tables} tables; critical difference "
    axes.set_title(f"{title}{distance:.2f} (Nemenyi, 5 %)", fontsize="medium")
    for place, (name, rank) in enumerate(ranks.items()):
        left = place < n_left
        level = first_name + 0.4 * (place if left else n_models - 1 - place)
        end = 0.9 if left else n_models + 0.1
        color = "tab:blue" if name.startswith("wide_deep") else "black"
        axes.plot([rank, rank, end], [0, level, level], color=color, linewidth=1)
        label = f"{name} {rank:.2f} " if left else f" {rank:.2f} {name}"
        side = "right" if left else "left"
        axes.text(end, level, label, ha=side, va="center", color=color)
    for place, (start, end) in enumerate(groups):
        level = 0.3 + 0.25 * place
        axes.hlines(level, start - 0.04, end + 0.04, color="black", linewidth=4)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--models", nargs="+", choices=MAKERS, default=DEFAULT_MODELS)
    parser.add_argument("--tables", nargs="+", help="all by default")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--redo", nargs="+", choices=MAKERS, default=[])
    parser.add_argument("--picture", type=Path, metavar="FILE")
    args = parser.parse_args()
    paths = {path.stem: path for path in sorted(args.folder.glob("*.parquet"))}
    tables = args.tables or list(paths)
    if not tables or not set(tables) <= set(paths):
        parser.error(f"{args.folder} has the tables {list(paths)}; asked for {tables}")
    results = Results(args.json)
    results.drop(args.redo)
    print(
        f"{len(tables)} tables, {args.splits} splits, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    for split in range(args.splits):
        for model in args.models:
            for table in tables:
                key = (table, split, model)
                if results.has(key):
                    continue
                figures = run_alone(paths[table], split, model)
                results.put(key, figures)
                text = figures.get("error") or ", ".join(
                    f"{name} {figures[name]:.4f}" for name in FIGURES
                )
                print(f"{table}, split {split}, {model}: {text}", flush=True)
    asked = [
        row
        for row in results.rows
        if row["table"] in tables
        and row["split"] < args.splits
        and row["model"] in args.models
    ]
    losses = summarize(asked, args.models)
    if args.picture is not None and len(losses):
        draw(losses, args.picture)


if __name__ == "__main__":
    main()
